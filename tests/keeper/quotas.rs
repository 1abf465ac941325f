//! What a vendor allows, shared by the accounts of one app; what it counts, and what its clock reads.

use latchkey::{
    account::{Code, Inventory},
    demo::clouds::{Fault, FaultKind, Scope, akuvox::AkuvoxKnobs, aqara::AqaraKnobs},
    vendor::Budget,
};

use super::{
    bench::{Bench, CABIN, FRONT, HOME, MINUTE, code},
    premises::{Premises, scenes},
};

const SCENE: &str = "tv_pin_entry";

fn ten_in_five_minutes() -> Budget {
    Budget {
        key: "one app".to_owned(),
        calls: 10,
        per: 5 * MINUTE,
        kept_for_refreshes: 3,
        per_month: 100_000,
        in_all: 2_000_000,
    }
}

#[tokio::test]
async fn accounts_of_one_app_are_limited_together_and_a_refresh_always_finds_room() {
    let bench = Bench::new().await;
    let premises = Premises::with_budget(&bench, scenes(0), Some(ten_in_five_minutes()));
    let house = premises.settled(&bench, &[HOME, CABIN]).await;
    for name in [HOME, CABIN, HOME, CABIN, HOME, CABIN, HOME] {
        house.scene(name, SCENE).await.unwrap();
    }
    let before = bench.aqara.counters().calls;
    for name in [HOME, CABIN] {
        for reply in [house.scene(name, SCENE).await, house.list_scenes(name).await] {
            let error = reply.unwrap_err();
            assert_eq!((error.code, error.retry_after), (Code::Throttled, Some(301)));
            assert!(error.hint.contains("10 calls in 5m"), "{}", error.hint);
        }
    }
    assert_eq!(bench.aqara.counters().calls, before);
    house.refresh(HOME).await.unwrap();
    house.refresh(CABIN).await.unwrap();
    assert_eq!(code(&house.scene(HOME, SCENE).await), Some(Code::Throttled));
    bench.hand.advance(5 * MINUTE);
    house.scene(HOME, SCENE).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_listing_in_the_background_leaves_what_is_kept_for_refreshes() {
    let bench = Bench::new().await;
    let premises = Premises::with_budget(&bench, scenes(0), Some(ten_in_five_minutes()));
    let house = premises.settled(&bench, &[HOME]).await;
    // A day has passed since it was listed.
    bench.hand.advance(MINUTE);
    for _ in 0..7 {
        house.scene(HOME, SCENE).await.unwrap();
    }
    house.refresh(HOME).await.unwrap();
    bench.hand.advance(MINUTE);
    house.refresh(HOME).await.unwrap();
    assert_eq!(premises.n_listings(), 1, "there was no room for another");
    house.stop().await;
}

#[tokio::test]
async fn the_calls_of_a_month_and_in_all_are_shown_and_counted_over_restarts() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME, CABIN, FRONT]).await;
    house.scene(CABIN, SCENE).await.unwrap();
    let made = bench.aqara.counters().calls;
    for name in [HOME, CABIN] {
        let status = house.status(name);
        assert_eq!((status.calls_this_month, status.calls_in_all), (Some(made), Some(made)));
    }
    let akuvox = house.status(FRONT);
    assert_eq!((akuvox.calls_this_month, akuvox.calls_in_all), (None, None));
    house.stop().await;
    bench.hand.jump("2029-04-01T00:00:00Z".parse().unwrap());
    let house = bench.start(&[]);
    house.stop().await;
    let house = bench.start(&[CABIN]);
    assert_eq!(house.status(CABIN).calls_in_all.map(|it| made <= it), Some(true));
    assert!(house.status(CABIN).calls_this_month < Some(made), "a month begins anew");
    house.stop().await;
}

#[tokio::test]
async fn a_throttled_reply_says_which_limit_is_reached() {
    let bench = Bench::new().await;
    let limits = [
        (100_000, 2_000_000, "The vendor set the limit."),
        (1, 2_000_000, "The 1 calls of this month are used"),
        (100_000, 1, "The 1 calls that the app has in all are used"),
    ];
    for (per_month, in_all, expected) in limits {
        let budget = Budget { key: expected.to_owned(), per_month, in_all, ..ten_in_five_minutes() };
        let premises = Premises::with_budget(&bench, Inventory::default(), Some(budget));
        let house = premises.settled(&bench, &[HOME]).await;
        bench.aqara.inject(Fault::new(FaultKind::Throttled429).on(Scope::Action, 1));
        let error = house.scene(HOME, SCENE).await.unwrap_err();
        assert_eq!(error.code, Code::Throttled);
        assert!(error.hint.starts_with(expected), "{}", error.hint);
        house.stop().await;
    }
}

#[tokio::test]
async fn the_vendors_clock_is_shown_beside_ours_once_it_is_known() {
    for (ahead, shown) in [(0, 0), (3, 0), (90, 90), (-90, -90)] {
        let aqara = AqaraKnobs { clock_ahead_seconds: ahead, time_window_seconds: None, ..AqaraKnobs::default() };
        let bench = Bench::with(AkuvoxKnobs::default(), aqara).await;
        let house = bench.start(&[HOME]);
        assert_eq!(house.status(HOME).clock_skew_seconds, None);
        house.update(HOME, bench.pair_of(HOME)).await.unwrap();
        assert_eq!(house.status(HOME).clock_skew_seconds, Some(shown));
        house.stop().await;
    }
}
