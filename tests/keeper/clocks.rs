//! Clocks that are wrong, jump, or stood still.

use std::time::Duration;

use jiff::Timestamp;
use latchkey::{
    account::{Code, Condition, EventType, Status},
    clock::Clock,
    demo::clouds::{Fault, FaultKind, Scope},
    keeper::Grounds,
};

use super::bench::{Bench, DAY, FRONT, HOME, HOUR, MINUTE, code};

#[tokio::test]
async fn a_clock_that_reads_1970_blocks_and_calls_nobody_until_it_is_set() {
    let bench = Bench::new().await;
    bench.settled(&[FRONT, HOME]).await.stop().await;
    let (today, calls) = (bench.now(), (bench.akuvox.counters().calls, bench.aqara.counters().calls));
    bench.hand.jump(Timestamp::UNIX_EPOCH);
    let mut house = bench.start(&[FRONT, HOME]);
    house.until(FRONT, |it| it.condition == Condition::Blocked).await;
    house.until(HOME, |it| it.condition == Condition::Blocked).await;
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::Blocked));
    for _ in 0..10 {
        bench.hand.advance(HOUR);
    }
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), calls);
    bench.hand.jump(today);
    house.until(FRONT, |it| it.condition == Condition::Ok).await;
    house.until(HOME, |it| it.condition == Condition::Ok).await;
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), calls);
    house.stop().await;
}

#[tokio::test]
async fn a_clock_that_was_ahead_and_is_right_now_makes_one_refresh_and_no_more() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    let before = bench.aqara.counters().refreshes;
    // The clouds' clock jumps too: what is left is a record from the future, and vendors agree on the time.
    bench.hand.jump(bench.now() - 365 * DAY);
    house.event(HOME, EventType::Refreshed).await;
    let until = bench.now() + 5 * DAY;
    bench.live(&mut house, &[HOME], until).await;
    assert_eq!(bench.aqara.counters().refreshes, before + 1);
    house.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_a_year_back_is_told_by_the_vendors_date_and_no_token_is_spent() {
    let bench = Bench::new().await;
    bench.settled(&[HOME]).await.stop().await;
    let refreshes = bench.aqara.counters().refreshes;
    let (clock, hand) = Clock::paused(bench.now() - 365 * DAY);
    let grounds = Grounds { clock, ..bench.open().1 };
    let mut house = bench.start_on(grounds, &[HOME], |_, vendor| vendor);
    house.until(HOME, |it| it.condition == Condition::Blocked).await;
    assert_eq!(bench.aqara.counters().refreshes, refreshes);
    hand.jump(bench.now());
    house.until(HOME, |it| it.condition == Condition::Ok).await;
    assert_eq!(bench.aqara.counters().refreshes, refreshes);
    house.stop().await;
}

#[tokio::test]
async fn a_machine_that_slept_for_two_weeks_refreshes_each_account_once() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT, HOME]).await;
    // Monotonic time stands still in suspend.
    bench.hand.jump(bench.now() + 14 * DAY);
    for name in [FRONT, HOME] {
        house.until(name, |it| it.refresh_count == 2 && it.condition == Condition::Ok).await;
    }
    let until = bench.now() + DAY;
    bench.live(&mut house, &[FRONT, HOME], until).await;
    assert_eq!((bench.akuvox.counters().refreshes, bench.aqara.counters().refreshes), (2, 2));
    house.stop().await;
}

#[tokio::test]
async fn a_leap_second_that_is_repeated_renews_nothing_twice_and_leaves_nothing_out() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT, HOME]).await;
    // The last second of the day comes twice, as clocks do it that know no second 60; each account is due within it.
    for name in [FRONT, HOME] {
        let due = house.status(name).next_refresh_at.unwrap();
        bench.hand.jump(due - Duration::from_millis(500));
        let count = house.status(name).refresh_count;
        for _ in 0..3 {
            bench.hand.advance(Duration::from_millis(700));
            bench.hand.jump(bench.now() - Duration::from_secs(1));
        }
        bench.hand.jump(due + Duration::from_secs(1));
        house.until(name, |it| it.refresh_count == count + 1).await;
        let until = bench.now() + 2 * HOUR;
        bench.live(&mut house, &[name], until).await;
        assert_eq!(house.status(name).refresh_count, count + 1);
    }
    house.stop().await;
    assert_eq!(bench.akuvox.counters().replays + bench.aqara.counters().replays, 0);
}

#[tokio::test]
async fn a_back_off_outlives_a_restart() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT]).await;
    bench.akuvox.inject(Fault::new(FaultKind::Http500).on(Scope::Refresh, 1000));
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::VendorBusy));
    for _ in 0..4 {
        bench.wait_out(&mut house, FRONT, |it| bench.now() < it.next_refresh_at.unwrap()).await;
        bench.hand.advance(2 * HOUR);
        house.any_event(FRONT).await;
    }
    let status = house.until(FRONT, |it| bench.now() < it.next_refresh_at.unwrap()).await;
    house.stop().await;
    let calls = bench.akuvox.counters().calls;
    for _ in 0..5 {
        let house = bench.start(&[FRONT]);
        let again = house.status(FRONT);
        let seconds = |it: &Status| it.next_refresh_at.map(|it| it.as_second());
        assert_eq!(seconds(&again), seconds(&status));
        assert_eq!(again.consecutive_failures, status.consecutive_failures);
        house.stop().await;
    }
    assert_eq!(bench.akuvox.counters().calls, calls);
}

#[tokio::test]
async fn failures_are_retried_later_and_later_and_never_more_often_than_once_a_minute() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    bench.aqara.inject(Fault::new(FaultKind::VendorBusy).on(Scope::Refresh, 1000));
    let start = bench.now();
    let calls = bench.aqara.counters().calls;
    let _ = house.refresh(HOME).await;
    while bench.now().duration_since(start).as_secs() < 24 * 3600 {
        let next = house.status(HOME).next_refresh_at.unwrap();
        let wait = Duration::try_from(next.duration_since(bench.now())).unwrap_or_default();
        assert!(wait <= HOUR + MINUTE, "{wait:?}");
        let failures = house.status(HOME).consecutive_failures;
        bench.hand.advance(wait);
        house.until(HOME, |it| failures < it.consecutive_failures).await;
    }
    // Half an hour in the mean, when the pauses have grown.
    let in_a_day = bench.aqara.counters().calls - calls;
    assert!((25..=120).contains(&in_a_day), "{in_a_day}");
    house.stop().await;
}
