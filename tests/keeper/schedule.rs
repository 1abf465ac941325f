//! When accounts are renewed, and that nothing else is asked of a vendor.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use latchkey::{
    account::{Condition, EventType},
    demo::clouds::{LogEntry, akuvox::AkuvoxKnobs, aqara::AqaraKnobs},
};

use super::bench::{Bench, DAY, FRONT, HOME, HOUR, MINUTE, SIDE};

const MULTI: &[&str] = &[FRONT, HOME];

/// The spans between the calls; every call must be a refresh.
fn gaps(log: &[LogEntry]) -> Vec<SignedDuration> {
    let is_refresh = |it: &LogEntry| matches!(it.call.as_str(), "refresh_token" | "config.auth.refreshToken");
    assert!(log.iter().all(is_refresh), "{:?}", log.iter().map(|it| &it.call).collect::<Vec<_>>());
    let times: Vec<Timestamp> = log.iter().map(|it| it.at.parse().unwrap()).collect();
    times.windows(2).map(|it| it[1].duration_since(it[0])).collect()
}

fn assert_within(gaps: &[SignedDuration], earliest: Duration, latest: Duration) {
    let (earliest, latest) = (SignedDuration::try_from(earliest).unwrap(), SignedDuration::try_from(latest).unwrap());
    assert!(gaps.iter().all(|it| earliest <= *it && *it <= latest), "{gaps:?}");
}

#[tokio::test]
async fn a_month_passes_and_each_account_is_renewed_when_its_time_comes_and_never_else() {
    let bench = Bench::new().await;
    let mut house = bench.start(MULTI);
    bench.settle_in(&mut house, MULTI).await;
    let until = bench.now() + 30 * DAY;
    bench.live(&mut house, MULTI, until).await;
    let akuvox = gaps(&bench.akuvox.log());
    assert_eq!(akuvox.len(), 5);
    assert_within(&akuvox, 6 * DAY - 10 * MINUTE, 6 * DAY);
    let aqara = gaps(&bench.aqara.log());
    assert_eq!(aqara.len(), 4);
    assert_within(&aqara, 7 * DAY - 5 * MINUTE - Duration::from_secs(30), 7 * DAY - 5 * MINUTE);
    assert_eq!((bench.akuvox.counters().refreshes, bench.aqara.counters().refreshes), (6, 5));
    assert_eq!((bench.akuvox.counters().refusals, bench.aqara.counters().refusals), (0, 0));
    house.stop().await;
}

#[tokio::test]
async fn tokens_that_live_a_day_are_renewed_before_they_end() {
    let akuvox = AkuvoxKnobs { token_lifetime_seconds: 86_400, ..AkuvoxKnobs::default() };
    let aqara = AqaraKnobs { token_lifetime_seconds: 86_400, ..AqaraKnobs::default() };
    let bench = Bench::with(akuvox, aqara).await;
    let mut house = bench.start(MULTI);
    for name in MULTI {
        house.update(name, bench.pair_of(name)).await.unwrap();
        house.event(name, EventType::Refreshed).await;
    }
    let until = bench.now() + 10 * DAY;
    bench.live(&mut house, MULTI, until).await;
    let akuvox = gaps(&bench.akuvox.log());
    assert_within(&akuvox, 18 * HOUR - 10 * MINUTE, 18 * HOUR);
    assert_eq!(akuvox.len(), 13);
    let aqara = gaps(&bench.aqara.log());
    assert_within(&aqara, DAY - 6 * MINUTE, DAY - 5 * MINUTE);
    assert_eq!(aqara.len(), 10);
    house.stop().await;
}

#[tokio::test]
async fn a_restart_before_its_time_calls_nobody_and_one_after_it_refreshes_at_once() {
    let bench = Bench::new().await;
    bench.settled(MULTI).await.stop().await;
    let before = (bench.akuvox.counters().calls, bench.aqara.counters().calls);
    for _ in 0..3 {
        let house = bench.start(MULTI);
        assert_eq!(house.status(FRONT).condition, Condition::Ok);
        house.stop().await;
    }
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), before);
    bench.hand.advance(6 * DAY);
    let mut house = bench.start(MULTI);
    house.until(FRONT, |it| it.refresh_count == 2 && it.condition == Condition::Ok).await;
    house.until(HOME, |it| it.refresh_count == 2 && it.condition == Condition::Ok).await;
    house.stop().await;
    let counters = (bench.akuvox.counters(), bench.aqara.counters());
    assert_eq!((counters.0.calls, counters.1.calls), (before.0 + 1, before.1 + 1));
}

#[tokio::test]
async fn a_vendor_that_names_no_lifetime_is_neither_refused_nor_asked_again_at_once() {
    use latchkey::demo::clouds::akuvox::{RefreshAnswer, TokenValid};
    for (token_valid, refresh_answer) in [
        (TokenValid::Zero, RefreshAnswer::Documented),
        (TokenValid::Missing, RefreshAnswer::UnderData),
        (TokenValid::Absurd, RefreshAnswer::IntErrCode),
        (TokenValid::Text, RefreshAnswer::MissingRefreshToken),
    ] {
        let knobs = AkuvoxKnobs { token_valid, refresh_answer, ..AkuvoxKnobs::default() };
        let bench = Bench::with(knobs, AqaraKnobs::default()).await;
        let mut house = bench.settled(&[FRONT]).await;
        let until = bench.now() + 7 * DAY;
        bench.live(&mut house, &[FRONT], until).await;
        assert_within(&gaps(&bench.akuvox.log()), 6 * DAY - 10 * MINUTE, 6 * DAY);
        assert_eq!(bench.akuvox.counters().calls, 2, "{token_valid:?} {refresh_answer:?}");
        house.stop().await;
    }
}

#[tokio::test]
async fn accounts_of_one_vendor_are_not_all_renewed_at_the_same_second() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT, SIDE]).await;
    assert_ne!(house.status(FRONT).next_refresh_at, house.status(SIDE).next_refresh_at);
    house.stop().await;
}
