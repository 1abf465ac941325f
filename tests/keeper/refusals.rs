//! What vendors refuse, and that no refusal throws anything away.

use jiff::SignedDuration;
use latchkey::{
    account::{Code, Condition, EventType, UpdateOutcome},
    demo::clouds::{Fault, FaultKind, Scope, What},
};

use super::bench::{Bench, DAY, FRONT, HOME, HOUR, MINUTE, code, outcome};

fn refusal(code: i64) -> Fault {
    Fault { code: Some(code), ..Fault::new(FaultKind::VendorBusy) }
}

#[tokio::test]
async fn refused_application_keys_are_a_configuration_fault_and_cost_no_token() {
    for refused in [106, 107] {
        let bench = Bench::new().await;
        let mut house = bench.settled(&[HOME]).await;
        bench.aqara.inject(refusal(refused).on(Scope::Refresh, 3));
        assert_eq!(code(&house.refresh(HOME).await), Some(Code::ConfigFault));
        assert_eq!(house.status(HOME).condition, Condition::ConfigFault);
        house.event(HOME, EventType::ConfigFault).await;
        let start = bench.now();
        bench.wait_out(&mut house, HOME, |it| it.condition == Condition::Ok).await;
        assert!(bench.now().duration_since(start) < SignedDuration::from_hours(1));
        assert_eq!(bench.aqara.counters().refreshes, 2);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_dead_login_is_told_in_the_right_words_probed_once_a_day_and_woken_by_new_tokens() {
    for (refused, why, words) in [
        (
            2006,
            Code::SignedInElsewhere,
            "the vendor does not accept the refresh token any more; it seems that somebody else",
        ),
        (2007, Code::RefreshTokenExpired, "refresh token has expired"),
    ] {
        let bench = Bench::new().await;
        let mut house = bench.settled(&[HOME]).await;
        bench.aqara.inject(refusal(refused).on(Scope::Refresh, 1000));
        let error = house.refresh(HOME).await.unwrap_err();
        assert_eq!(error.code, why);
        assert!(error.message.contains(words), "{error}");
        assert_eq!(house.event(HOME, EventType::ReauthRequired).await.error, Some(why));
        let status = house.status(HOME);
        assert_eq!((status.condition, status.last_error), (Condition::ReauthRequired, Some(why)));

        bench.hand.advance(HOUR);
        let calls = bench.aqara.counters().calls;
        assert_eq!(code(&house.refresh(HOME).await), Some(why), "a probe has its day");
        assert_eq!(bench.aqara.counters().calls, calls);
        let until = bench.now() + 10 * DAY;
        while bench.now() < until {
            bench.hand.advance(HOUR);
            if house.status(HOME).next_refresh_at.is_some_and(|it| it <= bench.now()) {
                let again = house.any_event(HOME).await;
                assert_eq!(again.event_type, EventType::RefreshFailed, "it is told once that a person is needed");
            }
        }
        let probes = bench.aqara.counters().calls - calls;
        assert!((9..=10).contains(&probes), "{probes}");

        bench.aqara.clear_faults();
        bench.aqara.sign_in(0);
        let reply = house.update(HOME, bench.pair_of(HOME)).await;
        assert_eq!(outcome(&reply), Some(UpdateOutcome::Proved));
        assert_eq!(house.status(HOME).condition, Condition::Ok);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_login_that_is_accepted_again_recovers_by_its_daily_probe() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    bench.aqara.inject(refusal(2006));
    assert_eq!(code(&house.refresh(HOME).await), Some(Code::SignedInElsewhere));
    bench.wait_out(&mut house, HOME, |it| it.condition == Condition::Ok).await;
    house.event(HOME, EventType::Recovered).await;
    house.stop().await;
}

#[tokio::test]
async fn an_unknown_refusal_of_akuvox_is_definitive_after_three_over_a_day() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT]).await;
    bench.akuvox.inject(refusal(77).on(Scope::Refresh, 1000));
    bench.hand.advance(5 * DAY);
    assert_eq!(house.any_event(FRONT).await.error, Some(Code::RefreshRefused));
    let start = bench.now();
    assert_eq!(house.status(FRONT).condition, Condition::Expiring, "the access token still works");
    let status = bench.wait_out(&mut house, FRONT, |it| it.condition == Condition::ReauthRequired).await;
    assert_eq!(status.last_error, Some(Code::RefreshRefused));
    let lasted = bench.now().duration_since(start);
    assert!((SignedDuration::from_hours(24)..=SignedDuration::from_hours(26)).contains(&lasted), "{lasted}");
    bench.akuvox.clear_faults();
    bench.wait_out(&mut house, FRONT, |it| it.condition == Condition::Ok).await;
    house.stop().await;
}

#[tokio::test]
async fn an_unknown_refusal_of_akuvox_is_definitive_at_once_when_the_access_token_is_refused_too() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    bench.akuvox.revoke(0, What::Grant);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::SignedInElsewhere));
    assert_eq!(house.status(FRONT).condition, Condition::ReauthRequired);
    assert_eq!(bench.akuvox.counters().calls_by_name["login_conf"], 1);
    house.stop().await;
}

#[tokio::test]
async fn a_vendor_that_asks_for_patience_gets_it_from_everybody() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    bench.aqara.inject(Fault { retry_after: Some(7200), ..Fault::new(FaultKind::Throttled429) });
    assert_eq!(code(&house.refresh(HOME).await), Some(Code::Throttled));
    let calls = bench.aqara.counters().calls;
    bench.hand.advance(HOUR);
    let error = house.refresh(HOME).await.unwrap_err();
    assert_eq!(error.code, Code::Throttled);
    assert!(error.retry_after.is_some_and(|it| (3590..=3601).contains(&it)), "{:?}", error.retry_after);
    assert_eq!(bench.aqara.counters().calls, calls);
    bench.hand.advance(HOUR + MINUTE);
    house.refresh(HOME).await.unwrap();
    house.event(HOME, EventType::Recovered).await;
    house.stop().await;
}
