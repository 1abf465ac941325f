//! What a user of Home Assistant touches, against a real Home Assistant and the broker that it uses.
//!
//! It is found by the environment: `HA_URL`, `HA_TOKEN` (a long-lived access token), `HA_CONFIG` (its configuration
//! folder, which is written to), `MQTT_HOST`, `MQTT_PORT`, and where needed `MQTT_USER`, `MQTT_PASSWORD`; with `HA_LOG`
//! its log is read too, and with `HA_RUN_PID`, a process that restarts the broker on SIGUSR2, the broker is restarted. Its
//! MQTT integration must be set up. It is restarted, to take up the package.
//! Where there is none these tests say that they were skipped, and fail if `LATCHKEY_DEMAND_HA` is set.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod api;
mod bench;
mod changes;
mod pictures;
mod restarts;
mod socket;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan};
use latchkey::{clock::Clock, demo::clouds::What};
use serde_json::json;

use bench::{Bench, package_file};

/// What every account shows, by the end of its entity id.
const OF_ACCOUNT: [&str; 13] = [
    "sensor.latchkey_{}_condition",
    "sensor.latchkey_{}_access_token_expires",
    "sensor.latchkey_{}_last_refresh",
    "sensor.latchkey_{}_next_refresh",
    "sensor.latchkey_{}_refresh_token_updated",
    "sensor.latchkey_{}_last_error",
    "binary_sensor.latchkey_{}_needs_attention",
    "binary_sensor.latchkey_{}_cloud",
    "sensor.latchkey_{}_advice",
    "button.latchkey_{}_refresh_now",
    "button.latchkey_{}_request_login_code",
    "text.latchkey_{}_login_code",
    "event.latchkey_{}_event",
];

/// What only the Akuvox account shows.
const OF_FRONT_DOOR: [&str; 3] = [
    "button.latchkey_front_door_open_garage",
    "button.latchkey_front_door_open_0c1105000001_0",
    "button.latchkey_front_door_open_0c1105000001_1",
];

/// The same doors, as the cloud calls them.
const DOORS: [&str; 3] = ["0C1105000002/0", "0C1105000001/0", "0C1105000001/1"];

/// What only the Aqara account shows.
const OF_HOME: [&str; 4] = [
    "sensor.latchkey_home_refresh_token_expires",
    "scene.latchkey_home_tv_pin_entry",
    "scene.latchkey_home_tv_power_off",
    "scene.latchkey_home_tv_warning",
];

const OF_BRIDGE: [&str; 3] =
    ["binary_sensor.latchkey_bridge_connection", "sensor.latchkey_bridge_started", "sensor.latchkey_bridge_version"];

#[tokio::test]
async fn all_entities_are_there_and_right() {
    let Some(mut bench) = Bench::set_up().await else { return };
    let clock = Clock::system();
    let started = clock.now();
    bench.start_latchkey();
    for account in ["front_door", "home"] {
        bench.ha.until_state(&format!("sensor.latchkey_{account}_condition"), "missing").await;
        bench.ha.until_state(&format!("binary_sensor.latchkey_{account}_needs_attention"), "on").await;
    }
    for account in ["front_door", "home"] {
        let advice = format!("sensor.latchkey_{account}_advice");
        let is_advice = |it: &serde_json::Value| it["state"].as_str().unwrap().contains("login code");
        bench.ha.until(&advice, "what to do", is_advice).await;
        let advice = bench.ha.state(&advice).await.unwrap()["state"].clone();
        let attention = bench.ha.state(&format!("binary_sensor.latchkey_{account}_needs_attention")).await.unwrap();
        assert_eq!(attention["attributes"]["advice"], advice);
    }
    bench.hand_in_tokens().await;
    for account in ["front_door", "home"] {
        bench.ha.until_state(&format!("sensor.latchkey_{account}_condition"), "ok").await;
        bench.ha.until_state(&format!("binary_sensor.latchkey_{account}_needs_attention"), "off").await;
        bench.ha.until_state(&format!("sensor.latchkey_{account}_advice"), "Nothing to do.").await;
        // Empty, and not unknown.
        bench.ha.until_state(&format!("text.latchkey_{account}_login_code"), "").await;
        bench.ha.until_state(&format!("binary_sensor.latchkey_{account}_cloud"), "on").await;
        let event = format!("event.latchkey_{account}_event");
        bench.ha.until(&event, "tokens_updated", |it| it["attributes"]["event_type"] == "tokens_updated").await;
    }
    // Doors and scenes are listed when there is an access token, and announced then.
    let found = bench::scenes_found();
    for entity in found.iter().map(String::as_str).chain(OF_FRONT_DOOR) {
        bench.ha.until(entity, "there", |it| it["state"] != "unavailable").await;
    }
    let took = clock.now().duration_since(started);
    bench::tell(&format!("all entities there and right after {:.1} s", took.as_secs_f64()));

    let of_accounts = ["front_door", "home"].into_iter().flat_map(|it| OF_ACCOUNT.map(|id| id.replace("{}", it)));
    let others = OF_FRONT_DOOR.into_iter().chain(OF_HOME).chain(OF_BRIDGE).map(str::to_owned);
    let wanted: BTreeSet<String> = of_accounts.chain(others).chain(found).collect();
    assert_eq!(bench.announced().await, wanted);
    let by_way_of = bench.ha.registered().await.by_way_of;
    let of_bridge = ["latchkey_front_door", "latchkey_home"].map(|it| (it.to_owned(), "latchkey_bridge".to_owned()));
    assert_eq!(by_way_of, BTreeMap::from(of_bridge));

    for account in ["front_door", "home"] {
        let answer = bench.ha.script("latchkey_status", json!({ "entry_id": account })).await;
        let status = &answer["data"];
        for time in ["access_token_expires", "last_refresh", "next_refresh", "refresh_token_updated"] {
            let shown = bench.ha.state(&format!("sensor.latchkey_{account}_{time}")).await.unwrap();
            let said: Timestamp = status[format!("{time}_at")].as_str().unwrap().parse().unwrap();
            assert_eq!(shown["state"].as_str().unwrap().parse::<Timestamp>().unwrap(), said, "{account} {time}");
        }
    }
    let names = OF_FRONT_DOOR.into_iter().map(async |it| bench.ha.state(it).await.unwrap()["attributes"].clone());
    let mut shown = Vec::new();
    for attributes in names {
        shown.push(attributes.await["friendly_name"].as_str().unwrap().to_owned());
    }
    assert_eq!(shown, ["Front door Garage", "Front door Gate", "Front door Haustür"]);
    let condition = bench.ha.state("sensor.latchkey_front_door_condition").await.unwrap();
    assert_eq!(condition["attributes"]["friendly_name"], "Front door Condition");
    assert_eq!(bench.ha.state("sensor.latchkey_front_door_last_error").await.unwrap()["state"], "none");
    bench.finish().await;
}

#[tokio::test]
async fn every_button_and_every_scene_does_its_job_at_the_cloud() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    let entities = bench.everything_announced().await;
    let last = "sensor.latchkey_last_answer";
    let press = async |entity: &str| bench.ha.act("button.press", json!({ "entity_id": entity })).await;
    let answered = async |command: &str, account: &str| {
        let is_it =
            |it: &serde_json::Value| it["attributes"]["command"] == command && it["attributes"]["account"] == account;
        bench.ha.until(last, command, is_it).await;
        assert_eq!(bench.ha.state(last).await.unwrap()["state"], "ok", "{command} of {account}");
    };
    let mut pressed = BTreeSet::new();

    let refreshes = (bench.akuvox.counters().refreshes, bench.aqara.counters().refreshes);
    for account in ["front_door", "home"] {
        let button = format!("button.latchkey_{account}_refresh_now");
        press(&button).await;
        answered("refresh_tokens", account).await;
        let event = format!("event.latchkey_{account}_event");
        bench.ha.until(&event, "refreshed", |it| it["attributes"]["event_type"] == "refreshed").await;
        pressed.insert(button);
    }
    let afterwards = (bench.akuvox.counters().refreshes, bench.aqara.counters().refreshes);
    assert_eq!(afterwards, (refreshes.0 + 1, refreshes.1 + 1));

    for account in ["front_door", "home"] {
        let button = format!("button.latchkey_{account}_request_login_code");
        press(&button).await;
        answered("request_login_code", account).await;
        pressed.insert(button);
    }
    assert_eq!((bench.akuvox.counters().codes_sent, bench.aqara.counters().codes_sent), (1, 1));

    for (n, (button, door)) in OF_FRONT_DOOR.into_iter().zip(DOORS).enumerate() {
        press(button).await;
        let counters = bench.akuvox.wait_for(|it| it.door_openings.contains_key(door)).await;
        assert_eq!((counters.door_openings[door], counters.door_openings.len()), (1, n + 1), "{button}");
        answered("open_door", "front_door").await;
        pressed.insert(button.to_owned());
    }

    let scenes: Vec<&String> = entities.iter().filter(|it| it.starts_with("scene.")).collect();
    let all_scenes = bench.aqara.credentials(0).scenes;
    assert_eq!(scenes.len(), all_scenes.len());
    for (n, scene) in scenes.into_iter().enumerate() {
        bench.ha.act("scene.turn_on", json!({ "entity_id": scene })).await;
        bench.aqara.wait_for(|it| it.scene_runs.len() == n + 1).await;
        answered("trigger_scene", "home").await;
    }
    let runs = bench.aqara.counters().scene_runs;
    assert!(all_scenes.values().all(|it| runs.get(it) == Some(&1)), "each once: {runs:?}");

    let buttons: BTreeSet<String> = entities.into_iter().filter(|it| it.starts_with("button.")).collect();
    assert_eq!(pressed, buttons, "no button was left out");
    bench.finish().await;
}

#[tokio::test]
async fn the_scripts_of_the_package_return_the_answers() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    let refreshed = bench.ha.script("latchkey_refresh_tokens", json!({ "entry_id": "home" })).await;
    assert_eq!(refreshed["status"], "ok", "{refreshed}");
    let refreshed = bench.ha.script("latchkey_refresh_tokens", json!({ "entry_id": "front_door" })).await;
    assert_eq!(refreshed["status"], "ok", "{refreshed}");
    let status = bench.ha.script("latchkey_status", json!({ "entry_id": "front_door" })).await;
    assert_eq!(status["data"]["condition"], "ok", "{status}");
    assert_eq!(status["data"]["generation"], refreshed["data"]["generation"]);

    let scene = bench.aqara.credentials(0).scenes["TV warning"].clone();
    let arguments = json!({ "entry_id": "home", "scene": "tv_warning" });
    let triggered = bench.ha.script("latchkey_trigger_scene", arguments).await;
    assert_eq!(triggered, json!({ "status": "ok", "data": { "entry_id": "home", "scene": "tv_warning" } }));
    assert_eq!(bench.aqara.counters().scene_runs[&scene], 1);

    let opened = bench.ha.script("latchkey_open_door", json!({ "entry_id": "front_door", "door": "Haustür" })).await;
    assert_eq!(opened, json!({ "status": "ok", "data": { "entry_id": "front_door", "door": "Haustür" } }));
    assert_eq!(bench.akuvox.counters().door_openings["0C1105000001/1"], 1);

    let listed = bench.ha.script("latchkey_list_scenes", json!({ "entry_id": "home" })).await;
    let scenes = listed["data"]["scenes"].as_array().unwrap().clone();
    assert!(scenes.iter().any(|it| it["name"] == "Gute Nacht"), "{listed}");

    let arguments = json!({ "entry_id": "home", "scene": "no_such_scene" });
    let refused = bench.ha.script("latchkey_trigger_scene", arguments).await;
    assert_eq!(refused["error"]["code"], "unknown_scene", "{refused}");
    // Digits alone look like a number to Home Assistant, and must arrive as the text that they are.
    let arguments = json!({ "entry_id": "home", "refresh_token": "12345678901234567890123456789012" });
    let refused = bench.ha.script("latchkey_update_tokens", arguments).await;
    assert_eq!(refused["error"]["code"], "refresh_refused", "{refused}");

    bench.stop_latchkey().await;
    bench.ha.until_state("binary_sensor.latchkey_bridge_connection", "off").await;
    let nobody = bench.ha.script("latchkey_refresh_tokens", json!({ "entry_id": "home" })).await;
    assert_eq!(nobody["error"]["code"], "offline", "{nobody}");
    bench.finish().await;
}

#[tokio::test]
async fn a_dead_grant_is_brought_back_by_a_code_without_leaving_the_dashboard() {
    let Some(mut bench) = Bench::set_up().await else { return };
    let dashboard = std::fs::read_to_string(package_file("dashboard.yaml")).unwrap();
    bench.start_with_tokens().await;
    bench.forget_notifications().await;
    for (n, account) in ["front_door", "home"].into_iter().enumerate() {
        // Only what the dashboard offers is touched.
        let on_dashboard = |end: &str| {
            let (domain, name) = end.split_once('.').unwrap();
            let entity = format!("{domain}.latchkey_{account}_{name}");
            assert!(dashboard.contains(&format!("entity: {entity}\n")), "{entity}");
            entity
        };
        match account {
            "home" => bench.aqara.revoke(0, What::Grant),
            _ => bench.akuvox.revoke(0, What::Grant),
        }
        bench.ha.act("button.press", json!({ "entity_id": on_dashboard("button.refresh_now") })).await;
        bench.ha.until_state(&on_dashboard("binary_sensor.needs_attention"), "on").await;
        bench.ha.until_state("counter.trial_needed", &(n + 1).to_string()).await;
        let advice = format!("sensor.latchkey_{account}_advice");
        let is_advice = |it: &serde_json::Value| it["state"].as_str().unwrap().contains("Request a login code");
        bench.ha.until(&advice, "what to do", is_advice).await;

        bench.ha.act("button.press", json!({ "entity_id": on_dashboard("button.request_login_code") })).await;
        let sent = |it: &latchkey::demo::clouds::Counters| it.codes_sent == 1;
        let code = if account == "home" {
            bench.aqara.wait_for(sent).await;
            bench.aqara.newest_code(0)
        } else {
            bench.akuvox.wait_for(sent).await;
            bench.akuvox.newest_code(0)
        };
        let field = on_dashboard("text.login_code");
        bench.ha.act("text.set_value", json!({ "entity_id": field, "value": code })).await;
        bench.ha.until_state(&on_dashboard("sensor.condition"), "ok").await;
        bench.ha.until_state(&on_dashboard("binary_sensor.needs_attention"), "off").await;
        bench.ha.until_state(&advice, "Nothing to do.").await;
        bench.ha.until_state("counter.trial_well", &(n + 1).to_string()).await;
        bench.ha.until_state(&field, "").await;
    }
    // Of the first account, what was seen of notifications is counted too: one came, and it went away.
    bench.ha.until_state("counter.trial_taken_back", "1").await;
    for (counter, count) in [("needed", "2"), ("well", "2"), ("shown", "1"), ("taken_back", "1")] {
        assert_eq!(bench.ha.state(&format!("counter.trial_{counter}")).await.unwrap()["state"], count, "{counter}");
    }
    bench.finish().await;
}

#[tokio::test]
async fn an_account_is_signed_in_by_the_scripts_of_the_package() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_latchkey();
    bench.ha.until_state("sensor.latchkey_front_door_condition", "missing").await;
    let account = json!({ "entry_id": "front_door" });
    let asked = bench.ha.script("latchkey_request_login_code", account.clone()).await;
    assert_eq!(asked["status"], "ok", "{asked}");
    let again = bench.ha.script("latchkey_request_login_code", account).await;
    assert_eq!(again["error"]["code"], "too_soon", "{again}");
    let code = bench.akuvox.newest_code(0).unwrap();
    let login =
        async |code: &str| bench.ha.script("latchkey_login", json!({ "entry_id": "front_door", "code": code })).await;
    // Digits alone, the first of them a zero, must arrive as they are.
    let wrong = login(if code == "012345" { "012346" } else { "012345" }).await;
    assert_eq!(wrong["error"]["code"], "wrong_code", "{wrong}");
    let done = login(&code).await;
    assert_eq!(done["status"], "ok", "{done}");
    bench.ha.until_state("sensor.latchkey_front_door_condition", "ok").await;

    let asked = bench.ha.script("latchkey_request_login_code", json!({ "entry_id": "home" })).await;
    assert_eq!(asked["status"], "ok", "{asked}");
    let arguments = json!({ "entry_id": "home", "code": bench.aqara.newest_code(0) });
    let done = bench.ha.script("latchkey_login", arguments).await;
    assert_eq!(done["status"], "ok", "{done}");
    bench.ha.until_state("sensor.latchkey_home_condition", "ok").await;
    bench.finish().await;
}

#[tokio::test]
async fn a_code_that_is_typed_is_never_a_state() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    let field = "text.latchkey_front_door_login_code";
    bench.ha.until_state(field, "").await;
    bench.ha.act("text.set_value", json!({ "entity_id": field, "value": "0912873" })).await;
    let last = "sensor.latchkey_last_answer";
    bench.ha.until(last, "login answered", |it| it["attributes"]["command"] == "login").await;
    bench.ha.until_state(field, "").await;
    for state in bench.ha.history(field).await {
        assert!(["", "unavailable", "unknown"].contains(&state["state"].as_str().unwrap()), "{state}");
    }
    let states = serde_json::Value::from(bench.ha.states().await).to_string();
    assert!(!states.contains("0912873"), "the code is in a state or an attribute");
    // To clear the field is no command.
    bench.ha.act("text.set_value", json!({ "entity_id": field, "value": "" })).await;
    bench.finish().await;
}

#[tokio::test]
async fn many_scripts_at_once_each_get_their_own_answer() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    let ask = async |account| bench.ha.script("latchkey_status", json!({ "entry_id": account })).await;
    let (front_door, home, nobody) = tokio::join!(ask("front_door"), ask("home"), ask("nobody"));
    for (account, answer) in [("front_door", front_door), ("home", home)] {
        assert_eq!(answer["data"]["entry_id"], account, "{answer}");
    }
    assert_eq!(nobody["error"]["code"], "unknown_account", "{nobody}");
    bench.finish().await;
}

#[tokio::test]
async fn a_dead_grant_needs_attention_once_until_new_tokens_are_handed_in() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    bench.forget_notifications().await;

    bench.akuvox.revoke(0, What::Grant);
    bench.ha.act("button.press", json!({ "entity_id": "button.latchkey_front_door_refresh_now" })).await;
    let needs_attention = "binary_sensor.latchkey_front_door_needs_attention";
    bench.ha.until_state(needs_attention, "on").await;
    bench.ha.until_state("sensor.latchkey_front_door_condition", "reauth_required").await;
    bench.ha.until_state("counter.trial_needed", "1").await;
    bench.ha.until_state("counter.trial_shown", "1").await;

    bench.stop_latchkey().await;
    bench.ha.until_state(needs_attention, "unavailable").await;
    bench.start_latchkey();
    bench.ha.until_state(needs_attention, "on").await;

    let login = bench.akuvox.sign_in(0);
    let arguments = json!({ "entry_id": "front_door", "token": login.token, "refresh_token": login.refresh_token });
    let answer = bench.ha.script("latchkey_update_tokens", arguments).await;
    assert_eq!(answer["data"]["outcome"], "proved", "{answer}");
    bench.ha.until_state(needs_attention, "off").await;
    bench.ha.until_state("sensor.latchkey_front_door_condition", "ok").await;
    bench.ha.until_state("counter.trial_well", "1").await;
    bench.ha.until_state("counter.trial_taken_back", "1").await;
    // It told once, although the account was away and back in between.
    assert_eq!(bench.ha.state("counter.trial_needed").await.unwrap()["state"], "1");
    assert_eq!(bench.ha.state("counter.trial_shown").await.unwrap()["state"], "1");
    bench.finish().await;
}

#[tokio::test]
async fn an_aging_refresh_token_is_warned_of_until_it_is_renewed() {
    let Some(bench) = Bench::set_up().await else { return };
    bench.ha.act("counter.reset", json!({ "entity_id": "counter.trial_warned" })).await;
    bench.ha.act("counter.reset", json!({ "entity_id": "counter.trial_age_shown" })).await;
    let now = Clock::system().now();
    let set = async |hours: i64| {
        let ends = (now + hours.hours()).to_string();
        bench.ha.set_state("sensor.trial_refresh_token_expires", &ends).await;
    };
    set(8 * 24 + 1).await;
    bench.ha.act("automation.trigger", json!({ "entity_id": "automation.trial_ages" })).await;
    set(3 * 24).await;
    bench.ha.act("automation.trigger", json!({ "entity_id": "automation.trial_ages" })).await;
    bench.ha.until_state("counter.trial_warned", "1").await;
    bench.ha.until_state("counter.trial_age_shown", "1").await;
    set(30 * 24).await;
    bench.ha.until_state("counter.trial_age_shown", "0").await;
    assert_eq!(bench.ha.state("counter.trial_warned").await.unwrap()["state"], "1");
    bench.finish().await;
}

#[tokio::test]
async fn the_blueprints_work_with_nothing_but_what_they_require() {
    let Some(mut bench) = Bench::set_up().await else { return };
    let (attention, ages) = ("automation.trial_plain_attention", "automation.trial_plain_ages");
    let are_running = |n: u32| move |it: &serde_json::Value| it["attributes"]["current"] == n;
    bench.ha.act("automation.turn_on", json!({ "entity_id": attention })).await;
    bench.start_latchkey();
    bench.ha.until(attention, "running", are_running(1)).await;
    bench.hand_in_tokens().await;
    bench.ha.until(attention, "idle", are_running(0)).await;
    bench.ha.act("automation.turn_off", json!({ "entity_id": attention })).await;

    let soon = (Clock::system().now() + 1.hour()).to_string();
    bench.ha.set_state("sensor.trial_refresh_token_expires", &soon).await;
    bench.ha.act("counter.reset", json!({ "entity_id": "counter.trial_age_shown" })).await;
    bench.ha.act("automation.trigger", json!({ "entity_id": ages })).await;
    bench.ha.until_state("counter.trial_age_shown", "1").await;
    let much_later = (Clock::system().now() + (30 * 24).hours()).to_string();
    bench.ha.set_state("sensor.trial_refresh_token_expires", &much_later).await;
    bench.ha.until_state("counter.trial_age_shown", "0").await;
    bench.finish().await;
}

#[tokio::test]
async fn the_dashboard_shows_entities_that_exist() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    let dashboard = std::fs::read_to_string(package_file("dashboard.yaml")).unwrap();
    let is_id =
        |it: &&str| it.contains(".latchkey_") && !it.contains(|c: char| c != '.' && c != '_' && !c.is_alphanumeric());
    let values = dashboard.lines().filter_map(|it| it.trim().rsplit(' ').next());
    let named: BTreeSet<&str> = values.filter(is_id).collect();
    assert!(15 < named.len(), "{named:?}");
    for entity in named {
        assert!(bench.ha.state(entity).await.is_some(), "{entity} is on the dashboard and does not exist");
    }
    bench.finish().await;
}
