//! Makes a Home Assistant look as on the pictures of the README, where `LATCHKEY_PICTURES` is set.

use std::process::Command;

use latchkey::demo::clouds::What;
use serde_json::json;

use crate::bench::{Bench, tell};

#[tokio::test]
async fn the_pictures_of_the_readme_are_made_where_they_are_asked_for() {
    if std::env::var_os("LATCHKEY_PICTURES").is_none() {
        tell("no pictures are made: LATCHKEY_PICTURES is not set");
        return;
    }
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    bench.everything_announced().await;
    bench.ha.act("scene.turn_on", json!({ "entity_id": "scene.latchkey_home_tv_warning" })).await;
    bench.aqara.wait_for(|it| !it.scene_runs.is_empty()).await;
    make(&["dashboard-wall", "dashboard-phone", "device"]).await;

    bench.akuvox.revoke(0, What::Grant);
    bench.ha.act("button.press", json!({ "entity_id": "button.latchkey_front_door_refresh_now" })).await;
    bench.ha.until_state("binary_sensor.latchkey_front_door_needs_attention", "on").await;
    make(&["attention-wall", "attention-phone"]).await;
    bench.finish().await;
}

async fn make(pictures: &'static [&'static str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures/make");
    let made = tokio::task::spawn_blocking(move || Command::new(script).args(pictures).status());
    assert!(made.await.unwrap().unwrap().success());
}
