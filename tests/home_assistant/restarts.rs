//! Home Assistant, the broker and Latchkey restart, in every order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use latchkey::clock::Clock;
use serde_json::{Value, json};

use crate::{
    api::{HomeAssistant, Registered},
    bench::{self, Bench},
};

/// Who restarts, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    LatchkeyStops,
    LatchkeyIsKilled,
    Broker,
    /// One without persistence: nothing is retained.
    ForgetfulBroker,
    HomeAssistant,
}

use Restart::{Broker, ForgetfulBroker, HomeAssistant as Home, LatchkeyIsKilled, LatchkeyStops};

/// Any three neighbours that are not about one of them twice: together these are all six orders of the three.
const ALL_ORDERS: [Restart; 9] = [
    LatchkeyStops,
    Broker,
    Home,
    LatchkeyIsKilled,
    ForgetfulBroker,
    LatchkeyStops,
    Home,
    ForgetfulBroker,
    LatchkeyIsKilled,
];

/// What a user sees, of what a restart is not to change.
#[derive(Debug, PartialEq)]
struct Sight {
    registered: Registered,
    entities: BTreeSet<String>,
    states: BTreeMap<String, Value>,
}

impl Sight {
    /// None while something is not available.
    async fn take(ha: &HomeAssistant) -> Option<Self> {
        let states = ha.states().await.into_iter().map(|mut it| (it["entity_id"].take(), it["state"].take()));
        let states = states.map(|(entity, state)| (entity.as_str().unwrap().to_owned(), state));
        let is_ours = |entity: &str| {
            entity.contains(".latchkey_") && !entity.starts_with("script.") && !entity.ends_with("_last_answer")
        };
        let states: BTreeMap<String, Value> = states.filter(|it| is_ours(&it.0)).collect();
        if states.values().any(|it| *it == "unavailable") {
            return None;
        }
        let entities = states.keys().cloned().collect();
        // The next refresh is drawn by lot at each start, and that start is shown.
        let changes = |it: &str| ["_next_refresh", "_bridge_started"].iter().any(|end| it.ends_with(end));
        let shows = |it: &str| ["sensor.", "binary_sensor.", "text."].iter().any(|domain| it.starts_with(domain));
        let states = states.into_iter().filter(|it| shows(&it.0) && !changes(&it.0)).collect();
        Some(Self { registered: ha.registered().await, entities, states })
    }
}

#[tokio::test]
async fn everything_is_there_again_in_whichever_order_they_restart() {
    if !Bench::is_there() || !Bench::can_restart_broker() {
        return;
    }
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    bench.everything_announced().await;
    let mut before = None;
    while before.is_none() {
        before = Sight::take(&bench.ha).await;
    }
    let before = before.unwrap();
    let generations = (bench.akuvox.account(0).generation, bench.aqara.account(0).generation);
    let clock = Clock::system();
    for restart in ALL_ORDERS {
        carry_out(&mut bench, restart).await;
        until_as_before(&bench, &before, &format!("{restart:?}"), clock.now()).await;
    }
    // All three at once.
    bench.kill_latchkey();
    bench.restart_broker(true).await;
    bench.start_latchkey();
    bench.restart_home_assistant().await;
    until_as_before(&bench, &before, "all at once", clock.now()).await;

    // Nothing was refreshed merely because of a restart, and commands arrive.
    assert_eq!((bench.akuvox.account(0).generation, bench.aqara.account(0).generation), generations);
    bench.ha.act("scene.turn_on", json!({ "entity_id": "scene.latchkey_home_tv_warning" })).await;
    bench.aqara.wait_for(|it| !it.scene_runs.is_empty()).await;
    let answer = bench.ha.script("latchkey_refresh_tokens", json!({ "entry_id": "front_door" })).await;
    assert_eq!(answer["status"], "ok", "{answer}");
    bench.finish().await;
}

/// Returns when it has begun to come back.
async fn carry_out(bench: &mut Bench, restart: Restart) {
    let started = bench.ha.state("sensor.latchkey_bridge_started").await.unwrap()["state"].clone();
    match restart {
        Restart::LatchkeyStops | Restart::LatchkeyIsKilled => {
            // The time of the start is shown in whole seconds.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            if restart == Restart::LatchkeyIsKilled {
                bench.kill_latchkey();
            } else {
                bench.stop_latchkey().await;
                bench.ha.until_state("sensor.latchkey_home_condition", "unavailable").await;
                bench.ha.until_state("binary_sensor.latchkey_bridge_connection", "off").await;
            }
            bench.start_latchkey();
            let is_new = |it: &Value| it["state"] != started && it["state"] != "unavailable";
            bench.ha.until("sensor.latchkey_bridge_started", "a new time", is_new).await;
        }
        Restart::Broker => bench.restart_broker(false).await,
        Restart::ForgetfulBroker => bench.restart_broker(true).await,
        Restart::HomeAssistant => bench.restart_home_assistant().await,
    }
}

async fn until_as_before(bench: &Bench, before: &Sight, what: &str, since: Timestamp) {
    let mut seen = None;
    let is_as_before = async {
        while seen.as_ref() != Some(before) {
            seen = Sight::take(&bench.ha).await.or(seen.take());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), is_as_before).await.is_err() {
        assert_eq!(seen.as_ref(), Some(before), "after {what}");
        panic!("not everything is available after {what}");
    }
    let took = Clock::system().now().duration_since(since);
    bench::tell(&format!("{what}: as before {:.1} s after it was back", took.as_secs_f64()));
}
