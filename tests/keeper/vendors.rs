//! An account whose configuration names another vendor than before: no token of the one is ever shown to the other, and none
//! is thrown away.

use latchkey::{
    account::{Code, Condition, Record},
    config::AccountSettings,
    demo::clouds::{Fault, FaultKind, akuvox::AkuvoxKnobs, aqara::AqaraKnobs},
    keeper::{Grounds, Keeper, ReplyData},
    store::{Commit, codec},
};

use super::{
    bench::{Bench, DAY, FRONT, HOME, HOUR, House, both, code, id, in_time},
    doubles::Disk,
};

/// The account `FRONT`, as an account of Aqara.
fn moved(bench: &Bench) -> AccountSettings {
    AccountSettings { id: id(FRONT), ..bench.settings_of(HOME) }
}

fn start_moved(bench: &Bench) -> House {
    start_moved_on(bench, bench.open().1)
}

fn start_moved_on(bench: &Bench, grounds: Grounds) -> House {
    let accounts = bench.accounts(vec![moved(bench)], |_, vendor| vendor);
    House::of(Keeper::start(accounts, grounds).unwrap())
}

/// The record of `FRONT` as it lies on the disk.
async fn stored(bench: &Bench) -> Record {
    let (store, _) = bench.open();
    let entry = store.load().into_iter().find(|it| it.account == id(FRONT)).unwrap();
    store.close().await.unwrap();
    codec::decode(&entry.record, entry.revision).unwrap()
}

#[tokio::test]
async fn what_is_one_vendors_is_not_shown_to_another_and_is_in_use_again_at_the_first() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let before = house.status(FRONT);
    house.stop().await;
    let n_calls = bench.akuvox.counters().calls;

    let house = start_moved(&bench);
    let status = house.status(FRONT);
    assert_eq!((status.condition, status.configured, status.next_refresh_at), (Condition::Missing, false, None));
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::NoRefreshToken));
    assert_eq!(code(&house.scene(FRONT, "tv_warning").await), Some(Code::NoRefreshToken));
    assert_eq!(code(&house.recall(FRONT).await), Some(Code::NotForgotten), "it is not this vendor's");
    bench.hand.advance(3 * DAY);
    house.stop().await;
    assert_eq!((bench.aqara.counters().calls, bench.akuvox.counters().calls), (0, n_calls));
    let record = stored(&bench).await;
    assert_eq!((record.vendor.as_deref(), record.forgotten.len()), (Some("aqara"), 1), "it is on disk as it is");

    let mut house = bench.start(&[FRONT]);
    let status = house.status(FRONT);
    assert_eq!((status.condition, status.next_refresh_at), (before.condition, before.next_refresh_at));
    bench.hand.advance(2 * DAY);
    house.until(FRONT, |it| it.refresh_count == before.refresh_count + 1 && it.condition == Condition::Ok).await;
    house.stop().await;
    assert_eq!((bench.akuvox.counters().replays, stored(&bench).await.forgotten.len()), (0, 0));
}

#[tokio::test]
async fn logins_at_both_vendors_are_kept_whole_however_often_the_account_goes_back_and_forth() {
    let bench = Bench::new().await;
    bench.settled(&[FRONT]).await.stop().await;
    for round in 0..3 {
        let house = start_moved(&bench);
        if round == 0 {
            house.update(FRONT, bench.pair_of(HOME)).await.unwrap();
        }
        bench.hand.advance(HOUR);
        house.refresh(FRONT).await.unwrap();
        house.scene(FRONT, "tv_warning").await.unwrap();
        house.stop().await;
        // Akuvox wants the access token in a refresh, too, and Aqara's is not to be stored.
        let record = stored(&bench).await;
        assert!(record.current.unwrap().access.is_none());
        assert!(record.forgotten[0].record.current.as_ref().unwrap().access.is_some());

        let house = bench.start(&[FRONT]);
        assert_eq!(house.status(FRONT).condition, Condition::Ok);
        house.refresh(FRONT).await.unwrap();
        house.stop().await;
    }
    assert_eq!((bench.akuvox.counters().replays, bench.aqara.counters().replays), (0, 0));
}

#[tokio::test]
async fn a_kill_at_any_moment_of_the_move_leaves_it_as_it_was_or_done() {
    let bench = Bench::new().await;
    bench.settled(&[FRONT]).await.stop().await;
    let (store, grounds) = bench.open();
    let disk = Disk::new(store);
    disk.hold(true);
    let house = start_moved_on(&bench, Grounds { store: disk.clone(), ..grounds });
    disk.until_somebody_waits().await;
    let before = bench.copy_store("before");
    disk.hold(false);
    house.stop().await;
    let done = bench.copy_store("done");

    for copy in [before, done] {
        bench.put_store_back(&copy);
        let house = start_moved(&bench);
        assert_eq!(house.status(FRONT).condition, Condition::Missing);
        house.stop().await;
        assert_eq!(stored(&bench).await.forgotten.len(), 1);
        let house = bench.start(&[FRONT]);
        assert_eq!(house.status(FRONT).condition, Condition::Ok);
        house.stop().await;
        assert_eq!(stored(&bench).await.forgotten.len(), 0);
    }
    assert_eq!(bench.aqara.counters().calls, 0);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_makes_no_difference_to_what_is_shown_to_whom() {
    let bench = Bench::new().await;
    bench.settled(&[FRONT]).await.stop().await;
    let (store, grounds) = bench.open();
    let disk = Disk::new(store);
    disk.take_commits(false);
    let house = start_moved_on(&bench, Grounds { store: disk.clone(), ..grounds });
    disk.until_refused().await;
    assert_eq!(house.status(FRONT).condition, Condition::Missing);
    bench.hand.advance(6 * DAY);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::NoRefreshToken));
    // The next that is stored brings the move along.
    disk.take_commits(true);
    house.update(FRONT, bench.pair_of(HOME)).await.unwrap();
    house.stop().await;
    let record = stored(&bench).await;
    assert_eq!((record.vendor.as_deref(), record.forgotten.len()), (Some("aqara"), 1));
    assert_eq!(bench.aqara.counters().refreshes, 1);
}

#[tokio::test]
async fn a_refresh_that_was_open_at_a_kill_is_in_doubt_where_it_belongs() {
    let aqara = AqaraKnobs { refresh_grace_seconds: 60, ..AqaraKnobs::default() };
    let bench = Bench::with(AkuvoxKnobs::default(), aqara).await;
    let house = start_moved(&bench);
    house.update(FRONT, bench.pair_of(HOME)).await.unwrap();
    bench.hand.advance(HOUR);
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.5).after());
    let ticket = house.submit_refresh(FRONT);
    in_time(bench.aqara.wait_for(|it| it.refreshes == 2)).await;
    let killed = bench.copy_store("killed");
    in_time(ticket.reply).await.unwrap().unwrap();
    house.stop().await;
    bench.put_store_back(&killed);
    let n_calls = bench.aqara.counters().calls;

    let house = bench.start(&[FRONT]);
    assert_eq!(house.status(FRONT).condition, Condition::Missing);
    house.stop().await;
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), (0, n_calls));

    let mut house = start_moved(&bench);
    house.until(FRONT, |it| it.refresh_count == 2 && it.condition == Condition::Ok).await;
    house.stop().await;
    assert_eq!((bench.aqara.counters().grace_answers, bench.aqara.counters().replays), (1, 0));
}

#[tokio::test]
async fn what_a_user_had_forgotten_waits_for_the_user_at_its_own_vendor() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    house.forget(FRONT).await.unwrap();
    house.stop().await;
    let house = start_moved(&bench);
    assert_eq!(code(&house.recall(FRONT).await), Some(Code::NotForgotten));
    house.stop().await;
    let house = bench.start(&[FRONT]);
    assert_eq!(house.status(FRONT).condition, Condition::Missing);
    assert!(matches!(house.recall(FRONT).await, Ok(ReplyData::Recalled { .. })));
    house.refresh(FRONT).await.unwrap();
    house.stop().await;
    assert_eq!(bench.aqara.counters().calls, 0);
}

#[tokio::test]
async fn a_record_of_an_earlier_version_says_whose_it_is_from_its_first_start_on() {
    let bench = Bench::new().await;
    bench.settled(&[FRONT]).await.stop().await;
    let record = Record { vendor: None, ..stored(&bench).await };
    let (store, _) = bench.open();
    let expected = record.revision;
    let record = codec::encode(&record, None, true);
    store.commit(Commit { account: id(FRONT), expected, record, needs_room: false }).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let n_calls = bench.akuvox.counters().calls;

    let house = bench.start(&[FRONT]);
    assert_eq!(house.status(FRONT).condition, Condition::Ok);
    house.stop().await;
    let before = stored(&bench).await;
    assert_eq!(before.vendor.as_deref(), Some("akuvox"));
    // It is said once.
    bench.start(&[FRONT]).stop().await;
    assert_eq!(stored(&bench).await, before);
    let house = start_moved(&bench);
    assert_eq!(house.status(FRONT).condition, Condition::Missing);
    house.stop().await;
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), (n_calls, 0));
}

#[tokio::test]
async fn an_account_that_was_taken_out_comes_back_to_another_vendor_only_when_nothing_is_under_way() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let refreshes = bench.akuvox.counters().refreshes;
    bench.akuvox.inject(Fault::new(FaultKind::Slow).after().lasting(0.5));
    let ticket = house.submit_refresh(FRONT);
    in_time(bench.akuvox.wait_for(|it| it.refreshes == refreshes + 1)).await;
    let at_aqara = || bench.accounts(vec![moved(&bench)], |_, vendor| vendor);
    house.reload(Vec::new()).await;
    assert_eq!(house.reload(at_aqara()).await, Default::default(), "its refresh is under way");
    assert!(in_time(ticket.reply).await.unwrap().is_ok());

    // The flight lets go of it right after its answer.
    in_time(async { while house.reload(at_aqara()).await.added.is_empty() {} }).await;
    assert_eq!(house.status(FRONT).condition, Condition::Missing);
    let held = bench.akuvox.credentials(0);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::NoRefreshToken));
    house.stop().await;
    let house = bench.start(&[FRONT]);
    assert_eq!(house.status(FRONT).generation, 3, "what came of the refresh was stored");
    let reply = house.update(FRONT, both(&held.token, &held.refresh_token)).await;
    assert_eq!(super::bench::outcome(&reply), Some(latchkey::account::UpdateOutcome::Unchanged));
    house.stop().await;
    assert_eq!((bench.aqara.counters().calls, bench.akuvox.counters().replays), (0, 0));
}
