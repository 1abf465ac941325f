//! Clocks that jump: real time passes, the wall clock says something else, and the keeper looks at it every ten minutes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use latchkey::account::{Ending, Settlement};
use proptest::prelude::*;

use crate::bench::{Bench, DAY, MINUTE, lost, refused, renewed, unreachable};

const LOOK: Duration = Duration::from_secs(600);

/// Lets real time pass, refreshing whatever is due. Returns how often the vendor was asked, and how long ago the last time.
fn keep(bench: &mut Bench, real: Duration, mut ending: impl FnMut() -> Ending) -> (u32, Duration) {
    let (mut n_asked, mut since_last) = (0, Duration::MAX);
    let mut passed = Duration::ZERO;
    while passed < real {
        // The keeper looks again as soon as something is due.
        while bench.due().is_some_and(|it| it <= bench.now) {
            bench.refresh(ending());
            n_asked += 1;
            since_last = Duration::ZERO;
        }
        bench.pass(LOOK);
        passed += LOOK;
        since_last = since_last.saturating_add(LOOK);
    }
    (n_asked, since_last)
}

fn numbered() -> impl FnMut() -> Ending {
    let mut n = 1;
    move || {
        n += 1;
        renewed(&format!("A{n}"), &format!("R{n}"))
    }
}

#[test]
fn a_month_of_good_days_takes_a_refresh_every_six() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    assert_eq!(keep(&mut bench, 31 * DAY, numbered()).0, 5);
}

#[test]
fn a_machine_that_boots_in_1970_and_is_set_later_asks_once_each_way() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    let right = bench.now;
    bench.now = Timestamp::UNIX_EPOCH;
    let mut fresh = numbered();
    assert_eq!(keep(&mut bench, DAY, &mut fresh).0, 1);
    bench.now = right + DAY;
    assert_eq!(keep(&mut bench, DAY, &mut fresh).0, 1);
}

#[test]
fn a_vendor_that_is_away_for_a_week_is_asked_at_most_a_few_times_an_hour() {
    for ending in [unreachable(), lost()] {
        let mut bench = Bench::akuvox().holding("A1", "R1");
        bench.pass(6 * DAY);
        let (n_asked, since_last) = keep(&mut bench, 7 * DAY, || ending.clone());
        assert!((7 * 24..7 * 24 * 3).contains(&n_asked), "{n_asked}");
        assert!(since_last <= 61 * MINUTE);
    }
}

#[test]
fn a_dead_grant_is_probed_daily_whatever_the_clock_does() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    assert_eq!(bench.refresh(refused()), Settlement::ReauthRequired);
    assert!(keep(&mut bench, 10 * DAY, refused).0 <= 10);
    bench.now -= 365 * DAY;
    let (n_asked, since_last) = keep(&mut bench, 10 * DAY, refused);
    assert!((9..=11).contains(&n_asked), "{n_asked}");
    assert!(since_last <= DAY);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jumps_neither_storm_nor_starve(jumps in prop::collection::vec((-9_000i64..9_000, 8u32..12), 1..6)) {
        let mut bench = Bench::akuvox().holding("A1", "R1");
        let mut fresh = numbered();
        for (hours, days) in jumps {
            bench.now += SignedDuration::from_hours(hours);
            let (n_asked, since_last) = keep(&mut bench, days * DAY, &mut fresh);
            prop_assert!((1..=3).contains(&n_asked), "asked {} times in {} days", n_asked, days);
            prop_assert!(since_last <= 6 * DAY, "last asked {:?} ago", since_last);
        }
    }

    #[test]
    fn jumps_while_the_vendor_is_away_neither_storm_nor_starve(
        jumps in prop::collection::vec((-9_000i64..9_000, 8u32..12), 1..6),
        is_doubtful in any::<bool>(),
    ) {
        let mut bench = Bench::akuvox().holding("A1", "R1");
        bench.pass(6 * DAY);
        for (hours, days) in jumps {
            bench.now += SignedDuration::from_hours(hours);
            // A jump back of less than the age makes it young again; what was asked for once stays asked for.
            let ending = if is_doubtful { lost() } else { unreachable() };
            let (n_asked, _) = keep(&mut bench, days * DAY, || ending.clone());
            prop_assert!(n_asked <= days * 24 * 3, "asked {} times in {} days", n_asked, days);
            prop_assert!(1 <= n_asked);
        }
    }
}
