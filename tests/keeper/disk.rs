//! A disk that is full or slow: no token is spent for an answer that could not be stored, and no answer is let go.

use std::time::Duration;

use latchkey::{
    account::{Code, Condition, EventType, Secret},
    demo::clouds::{Fault, FaultKind},
    keeper::Grounds,
};

use super::{
    bench::{Bench, FRONT, HOME, House, code, id, in_time, proposal},
    doubles::Disk,
};

async fn on_a_disk(bench: &Bench) -> (House, std::sync::Arc<Disk>) {
    let (store, grounds) = bench.open();
    let disk = Disk::new(store);
    let mut house = bench.start_on(Grounds { store: disk.clone(), ..grounds }, &[FRONT, HOME], |_, vendor| vendor);
    bench.settle_in(&mut house, &[FRONT, HOME]).await;
    (house, disk)
}

#[tokio::test]
async fn a_disk_that_could_not_take_the_answer_stops_the_refresh_before_the_token_is_spent() {
    let bench = Bench::new().await;
    let (mut house, disk) = on_a_disk(&bench).await;
    let calls = bench.akuvox.counters().calls;
    disk.have_room(false);
    let error = house.refresh(FRONT).await.unwrap_err();
    assert_eq!(error.code, Code::Blocked);
    assert!(error.message.contains("no room"), "{error}");
    assert_eq!(house.status(FRONT).condition, Condition::Blocked);
    assert_eq!(bench.akuvox.counters().calls, calls);
    // Nothing is due, and still it is seen within the minute that the disk is back.
    disk.have_room(true);
    bench.hand.advance(Duration::from_secs(61));
    house.until(FRONT, |it| it.condition == Condition::Ok).await;
    assert_eq!(bench.akuvox.counters().calls, calls);
    house.refresh(FRONT).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn an_attempt_that_cannot_be_noted_is_not_made() {
    let bench = Bench::new().await;
    let (house, disk) = on_a_disk(&bench).await;
    let calls = bench.akuvox.counters().calls;
    disk.take_commits(false);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::Blocked));
    assert_eq!(bench.akuvox.counters().calls, calls);
    assert_eq!(code(&house.update(FRONT, super::bench::both("A", "R")).await), Some(Code::Blocked));
    disk.take_commits(true);
    house.refresh(FRONT).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_is_kept_until_it_can_and_is_not_told_before() {
    let bench = Bench::new().await;
    let (mut house, disk) = on_a_disk(&bench).await;
    let refreshes = bench.aqara.counters().refreshes;
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.3).after());
    let mut ticket = house.submit_refresh(HOME);
    in_time(bench.aqara.wait_for(|it| it.refreshes == refreshes + 1)).await;
    disk.take_commits(false);
    let answered_at = bench.now();
    disk.until_refused().await;
    let status = house.until(HOME, |it| it.condition == Condition::Blocked).await;
    assert_eq!((status.refresh_count, status.generation), (1, 2));
    assert!(ticket.reply.try_recv().is_err());
    bench.hand.advance(Duration::from_secs(7200));
    disk.take_commits(true);
    house.event(HOME, EventType::Refreshed).await;
    in_time(ticket.reply).await.unwrap().unwrap();
    let durable = disk.durable(&id(HOME)).unwrap();
    assert_eq!(durable.current.unwrap().refresh, Some(Secret::new(bench.aqara.credentials(0).refresh_token)));
    let status = house.status(HOME);
    assert_eq!(status.condition, Condition::Ok);
    assert_eq!(status.last_refresh_at, Some(answered_at), "a token's life counts from the answer, not from the disk");
    assert_eq!(bench.aqara.counters().replays, 0);
    house.stop().await;
}

#[tokio::test]
async fn proposed_tokens_are_acknowledged_when_they_are_on_disk_and_not_before() {
    let bench = Bench::new().await;
    let (house, disk) = on_a_disk(&bench).await;
    disk.take_commits(false);
    bench.aqara.sign_in(0);
    let ticket = house.submit(HOME, proposal(bench.pair_of(HOME)));
    assert_eq!(code(&in_time(ticket.reply).await.unwrap()), Some(Code::Blocked));
    assert!(in_time(ticket.taken).await.is_err(), "it was never taken");
    disk.take_commits(true);
    let mut ticket = house.submit(HOME, proposal(bench.pair_of(HOME)));
    in_time(&mut ticket.taken).await.unwrap();
    assert!(disk.durable(&id(HOME)).is_some());
    in_time(ticket.reply).await.unwrap().unwrap();
    house.stop().await;
}

#[tokio::test]
async fn on_a_slow_disk_no_request_leaves_before_its_attempt_is_durable_and_nobody_is_told_before_its_grant_is() {
    let bench = Bench::new().await;
    let (mut house, disk) = on_a_disk(&bench).await;
    let calls = bench.akuvox.counters().calls;
    disk.hold(true);
    let mut ticket = house.submit_refresh(FRONT);
    disk.until_somebody_waits().await;
    assert_eq!(bench.akuvox.counters().calls, calls, "the attempt is not on disk yet");
    assert_eq!(house.status(HOME).condition, Condition::Ok, "whoever only asks does not wait");
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(0.3).after());
    disk.hold(false);
    in_time(bench.akuvox.wait_for(|it| it.calls == calls + 1)).await;
    disk.hold(true);
    disk.until_somebody_waits().await;
    assert!(ticket.reply.try_recv().is_err(), "the grant is not on disk yet");
    assert_eq!(house.status(FRONT).refresh_count, 1);
    disk.hold(false);
    house.event(FRONT, EventType::Refreshed).await;
    in_time(ticket.reply).await.unwrap().unwrap();
    house.stop().await;
}
