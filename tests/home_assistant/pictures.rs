//! Makes the pictures of the README from the running demo, where `LATCHKEY_PICTURES` is set.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::bench::{Bench, tell, variable};

/// `latchkey demo` at the broker of this Home Assistant.
struct Demo {
    _process: Child,
    /// What it says of itself.
    told: Value,
}

impl Demo {
    async fn start() -> Self {
        let broker = format!("{}:{}", variable("MQTT_HOST").unwrap(), variable("MQTT_PORT").unwrap());
        let mut process = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .args(["demo", "--json", "--token-lifetime", "7days", "--broker", &broker])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        Self { told: serde_json::from_str(&line).unwrap(), _process: process }
    }

    /// Ends the login of the front door at its cloud.
    async fn revoke(&self) {
        let url = format!("{}/_sim/revoke", self.told["akuvox"].as_str().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(url).header("content-type", "application/json");
        let answer = request.body(json!({ "what": "grant" }).to_string()).send().await.unwrap();
        assert!(answer.status().is_success());
    }
}

#[tokio::test]
async fn the_pictures_of_the_readme_are_made_where_they_are_asked_for() {
    if std::env::var_os("LATCHKEY_PICTURES").is_none() {
        tell("no pictures are made: LATCHKEY_PICTURES is not set");
        return;
    }
    let Some(bench) = Bench::set_up().await else { return };
    let demo = Demo::start().await;
    for account in ["front_door", "home"] {
        bench.ha.until_state(&format!("sensor.latchkey_{account}_condition"), "ok").await;
    }
    bench.everything_announced().await;
    for account in ["front_door", "home"] {
        // What happened before Home Assistant knew of it is not in its history.
        bench.ha.act("button.press", json!({ "entity_id": format!("button.latchkey_{account}_refresh_now") })).await;
        let event = format!("event.latchkey_{account}_event");
        bench.ha.until(&event, "an event", |it| it["attributes"]["event_type"] == "refreshed").await;
    }
    bench.ha.act("scene.turn_on", json!({ "entity_id": "scene.latchkey_home_tv_warning" })).await;
    make(&["dashboard-wall", "dashboard-phone", "device"]).await;

    demo.revoke().await;
    bench.ha.act("button.press", json!({ "entity_id": "button.latchkey_front_door_refresh_now" })).await;
    bench.ha.until_state("binary_sensor.latchkey_front_door_needs_attention", "on").await;
    make(&["attention-wall", "attention-phone"]).await;
    drop(demo);
    bench.finish().await;
}

async fn make(pictures: &'static [&'static str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures/make");
    let made = Command::new(script).args(pictures).status().await;
    assert!(made.unwrap().success());
}
