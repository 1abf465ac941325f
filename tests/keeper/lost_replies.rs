//! Replies that were lost, cut or not understood: what can be kept is kept, what cannot is said.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use latchkey::{
    account::{Code, Condition, EventType, FreshTokens, Secret},
    demo::clouds::{Fault, FaultKind, akuvox::AkuvoxKnobs, aqara::AqaraKnobs},
    keeper::Ticket,
    vendor::{Answer, Vendor, VendorError},
};

use super::{
    bench::{Bench, FRONT, HOME, House, code, in_time},
    doubles::{Altered, Disk},
};

/// Until the same token is sent once more.
const PROMPT: Duration = Duration::from_secs(1);

/// Lets the pause before the second try pass, which then goes well.
async fn ask_again(bench: &Bench, ticket: Ticket) {
    bench.hand.advance(PROMPT);
    in_time(ticket.reply).await.unwrap().unwrap();
}

async fn with_grace() -> Bench {
    let akuvox = AkuvoxKnobs { refresh_grace_seconds: 60, ..AkuvoxKnobs::default() };
    let aqara = AqaraKnobs { refresh_grace_seconds: 60, ..AqaraKnobs::default() };
    Bench::with(akuvox, aqara).await
}

fn inject(bench: &Bench, name: &str, fault: Fault) {
    if name == FRONT { bench.akuvox.inject(fault) } else { bench.aqara.inject(fault) }
}

fn refreshes(bench: &Bench, name: &str) -> u64 {
    if name == FRONT { bench.akuvox.counters().refreshes } else { bench.aqara.counters().refreshes }
}

#[tokio::test]
async fn a_reply_lost_after_rotation_ends_in_reauth_required_by_way_of_in_doubt_and_says_so() {
    for name in [FRONT, HOME] {
        let bench = Bench::new().await;
        let mut house = bench.settled(&[name]).await;
        inject(&bench, name, Fault::new(FaultKind::ReplyLostAfterRotation));
        let ticket = house.submit_refresh(name);
        let doubt = house.event(name, EventType::InDoubt).await;
        assert_eq!(doubt.error, Some(Code::NoAnswer));
        assert_eq!(house.status(name).condition, Condition::InDoubt);
        let end = house.event(name, EventType::ReauthRequired).await;
        assert_eq!(end.error, Some(Code::ReplyLost));
        let error = in_time(ticket.reply).await.unwrap().unwrap_err();
        assert_eq!(error.code, Code::ReplyLost);
        assert!(error.message.contains("the reply was lost during rotation"), "{error}");
        let status = house.status(name);
        assert_eq!((status.condition, status.last_error), (Condition::ReauthRequired, Some(Code::ReplyLost)));
        house.stop().await;
        // One that rotated, one prompt retry.
        assert_eq!((refreshes(&bench, name), bench.akuvox.counters().replays + bench.aqara.counters().replays), (2, 1));
    }
}

#[tokio::test]
async fn where_the_vendor_has_a_grace_a_lost_reply_costs_nothing() {
    let after = |kind| Fault::new(kind).after();
    let faults = [
        FaultKind::ReplyLostAfterRotation,
        FaultKind::Http500,
        FaultKind::Http502,
        FaultKind::Html,
        FaultKind::Redirect,
        FaultKind::Hang,
        FaultKind::Drip,
        FaultKind::VendorBusy,
    ];
    for name in [FRONT, HOME] {
        for fault in faults.map(after) {
            if (name, fault.kind) == (FRONT, FaultKind::VendorBusy) {
                // It is not known how Akuvox says so.
                continue;
            }
            let bench = with_grace().await;
            let mut house = bench.settled(&[name]).await;
            let kind = fault.kind;
            inject(&bench, name, fault);
            let ticket = house.submit_refresh(name);
            house.event(name, EventType::InDoubt).await;
            ask_again(&bench, ticket).await;
            assert_eq!(house.status(name).condition, Condition::Ok);
            assert_eq!(refreshes(&bench, name), 2, "{name} {kind:?}");
            let (akuvox, aqara) = (bench.akuvox.counters(), bench.aqara.counters());
            assert_eq!(
                (akuvox.grace_answers + aqara.grace_answers, akuvox.replays + aqara.replays),
                (1, 0),
                "{kind:?}"
            );
            house.stop().await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_behind_what_the_next_refresh_takes_is_read_as_far_as_it_goes() {
    for name in [FRONT, HOME] {
        for kind in [FaultKind::TruncatedJson, FaultKind::CutBody] {
            let bench = Bench::new().await;
            let house = bench.settled(&[name]).await;
            inject(&bench, name, Fault::new(kind).keeping(0.999));
            house.refresh(name).await.unwrap();
            assert_eq!(house.status(name).condition, Condition::Ok, "{kind:?}");
            // What was read is what the cloud holds, and a restart knows it.
            house.stop().await;
            let house = bench.start(&[name]);
            bench.hand.advance(super::bench::HOUR);
            house.refresh(name).await.unwrap();
            assert_eq!(refreshes(&bench, name), 3, "{name} {kind:?}");
            assert_eq!(bench.akuvox.counters().replays + bench.aqara.counters().replays, 0, "{name} {kind:?}");
            house.stop().await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_before_that_is_asked_for_again() {
    for name in [FRONT, HOME] {
        for kind in [FaultKind::TruncatedJson, FaultKind::CutBody] {
            let bench = with_grace().await;
            let mut house = bench.settled(&[name]).await;
            inject(&bench, name, Fault::new(kind));
            let ticket = house.submit_refresh(name);
            house.event(name, EventType::InDoubt).await;
            ask_again(&bench, ticket).await;
            assert_eq!(refreshes(&bench, name), 2, "{name} {kind:?}");
            assert_eq!(bench.akuvox.counters().grace_answers + bench.aqara.counters().grace_answers, 1);
            house.stop().await;
        }
    }
}

#[tokio::test]
async fn trouble_before_anything_was_done_loses_nothing() {
    let faults = [
        FaultKind::ResetBefore,
        FaultKind::Http500,
        FaultKind::Http502,
        FaultKind::Html,
        FaultKind::Redirect,
        FaultKind::Hang,
        FaultKind::VendorBusy,
        FaultKind::Throttled200,
        FaultKind::Throttled429,
    ];
    for name in [FRONT, HOME] {
        for kind in faults {
            let bench = Bench::new().await;
            let mut house = bench.settled(&[name]).await;
            let times = if kind == FaultKind::Hang { 1 } else { 3 };
            for _ in 0..times {
                inject(&bench, name, Fault::new(kind));
            }
            let ticket = house.submit_refresh(name);
            let told = house.any_event(name).await;
            if told.event_type == EventType::InDoubt {
                bench.hand.advance(PROMPT);
            }
            drop(in_time(ticket.reply).await.unwrap());
            let status = bench.wait_out(&mut house, name, |it| it.refresh_count == 2).await;
            assert_eq!((status.condition, status.consecutive_failures), (Condition::Ok, 0), "{name} {kind:?}");
            assert_eq!(refreshes(&bench, name), 2, "{name} {kind:?}");
            assert_eq!(bench.akuvox.counters().replays + bench.aqara.counters().replays, 0, "{name} {kind:?}");
            house.stop().await;
        }
    }
}

#[tokio::test]
async fn an_answer_in_wrong_types_is_kept_sealed_and_a_later_version_finishes_it_at_start() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT]).await;
    bench.akuvox.inject(Fault::new(FaultKind::WrongTypes));
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::UnreadableAnswer));
    house.event(FRONT, EventType::UnreadableAnswer).await;
    let status = house.status(FRONT);
    assert_eq!((status.condition, status.last_error), (Condition::InDoubt, Some(Code::UnreadableAnswer)));
    assert!(status.problem);
    bench.hand.advance(super::bench::DAY);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::UnreadableAnswer));
    house.stop().await;

    let calls = bench.akuvox.counters().calls;
    let house = bench.start(&[FRONT]);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::UnreadableAnswer));
    assert_eq!(house.status(FRONT).condition, Condition::InDoubt);
    house.stop().await;

    let mut house = later_version(&bench);
    let status = house.until(FRONT, |it| it.condition == Condition::Ok).await;
    assert_eq!((status.refresh_count, status.consecutive_failures), (2, 0));
    assert_eq!(bench.akuvox.counters().calls, calls, "the vendor was asked nothing");
    // What it read is what the vendor holds.
    house.stop().await;
    let house = bench.start(&[FRONT]);
    house.refresh(FRONT).await.unwrap();
    house.stop().await;
    assert_eq!(bench.akuvox.counters().replays, 0);
}

#[tokio::test]
async fn a_parser_that_panics_loses_nothing() {
    let bench = Bench::new().await;
    bench.settled(&[FRONT]).await.stop().await;
    let panics = |_: &_, vendor: Arc<dyn Vendor>| -> Arc<dyn Vendor> {
        Arc::new(Altered::new(vendor).reading_by(|_| panic!("a fault of the parser")))
    };
    let house = bench.start_on(bench.open().1, &[FRONT], panics);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::UnreadableAnswer));
    assert_eq!(house.status(FRONT).condition, Condition::InDoubt);
    house.stop().await;
    let mut house = bench.start(&[FRONT]);
    house.until(FRONT, |it| it.condition == Condition::Ok).await;
    assert_eq!((bench.akuvox.counters().refreshes, bench.akuvox.counters().calls), (2, 2));
    house.stop().await;
}

#[tokio::test]
async fn a_vendor_that_panics_is_tried_again_later_and_not_at_once() {
    let bench = Bench::new().await;
    bench.settled(&[FRONT]).await.stop().await;
    let is_broken = Arc::new(AtomicBool::new(true));
    let panics = |_: &_, vendor: Arc<dyn Vendor>| -> Arc<dyn Vendor> {
        let is_broken = is_broken.clone();
        Arc::new(Altered::new(vendor).before_refresh(move |_| assert!(!is_broken.load(SeqCst), "a fault")))
    };
    let mut house = bench.start_on(bench.open().1, &[FRONT], panics);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::Internal));
    let status = house.status(FRONT);
    assert_eq!((status.condition, status.consecutive_failures), (Condition::InDoubt, 1));
    assert!(bench.now() < status.next_refresh_at.unwrap());
    is_broken.store(false, SeqCst);
    bench.wait_out(&mut house, FRONT, |it| it.condition == Condition::Ok).await;
    assert_eq!(bench.akuvox.counters().refreshes, 2);
    house.stop().await;
}

#[tokio::test]
async fn access_tokens_of_aqara_reach_no_disk_not_even_in_an_answer_that_was_not_understood() {
    let bench = Bench::new().await;
    let (store, grounds) = bench.open();
    let disk = Disk::new(store);
    let grounds = latchkey::keeper::Grounds { store: disk.clone(), ..grounds };
    let mut house = bench.start_on(grounds, &[HOME], |_, vendor| vendor);
    bench.settle_in(&mut house, &[HOME]).await;
    bench.aqara.inject(Fault::new(FaultKind::WrongTypes));
    assert_eq!(code(&house.refresh(HOME).await), Some(Code::UnreadableAnswer));
    let durable = disk.durable(&super::bench::id(HOME)).unwrap();
    let body = &durable.unread.as_ref().unwrap().body;
    let held = bench.aqara.credentials(0);
    assert!(body.expose().contains(&held.refresh_token));
    assert!(!body.expose().contains(&held.access_token));
    assert!(durable.held().all(|it| it.access.is_none()));
    house.stop().await;
}

/// A version that understands what [`FaultKind::WrongTypes`] makes of an answer, and is not allowed to ask for more.
fn later_version(bench: &Bench) -> House {
    let understands = |_: &_, vendor: Arc<dyn Vendor>| -> Arc<dyn Vendor> {
        let parser = |answer: &Answer| -> Result<FreshTokens, VendorError> {
            let body: serde_json::Value = serde_json::from_str(answer.body.expose()).unwrap();
            let text = |value: &serde_json::Value| Some(Secret::new(value.as_str().unwrap()));
            let datas = &body["datas"];
            Ok(FreshTokens {
                access: text(&datas["token"][0]),
                refresh: text(&datas["refresh_token"]),
                ..FreshTokens::default()
            })
        };
        Arc::new(Altered::new(vendor).reading_by(parser).before_refresh(|_| panic!("it asked the vendor")))
    };
    bench.start_on(bench.open().1, &[FRONT], understands)
}
