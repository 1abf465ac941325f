//! What a kill, a backup and a broker's memory leave behind.

use latchkey::{
    account::{Code, Condition, EventType},
    demo::clouds::akuvox::AkuvoxKnobs,
    demo::clouds::{Fault, FaultKind, aqara::AqaraKnobs},
};

use super::bench::{Bench, HOME, id, in_time};

/// A keeper that was killed while the vendor rotated: its store is left as it lay on disk at that moment.
async fn killed_during_a_refresh(bench: &Bench) {
    let house = bench.settled(&[HOME]).await;
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.5).after());
    let ticket = house.submit_refresh(HOME);
    in_time(bench.aqara.wait_for(|it| it.refreshes == 2)).await;
    let copy = bench.copy_store("killed");
    in_time(ticket.reply).await.unwrap().unwrap();
    house.stop().await;
    bench.put_store_back(&copy);
}

#[tokio::test]
async fn a_refresh_that_was_open_at_a_kill_is_tried_once_more_promptly_and_saved_by_a_grace() {
    let aqara = AqaraKnobs { refresh_grace_seconds: 60, ..AqaraKnobs::default() };
    let bench = Bench::with(AkuvoxKnobs::default(), aqara).await;
    killed_during_a_refresh(&bench).await;
    let mut house = bench.start(&[HOME]);
    let status = house.until(HOME, |it| it.condition == Condition::Ok).await;
    assert_eq!(status.refresh_count, 2);
    assert_eq!((bench.aqara.counters().grace_answers, bench.aqara.counters().replays), (1, 0));
    house.stop().await;
}

#[tokio::test]
async fn a_refresh_that_was_open_at_a_kill_and_is_refused_then_is_told_as_a_lost_reply() {
    let bench = Bench::new().await;
    killed_during_a_refresh(&bench).await;
    let mut house = bench.start(&[HOME]);
    let status = house.until(HOME, |it| it.condition == Condition::ReauthRequired).await;
    assert_eq!(status.last_error, Some(Code::ReplyLost));
    assert_eq!(bench.aqara.counters().replays, 1, "it was tried once");
    house.stop().await;
}

#[tokio::test]
async fn an_older_copy_of_the_store_is_noticed_by_the_generation_that_the_broker_remembers() {
    let bench = Bench::new().await;
    bench.settled(&[HOME]).await.stop().await;
    let backup = bench.copy_store("backup");
    let house = bench.start(&[HOME]);
    house.refresh(HOME).await.unwrap();
    let published = house.status(HOME).generation;
    house.stop().await;
    bench.put_store_back(&backup);

    let mut house = bench.start(&[HOME]);
    assert_eq!(house.status(HOME).condition, Condition::Ok, "it cannot know yet");
    house.keeper.saw_generation(&id(HOME), published);
    let told = house.event(HOME, EventType::ReauthRequired).await;
    assert_eq!(told.error, Some(Code::RefreshRefused));
    assert_eq!(bench.aqara.counters().replays, 1);
    house.keeper.saw_generation(&id(HOME), published);
    house.stop().await;
    assert_eq!(bench.aqara.counters().replays, 1, "it was tried once");
}

#[tokio::test]
async fn a_newer_generation_at_the_broker_costs_nothing_when_the_tokens_are_good() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    house.keeper.saw_generation(&id(HOME), 40);
    house.event(HOME, EventType::Refreshed).await;
    assert_eq!(house.status(HOME).generation, 41);
    assert_eq!(house.status(HOME).condition, Condition::Ok);
    // What no Latchkey wrote is not believed.
    house.keeper.saw_generation(&id(HOME), u64::MAX);
    bench.hand.advance(super::bench::DAY);
    house.refresh(HOME).await.unwrap();
    assert_eq!(house.status(HOME).generation, 42);
    house.stop().await;
}
