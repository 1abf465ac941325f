//! The faults that an earlier Aqara bridge had (protocol/aqara.md §8, 1 to 9), and what Latchkey does instead.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use latchkey::{
    account::{AccessTokenStatus, AccountId, Class, Code, Condition, EventType, Fingerprint, Secret},
    clock::Clock,
    demo::clouds::{Fault, FaultKind, Scope, What, short_hash},
    keeper::{Command, Grounds},
    store::{Commit, Entry, Store, StoreError},
};
use serde_json::json;

use crate::{
    bench::{Bench, DAY, HOME, HOUR, MINUTE, code, id, in_time, refresh_token},
    doubles::Disk,
    stand_in::{Says, StandIn},
    vendor::{App, refresh},
};

const SCENE: &str = "tv_warning";

fn refusal(code: i64) -> Fault {
    Fault { code: Some(code), ..Fault::new(FaultKind::VendorBusy) }
}

/// The real store, which remembers every byte that it was given, before it is sealed.
struct Witness {
    store: Arc<dyn Store>,
    given: Mutex<Vec<u8>>,
}

#[async_trait]
impl Store for Witness {
    fn load(&self) -> Vec<Entry> {
        self.store.load()
    }

    async fn record(&self, account: &AccountId) -> Result<Option<Entry>, StoreError> {
        self.store.record(account).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        self.given.lock().unwrap().extend_from_slice(commit.record.payload());
        self.store.commit(commit).await
    }

    async fn is_spent(&self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError> {
        self.store.is_spent(accounts, fingerprint).await
    }

    fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.store.note(name)
    }

    async fn put_note(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.given.lock().unwrap().extend_from_slice(&bytes);
        self.store.put_note(name, bytes).await
    }

    async fn check_room(&self) -> Result<(), StoreError> {
        self.store.check_room().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[tokio::test]
async fn fault_1_no_access_token_is_written_down_and_a_restart_fetches_one_at_its_first_use() {
    let bench = Bench::new().await;
    let (store, grounds) = bench.open();
    let witness = Arc::new(Witness { store, given: Mutex::default() });
    let mut house = bench.start_on(Grounds { store: witness.clone(), ..grounds }, &[HOME], |_, vendor| vendor);
    let mut access_tokens = vec![bench.aqara.credentials(0).access_token];
    bench.settle_in(&mut house, &[HOME]).await;
    access_tokens.push(bench.aqara.credentials(0).access_token);
    for kind in [FaultKind::Slow, FaultKind::MissingRefreshToken, FaultKind::WrongTypes] {
        bench.aqara.inject(Fault::new(kind).lasting(0.0));
        let _ = house.refresh(HOME).await;
        access_tokens.push(bench.aqara.credentials(0).access_token);
        bench.hand.advance(HOUR);
    }
    house.stop().await;
    let given = String::from_utf8_lossy(&witness.given.lock().unwrap()).into_owned();
    assert!(given.contains(&bench.aqara.credentials(0).refresh_token), "the search finds nothing even where it is");
    for token in access_tokens {
        assert!(!given.contains(&token));
    }

    let bench = Bench::new().await;
    bench.settled(&[HOME]).await.stop().await;
    let house = bench.start(&[HOME]);
    assert_eq!(house.status(HOME).access_token_status, AccessTokenStatus::NotCached);
    let before = bench.aqara.counters().refreshes;
    house.scene(HOME, SCENE).await.unwrap();
    assert_eq!(bench.aqara.counters().refreshes, before + 1);
    assert_eq!(house.status(HOME).access_token_status, AccessTokenStatus::Valid);
    house.stop().await;
}

#[tokio::test]
async fn fault_2_a_new_refresh_token_brings_a_new_access_token_and_the_old_one_is_not_used_again() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    house.scene(HOME, SCENE).await.unwrap();
    // Still accepted, so that using it would not be noticed by a refusal.
    bench.aqara.turn_knobs(|it| it.login_ends_the_one_before = false);
    let old = bench.aqara.credentials(0).access_token;
    let new = bench.aqara.sign_in(0).refresh_token;
    house.update(HOME, refresh_token(&new)).await.unwrap();
    house.scene(HOME, SCENE).await.unwrap();
    let used: Vec<String> = bench
        .aqara
        .log()
        .into_iter()
        .filter(|it| it.call == "config.scene.run")
        .flat_map(|it| it.secrets.into_iter().map(|it| it.1))
        .collect();
    let now = bench.aqara.credentials(0).access_token;
    assert_eq!(used, [short_hash(&old), short_hash(&now)]);
    house.stop().await;
}

#[tokio::test]
async fn fault_3_an_access_token_that_was_killed_early_is_replaced_at_its_next_use() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    bench.aqara.revoke(0, What::Access);
    house.scene(HOME, SCENE).await.unwrap();
    house.scene(HOME, SCENE).await.unwrap();
    let counters = bench.aqara.counters();
    let runs: u64 = counters.scene_runs.values().sum();
    assert_eq!((runs, counters.calls_by_name["config.scene.run"], counters.refreshes), (2, 3, 2));
    house.stop().await;
}

#[tokio::test]
async fn fault_4_a_grant_that_cannot_be_saved_is_held_until_it_can_and_a_restart_has_it() {
    let bench = Bench::new().await;
    let (store, grounds) = bench.open();
    let disk = Disk::new(store);
    let mut house = bench.start_on(Grounds { store: disk.clone(), ..grounds }, &[HOME], |_, vendor| vendor);
    bench.settle_in(&mut house, &[HOME]).await;
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.3).after());
    let before = bench.aqara.counters().refreshes;
    let ticket = house.submit_refresh(HOME);
    in_time(bench.aqara.wait_for(|it| it.refreshes == before + 1)).await;
    disk.take_commits(false);
    disk.until_refused().await;
    house.until(HOME, |it| it.condition == Condition::Blocked).await;
    disk.take_commits(true);
    in_time(ticket.reply).await.unwrap().unwrap();
    house.stop().await;
    let house = bench.start(&[HOME]);
    bench.hand.advance(MINUTE);
    house.refresh(HOME).await.unwrap();
    assert_eq!((house.status(HOME).condition, bench.aqara.counters().replays), (Condition::Ok, 0));
    house.stop().await;
}

#[tokio::test]
async fn fault_5_a_lifetime_of_another_type_costs_no_grant() {
    for is_number in [false, true] {
        let bench = Bench::new().await;
        bench.aqara.turn_knobs(|it| it.expires_in_as_number = is_number);
        let house = bench.settled(&[HOME]).await;
        house.refresh(HOME).await.unwrap();
        let status = house.status(HOME);
        let lives = status.access_token_expires_at.unwrap().duration_since(bench.now());
        assert_eq!(lives.as_secs(), 604_800);
        house.stop().await;
        let house = bench.start(&[HOME]);
        bench.hand.advance(MINUTE);
        house.refresh(HOME).await.unwrap();
        assert_eq!(bench.aqara.counters().replays, 0);
        house.stop().await;
    }
    // One that means nothing at all: the pair is taken, its end is unknown.
    for expires_in in [json!({ "seconds": 604_800 }), json!("soon"), json!("0"), json!(null), json!([])] {
        let pair = json!({ "expiresIn": expires_in, "openId": 7, "accessToken": "A2", "refreshToken": "R2" });
        let far = StandIn::start(move |_| Says::result(&pair)).await;
        assert_eq!(refresh(&*App::at(&far.url).connect(Clock::system()), "R1").await, Ok(()));
    }
}

#[tokio::test]
async fn fault_6_a_caller_who_goes_away_in_the_middle_of_a_refresh_costs_no_grant() {
    let bench = Bench::new().await;
    bench.settled(&[HOME]).await.stop().await;
    let mut house = bench.start(&[HOME]);
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.3).after());
    let before = bench.aqara.counters().refreshes;
    let ask = house.keeper.ask(Command::TriggerScene { entry_id: id(HOME), scene: SCENE.to_owned() });
    let rotated = bench.aqara.wait_for(|it| it.refreshes == before + 1);
    tokio::select! {
        biased;
        _ = rotated => {}
        reply = ask => panic!("it was to be cancelled before {reply:?}"),
    }
    house.until(HOME, |it| it.refresh_count == 2).await;
    house.stop().await;
    let house = bench.start(&[HOME]);
    bench.hand.advance(MINUTE);
    house.refresh(HOME).await.unwrap();
    assert_eq!((bench.aqara.counters().refreshes, bench.aqara.counters().replays), (before + 2, 0));
    house.stop().await;
}

#[tokio::test]
async fn fault_7_a_wrong_key_is_not_taken_for_a_dead_login_nor_a_dead_login_for_a_wrong_key() {
    for (refused, told, condition) in [
        (106, Code::ConfigFault, Condition::ConfigFault),
        (107, Code::ConfigFault, Condition::ConfigFault),
        (2006, Code::SignedInElsewhere, Condition::ReauthRequired),
        (2007, Code::RefreshTokenExpired, Condition::ReauthRequired),
    ] {
        let bench = Bench::new().await;
        let mut house = bench.settled(&[HOME]).await;
        bench.aqara.inject(refusal(refused).on(Scope::Refresh, 1));
        let error = house.refresh(HOME).await.unwrap_err();
        assert_eq!((error.code, house.status(HOME).condition), (told, condition), "{refused}");
        assert_eq!(error.hint.contains("app_key"), condition == Condition::ConfigFault, "{error:?}");
        // Nothing was thrown away: as soon as the cloud takes the token again, it is used.
        bench.wait_out(&mut house, HOME, |it| it.condition == Condition::Ok).await;
        assert_eq!(bench.aqara.counters().replays, 0);
        house.stop().await;
    }
}

#[tokio::test]
async fn fault_7_a_text_that_speaks_of_expired_tokens_is_no_reason_to_refresh() {
    for (refused, class) in [(1203, Class::Target), (403, Class::Target), (106, Class::ConfigFault)] {
        for text in ["token expired", "令牌已过期"] {
            let body = json!({ "code": refused, "message": text, "messageDetail": text }).to_string();
            let far = StandIn::start(move |_| Says::text(&body)).await;
            let vendor = App::at(&far.url).connect(Clock::system());
            let failure = vendor.trigger_scene(&Secret::new("A1"), "AL.1").await.unwrap_err();
            assert_eq!(failure.class, class, "{refused} {text}");
        }
    }
    for refused in [403, 602, 716, 1202, 1203, 31_337] {
        let bench = Bench::new().await;
        let house = bench.settled(&[HOME]).await;
        let before = bench.aqara.counters().refreshes;
        bench.aqara.inject(refusal(refused).on(Scope::Action, 1));
        assert_eq!(code(&house.scene(HOME, SCENE).await), Some(Code::TargetRefused), "{refused}");
        house.scene(HOME, SCENE).await.unwrap();
        assert_eq!((house.status(HOME).condition, bench.aqara.counters().refreshes), (Condition::Ok, before));
        house.stop().await;
    }
}

#[tokio::test]
async fn fault_7_an_unknown_refusal_is_never_the_death_of_a_login_however_long_it_lasts() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    bench.aqara.inject(refusal(31_337).on(Scope::Refresh, 1000));
    assert_eq!(code(&house.refresh(HOME).await), Some(Code::RefreshRefused));
    let until = bench.now() + 10 * DAY;
    while bench.now() < until {
        let next = house.status(HOME).next_refresh_at.unwrap();
        let failures = house.status(HOME).consecutive_failures;
        bench.hand.advance(Duration::try_from(next.duration_since(bench.now())).unwrap_or_default());
        let status = house.until(HOME, |it| failures < it.consecutive_failures).await;
        assert_ne!(status.condition, Condition::ReauthRequired);
    }
    assert!(20 < house.status(HOME).consecutive_failures, "it was hardly asked");
    assert_eq!(house.status(HOME).condition, Condition::Expired);
    bench.aqara.clear_faults();
    bench.hand.advance(HOUR);
    house.event(HOME, EventType::Recovered).await;
    house.stop().await;
}

#[tokio::test]
async fn fault_8_a_token_of_four_minutes_is_not_renewed_at_every_call() {
    let bench = Bench::new().await;
    bench.aqara.turn_knobs(|it| it.token_lifetime_seconds = 240);
    let mut house = bench.start(&[HOME]);
    house.update(HOME, bench.pair_of(HOME)).await.unwrap();
    let before = bench.aqara.counters().refreshes;
    for _ in 0..10 {
        house.scene(HOME, SCENE).await.unwrap();
    }
    assert_eq!(bench.aqara.counters().refreshes, before);
    // And it is renewed in time, though less than the usual margin is left of it from the start.
    bench.hand.advance(4 * MINUTE);
    house.event(HOME, EventType::Refreshed).await;
    house.scene(HOME, SCENE).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn fault_9_a_status_of_failure_is_minded_and_only_the_vendors_own_words_count_beside_one_that_blames_us() {
    let pair = json!({ "expiresIn": "604800", "openId": "o", "accessToken": "A2", "refreshToken": "R2" });
    for status in [400, 401, 403, 404] {
        let far = StandIn::start(move |_: &_| Says::code(2006).with_status(status)).await;
        let failure = refresh(&*App::at(&far.url).connect(Clock::system()), "R1").await.unwrap_err();
        assert_eq!(failure.class, Class::GrantDead { expired: false }, "{status}");
        let given = pair.clone();
        let far = StandIn::start(move |_: &_| Says::result(&given).with_status(status)).await;
        let taken = refresh(&*App::at(&far.url).connect(Clock::system()), "R1").await;
        assert_eq!(taken, Ok(()), "{status}: a token is not thrown away for its status");
        for body in ["{\"message\":\"Forbidden\"}", "nothing here", "<html></html>", ""] {
            let far = StandIn::start(move |_: &_| Says::text(body).with_status(status)).await;
            let failure = refresh(&*App::at(&far.url).connect(Clock::system()), "R1").await.unwrap_err();
            assert_eq!((failure.class, failure.http_status), (Class::Ambiguous, Some(status)), "{body}");
        }
    }
    for status in [301, 307, 500, 502, 503] {
        for refused in [None, Some(2006), Some(108)] {
            let pair = pair.clone();
            let says = move |_: &_| refused.map_or_else(|| Says::result(&pair), Says::code).with_status(status);
            let far = StandIn::start(says).await;
            let failure = refresh(&*App::at(&far.url).connect(Clock::system()), "R1").await.unwrap_err();
            assert_eq!((failure.class, failure.http_status), (Class::Ambiguous, Some(status)), "{refused:?}");
        }
    }
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    bench.aqara.inject(Fault::new(FaultKind::Http500));
    house.refresh(HOME).await.unwrap();
    house.event(HOME, EventType::InDoubt).await;
    assert_eq!(house.status(HOME).condition, Condition::Ok);
    assert_eq!((bench.aqara.counters().refreshes, bench.aqara.counters().replays), (2, 0));
    house.stop().await;
}
