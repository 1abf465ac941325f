//! The broker is away, refuses us, is silent or slow: renewals go on, and when it is well again everything is there.

use std::time::Duration;

use latchkey::{
    demo::clouds::{AkuvoxCloud, AqaraCloud},
    mqtt::Inbound,
};

use crate::support::{
    latchkey::{Bench, CONNECTED, Client, Latchkey, text},
    mosquitto::{Mosquitto, MosquittoOptions},
    relay::{Mode, Relay},
};

/// A bench whose Latchkey reaches the broker over a wire, and refreshes one account every second.
pub(super) async fn over_a_wire(mosquitto: Mosquitto) -> (Bench, Relay) {
    let clouds = (AkuvoxCloud::start_default().await.unwrap(), AqaraCloud::start_default().await.unwrap());
    let mut bench = Bench::with(mosquitto, clouds.0, clouds.1);
    let relay = Relay::to(bench.mosquitto.port).await;
    bench.environment.push(("LATCHKEY__MQTT__PORT".to_owned(), relay.port.to_string()));
    bench.front_door = "refresh_every = \"1s\"\nsafety_margin = \"0s\"\njitter = \"0s\"\ndoors = true\n".to_owned();
    (bench, relay)
}

async fn signed_in() -> (Bench, Relay, Latchkey, Client) {
    let (mut bench, relay) = over_a_wire(Mosquitto::start()).await;
    bench.mqtt = "keep_alive = \"5s\"\n".to_owned();
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    (bench, relay, latchkey, client)
}

/// Waits for two refreshes that nobody asked for.
pub(super) async fn renewals_go_on(bench: &Bench) {
    let before = bench.akuvox.counters().refreshes;
    bench.akuvox.wait_for(|it| before + 2 <= it.refreshes).await;
}

/// What is retained says how things are, and a command and a door are each done once.
pub(super) async fn all_is_well(bench: &Bench, client: &Client) {
    let openings = || bench.akuvox.counters().door_openings.values().sum::<u64>();
    let before = openings();
    let reply = client.request("latchkey/front_door/open_door", b"Gate").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!(openings(), before + 1);
    client.heard(0, "online", |it| it.topic == "latchkey/bridge/state" && text(it) == "online").await;
    client.round().await;
    let retained = client.retained().await;
    for topic in [
        "latchkey/bridge/info",
        "latchkey/front_door/state",
        "latchkey/front_door/advice",
        "latchkey/home/state",
        "latchkey/home/advice",
        "homeassistant/device/latchkey_bridge/config",
        "homeassistant/device/latchkey_front_door/config",
        "homeassistant/device/latchkey_home/config",
    ] {
        assert!(retained.contains_key(topic), "{topic} is not among {:?}", retained.keys());
    }
    assert_eq!(retained["latchkey/bridge/state"], "online");
    let newest = bench.akuvox.counters().refreshes;
    client.state("front_door", |it| it["condition"] == "ok" && newest <= it["refresh_count"].as_u64().unwrap()).await;
    assert_eq!(bench.akuvox.counters().replays + bench.aqara.counters().replays, 0);
}

#[tokio::test]
async fn a_broker_that_takes_the_connection_and_never_answers_is_given_up_and_tried_again() {
    let (bench, relay) = over_a_wire(Mosquitto::start()).await;
    relay.set(Mode::Silent);
    let latchkey = bench.start();
    latchkey.logged("no answer in time").await;
    relay.set(Mode::Open);
    latchkey.logged(CONNECTED).await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    all_is_well(&bench, &client).await;
}

#[tokio::test]
async fn a_link_that_goes_silent_is_noticed_and_made_anew_while_renewals_go_on() {
    let (bench, relay, latchkey, client) = signed_in().await;
    client.round().await;
    let mark = client.mark();
    relay.set(Mode::Silent);
    renewals_go_on(&bench).await;
    latchkey.logged("the MQTT broker has gone silent").await;
    relay.set(Mode::Open);
    // The broker has not noticed yet that the old connection is dead, and takes the new one for the same client.
    client.heard(mark, "the newest state", |it| it.topic == "latchkey/front_door/state").await;
    client.round().await;
    all_is_well(&bench, &client).await;
}

#[tokio::test]
async fn over_a_slow_link_everything_is_done_once() {
    let (bench, relay, _latchkey, client) = signed_in().await;
    relay.set(Mode::Slow(Duration::from_millis(150)));
    let before = bench.aqara.counters().scene_runs.values().sum::<u64>();
    for _ in 0..5 {
        let reply = client.request("latchkey/home/scene/tv_warning/set", b"ON").await;
        assert_eq!(reply["status"], "ok", "{reply}");
    }
    assert_eq!(bench.aqara.counters().scene_runs.values().sum::<u64>(), before + 5);
    renewals_go_on(&bench).await;
    all_is_well(&bench, &client).await;
}

#[tokio::test]
async fn a_broker_that_starts_to_refuse_the_login_stops_no_renewal_and_the_log_says_the_mend() {
    let (mut bench, relay, latchkey, _client) = signed_in().await;
    let users = vec![("somebody".to_owned(), "else".to_owned())];
    bench.mosquitto = Mosquitto::start_with(&MosquittoOptions { users, ..MosquittoOptions::default() });
    relay.lead_to(bench.mosquitto.port);
    relay.cut();
    latchkey.logged("refuses the login").await;
    latchkey.logged("check user name and password").await;
    let n_connections = relay.n_connections();
    renewals_go_on(&bench).await;
    assert_eq!(relay.n_connections(), n_connections, "a person has to act first, so it waits for minutes");
}

#[tokio::test]
async fn a_broker_that_lost_everything_is_told_each_thing_once() {
    let (mut bench, _relay) = over_a_wire(Mosquitto::start()).await;
    bench.front_door.clear();
    let _latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    client.heard(0, "online", |it| it.topic == "latchkey/bridge/state").await;
    client.round().await;
    let before = client.retained().await;
    bench.mosquitto.kill();
    let mark = client.mark();
    bench.mosquitto.start_again();
    for topic in before.keys() {
        client.heard(mark, topic, |it| it.topic == *topic).await;
    }
    client.round().await;
    for topic in before.keys() {
        let times = client.since(mark).iter().filter(|it| it.topic == *topic).count();
        assert_eq!(times, 1, "{topic}");
    }
}

#[tokio::test]
async fn two_with_one_client_id_take_turns_slowly_and_both_say_what_to_do() {
    let (bench, relay, first, client) = signed_in().await;
    let mut other = bench.command("run");
    let store = bench.folder.path().join("other");
    other.env("LATCHKEY__STORE__PATH", &store);
    let second = Latchkey::start(other);
    let before = relay.n_connections();
    for latchkey in [&first, &second] {
        // Mosquitto before 2.0.15 only hangs up, so it takes a few rounds to notice.
        latchkey.logged("with the same client id").await;
    }
    let n_fights = relay.n_connections() - before;
    assert!(n_fights <= 24, "{n_fights} connections until both had noticed");
    renewals_go_on(&bench).await;
    second.kill().await;
    // The first comes back by itself, and what the other retained is gone.
    let mark = client.mark();
    let is_own = |it: &Inbound| it.topic == "latchkey/front_door/state" && text(it).contains("\"condition\":\"ok\"");
    client.heard(mark, "its own state again", is_own).await;
}
