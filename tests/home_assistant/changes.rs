//! What is changed or removed leaves nothing stale, what was deleted stays away, and two Latchkeys do not meet.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;
use tokio::time::sleep;

use crate::{api::Registered, bench::Bench};

fn devices(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect()
}

fn has_devices(registered: &Registered, of: &[(&str, &str)]) -> bool {
    registered.devices == devices(of)
}

/// Latchkey takes a removal for done when it has been quiet for two seconds. One that stops before repeats it at its next
/// start, about which Home Assistant complains; and nothing tells from outside that it is done.
const UNTIL_NOTED: Duration = Duration::from_secs(3);

const AS_CONFIGURED: [(&str, &str); 3] =
    [("latchkey_bridge", "Latchkey"), ("latchkey_front_door", "Front door"), ("latchkey_home", "Home")];

#[tokio::test]
async fn what_is_changed_or_removed_leaves_nothing_stale() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    bench.everything_announced().await;
    let before = bench.ha.until_registered("as configured", |it| has_devices(it, &AS_CONFIGURED)).await;
    assert!(before.entities.contains("scene.latchkey_home_tv_warning"));

    // A scene has another name in the configuration, and an account is shown by another one.
    bench
        .reconfigure(|it| it.replace("tv_warning =", "tv_alarm =").replace("name = \"Front door\"", "name = \"Gate\""))
        .await;
    let now = bench
        .ha
        .until_registered("renamed", |it| {
            it.devices["latchkey_front_door"] == "Gate" && it.entities.contains("scene.latchkey_home_tv_alarm")
        })
        .await;
    let now = match now.entities.contains("scene.latchkey_home_tv_warning") {
        false => now,
        true => {
            bench.ha.until_registered("rid of it", |it| !it.entities.contains("scene.latchkey_home_tv_warning")).await
        }
    };
    let differences: BTreeSet<&String> = now.entities.symmetric_difference(&before.entities).collect();
    assert_eq!(differences.len(), 2, "the ids of all others stay: {differences:?}");
    let shown = |it: &serde_json::Value| it["attributes"]["friendly_name"] == "Gate Condition";
    bench.ha.until("sensor.latchkey_front_door_condition", "shown by its new name", shown).await;
    sleep(UNTIL_NOTED).await;

    // One account has another id, the other is gone.
    bench.reconfigure(|it| only_home(&it).replace("[accounts.home", "[accounts.house")).await;
    let now = [("latchkey_bridge", "Latchkey"), ("latchkey_house", "Home")];
    let now = bench.ha.until_registered("those of house", |it| has_devices(it, &now)).await;
    let is_stale = |it: &&String| it.contains("latchkey_home_") || it.contains("latchkey_front_door");
    assert_eq!(now.entities.iter().find(is_stale), None);
    bench.ha.until_state("sensor.latchkey_house_condition", "missing").await;
    for beginning in ["homeassistant/device/latchkey_", "latchkey/"] {
        let retained = bench.retained(beginning);
        let is_stale =
            |it: &&String| it.contains("home/") || it.contains("latchkey_home/") || it.contains("front_door");
        assert_eq!(retained.iter().find(is_stale), None, "{retained:?}");
    }
    sleep(UNTIL_NOTED).await;

    // Another prefix, to which this Home Assistant does not listen.
    bench
        .reconfigure(|it| it.replace("[home_assistant]\n", "[home_assistant]\ndiscovery_prefix = \"elsewhere\"\n"))
        .await;
    bench.ha.until_registered("empty", |it| it.devices.is_empty() && it.entities.is_empty()).await;
    bench.until_retained("elsewhere/device/latchkey_home/config").await;
    sleep(UNTIL_NOTED).await;
    assert_eq!(bench.retained("homeassistant/device/latchkey_"), BTreeSet::new());

    // Back there, as another instance.
    bench.reconfigure(|it| format!("instance = \"lodge\"\n{it}")).await;
    let of_lodge = [
        ("latchkey_lodge-bridge", "Latchkey lodge"),
        ("latchkey_lodge-front_door", "Front door"),
        ("latchkey_lodge-home", "Home"),
    ];
    let now = bench.ha.until_registered("the lodge's", |it| has_devices(it, &of_lodge)).await;
    assert!(now.entities.iter().all(|it| it.contains("latchkey_lodge_")), "{:?}", now.entities);
    assert_eq!(bench.retained("elsewhere/"), BTreeSet::new());
    sleep(UNTIL_NOTED).await;

    // And as it was.
    bench.reconfigure(|it| it).await;
    bench.everything_announced().await;
    let after = bench.ha.until_registered("as configured", |it| has_devices(it, &AS_CONFIGURED)).await;
    assert_eq!(after.entities, before.entities);
    bench.forget_retained("latchkey_lodge/").await;
    bench.finish().await;
}

/// The configuration without the first of its two accounts.
fn only_home(configuration: &str) -> String {
    let (settings, accounts) = configuration.split_once("[accounts.front_door]").unwrap();
    let home = accounts.find("[accounts.home]").unwrap();
    format!("{settings}{}", &accounts[home..])
}

#[tokio::test]
async fn a_device_that_is_deleted_in_home_assistant_stays_away_until_it_gets_another_name() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    bench.everything_announced().await;
    bench.ha.delete_device("latchkey_home").await;
    let without = [AS_CONFIGURED[0], AS_CONFIGURED[1]];
    let is_without = |it: &Registered| has_devices(it, &without) && !it.entities.iter().any(|it| it.contains("_home_"));
    bench.ha.until_registered("without it", is_without).await;
    // Home Assistant says so at the broker a moment later, and one who is not there then cannot know of it.
    bench.until_logged("was deleted in Home Assistant").await;

    // A change at the other account, and a start with a new scene: each announces something.
    bench.reconfigure(|it| it.replace("tv_warning =", "tv_alarm =").replace("\"Front door\"", "\"Gate\"")).await;
    let renamed = |it: &serde_json::Value| it["attributes"]["friendly_name"] == "Gate Condition";
    bench.ha.until("sensor.latchkey_front_door_condition", "announced again", renamed).await;
    bench.restart_home_assistant().await;
    bench.ha.until_state("sensor.latchkey_front_door_condition", "ok").await;
    assert!(!bench.ha.registered().await.devices.contains_key("latchkey_home"));
    assert!(!bench.retained("homeassistant/").iter().any(|it| it.contains("latchkey_home")));

    bench.reconfigure(|it| it.replace("name = \"Home\"", "name = \"House\"")).await;
    let back = |it: &Registered| it.devices.get("latchkey_home").is_some_and(|it| it == "House");
    bench.ha.until_registered("with it again", back).await;
    bench.ha.until_state("sensor.latchkey_home_condition", "ok").await;
    bench.finish().await;
}

#[tokio::test]
async fn two_latchkeys_on_one_broker_do_not_meet() {
    let Some(mut bench) = Bench::set_up().await else { return };
    bench.start_with_tokens().await;
    let mine = bench.everything_announced().await;
    bench.start_cabin();
    bench.ha.until_state("sensor.latchkey_cabin_home_condition", "missing").await;
    bench.ha.until_state("sensor.latchkey_cabin_front_door_condition", "missing").await;
    let tokens = json!({ "refresh_token": bench.aqara.credentials(1).refresh_token }).to_string();
    let publish = json!({ "topic": "latchkey_cabin/home/update_tokens", "payload": tokens, "qos": 1 });
    bench.ha.act("mqtt.publish", publish).await;
    bench.ha.until_state("sensor.latchkey_cabin_home_condition", "ok").await;
    assert_eq!(bench.ha.state("sensor.latchkey_home_condition").await.unwrap()["state"], "ok");
    assert_eq!(bench.ha.state("sensor.latchkey_front_door_condition").await.unwrap()["state"], "ok");

    // A scene of each, and each goes to its own login.
    let scene = "scene.latchkey_cabin_home_tv_warning";
    bench.ha.until(scene, "there", |it| it["state"] != "unavailable").await;
    let log = bench.aqara.log().len();
    bench.ha.act("scene.turn_on", json!({ "entity_id": scene })).await;
    bench.aqara.wait_for(|it| !it.scene_runs.is_empty()).await;
    let askers: BTreeSet<Option<usize>> = bench.aqara.log()[log..].iter().map(|it| it.account).collect();
    assert_eq!(askers, BTreeSet::from([Some(1)]));

    // One stops, and the other does not notice.
    bench.stop_latchkey().await;
    bench.ha.until_state("sensor.latchkey_home_condition", "unavailable").await;
    assert_eq!(bench.ha.state("sensor.latchkey_cabin_home_condition").await.unwrap()["state"], "ok");
    assert_eq!(bench.ha.state("binary_sensor.latchkey_cabin_bridge_connection").await.unwrap()["state"], "on");
    bench.start_latchkey();
    bench.ha.until_state("sensor.latchkey_home_condition", "ok").await;
    bench.stop_cabin().await;
    bench.ha.until_state("sensor.latchkey_cabin_home_condition", "unavailable").await;
    assert_eq!(bench.ha.state("sensor.latchkey_home_condition").await.unwrap()["state"], "ok");

    // It is gone for good: what it left is taken away, as its user would.
    for device in ["latchkey_cabin-home", "latchkey_cabin-front_door", "latchkey_cabin-bridge"] {
        bench.ha.delete_device(device).await;
    }
    bench.forget_retained("latchkey_cabin/").await;
    bench.ha.until_registered("without the cabin", |it| it.devices.len() == 3).await;
    assert_eq!(bench.announced().await, mine);
    bench.finish().await;
}
