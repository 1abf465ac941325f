//! What Home Assistant is given: `ha-discovery/*.json` holds the code to it. `UPDATE_GOLDEN=1` rewrites the files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use latchkey::{
    account::{AmbiguousPolicy, BackOff, Circumstances, Condition, Policy, Record, Status},
    homeassistant::{AccountCard, Announcement, House, SceneCard, account_device, bridge_device},
    vendor::VendorKind,
};
use serde_json::{Value, json};

fn house(instance: Option<&str>) -> House {
    House {
        discovery_prefix: "homeassistant".to_owned(),
        base_topic: instance.map_or_else(|| "latchkey".to_owned(), |it| format!("latchkey_{it}")),
        instance: instance.map(str::to_owned),
        // Not the version of this build, so that a release does not change the files.
        version: "1.2.3",
        public_url: Some("http://latchkey.local:8780/".to_owned()),
    }
}

fn akuvox() -> AccountCard {
    AccountCard { id: "front_door".parse().unwrap(), name: None, vendor: VendorKind::Akuvox, scenes: Vec::new() }
}

fn aqara() -> AccountCard {
    AccountCard {
        id: "home".parse().unwrap(),
        name: Some("Aqara at home".to_owned()),
        vendor: VendorKind::Aqara,
        scenes: vec![
            SceneCard { key: "tv_pin_entry".to_owned(), name: "TV PIN entry".to_owned() },
            SceneCard { key: "al_832619739930738688".to_owned(), name: "Guten Morgen".to_owned() },
        ],
    }
}

fn payload(announcement: &Announcement) -> Value {
    serde_json::from_slice(&announcement.message().payload).unwrap()
}

fn hold_to_golden(name: &str, announcement: &Announcement) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ha-discovery").join(name);
    let given = json!({ "topic": announcement.topic, "payload": payload(announcement) });
    let given = serde_json::to_string_pretty(&given).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &given).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == given,
        "{name} differs from what is announced; if that is meant, run with UPDATE_GOLDEN=1:\n{given}"
    );
}

#[test]
fn the_bridge_is_announced_as_its_golden_file_says() {
    hold_to_golden("bridge.json", &bridge_device(&house(None)));
}

#[test]
fn an_akuvox_account_is_announced_as_its_golden_file_says() {
    hold_to_golden("akuvox.json", &account_device(&house(None), &akuvox()));
}

#[test]
fn an_aqara_account_of_a_named_instance_is_announced_as_its_golden_file_says() {
    hold_to_golden("aqara.json", &account_device(&house(Some("cabin")), &aqara()));
}

#[test]
fn every_template_reads_a_field_that_the_state_document_has() {
    let policy = Policy {
        refresh_every: None,
        safety_margin: Duration::ZERO,
        jitter: Duration::ZERO,
        min_refresh_gap: Duration::ZERO,
        back_off: BackOff { first: Duration::ZERO, longest: Duration::ZERO },
        ambiguous: AmbiguousPolicy::RetryOnce,
        usual_lifetime: Duration::from_secs(604_800),
        refresh_outlives_access: None,
        refresh_needs_access: false,
        persist_access: false,
    };
    let card = aqara();
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    let status = Status::of(&Record::default(), &policy, &card.id, Circumstances::default(), now);
    let status = serde_json::to_value(status).unwrap();
    let document = payload(&account_device(&house(None), &card));
    let mut fields = BTreeSet::new();
    for component in document["components"].as_object().unwrap().values() {
        for template in ["value_template", "json_attributes_template"].map(|it| component[it].as_str().unwrap_or("")) {
            let names = template.split("value_json.").skip(1);
            fields.extend(
                names.map(|it| it.split(|it: char| it != '_' && !it.is_alphanumeric()).next().unwrap().to_owned()),
            );
        }
    }
    assert!(fields.len() > 10, "{fields:?}");
    for field in fields {
        assert!(status.get(&field).is_some(), "{field} is not in the state document");
    }
}

#[test]
fn the_options_of_the_condition_are_all_conditions() {
    let document = payload(&account_device(&house(None), &akuvox()));
    let all: Vec<String> = Condition::ALL.iter().map(Condition::to_string).collect();
    assert_eq!(document["components"]["condition"]["options"], json!(all));
}

#[test]
fn no_two_entities_of_two_accounts_have_one_unique_id() {
    let scenes =
        |keys: &[&str]| keys.iter().map(|it| SceneCard { key: (*it).to_owned(), name: String::new() }).collect();
    let cards = [
        AccountCard { id: "home".parse().unwrap(), scenes: scenes(&["a_scene_b", "b"]), ..aqara() },
        AccountCard { id: "home_scene_a".parse().unwrap(), scenes: scenes(&["b"]), ..aqara() },
        AccountCard { id: "cabin_home".parse().unwrap(), scenes: scenes(&["b"]), ..aqara() },
    ];
    let mut ids = BTreeSet::new();
    for house in [house(None), house(Some("cabin"))] {
        for card in &cards {
            for component in payload(&account_device(&house, card))["components"].as_object().unwrap().values() {
                assert!(ids.insert(component["unique_id"].to_string()), "{}", component["unique_id"]);
            }
        }
    }
}
