//! Every shape of an answer that protocol/aqara.md documents, as a file that the parsers are run over.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use proptest::prelude::*;
use serde_json::Value;

use super::{answer, intent::Intent, listing};
use crate::{
    account::{Class, Code, Secret},
    vendor::{Answer, VendorError},
};

/// A name and its file.
macro_rules! fixtures {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../tests/fixtures/aqara/", $name, ".json")))),*]
    };
}

const ALL: &[(&str, &str)] = fixtures![
    "access_token_refused_108",
    "create_account",
    "create_account_with_tokens",
    "device_info",
    "device_info_times_as_text",
    "envelope_failure_both_details",
    "envelope_failure_chinese",
    "envelope_failure_empty_request_id",
    "envelope_failure_english",
    "envelope_failure_gateway_request_id",
    "envelope_failure_msg_details",
    "envelope_failure_without_request_id",
    "envelope_success_code_as_text",
    "envelope_success_message_detail",
    "envelope_success_msg_details",
    "envelope_success_result_null",
    "envelope_success_unknown_fields",
    "envelope_success_without_result",
    "get_auth_code",
    "get_auth_code_with_the_code",
    "get_token",
    "list_positions",
    "list_positions_rooms",
    "list_scenes",
    "list_scenes_empty",
    "oauth_access_token",
    "refresh_token",
    "refresh_token_incorrect_2006",
    "refresh_token_number",
    "resource_value",
    "run_scene_null",
    "run_scene_object",
    "run_scene_text",
    "write_resource",
];

const INTENTS: [Intent; 6] =
    [Intent::RequestCode, Intent::Login, Intent::Refresh, Intent::RunScene, Intent::ListPositions, Intent::ListScenes];

const ACCESS: &str = "0badc0de0badc0de0badc0de0badc0de";
const REFRESH: &str = "feedfacefeedfacefeedfacefeedface";

fn fixture(name: &str) -> Answer {
    answer_of(ALL.iter().find(|it| it.0 == name).unwrap_or_else(|| panic!("{name}")).1)
}

fn answer_of(body: &str) -> Answer {
    Answer::of(Secret::new(body))
}

fn is_done(name: &str, intent: Intent) -> Result<Value, VendorError> {
    answer::result(&fixture(name), intent)
}

#[test]
fn every_file_is_among_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/aqara");
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path().file_stem().unwrap().to_owned());
    let files: BTreeSet<String> = files.map(|it| it.into_string().unwrap()).collect();
    assert_eq!(files, ALL.iter().map(|it| it.0.to_owned()).collect());
}

#[test]
fn an_envelope_says_yes_whatever_stands_beside_its_code() {
    for (name, _) in ALL.iter().filter(|it| it.0.starts_with("envelope_success") || it.0.starts_with("run_scene")) {
        for intent in INTENTS {
            assert!(is_done(name, intent).is_ok(), "{name}");
        }
    }
}

#[test]
fn a_refusal_is_known_by_its_code_under_either_name_of_its_detail_and_in_either_language() {
    for (name, class, code) in [
        ("envelope_failure_english", Class::Target, "1202"),
        ("envelope_failure_chinese", Class::Target, "1202"),
        ("envelope_failure_msg_details", Class::ConfigFault, "106"),
        ("envelope_failure_both_details", Class::Target, "302"),
        ("envelope_failure_gateway_request_id", Class::Transient, "104"),
        ("envelope_failure_empty_request_id", Class::Target, "403"),
        ("envelope_failure_without_request_id", Class::Throttled { retry_after: None }, "429"),
        ("access_token_refused_108", Class::AccessRejected, "108"),
    ] {
        let failure = is_done(name, Intent::RunScene).unwrap_err();
        assert_eq!((failure.class, failure.vendor_code.as_deref()), (class, Some(code)), "{name}");
    }
}

#[test]
fn a_refusal_that_quotes_a_token_is_told_without_it() {
    for (name, token) in [("access_token_refused_108", ACCESS), ("refresh_token_incorrect_2006", REFRESH)] {
        assert!(fixture(name).body.expose().contains(token));
        for intent in INTENTS {
            let failure = is_done(name, intent).unwrap_err();
            assert!(!format!("{failure}{failure:?}").contains(&token[..8]), "{failure:?}");
        }
    }
    let dead = is_done("refresh_token_incorrect_2006", Intent::Refresh).unwrap_err();
    assert_eq!(dead.class, Class::GrantDead { expired: false });
}

#[test]
fn a_code_is_on_its_way_whether_or_not_the_answer_bears_it() {
    for name in ["get_auth_code", "get_auth_code_with_the_code"] {
        assert!(is_done(name, Intent::RequestCode).is_ok());
        let failure = answer::tokens(&fixture(name), Intent::Login).unwrap_err();
        assert_eq!((failure.class, failure.code), (Class::Protocol, Code::UnreadableAnswer), "it is no login");
    }
}

#[test]
fn a_pair_is_read_with_its_lifetime_and_its_owner() {
    for (name, intent, seconds) in [
        ("get_token", Intent::Login, 604_800),
        ("refresh_token", Intent::Refresh, 86_400),
        ("refresh_token_number", Intent::Refresh, 604_800),
        ("create_account_with_tokens", Intent::Login, 604_800),
    ] {
        let fresh = answer::tokens(&fixture(name), intent).unwrap();
        assert_eq!((fresh.access, fresh.refresh), (Some(Secret::new(ACCESS)), Some(Secret::new(REFRESH))), "{name}");
        assert_eq!(fresh.access_lifetime, Some(Duration::from_secs(seconds)), "{name}");
        assert!(fresh.extras.open_id.is_some_and(|it| it.len() == 33), "{name}");
    }
    assert_eq!(answer::tokens(&fixture("create_account"), Intent::Login).unwrap_err().class, Class::Protocol);
}

#[test]
fn scenes_and_positions_are_read_with_names_fit_to_be_shown() {
    let names = |name, intent| {
        let page = listing::read(&fixture(name), intent).unwrap();
        page.items.into_iter().map(|it| (it.id, it.name)).collect::<Vec<_>>()
    };
    let expect = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect::<Vec<_>>()
    };
    let scenes = [
        ("AL.710000000000000001", "TV PIN entry"),
        ("AL.710000000000000002", "Gute Nacht"),
        ("AL.710000000000000003", "回家"),
        ("AL.710000000000000004", "Leaving"),
    ];
    assert_eq!(names("list_scenes", Intent::ListScenes), expect(&scenes));
    assert_eq!(names("list_scenes_empty", Intent::ListScenes), []);
    let positions = [("real1.720000000000000001", "Home"), ("real1.720000000000000002", "Cabin")];
    assert_eq!(names("list_positions", Intent::ListPositions), expect(&positions));
    let rooms = [("real2.720000000000000011", "Küche")];
    assert_eq!(names("list_positions_rooms", Intent::ListPositions), expect(&rooms));
}

#[test]
fn lists_of_other_things_hold_no_scenes() {
    for name in ["device_info", "device_info_times_as_text", "resource_value", "write_resource"] {
        assert!(is_done(name, Intent::RunScene).is_ok(), "{name}");
        assert_eq!(listing::read(&fixture(name), Intent::ListScenes).unwrap().items, [], "{name}");
    }
}

/// The answer of the OAuth endpoints, which Latchkey does not use: it is no envelope.
#[test]
fn a_flat_pair_is_not_taken_for_an_envelope_and_its_access_token_is_not_stored() {
    let flat = fixture("oauth_access_token");
    let failure = answer::tokens(&flat, Intent::Refresh).unwrap_err();
    assert_eq!((failure.class, failure.code), (Class::Ambiguous, Code::UnreadableAnswer));
    let stored = answer::without_access_token(&flat).unwrap();
    assert!(!stored.expose().contains(ACCESS) && stored.expose().contains(REFRESH));
}

#[test]
fn no_fixture_is_stored_with_an_access_token_in_a_field_of_its_own() {
    for (name, _) in ALL.iter().filter(|it| !it.0.starts_with("access_token_refused")) {
        let stored = answer::without_access_token(&fixture(name)).unwrap();
        assert!(!stored.expose().contains(ACCESS), "{name}");
    }
}

/// What every parser is asked; none may panic.
fn read_by_all(answer: &Answer) {
    for intent in INTENTS {
        let _ = answer::result(answer, intent);
        let _ = answer::tokens(answer, intent);
        let _ = listing::read(answer, intent);
    }
    let _ = answer::code(answer);
    let _ = answer::without_access_token(answer);
}

/// Any JSON, with the keys that the parsers look for.
fn json() -> impl Strategy<Value = Value> {
    let keys = [
        "code",
        "result",
        "data",
        "totalCount",
        "sceneId",
        "positionId",
        "name",
        "positionName",
        "accessToken",
        "refreshToken",
        "expiresIn",
        "openId",
        "message",
        "access_token",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::from(0)),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(keys.to_vec()), inner, 0..6)
                .prop_map(|it| it.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_as_an_answer_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_by_all(&answer_of(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn no_json_as_an_answer_makes_a_parser_panic(value in json()) {
        read_by_all(&answer_of(&value.to_string()));
        read_by_all(&answer_of(&serde_json::json!({ "code": 0, "result": value }).to_string()));
    }

    #[test]
    fn no_damage_to_a_real_answer_makes_a_parser_panic(
        (_, body) in prop::sample::select(ALL),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = body.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if is_cut {
            bytes.truncate(at);
        }
        read_by_all(&answer_of(&String::from_utf8_lossy(&bytes)));
    }
}

#[test]
fn an_answer_that_is_nothing_but_depth_makes_no_parser_panic() {
    for open in ["[", "{\"result\":", "{\"code\":0,\"result\":{\"data\":["] {
        read_by_all(&answer_of(&open.repeat(20_000)));
    }
}
