//! Two accounts that hold one refresh token.

use latchkey::{
    account::{Code, Condition, EventType, Grant, Record, Secret, UpdateOutcome},
    store::{Commit, codec},
};

use super::bench::{Bench, CABIN, DAY, HOME, HOUR, code, id, outcome, refresh_token};

/// Puts the cloud's pair of [`HOME`] into the store for both accounts.
pub(crate) async fn seed_twins(bench: &Bench) {
    let (store, _) = bench.open();
    let held = bench.aqara.credentials(0);
    let grant = Grant {
        access: None,
        refresh: Some(Secret::new(held.refresh_token)),
        extras: latchkey::account::Extras::default(),
        issued_at: bench.now(),
        refresh_updated_at: bench.now(),
        access_expires_at: Some(bench.now() + 7 * DAY),
        refresh_expires_at: None,
        generation: 1,
        proven: true,
        refresh_end: None,
    };
    let record = Record { generation: 1, current: Some(grant), ..Record::default() };
    for name in [HOME, CABIN] {
        let record = codec::encode(&record, None, false);
        store.commit(Commit { account: id(name), expected: 0, record, needs_room: false }).await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn of_two_accounts_with_one_refresh_token_one_is_left_alone_until_it_gets_its_own() {
    let bench = Bench::new().await;
    seed_twins(&bench).await;
    let mut house = bench.start(&[HOME, CABIN]);
    // `cabin` comes first in the alphabet.
    let status = house.until(HOME, |it| it.condition == Condition::ConfigFault).await;
    assert_eq!(status.last_error, Some(Code::TokenInUse));
    assert_eq!(house.status(CABIN).condition, Condition::Ok);
    bench.hand.advance(2 * HOUR);
    assert_eq!(code(&house.refresh(HOME).await), Some(Code::TokenInUse));
    assert_eq!(bench.aqara.counters().calls, 0);
    house.refresh(CABIN).await.unwrap();
    bench.hand.advance(2 * HOUR);
    assert_eq!(code(&house.refresh(HOME).await), Some(Code::TokenInUse), "now it is spent");
    house.stop().await;

    let mut house = bench.start(&[HOME, CABIN]);
    bench.hand.advance(8 * DAY);
    house.event(CABIN, EventType::Refreshed).await;
    assert_eq!(house.status(HOME).condition, Condition::ConfigFault);
    assert_eq!(bench.aqara.counters().replays, 0);
    bench.aqara.sign_in(1);
    let credentials = bench.aqara.credentials(1);
    let reply = house.update(HOME, refresh_token(&credentials.refresh_token)).await;
    assert_eq!(outcome(&reply), Some(UpdateOutcome::Proved));
    assert_eq!(house.status(HOME).condition, Condition::Ok);
    house.stop().await;
    assert_eq!(bench.aqara.counters().replays, 0);
}

/// By then records have been gone through again for what they mention.
#[tokio::test]
async fn after_very_many_renewals_it_is_known_whose_a_token_is_and_which_were_spent() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME, CABIN]).await;
    let mut spent = Vec::new();
    for _ in 0..150 {
        spent.push(bench.aqara.credentials(0).refresh_token);
        house.refresh(HOME).await.unwrap();
        bench.hand.advance(HOUR);
    }
    let n_calls = bench.aqara.counters().calls;
    let held = bench.aqara.credentials(0).refresh_token;
    assert_eq!(code(&house.update(CABIN, refresh_token(&held)).await), Some(Code::TokenInUse));
    for old in [&spent[0], &spent[100], &spent[149]] {
        assert_eq!(code(&house.update(CABIN, refresh_token(old)).await), Some(Code::AlreadySpent));
    }
    assert_eq!(bench.aqara.counters().calls, n_calls);
    house.stop().await;
}
