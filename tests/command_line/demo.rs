//! `latchkey demo` and `latchkey simulate`.

use std::{fs, net::TcpListener};

use serde_json::Value;

use crate::support::{
    latchkey::{Client, Latchkey, latchkey, text},
    mosquitto::Mosquitto,
};

/// Waits for a line of JSON that a command prints when it is ready.
async fn ready_line(latchkey: &Latchkey) -> Value {
    latchkey.logged("\n").await;
    let said = latchkey.log();
    let value = serde_json::from_str(said.lines().next().unwrap());
    value.unwrap_or_else(|_| panic!("no JSON: {said}"))
}

#[tokio::test]
async fn the_simulated_clouds_say_in_one_line_where_they_are() {
    let mut simulate = Latchkey::start(latchkey(&["simulate", "--json", "--accounts", "2"]));
    let line = ready_line(&simulate).await;
    for vendor in ["akuvox", "aqara"] {
        assert!(line[vendor]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{line}");
        assert_eq!(line[vendor]["accounts"].as_array().unwrap().len(), 2);
    }
    simulate.signal("TERM");
    assert_eq!(simulate.ended().await.code(), Some(0));
    assert_eq!(simulate.log().lines().count(), 1);
}

/// Tokens of the demo are renewed before everybody's eyes; then it ends when it is told to.
async fn watch_a_demo(mut demo: Latchkey, port: u16) {
    let client = Client::connect(port).await;
    for account in ["front_door", "home"] {
        let state = client.state(account, |it| it["condition"] == "ok").await;
        let event = format!("latchkey/{account}/event");
        let is_renewal = |it: &latchkey::mqtt::Inbound| it.topic == event && text(it).contains("\"schedule\"");
        client.heard(0, "a renewal by the schedule", is_renewal).await;
        client.state(account, |it| state["generation"].as_u64() < it["generation"].as_u64()).await;
    }
    let reply = client.request("latchkey/home/trigger_scene", b"tv_pin_entry").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    demo.signal("TERM");
    assert_eq!(demo.ended().await.code(), Some(0));
    assert_eq!(demo.log().lines().count(), 1, "{}", demo.log());
}

#[tokio::test]
async fn the_demo_runs_with_a_broker_of_its_own() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let demo = Latchkey::start(latchkey(&["demo", "--json", "--token-lifetime", "4s", "--mqtt-port", &port]));
    let line = ready_line(&demo).await;
    assert_eq!((&line["ready"], line["mqtt_port"].to_string()), (&Value::Bool(true), port));
    let (web, key) = (line["web"].as_str().unwrap(), line["key"].as_str().unwrap());
    assert!(web.starts_with("http://127.0.0.1:") && web.ends_with('/') && key.len() == 48, "{line}");
    let store = line["store"].as_str().unwrap().to_owned();
    assert!(fs::exists(&store).unwrap());
    watch_a_demo(demo, u16::try_from(line["mqtt_port"].as_u64().unwrap()).unwrap()).await;
    assert!(!fs::exists(&store).unwrap(), "the demo left its store behind");
}

#[tokio::test]
async fn the_demo_runs_with_the_users_broker_and_narrates() {
    let mosquitto = Mosquitto::start();
    let broker = format!("localhost:{}", mosquitto.port);
    let demo = Latchkey::start(latchkey(&["demo", "--json", "--token-lifetime", "4s", "--broker", &broker]));
    let line = ready_line(&demo).await;
    assert_eq!(line["mqtt_port"], mosquitto.port);
    watch_a_demo(demo, mosquitto.port).await;

    let mut demo = Latchkey::start(latchkey(&["demo", "--token-lifetime", "4s", "--broker", &broker]));
    demo.logged("Ctrl-C ends it.").await;
    let said = demo.log();
    for phrase in [
        "two simulated clouds",
        "The page is at http://127.0.0.1:",
        "with the key",
        "proved",
        "tv_pin_entry",
        &format!("-h localhost -p {}", mosquitto.port),
    ] {
        assert!(said.contains(phrase), "{phrase} is not in {said}");
    }
    assert!(!said.contains(" null"), "what is told tells nobody anything: {said}");
    demo.logged("(by schedule)").await;
    demo.signal("INT");
    assert_eq!(demo.ended().await.code(), Some(0));
}
