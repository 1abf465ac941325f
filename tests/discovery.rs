//! What Home Assistant is given: `ha-discovery/*.json` holds the code to it. `UPDATE_GOLDEN=1` rewrites the files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use latchkey::{
    account::{AmbiguousPolicy, BackOff, Circumstances, Code, Condition, Inventory, Policy, Record, Status, Target},
    homeassistant::{Announcement, House, account_device, advice, bridge_device},
    keeper::Card,
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

fn akuvox() -> (Card, Inventory) {
    let card = Card {
        id: "front_door".parse().unwrap(),
        name: None,
        vendor: VendorKind::Akuvox,
        opens_doors: true,
        logs_in_by_code: true,
        logs_in_by_password: false,
        shares_access_token: false,
    };
    let doors = vec![
        Target::discovered("0C1105AABBCC/0", "Hauptübergang"),
        Target::discovered("0C1105AABBCC/1", "Garage "),
        Target::discovered("0C1105DDEEFF/0", "Garage"),
    ];
    (card, Inventory { doors, scenes: Vec::new() })
}

fn aqara() -> (Card, Inventory) {
    let card = Card {
        id: "home".parse().unwrap(),
        name: Some("Aqara at home".to_owned()),
        vendor: VendorKind::Aqara,
        opens_doors: false,
        logs_in_by_code: true,
        logs_in_by_password: false,
        shares_access_token: false,
    };
    let scenes = vec![
        Target { key: "tv_pin_entry".to_owned(), id: "AL.1".to_owned(), name: "TV PIN entry".to_owned() },
        Target::discovered("AL.832619739930738688", "Guten Morgen"),
    ];
    (card, Inventory { doors: Vec::new(), scenes })
}

fn device(house: &House, (card, inventory): &(Card, Inventory)) -> Announcement {
    account_device(house, card, inventory)
}

/// The entities of a device by their keys.
fn components(announcement: &Announcement) -> serde_json::Map<String, Value> {
    payload(announcement)["components"].as_object().unwrap().clone()
}

fn status() -> Status {
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
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    Status::of(&Record::default(), &policy, &"home".parse().unwrap(), Circumstances::default(), now)
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
    hold_to_golden("akuvox.json", &device(&house(None), &akuvox()));
}

#[test]
fn an_aqara_account_of_a_named_instance_is_announced_as_its_golden_file_says() {
    hold_to_golden("aqara.json", &device(&house(Some("cabin")), &aqara()));
}

/// Whether an entity reads the state document.
fn is_of_state(component: &Value) -> bool {
    component["state_topic"] == "latchkey/home/state"
}

#[test]
fn every_template_reads_a_field_that_the_state_document_has() {
    let status = serde_json::to_value(status()).unwrap();
    let mut fields = BTreeSet::new();
    for component in components(&device(&house(None), &aqara())).values().filter(|it| is_of_state(it)) {
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
    let all: Vec<String> = Condition::ALL.iter().map(Condition::to_string).collect();
    assert_eq!(components(&device(&house(None), &akuvox()))["condition"]["options"], json!(all));
}

#[test]
fn a_door_and_a_scene_are_called_by_their_keys_and_shown_by_their_names() {
    let doors = components(&device(&house(None), &akuvox()));
    let (first, second) = (&doors["open_0c1105aabbcc_1"], &doors["open_0c1105ddeeff_0"]);
    assert_eq!((&first["name"], &second["name"]), (&json!("Garage"), &json!("Garage")));
    for field in ["unique_id", "default_entity_id", "command_topic"] {
        assert_ne!(first[field], second[field], "{field}");
    }
    assert_eq!(first["command_topic"], "latchkey/front_door/door/0c1105aabbcc_1/press");
    let scene = components(&device(&house(None), &aqara()))["scene_al_832619739930738688"].clone();
    assert_eq!(scene["default_entity_id"], "scene.latchkey_home_al_832619739930738688");
    assert_eq!(scene["command_topic"], "latchkey/home/scene/al_832619739930738688/set");
    for acting in [first, second, &scene] {
        assert_eq!((&acting["qos"], &acting["entity_category"]), (&json!(0), &Value::Null));
    }
}

#[test]
fn a_target_without_a_name_is_shown_by_its_key_and_of_two_with_one_key_the_first_counts() {
    let (card, _) = aqara();
    let scenes = vec![Target::discovered("AL.1", " "), Target::discovered("AL-1", "Another")];
    let scenes = components(&account_device(&house(None), &card, &Inventory { doors: Vec::new(), scenes }));
    assert_eq!(scenes["scene_al_1"]["name"], "al_1");
}

#[test]
fn doors_and_the_login_are_announced_only_where_they_are_switched_on() {
    let keys = |account: &(Card, Inventory)| -> BTreeSet<String> {
        components(&device(&house(None), account)).into_iter().map(|it| it.0).collect()
    };
    let (card, inventory) = akuvox();
    let everything = keys(&(card.clone(), inventory.clone()));
    let no_doors = keys(&(Card { opens_doors: false, ..card.clone() }, inventory.clone()));
    let doors = ["open_0c1105aabbcc_0", "open_0c1105aabbcc_1", "open_0c1105ddeeff_0"];
    assert_eq!(everything.difference(&no_doors).collect::<Vec<_>>(), doors);
    let no_login = keys(&(Card { logs_in_by_code: false, ..card }, inventory));
    assert_eq!(everything.difference(&no_login).collect::<Vec<_>>(), ["login_code", "request_login_code"]);
}

#[test]
fn the_field_for_a_code_has_a_state_of_its_own_which_is_no_code() {
    let field = components(&device(&house(None), &aqara()))["login_code"].clone();
    assert_ne!(field["state_topic"], field["command_topic"]);
    assert_eq!(field["state_topic"], "latchkey/home/login/state");
    assert_eq!(field["availability_mode"], "all");
    assert_eq!(field["availability"][0]["topic"], "latchkey/bridge/state");
    assert_eq!(field["availability"][1]["topic"], field["state_topic"]);
}

#[test]
fn advice_fits_into_a_state_whatever_went_wrong() {
    for condition in Condition::ALL {
        for last_error in CODES.map(Some).into_iter().chain([None]) {
            for logs_in_by_code in [false, true] {
                let status = Status { condition, last_error, problem: true, ..status() };
                let Some(advice) = advice(&status, logs_in_by_code) else {
                    assert!(matches!(condition, Condition::Ok | Condition::Expiring), "{condition} has no advice");
                    continue;
                };
                assert!(advice.len() <= 255, "{} bytes: {advice}", advice.len());
                assert!(advice.starts_with(char::is_uppercase) && advice.ends_with('.'), "{advice}");
            }
        }
    }
}

#[test]
fn advice_is_given_only_where_somebody_is_needed_and_names_the_way_that_is_there() {
    let dead = Status { condition: Condition::ReauthRequired, last_error: Some(Code::RefreshTokenExpired), ..status() };
    assert_eq!(advice(&Status { problem: false, ..dead.clone() }, true), None);
    let by_code = advice(&dead, true).unwrap();
    assert_eq!(
        by_code,
        "Refresh token has expired. Request a login code, and give the code that arrives as Login code."
    );
    let by_tokens = advice(&dead, false).unwrap();
    assert!(by_tokens.contains("update_tokens"), "{by_tokens}");
    // A cloud that cannot be reached now is not why the login died.
    let tried_since = Status { last_error: Some(Code::Unreachable), ..dead };
    assert!(advice(&tried_since, false).unwrap().contains("does not accept the refresh token"));
}

/// What `last_error` may be.
const CODES: [Code; 22] = [
    Code::NoRefreshToken,
    Code::TokenRequired,
    Code::AlreadySpent,
    Code::TokenInUse,
    Code::TooSoon,
    Code::LoginNotSet,
    Code::WrongCode,
    Code::LoginRefused,
    Code::Unreachable,
    Code::NoAnswer,
    Code::VendorBusy,
    Code::Throttled,
    Code::AccessRejected,
    Code::RefreshRefused,
    Code::RefreshTokenExpired,
    Code::ReplyLost,
    Code::SignedInElsewhere,
    Code::ConfigFault,
    Code::ClockSkew,
    Code::UnreadableAnswer,
    Code::OutcomeUnknown,
    Code::Internal,
];

#[test]
fn no_two_entities_of_two_accounts_have_one_unique_id() {
    let scenes = |ids: &[&str]| Inventory {
        scenes: ids.iter().map(|it| Target::discovered(*it, "")).collect(),
        doors: ids.iter().map(|it| Target::discovered(*it, "")).collect(),
    };
    let card = |id: &str| Card { id: id.parse().unwrap(), opens_doors: true, ..aqara().0 };
    let accounts = [
        (card("home"), scenes(&["a_scene_b", "b"])),
        (card("home_scene_a"), scenes(&["b"])),
        (card("cabin_home"), scenes(&["b"])),
    ];
    let mut ids = BTreeSet::new();
    for house in [house(None), house(Some("cabin"))] {
        for account in &accounts {
            for component in components(&device(&house, account)).values() {
                assert!(ids.insert(component["unique_id"].to_string()), "{}", component["unique_id"]);
            }
        }
    }
}
