//! A clock that is off: what was refused for its time is signed with the vendor's, and told.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use latchkey::{
    account::{Class, Code, Condition, EventType, Secret},
    clock::Clock,
    demo::clouds::{Fault, FaultKind, Scope},
};
use serde_json::json;

use crate::{
    bench::{Bench, HOME, HOUR, code},
    stand_in::{Call, Says, StandIn},
    vendor::{App, Room, refresh},
};

const TWO_HOURS: SignedDuration = SignedDuration::from_hours(2);

fn now() -> Timestamp {
    "2029-03-01T10:00:00Z".parse().unwrap()
}

/// A cloud two hours ahead of `now` that lets in nothing else.
fn strict(call: &Call) -> Says {
    let there = now() + TWO_HOURS;
    let pair = json!({ "expiresIn": "604800", "openId": "o", "accessToken": "A2", "refreshToken": "R2" });
    let is_near = there.as_millisecond().abs_diff(call.time) < 60_000;
    if is_near { Says::result(&pair).at(there) } else { Says::code(105).at(there) }
}

#[tokio::test]
async fn a_refused_time_is_replaced_by_the_vendors_and_from_then_on_used_at_once() {
    let far = StandIn::start(strict).await;
    let vendor = App::at(&far.url).connect(Clock::paused(now()).0);
    refresh(&*vendor, "R1").await.unwrap();
    assert_eq!(far.calls().len(), 2);
    let skews: Vec<i64> = far.calls().iter().map(|it| (it.time - now().as_millisecond()) / 1000).collect();
    assert_eq!(skews, [0, 7200]);
    vendor.trigger_scene(&Secret::new("A2"), "AL.1").await.unwrap();
    refresh(&*vendor, "R2").await.unwrap();
    assert_eq!(far.calls().len(), 4);
    let nonces: BTreeSet<String> = far.calls().into_iter().map(|it| it.nonce).collect();
    assert_eq!(nonces.len(), 4);
}

#[tokio::test]
async fn a_clock_that_was_set_meanwhile_is_believed_again() {
    let far = StandIn::start(strict).await;
    let (clock, hand) = Clock::paused(now());
    let vendor = App::at(&far.url).connect(clock);
    refresh(&*vendor, "R1").await.unwrap();
    hand.jump(now() + TWO_HOURS);
    for n_calls in [4, 5, 6] {
        refresh(&*vendor, "R2").await.unwrap();
        assert_eq!(far.calls().len(), n_calls);
    }
}

#[tokio::test]
async fn a_time_that_is_refused_whatever_it_is_ends_as_a_skew_with_what_was_measured() {
    let far = StandIn::start(|_| Says::code(105).at(now() + TWO_HOURS)).await;
    let vendor = App::at(&far.url).connect(Clock::paused(now()).0);
    let skew = Class::ClockSkew { vendor_ahead_by: Some(TWO_HOURS) };
    for n_calls in [3, 6] {
        let failure = refresh(&*vendor, "R1").await.unwrap_err();
        assert_eq!((failure.class, failure.code), (skew, Code::ClockSkew));
        assert!(failure.to_string().contains("7200 s ahead"), "{failure}");
        assert_eq!(far.calls().len(), n_calls, "at most twice with a new nonce and time");
    }
    let failure = vendor.trigger_scene(&Secret::new("A1"), "AL.1").await.unwrap_err();
    assert_eq!((failure.class, far.calls().len()), (skew, 9));
    let first_times: Vec<i64> = far.calls().iter().step_by(3).map(|it| it.time).collect();
    assert_eq!(first_times, [now().as_millisecond(); 3], "what did not help is not kept");
    let nonces: BTreeSet<String> = far.calls().into_iter().map(|it| it.nonce).collect();
    assert_eq!(nonces.len(), 9);
}

#[tokio::test]
async fn a_packet_that_was_refused_as_damaged_is_sent_anew_with_a_new_nonce() {
    for code in [101, 102, 103] {
        let far = StandIn::start(move |call| if call.number < 2 { Says::code(code) } else { Says::result(&json!("")) });
        let far = far.await;
        let vendor = App::at(&far.url).connect(Clock::system());
        vendor.trigger_scene(&Secret::new("A1"), "AL.1").await.unwrap();
        let nonces: BTreeSet<String> = far.calls().into_iter().map(|it| it.nonce).collect();
        assert_eq!((far.calls().len(), nonces.len()), (3, 3), "{code}");
        let far = StandIn::start(move |_| Says::code(code)).await;
        let vendor = App::at(&far.url).connect(Clock::system());
        let failure = refresh(&*vendor, "R1").await.unwrap_err();
        assert_eq!((failure.code, far.calls().len()), (Code::ClockSkew, 3), "{code}");
    }
}

#[tokio::test]
async fn nothing_but_a_refusal_at_the_door_is_ever_sent_anew() {
    let answers = [100, 104, 106, 107, 108, 304, 429, 500, 501, 1300, 2004, 2006, 2007, 31_337].map(Some);
    for code in answers.into_iter().chain([None]) {
        let says = move |_: &Call| code.map_or_else(|| Says::text("{\"code\":105").with_status(500), Says::code);
        let far = StandIn::start(says).await;
        let vendor = App::at(&far.url).connect(Clock::system());
        assert!(refresh(&*vendor, "R1").await.is_err());
        assert!(vendor.trigger_scene(&Secret::new("A1"), "AL.1").await.is_err());
        assert_eq!(far.calls().len(), 2, "{code:?}");
    }
}

#[tokio::test]
async fn a_second_sending_whose_answer_is_lost_is_no_refusal_and_is_not_followed_by_a_third() {
    let far = StandIn::start(|call| match call.number {
        0 => Says::code(105).at(now() + TWO_HOURS),
        _ => Says::text("").with_status(502).at(now() + TWO_HOURS),
    });
    let far = far.await;
    let vendor = App::at(&far.url).connect(Clock::paused(now()).0);
    assert_eq!(refresh(&*vendor, "R1").await.unwrap_err().class, Class::Ambiguous);
    assert_eq!(far.calls().len(), 2);
}

#[tokio::test]
async fn a_listing_pays_for_what_is_sent_anew() {
    let far = StandIn::start(|call| match call.number {
        0 => Says::code(105).at(now() + TWO_HOURS),
        _ => Says::result(&json!("")).at(now() + TWO_HOURS),
    });
    let far = far.await;
    let vendor = App::at(&far.url).connect(Clock::paused(now()).0);
    let room = Room::of(10);
    vendor.inventory(&Secret::new("A1"), &room).await.unwrap();
    assert_eq!((room.left(), far.calls().len()), (8, 2));
}

#[tokio::test]
async fn a_house_whose_clock_is_an_hour_off_either_way_is_kept_and_runs_its_scenes() {
    for seconds in [3600, -3600] {
        let bench = Bench::new().await;
        bench.aqara.turn_knobs(|it| it.clock_ahead_seconds = seconds);
        let house = bench.settled(&[HOME]).await;
        house.scene(HOME, "tv_warning").await.unwrap();
        house.refresh(HOME).await.unwrap();
        let status = house.status(HOME);
        assert_eq!((status.condition, status.last_error, status.refresh_count), (Condition::Ok, None, 2));
        let refused = bench.aqara.log().into_iter().filter(|it| it.outcome.starts_with("105")).count();
        assert_eq!(refused, 1, "it is refused once and known from then on");
        assert_eq!(bench.aqara.counters().replays, 0);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_refresh_that_is_refused_for_its_time_costs_no_token_and_is_told_as_a_skew() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    let fault = Fault { code: Some(105), ..Fault::new(FaultKind::VendorBusy) };
    bench.aqara.inject(fault.on(Scope::Refresh, 3));
    let calls = bench.aqara.counters().calls;
    assert_eq!(code(&house.refresh(HOME).await), Some(Code::ClockSkew));
    assert_eq!(house.event(HOME, EventType::RefreshFailed).await.error, Some(Code::ClockSkew));
    let status = house.status(HOME);
    assert_eq!((status.condition, status.last_error), (Condition::Ok, Some(Code::ClockSkew)));
    assert_eq!(bench.aqara.counters().calls, calls + 3);
    bench.hand.advance(HOUR);
    house.refresh(HOME).await.unwrap();
    house.event(HOME, EventType::Recovered).await;
    assert_eq!((bench.aqara.counters().refreshes, bench.aqara.counters().replays), (2, 0));
    house.stop().await;
}
