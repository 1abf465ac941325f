//! A broker that comes and goes a thousand times.

use std::{collections::BTreeSet, time::Duration};

use latchkey::{
    clock::Clock,
    config,
    mqtt::{Backoff, Inbound, Outgoing, Qos},
    service::Service,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    faults::{all_is_well, over_a_wire, renewals_go_on},
    support::{mosquitto::Mosquitto, relay::Mode},
};

const RECONNECTS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_thousand_reconnects_nothing_is_lost_repeated_or_late() {
    let (mut bench, relay) = over_a_wire(Mosquitto::start()).await;
    let port = bench.environment.drain(..);
    let port: Vec<(String, String)> = port.collect();
    let settings = config::load(Some(&bench.configuration()), port.into_iter()).unwrap();
    let fast = Duration::from_millis(1)..Duration::from_millis(5);
    let backoff = Backoff { min: fast.start, max: fast.end, slow_min: fast.start, slow_max: fast.end };
    let service = Service::start_with(settings, Clock::system(), backoff).unwrap();
    let client = bench.client().await;
    client.heard(0, "the first connection", |it| it.topic == "latchkey/bridge/state").await;
    bench.sign_in(&client).await;

    // Some connections end before the broker has answered, some while everything is announced.
    let openings = || bench.akuvox.counters().door_openings.values().sum::<u64>();
    let (before, refreshes, mark) = (openings(), bench.akuvox.counters().refreshes, client.mark());
    relay.set(Mode::Brittle(0..12_000));
    let mut n_sent = 0;
    while relay.n_connections() < RECONNECTS {
        let request = json!({ "door": "Gate", "transaction": format!("door {n_sent}") }).to_string();
        let qos = if n_sent % 2 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
        client.link.publish(Outgoing { qos, ..Outgoing::passing("latchkey/front_door/open_door", request) });
        n_sent += 1;
        // One that has nothing left to say would last.
        if n_sent % 2 == 0 {
            relay.cut();
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(refreshes < bench.akuvox.counters().refreshes, "renewals waited for the broker");
    let opened = openings();
    relay.set(Mode::Open);
    relay.cut();
    client.round().await;
    renewals_go_on(&bench).await;

    // None is opened now that was asked for then, and each that was is known by its answer.
    assert_eq!(openings(), opened, "a door was opened late");
    let is_answer = |it: &Inbound| it.topic == "latchkey/front_door/response/open_door";
    let answers = client.since(mark).into_iter().filter(is_answer);
    let replies = answers.map(|it| serde_json::from_slice::<Value>(&it.payload).unwrap());
    let done: BTreeSet<String> =
        replies.filter(|it| it["status"] == "ok").map(|it| it["transaction"].to_string()).collect();
    assert_eq!(done.len() as u64, opened - before, "of {n_sent} that were asked for");
    all_is_well(&bench, &client).await;

    // And once more at leisure: each thing is said once.
    let steady = ["latchkey/bridge/state", "latchkey/bridge/info", "latchkey/home/state", "latchkey/home/advice"];
    let mut mark = client.mark();
    loop {
        // Longer than the longest pause of an announcement.
        sleep(Duration::from_secs(3)).await;
        if !client.since(mark).iter().any(|it| steady.contains(&it.topic.as_str())) {
            break;
        }
        mark = client.mark();
    }
    let (mark, n_connections) = (client.mark(), relay.n_connections());
    relay.cut();
    for topic in steady {
        client.heard(mark, topic, |it| it.topic == topic).await;
    }
    client.round().await;
    let n_connections = relay.n_connections() - n_connections;
    for topic in steady {
        let heard: Vec<Inbound> = client.since(mark).into_iter().filter(|it| it.topic == topic).collect();
        assert_eq!(heard.len(), 1, "{topic} in {n_connections} connections: {heard:?}");
    }
    service.stop().await;
}
