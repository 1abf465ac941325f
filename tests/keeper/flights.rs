//! One refresh at a time, durable before it is sent and before it is told.

use std::{
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst},
    time::Duration,
};

use latchkey::{
    account::{Code, Condition, EventType, Secret, Slot},
    demo::clouds::{Fault, FaultKind},
    keeper::{Command, Grounds, ReplyData},
    vendor::Vendor,
};

use super::{
    bench::{Bench, CABIN, FRONT, HOME, HOUR, code, id, in_time},
    doubles::{Altered, Disk},
    figures,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_ask_at_once_get_the_result_of_one_refresh() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let before = bench.akuvox.counters().calls;
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(1.0));
    let tickets: Vec<_> = (0..1000).map(|_| house.submit_refresh(FRONT)).collect();
    for ticket in tickets {
        let reply = in_time(ticket.reply).await.unwrap();
        assert_eq!(reply, Ok(ReplyData::Refreshed { entry_id: id(FRONT), generation: 3 }));
    }
    assert_eq!(bench.akuvox.counters().calls, before + 1);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::TooSoon));
    house.stop().await;
    figures::tell(1000, "one call to the cloud, and a reply to each");
}

#[tokio::test]
async fn a_refresh_goes_on_when_nobody_waits_for_it_any_more() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT]).await;
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(0.3));
    let ask = house.keeper.ask(Command::RefreshTokens { entry_id: id(FRONT) });
    assert!(tokio::time::timeout(Duration::from_millis(50), ask).await.is_err());
    house.until(FRONT, |it| it.refresh_count == 2).await;
    assert_eq!(house.status(FRONT).condition, Condition::Ok);
    house.stop().await;
}

#[tokio::test]
async fn the_attempt_is_on_disk_before_the_request_leaves_and_the_grant_before_anybody_is_told() {
    let bench = Bench::new().await;
    let (store, grounds) = bench.open();
    let disk = Disk::new(store);
    let seen = Arc::new(AtomicUsize::new(0));
    let watch = |_: &_, vendor: Arc<dyn Vendor>| -> Arc<dyn Vendor> {
        let (disk, seen) = (disk.clone(), seen.clone());
        Arc::new(Altered::new(vendor).before_refresh(move |_| {
            let attempt = disk.durable(&id(FRONT)).unwrap().attempt.unwrap();
            assert_eq!(attempt.slot, if seen.fetch_add(1, SeqCst) == 0 { Slot::Candidate } else { Slot::Current });
        }))
    };
    let mut house = bench.start_on(Grounds { store: disk.clone(), ..grounds }, &[FRONT], watch);
    bench.settle_in(&mut house, &[FRONT]).await;
    let ticket = house.submit_refresh(FRONT);
    let told = house.event(FRONT, EventType::Refreshed).await;
    let durable = disk.durable(&id(FRONT)).unwrap();
    assert_eq!(durable.attempt, None);
    assert_eq!(durable.generation, told.generation);
    let held = Secret::new(bench.akuvox.credentials(0).refresh_token);
    assert_eq!(durable.current.unwrap().refresh, Some(held));
    in_time(ticket.reply).await.unwrap().unwrap();
    assert_eq!(seen.load(SeqCst), 2);
    house.stop().await;
}

#[tokio::test]
async fn a_second_refresh_within_the_minute_is_too_soon_and_is_told_for_how_long() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    house.refresh(HOME).await.unwrap();
    bench.hand.advance(Duration::from_secs(20));
    let error = house.refresh(HOME).await.unwrap_err();
    assert_eq!(error.code, Code::TooSoon);
    assert!(error.retry_after.is_some_and(|it| (40..=41).contains(&it)), "{:?}", error.retry_after);
    bench.hand.advance(Duration::from_secs(40));
    house.refresh(HOME).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn an_account_whose_cloud_hangs_does_not_stop_the_others() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME, CABIN, FRONT]).await;
    bench.aqara.inject(Fault::new(FaultKind::Hang));
    let before = bench.aqara.counters().calls;
    let mut stuck = house.submit_refresh(HOME);
    in_time(bench.aqara.wait_for(|it| it.calls == before + 1)).await;
    house.refresh(FRONT).await.unwrap();
    house.refresh(CABIN).await.unwrap();
    assert!(stuck.reply.try_recv().is_err(), "the other one still waits");
    // The prompt retry is answered.
    in_time(stuck.reply).await.unwrap().unwrap();
    house.event(HOME, EventType::InDoubt).await;
    house.stop().await;
}

#[tokio::test]
async fn a_stop_lets_the_running_refresh_finish() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(0.5).after());
    let before = bench.akuvox.counters().refreshes;
    let ticket = house.submit_refresh(FRONT);
    in_time(bench.akuvox.wait_for(|it| it.refreshes == before + 1)).await;
    house.stop().await;
    assert!(in_time(ticket.reply).await.unwrap().is_ok());
    let house = bench.start(&[FRONT]);
    assert_eq!(house.status(FRONT).condition, Condition::Ok);
    house.stop().await;
    assert_eq!(bench.akuvox.counters().replays, 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_second_try_and_the_next_start_makes_it() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    bench.akuvox.inject(Fault::new(FaultKind::Hang));
    let before = bench.akuvox.counters().calls;
    let ticket = house.submit_refresh(FRONT);
    in_time(bench.akuvox.wait_for(|it| it.calls == before + 1)).await;
    house.stop().await;
    assert_eq!(code(&in_time(ticket.reply).await.unwrap()), Some(Code::NoAnswer));
    assert_eq!(bench.akuvox.counters().calls, before + 1);
    bench.hand.advance(2 * HOUR);
    let mut house = bench.start(&[FRONT]);
    house.until(FRONT, |it| it.refresh_count == 2 && it.condition == Condition::Ok).await;
    house.stop().await;
}
