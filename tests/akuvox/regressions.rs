//! What went wrong in other clients of this cloud, and how Latchkey behaves: protocol/akuvox.md §5, 'code defects', by
//! its numbers.

use std::{
    io,
    sync::{Arc, Mutex},
};

use jiff::SignedDuration;
use latchkey::{
    account::{Class, Code, Condition, EventType, ProposedTokens, Secret, Status},
    clock::Clock,
    demo::clouds::{Fault, FaultKind, Scope, What, akuvox::AkuvoxKnobs, short_hash},
    keeper::Grounds,
    vendor::{Spend, VendorError},
};

use super::bench::{Bench, DAY, HOUR, NoToll, in_time};

/// 1: the stored region was silently replaced by the default one at start-up.
#[tokio::test]
async fn region_is_not_replaced_by_the_default_one_at_a_start() {
    // The account lives in the first region; a client that falls back to another one finds nobody there.
    let mut bench = Bench::with(AkuvoxKnobs::default(), 2).await;
    bench.settled().await.stop().await;
    for _ in 0..3 {
        let house = bench.start();
        bench.hand.advance(HOUR);
        house.refresh().await.unwrap();
        house.stop().await;
    }
    bench.vendor().inventory(&bench.token(), &NoToll).await.unwrap();
    assert!(bench.cloud.log().iter().all(|it| it.region == 0), "{:?}", bench.cloud.log());

    // Nor is it guessed anew where the configured one refuses: that costs no login.
    bench.region = 1;
    let house = bench.start();
    bench.hand.advance(HOUR);
    house.refresh().await.unwrap_err();
    house.stop().await;
    let newest = bench.cloud.log().pop().unwrap();
    assert_eq!(newest.region, 1);
    bench.region = 0;
    let mut house = bench.start();
    bench.hand.advance(DAY);
    house.refresh().await.unwrap();
    house.until(|it| it.condition == Condition::Ok).await;
    house.stop().await;
}

/// 2: the time of the last refresh was kept as monotonic time, which a reboot starts anew.
#[tokio::test]
async fn last_refresh_is_a_date_that_outlives_a_reboot_and_a_clock_that_went_backwards() {
    let bench = Bench::new().await;
    let house = bench.settled().await;
    let before = house.status();
    house.stop().await;
    // A machine that has just booted: its wall clock goes on, its monotonic one does not.
    let (clock, hand) = Clock::paused(bench.now());
    let house = bench.start_on(Grounds { clock, ..bench.grounds() });
    let after = house.status();
    assert_eq!((after.last_refresh_at, after.next_refresh_at), (before.last_refresh_at, before.next_refresh_at));
    assert_eq!(bench.cloud.counters().refreshes, 1, "nothing was due");
    house.stop().await;
    drop(hand);

    // All clocks a year back: a last refresh in the future is due once, and not at every look.
    bench.hand.jump(bench.now() - SignedDuration::from_hours(365 * 24));
    let mut house = bench.start();
    house.until(|it| it.refresh_count == 2 && it.condition == Condition::Ok).await;
    let until = bench.now() + 5 * DAY;
    bench.live(&mut house, until).await;
    assert_eq!(bench.cloud.counters().refreshes, 2);
    house.stop().await;
}

/// 3: the list of devices was written over the whole store, and the time of the last refresh was gone.
#[tokio::test]
async fn listing_and_opening_doors_leaves_what_is_known_of_the_login_alone() {
    let bench = Bench::new().await;
    let house = bench.settled().await;
    let before = house.status();
    let vendor = bench.vendor();
    let doors = vendor.inventory(&bench.token(), &NoToll).await.unwrap().doors;
    vendor.open_door(&bench.token(), &doors[0].id).await.unwrap();
    house.stop().await;
    let house = bench.start();
    // What the vendor's clock reads is not known before it answers.
    assert_eq!(house.status(), Status { clock_skew_seconds: None, ..before.clone() });
    bench.hand.advance(DAY);
    assert_eq!(house.status().last_refresh_at, before.last_refresh_at);
    assert_eq!(bench.cloud.counters().refreshes, 1);
    house.stop().await;
}

/// 4: a token was read before a refresh and used after it.
#[tokio::test]
async fn token_that_a_call_bears_is_the_one_that_is_good_when_it_is_sent() {
    let bench = Bench::new().await;
    let house = bench.settled().await;
    for _ in 0..3 {
        // The cloud takes a refresh with the access token of the same pair only.
        let held = bench.cloud.credentials(0);
        house.refresh().await.unwrap();
        let sent = bench.cloud.log().pop().unwrap();
        let wanted = [("access_token", held.token), ("refresh_token", held.refresh_token)];
        assert_eq!(sent.secrets, wanted.map(|(role, secret)| (role, short_hash(&secret))));
        bench.hand.advance(HOUR);
    }
    // A vendor keeps no token at all: it is handed one with every call.
    let vendor = bench.vendor();
    let dead = bench.token();
    vendor.open_door(&dead, "0C1105000001/0").await.unwrap();
    house.refresh().await.unwrap();
    assert_eq!(vendor.open_door(&dead, "0C1105000001/0").await.unwrap_err().class, Class::AccessRejected);
    vendor.open_door(&bench.token(), "0C1105000001/0").await.unwrap();
    house.stop().await;
}

/// 5: a refresh at every start, and a second one after each, since the first changed the settings.
#[tokio::test]
async fn start_refreshes_nothing_that_is_not_due_and_what_is_due_once() {
    let bench = Bench::new().await;
    bench.settled().await.stop().await;
    let before = bench.n_calls();
    for _ in 0..5 {
        bench.start().stop().await;
    }
    assert_eq!(bench.n_calls(), before);
    let mut house = bench.start();
    let until = bench.now() + 29 * DAY;
    bench.live(&mut house, until).await;
    let refreshes = bench.cloud.counters().refreshes;
    assert_eq!((refreshes, bench.n_calls()), (6, before + 5), "once in six days, and no call beside");
    house.stop().await;
}

/// 6: a token that a user had once entered came back over the newer one that a refresh had brought.
#[tokio::test]
async fn token_that_was_given_once_does_not_come_back_over_its_successor() {
    let bench = Bench::new().await;
    let first_given = bench.pair();
    let house = bench.settled().await;
    let known_since = bench.pair();
    house.refresh().await.unwrap();
    let (held, status, calls) = (bench.pair(), house.status(), bench.n_calls());
    assert_eq!(house.update(known_since).await.unwrap_err().code, Code::AlreadySpent);
    // The very same command again gets the answer that it had, and does nothing.
    house.update(first_given).await.unwrap();
    assert_eq!((house.status(), bench.n_calls()), (status, calls));
    house.stop().await;
    let house = bench.start();
    bench.hand.advance(HOUR);
    house.refresh().await.unwrap();
    let ProposedTokens::Both { refresh, .. } = held else { unreachable!("it is a pair") };
    let sent = bench.cloud.log().pop().unwrap();
    assert!(sent.secrets.contains(&("refresh_token", short_hash(refresh.expose()))), "the newest one was sent");
    assert_eq!(bench.cloud.counters().replays, 0);
    house.stop().await;
}

/// 7: a refused refresh led to a login, that to a refresh, and so on without end.
#[tokio::test]
async fn refused_refresh_is_not_followed_by_another_and_another() {
    let bench = Bench::new().await;
    let mut house = bench.settled().await;
    bench.cloud.revoke(0, What::Grant);
    let before = bench.n_calls();
    house.refresh().await.unwrap_err();
    house.event(EventType::ReauthRequired).await;
    let at_once = bench.n_calls() - before;
    assert!(at_once <= 3, "a refresh, and the question whether the access token is good: {at_once}");
    for _ in 0..100 {
        house.refresh().await.unwrap_err();
    }
    let until = bench.now() + 10 * DAY;
    bench.live(&mut house, until).await;
    let calls = bench.n_calls() - before - at_once;
    assert!(calls <= 10 * 2, "{calls} calls in ten days");
    assert_eq!(bench.cloud.counters().logins, 0, "nobody signs in unasked");
    house.stop().await;
}

/// 8: tokens, headers and bodies in the log, and the URL of a door with its token.
#[tokio::test(flavor = "current_thread")]
async fn tokens_are_in_no_log_line_and_no_error_of_a_door_or_a_refresh() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let bench = Bench::new().await;
    let mut told = String::new();
    let mut tokens = Vec::new();
    {
        // This thread's alone, on which everything but the store runs.
        let _here = tracing::subscriber::set_default(subscriber);
        let house = bench.settled().await;
        let vendor = bench.vendor();
        for kind in [FaultKind::Http500, FaultKind::ResetBefore, FaultKind::Html, FaultKind::Throttled429] {
            let held = bench.cloud.credentials(0);
            bench.cloud.inject(Fault::new(kind).on(Scope::Any, 2));
            told += &format!("{:?}", house.refresh().await);
            told += &format!("{:?}", vendor.open_door(&bench.token(), "0C1105000001/0").await);
            bench.cloud.clear_faults();
            told += &format!("{:?}", vendor.open_door(&bench.token(), "0C1105FFFFFF/0").await);
            tokens.extend([held.token, held.refresh_token]);
            bench.hand.advance(HOUR);
            told += &format!("{:?}", house.refresh().await);
            tokens.extend([bench.cloud.account(0).owner.access_token, bench.cloud.account(0).owner.refresh_token]);
        }
        house.stop().await;
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("tokens refreshed"), "{logged}");
    for token in tokens {
        assert!(!logged.contains(&token) && !told.contains(&token), "{token}");
    }
    assert!(!logged.contains("token="), "no URL with its query");
}

/// 9: a crash after the cloud had rotated, and before the new pair was saved, lost the login without a word.
#[tokio::test]
async fn crash_between_the_rotation_and_its_answer_is_noticed_and_mended_where_the_cloud_lets_it() {
    for grace in [60, 0] {
        let knobs = AkuvoxKnobs { refresh_grace_seconds: grace, access_grace_seconds: grace, ..AkuvoxKnobs::default() };
        let bench = Bench::with(knobs, 1).await;
        let house = bench.settled().await;
        bench.cloud.inject(Fault::new(FaultKind::Slow).lasting(0.5).after());
        let refresh = house.refresh();
        let killed = async {
            in_time(bench.cloud.wait_for(|it| it.refreshes == 2)).await;
            bench.copy_store("killed");
        };
        tokio::join!(refresh, killed).0.unwrap();
        house.stop().await;
        bench.bring_back("killed");

        let mut house = bench.start();
        if 0 < grace {
            let status = house.until(|it| it.condition == Condition::Ok && it.refresh_count == 2).await;
            assert_eq!(status.last_error, None);
            assert_eq!(bench.cloud.counters().grace_answers, 1);
        } else {
            let status = house.until(|it| it.condition == Condition::ReauthRequired).await;
            assert_eq!(status.last_error, Some(Code::ReplyLost), "it says what happened");
        }
        house.stop().await;
    }
}

/// 10: pages, garbage, 429 and 5xx all became 'nothing'.
#[tokio::test]
async fn page_garbage_too_many_requests_and_a_broken_server_are_told_apart() {
    for (kind, class, code, status) in [
        (FaultKind::Html, Class::Ambiguous, Code::VendorBusy, Some(200)),
        (FaultKind::TruncatedJson, Class::Ambiguous, Code::UnreadableAnswer, None),
        (FaultKind::Throttled200, Class::Throttled { retry_after: None }, Code::Throttled, None),
        (FaultKind::Throttled429, Class::Throttled { retry_after: None }, Code::Throttled, Some(429)),
        (FaultKind::Http500, Class::Ambiguous, Code::VendorBusy, Some(500)),
        (FaultKind::ReplyLostAfterRotation, Class::Ambiguous, Code::NoAnswer, None),
        (FaultKind::WrongTypes, Class::Protocol, Code::UnreadableAnswer, None),
    ] {
        let bench = Bench::new().await;
        let held = bench.cloud.credentials(0);
        let (access, refresh) = (Secret::new(held.token), Secret::new(held.refresh_token));
        bench.cloud.inject(Fault::new(kind));
        let vendor = bench.vendor();
        let answer = vendor.refresh(Spend { refresh: &refresh, access: Some(&access) }).await;
        let failed = answer.and_then(|it| vendor.read_refresh(&it)).unwrap_err();
        let told = VendorError { class, code, vendor_code: None, http_status: status };
        assert_eq!(failed, told, "{kind:?}");
    }
    // And none of them ends a login that the cloud still honours.
    for kind in [FaultKind::Html, FaultKind::Throttled200, FaultKind::Throttled429, FaultKind::Http500] {
        let bench = Bench::new().await;
        let mut house = bench.settled().await;
        bench.cloud.inject(Fault::new(kind).on(Scope::Refresh, 4));
        house.refresh().await.unwrap_err();
        let until = bench.now() + DAY;
        bench.live(&mut house, until).await;
        assert_eq!(house.status().condition, Condition::Ok, "{kind:?}");
        assert_eq!(bench.cloud.counters().replays, 0, "{kind:?}");
        house.stop().await;
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
