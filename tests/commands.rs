//! Commands by MQTT, sent as a user sends them: what they do, and the one reply that each of them gets.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use latchkey::{demo::clouds::Fault, demo::clouds::FaultKind, demo::clouds::What, mqtt::Qos};
use serde_json::{Value, json};
use support::{
    latchkey::{Bench, CONNECTED, Client, response_topic, text},
    mosquitto::{Mosquitto, MosquittoOptions},
};

/// As [`started`], and the account at Akuvox has a phone that gets codes, and doors that may be opened.
async fn started_with_phone() -> (Bench, support::latchkey::Latchkey, Client) {
    let mut bench = Bench::new().await;
    let resident = bench.akuvox.credentials(0);
    let (dial_code, phone) = (resident.dial_code, resident.phone_number);
    bench.front_door = format!("dial_code = {dial_code:?}\nphone = {phone:?}\ndoors = true");
    let latchkey = bench.run().await;
    let client = bench.client().await;
    (bench, latchkey, client)
}

/// A running Latchkey without tokens, and somebody who talks to it.
async fn started() -> (Bench, support::latchkey::Latchkey, Client) {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    (bench, latchkey, client)
}

async fn signed_in() -> (Bench, support::latchkey::Latchkey, Client) {
    let (bench, latchkey, client) = started().await;
    bench.sign_in(&client).await;
    (bench, latchkey, client)
}

fn code(reply: &Value) -> &str {
    assert_eq!(reply["status"], "error", "{reply}");
    assert!(reply["error"]["message"].as_str().is_some_and(|it| !it.is_empty()), "{reply}");
    assert!(reply["error"]["hint"].as_str().is_some_and(|it| !it.is_empty()), "{reply}");
    reply["error"]["code"].as_str().unwrap()
}

fn data(reply: &Value) -> &Value {
    assert_eq!(reply["status"], "ok", "{reply}");
    &reply["data"]
}

fn with_entry_id(tokens: &str, entry_id: &str) -> String {
    let mut tokens: Value = serde_json::from_str(tokens).unwrap();
    tokens["entry_id"] = json!(entry_id);
    tokens.to_string()
}

#[tokio::test]
async fn tokens_are_updated_by_the_account_topic_and_by_the_bridge_topic() {
    let (bench, _latchkey, client) = started().await;
    let reply = client.request("latchkey/front_door/update_tokens", bench.front_door_tokens().as_bytes()).await;
    assert_eq!(data(&reply)["entry_id"], "front_door");
    assert_eq!(data(&reply)["outcome"], "proved");
    let state = client.state("front_door", |it| it["condition"] == "ok").await;
    assert_eq!(state["generation"], data(&reply)["generation"]);
    assert_eq!(state["access_token_status"], "valid");

    let tokens = with_entry_id(&bench.home_tokens(), "home");
    let reply = client.request("latchkey/bridge/request/update_tokens", tokens.as_bytes()).await;
    assert_eq!(data(&reply)["entry_id"], "home");
    assert_eq!(data(&reply)["outcome"], "proved");
    client.state("home", |it| it["condition"] == "ok").await;
}

#[tokio::test]
async fn tokens_are_refreshed_by_an_empty_object_a_bare_id_and_json() {
    let (bench, _latchkey, client) = signed_in().await;
    let before = bench.akuvox.counters().refreshes;
    let spellings = [
        ("latchkey/front_door/refresh_tokens", "{}"),
        ("latchkey/bridge/request/refresh_tokens", "front_door"),
        ("latchkey/bridge/request/refresh_tokens", "\"front_door\""),
        ("latchkey/bridge/request/refresh_tokens", r#"{"entry_id": "front_door"}"#),
    ];
    let mut generation = 0;
    for (n_refreshes, (topic, payload)) in (1..).zip(spellings) {
        let reply = client.request(topic, payload.as_bytes()).await;
        assert_eq!(data(&reply)["entry_id"], "front_door", "{payload}");
        let next = data(&reply)["generation"].as_u64().unwrap();
        assert!(generation < next, "{payload}");
        generation = next;
        assert_eq!(bench.akuvox.counters().refreshes, before + n_refreshes, "{payload}");
    }
    assert_eq!(bench.akuvox.counters().replays, 0);
}

#[tokio::test]
async fn a_refresh_is_told_as_an_event_and_in_the_state_before_its_reply() {
    let (_bench, _latchkey, client) = signed_in().await;
    let mark = client.mark();
    let reply = client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    let said = client.since(mark);
    let event = said.iter().find(|it| it.topic == "latchkey/front_door/event").unwrap();
    let event: Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!((&event["event_type"], &event["by"]), (&json!("refreshed"), &json!("command")));
    assert_eq!(event["generation"], data(&reply)["generation"]);
    let state = client.state("front_door", |it| it["generation"] == event["generation"]).await;
    assert_eq!(state["refresh_count"], 2);
}

#[tokio::test]
async fn a_scene_is_triggered_by_a_bare_name_json_its_id_and_its_own_topic() {
    let (bench, _latchkey, client) = signed_in().await;
    let scene = bench.aqara.credentials(0).scenes["TV warning"].clone();
    let spellings = [
        ("latchkey/home/trigger_scene", "tv_warning".to_owned()),
        ("latchkey/home/trigger_scene", json!({ "scene": "tv_warning" }).to_string()),
        ("latchkey/home/trigger_scene", scene.clone()),
        ("latchkey/bridge/request/trigger_scene", json!({ "entry_id": "home", "scene": "tv_warning" }).to_string()),
        ("latchkey/home/scene/tv_warning/set", "ON".to_owned()),
    ];
    for (n_runs, (topic, payload)) in (1..).zip(spellings) {
        let reply = client.request(topic, payload.as_bytes()).await;
        assert_eq!(data(&reply)["entry_id"], "home", "{topic} {payload}");
        assert_eq!(bench.aqara.counters().scene_runs[&scene], n_runs, "{topic} {payload}");
    }
}

#[tokio::test]
async fn a_door_is_opened_by_its_id_its_name_its_key_json_and_its_own_topic() {
    let (bench, _latchkey, client) = started_with_phone().await;
    bench.sign_in(&client).await;
    let spellings = [
        ("latchkey/front_door/open_door", "0C1105000001/1".to_owned()),
        ("latchkey/front_door/open_door", "Haustür".to_owned()),
        ("latchkey/front_door/open_door", "0c1105000001_1".to_owned()),
        ("latchkey/front_door/open_door", json!({ "door": "Haustür" }).to_string()),
        ("latchkey/bridge/request/open_door", json!({ "entry_id": "front_door", "door": "Haustür" }).to_string()),
        ("latchkey/front_door/door/0c1105000001_1/press", "PRESS".to_owned()),
    ];
    for (n_openings, (topic, payload)) in (1..).zip(spellings) {
        let reply = client.request(topic, payload.as_bytes()).await;
        assert_eq!(data(&reply)["entry_id"], "front_door", "{topic} {payload}");
        assert_eq!(bench.akuvox.counters().door_openings["0C1105000001/1"], n_openings, "{topic} {payload}");
    }
    let reply = client.request("latchkey/front_door/open_door", b"no such door").await;
    assert_eq!(code(&reply), "unknown_door");
    assert_eq!(bench.akuvox.counters().door_openings.len(), 1);
}

#[tokio::test]
async fn the_scenes_of_an_account_are_listed_by_their_names_and_run_by_them() {
    let (bench, _latchkey, client) = signed_in().await;
    let listed = client.request("latchkey/home/list_scenes", b"{}").await;
    let scenes = data(&listed)["scenes"].as_array().unwrap().clone();
    let named = |name: &str| scenes.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{scenes:?}"));
    let id = &bench.aqara.credentials(0).scenes["Gute Nacht"];
    assert_eq!(named("Gute Nacht")["id"], json!(id));
    assert_eq!(named("Gute Nacht")["key"], json!(latchkey::account::slug(id)));
    // The configured one keeps the user's name.
    assert!(scenes.iter().any(|it| it["key"] == "tv_warning"), "{scenes:?}");
    data(&client.request("latchkey/home/trigger_scene", b"Gute Nacht").await);
    data(&client.request("latchkey/bridge/request/list_scenes", b"home").await);
    assert_eq!(bench.aqara.counters().scene_runs[id], 1);
    let reply = client.request("latchkey/front_door/list_scenes", b"{}").await;
    assert_eq!(code(&reply), "not_supported");
}

#[tokio::test]
async fn a_door_is_not_opened_after_the_fact() {
    // Some brokers keep what is subscribed to at QoS 0 for those who are away; Mosquitto does when it is told to.
    let more = vec!["queue_qos0_messages true".to_owned()];
    let mosquitto = Mosquitto::start_with(&MosquittoOptions { more, ..MosquittoOptions::default() });
    let mut bench = Bench { mosquitto, ..Bench::new().await };
    bench.front_door = "doors = true".to_owned();
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    latchkey.kill().await;
    let mark = client.mark();
    client.mosquitto_pub("latchkey/front_door/open_door", b"Gate", &["-q", "1"]);
    client.mosquitto_pub("latchkey/front_door/door/0c1105000001_0/press", b"PRESS", &["-q", "1"]);
    let _latchkey = bench.run().await;
    let is_answer = |it: &latchkey::mqtt::Inbound| it.topic == "latchkey/front_door/response/open_door";
    for late in client.heard_times(2, mark, "the late doors' replies", is_answer).await {
        assert_eq!(code(&serde_json::from_slice(&late.payload).unwrap()), "too_late");
    }
    assert_eq!(bench.akuvox.counters().door_openings.len(), 0);
    data(&client.request("latchkey/front_door/open_door", b"Gate").await);
}

#[tokio::test]
async fn the_doors_that_are_found_are_announced_and_those_that_are_off_are_not() {
    let (bench, _latchkey, client) = started_with_phone().await;
    let topic = "homeassistant/device/latchkey_front_door/config";
    let doors = |it: &latchkey::mqtt::Inbound| -> Vec<String> {
        let document: Value = serde_json::from_slice(&it.payload).unwrap_or_default();
        let components = document["components"].as_object().cloned().unwrap_or_default();
        components.into_iter().filter(|it| it.0.starts_with("open_")).map(|it| it.1["name"].to_string()).collect()
    };
    client.heard(0, "the device without doors", |it| it.topic == topic && doors(it).is_empty()).await;
    bench.sign_in(&client).await;
    let found = client.heard(0, "the doors", |it| it.topic == topic && !doors(it).is_empty()).await;
    assert_eq!(doors(&found), ["\"Gate\"", "\"Haustür\"", "\"Garage door\""]);
    assert!(found.retain);
}

#[tokio::test]
async fn the_status_is_the_state_document() {
    let (_bench, _latchkey, client) = signed_in().await;
    for (topic, payload) in [("latchkey/home/status", "{}"), ("latchkey/bridge/request/status", "home")] {
        let reply = client.request(topic, payload.as_bytes()).await;
        let mut status = data(&reply).clone();
        assert_eq!(status.as_object_mut().unwrap().remove("entry_id"), Some(json!("home")));
        assert_eq!(status["condition"], "ok");
        client.state("home", |it| *it == status).await;
    }
}

#[tokio::test]
async fn the_advice_says_what_to_do_while_attention_is_needed() {
    let (bench, _latchkey, client) = started().await;
    let is_advice = |it: &latchkey::mqtt::Inbound| it.topic == "latchkey/front_door/advice";
    let advice = |it: &latchkey::mqtt::Inbound| serde_json::from_str::<Value>(&text(it)).unwrap()["advice"].clone();
    let first = client.heard(0, "the first advice", is_advice).await;
    assert!(advice(&first).as_str().is_some_and(|it| it.contains("update_tokens")), "{}", text(&first));
    bench.sign_in(&client).await;
    client.heard(0, "no advice any more", |it| is_advice(it) && advice(it).is_null()).await;
    assert_eq!(client.retained().await["latchkey/front_door/advice"], r#"{"advice":null}"#);
}

#[tokio::test]
async fn the_field_for_a_code_is_empty_whatever_was_typed_and_is_there_only_where_codes_are_used() {
    let mut bench = Bench::new().await;
    bench.front_door = "dial_code = \"46\"\nphone = \"0701234567\"".to_owned();
    let latchkey = bench.run().await;
    let client = bench.client().await;
    let reply = client.request("latchkey/front_door/login", b"0912873").await;
    assert_eq!(reply["status"], "error", "{reply}");
    client.request("latchkey/home/login", b"0912873").await;
    let retained = client.retained().await;
    assert_eq!(retained["latchkey/front_door/login/state"], r#"{"code":"","availability":"online"}"#);
    assert!(!retained.contains_key("latchkey/home/login/state"), "nobody gets codes for it");
    let spoken = client.since(0).into_iter().filter(|it| !it.topic.ends_with("/login"));
    let told: Vec<String> = spoken.filter(|it| text(it).contains("0912873")).map(|it| it.topic).collect();
    assert_eq!(told, Vec::<String>::new());
    assert!(!latchkey.log().contains("0912873"));
}

#[tokio::test]
async fn an_account_is_signed_in_by_the_code_that_was_sent_to_its_phone() {
    let (bench, latchkey, client) = started_with_phone().await;
    data(&client.request("latchkey/front_door/request_login_code", b"{}").await);
    let code = bench.akuvox.newest_code(0).unwrap();
    let reply = client.request("latchkey/front_door/login", code.as_bytes()).await;
    assert_eq!(data(&reply)["entry_id"], "front_door");
    client.state("front_door", |it| it["condition"] == "ok").await;
    let advice = client.retained().await["latchkey/front_door/advice"].clone();
    assert_eq!(advice, r#"{"advice":null}"#);
    assert!(!latchkey.log().contains(&code));
}

#[tokio::test]
async fn a_login_that_is_delivered_twice_is_done_once_and_answered_twice_with_the_same() {
    let (bench, _latchkey, client) = started_with_phone().await;
    data(&client.request("latchkey/front_door/request_login_code", b"{}").await);
    let code = bench.akuvox.newest_code(0).unwrap();
    let logins = bench.akuvox.counters().logins;
    let mark = client.mark();
    for _ in 0..2 {
        client.mosquitto_pub("latchkey/front_door/login", code.as_bytes(), &["-q", "1"]);
    }
    let is_answer = |it: &latchkey::mqtt::Inbound| it.topic == "latchkey/front_door/response/login";
    let answers = client.heard_times(2, mark, "both answers", is_answer).await;
    assert_eq!(answers[0].payload, answers[1].payload);
    data(&serde_json::from_slice(&answers[0].payload).unwrap());
    assert_eq!(bench.akuvox.counters().logins, logins + 1);
}

#[tokio::test]
async fn the_transaction_comes_back_whatever_it_is_and_whatever_becomes_of_the_command() {
    let (_bench, _latchkey, client) = started().await;
    for transaction in [json!("t1"), json!(7), json!({ "deep": [1, null] })] {
        let request = |more: Value| {
            let mut request = json!({ "transaction": transaction });
            request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            request.to_string()
        };
        let reply = client.request("latchkey/home/status", request(json!({})).as_bytes()).await;
        assert_eq!((&reply["transaction"], &reply["status"]), (&transaction, &json!("ok")));
        let reply = client.request("latchkey/home/status", request(json!({ "bogus": 1 })).as_bytes()).await;
        assert_eq!((&reply["transaction"], code(&reply)), (&transaction, "unknown_field"));
    }
    let reply = client.request("latchkey/home/status", b"{}").await;
    assert!(reply.get("transaction").is_none());
}

#[tokio::test]
async fn a_response_topic_is_used_below_the_reply_prefix_only() {
    let (_bench, _latchkey, client) = started().await;
    let with_response_topic = |topic: &str| {
        let arguments =
            ["-q", "1", "-D", "publish", "response-topic", topic, "-D", "publish", "correlation-data", "c7"];
        arguments.map(str::to_owned)
    };
    let mark = client.mark();
    let arguments = with_response_topic("latchkey/reply/somebody");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (plain, _) = client.request_with("latchkey/home/status", b"{}", &arguments).await;
    let wished = client.heard(mark, "the wished reply", |it| it.topic == "latchkey/reply/somebody").await;
    assert_eq!(wished.payload, plain.payload);
    assert_eq!(wished.correlation_data.as_deref(), Some(&b"c7"[..]));
    assert_eq!(plain.correlation_data, None);

    for foreign in ["homeassistant/status", "latchkey/home/update_tokens", "latchkey/replyx", "latchkey/reply/"] {
        let mark = client.mark();
        let arguments = with_response_topic(foreign);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        client.request_with("latchkey/home/status", b"{}", &arguments).await;
        client.round().await;
        let spoken = client.since(mark).into_iter().filter(|it| it.topic == foreign).count();
        assert_eq!(spoken, 0, "Latchkey spoke on {foreign}");
    }
}

#[tokio::test]
async fn a_reply_is_delivered_at_least_once_and_is_never_retained() {
    let (_bench, _latchkey, client) = started().await;
    for qos in ["0", "1", "2"] {
        let (reply, _) = client.request_with("latchkey/home/status", b"{}", &["-q", qos]).await;
        assert_eq!((reply.qos, reply.retain), (Qos::AtLeastOnce, false), "asked at QoS {qos}");
    }
    let retained = client.retained().await;
    assert!(!retained.keys().any(|it| it.contains("/response/") || it.ends_with("/event")), "{retained:?}");
}

#[tokio::test]
async fn bad_input_gets_one_reply_with_a_code_and_changes_nothing() {
    let (bench, latchkey, client) = signed_in().await;
    let before = (bench.n_calls(), client.state("front_door", |_| true).await);
    let too_large = format!("{{\"token\": \"{}\"}}", "x".repeat(70_000));
    let deep = format!("{{\"transaction\": {}", "[".repeat(5000));
    let account = "latchkey/front_door/update_tokens";
    let bridge = "latchkey/bridge/request/update_tokens";
    let cases: &[(&str, &[u8], &str)] = &[
        (account, b"\xff\xfe{}", "not_utf8"),
        (account, b"{\"token\": \"A", "not_json"),
        (account, b"hello", "not_json"),
        (account, b"[]", "not_json"),
        (account, b"\"text\"", "not_json"),
        (account, b"null", "not_json"),
        (account, b" ", "not_json"),
        (account, deep.as_bytes(), "not_json"),
        (account, b"{}", "missing_field"),
        (account, br#"{"token": 5}"#, "wrong_type"),
        (account, br#"{"refresh_token": ["R"]}"#, "wrong_type"),
        (account, br#"{"refresh_token": "R", "prove": "yes"}"#, "wrong_type"),
        (account, br#"{"refresh_token": "R", "issued_at": "yesterday"}"#, "wrong_type"),
        (account, br#"{"refresh_token": "R", "refreshtoken": "R"}"#, "unknown_field"),
        (account, br#"{"refresh_token": "R\n"}"#, "forbidden_character"),
        (account, br#"{"token": "A\u0000"}"#, "forbidden_character"),
        (account, br#"{"token": "A", "refresh_token": "R\r\nX-Evil: 1"}"#, "forbidden_character"),
        (account, "{\"token\": \"A\", \"refresh_token\": \"Rä\"}".as_bytes(), "forbidden_character"),
        (account, too_large.as_bytes(), "too_large"),
        (account, br#"{"entry_id": "home", "refresh_token": "R"}"#, "unknown_account"),
        (bridge, br#"{"refresh_token": "R"}"#, "missing_field"),
        (bridge, br#"{"entry_id": "nobody", "refresh_token": "R"}"#, "unknown_account"),
        (bridge, br#"{"entry_id": "Front Door", "refresh_token": "R"}"#, "unknown_account"),
        (bridge, br#"{"entry_id": 7, "refresh_token": "R"}"#, "wrong_type"),
        ("latchkey/nobody/update_tokens", br#"{"refresh_token": "R"}"#, "unknown_account"),
        ("latchkey/Front Door/update_tokens", br#"{"refresh_token": "R"}"#, "unknown_account"),
        ("latchkey/bridge/update_tokens", br#"{"refresh_token": "R"}"#, "unknown_account"),
        ("latchkey/nobody/refresh_tokens", b"{}", "unknown_account"),
        ("latchkey/bridge/request/refresh_tokens", b"nobody", "unknown_account"),
        ("latchkey/bridge/request/refresh_tokens", b"{}", "missing_field"),
        ("latchkey/front_door/refresh_tokens", b"now", "not_json"),
        ("latchkey/front_door/trigger_scene", b"tv_warning", "not_supported"),
        ("latchkey/home/trigger_scene", b"no_such_scene", "unknown_scene"),
        ("latchkey/home/trigger_scene", b"{}", "missing_field"),
        ("latchkey/home/trigger_scene", b"5", "unknown_scene"),
        ("latchkey/home/trigger_scene", b"[5]", "wrong_type"),
        ("latchkey/home/scene/no_such_scene/set", b"ON", "unknown_scene"),
        ("latchkey/No Home/scene/tv_warning/set", b"ON", "unknown_account"),
        ("latchkey/front_door/open_door", b"{}", "missing_field"),
        ("latchkey/front_door/open_door", b"0C1105AABBCC/0", "doors_off"),
        ("latchkey/front_door/door/gate_0/press", b"PRESS", "doors_off"),
        ("latchkey/bridge/request/open_door", br#"{"entry_id": "front_door", "door": "gate"}"#, "doors_off"),
        ("latchkey/No Home/door/gate_0/press", b"PRESS", "unknown_account"),
        ("latchkey/home/open_door", b"gate", "not_supported"),
        ("latchkey/front_door/list_scenes", b"now", "not_json"),
        ("latchkey/bridge/request/list_scenes", b"nobody", "unknown_account"),
        ("latchkey/nobody/request_login_code", b"{}", "unknown_account"),
        ("latchkey/front_door/login", br#"{"code": 123456}"#, "wrong_type"),
        ("latchkey/front_door/login", b"{}", "missing_field"),
        ("latchkey/front_door/login", b"123 456", "forbidden_character"),
        ("latchkey/front_door/login", br#"{"code": "1", "password": "p"}"#, "unknown_field"),
        ("latchkey/bridge/request/login", b"123456", "not_json"),
        ("latchkey/bridge/request/login", br#"{"entry_id": "nobody", "code": "123456"}"#, "unknown_account"),
    ];
    for (topic, payload, expected) in cases {
        let reply = client.request(topic, payload).await;
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]);
        assert_eq!(code(&reply), *expected, "{topic} {shown}");
    }
    let after = (bench.n_calls(), client.state("front_door", |_| true).await);
    assert_eq!(after, before);
    assert!(!latchkey.log().contains("X-Evil"));
}

#[tokio::test]
async fn what_was_pasted_in_the_wrong_place_is_not_shown_to_anybody() {
    let (_bench, latchkey, client) = started().await;
    // As Aqara's tokens look, which might as well be an account or a scene.
    let canary = "0123456789abcdef0123456789abcdef";
    let wrong_places = [
        ("latchkey/bridge/request/refresh_tokens", canary.to_owned()),
        ("latchkey/bridge/request/status", json!({ "entry_id": canary }).to_string()),
        ("latchkey/bridge/request/update_tokens", json!({ "entry_id": canary, "token": "A" }).to_string()),
        ("latchkey/home/trigger_scene", canary.to_owned()),
        ("latchkey/home/trigger_scene", json!({ "scene": canary }).to_string()),
        ("latchkey/home/update_tokens", canary.to_owned()),
        ("latchkey/home/update_tokens", json!({ canary: 1 }).to_string()),
        ("latchkey/home/update_tokens", json!({ "refresh_token": "R", "issued_at": canary }).to_string()),
    ];
    for (topic, payload) in wrong_places {
        let reply = client.request(topic, payload.as_bytes()).await;
        assert_eq!(reply["status"], "error", "{topic} {payload}");
        assert!(!reply.to_string().contains(canary), "{topic} {payload}: {reply}");
    }
    assert!(!latchkey.log().contains(canary), "{}", latchkey.log());
}

#[tokio::test]
async fn an_empty_payload_is_no_command() {
    let (bench, _latchkey, client) = signed_in().await;
    let before = bench.n_calls();
    let mark = client.mark();
    let topics = [
        "latchkey/front_door/refresh_tokens",
        "latchkey/front_door/update_tokens",
        "latchkey/bridge/request/refresh_tokens",
        "latchkey/home/trigger_scene",
        "latchkey/home/scene/tv_warning/set",
        "latchkey/front_door/open_door",
        "latchkey/front_door/door/gate_0/press",
        "latchkey/front_door/request_login_code",
        "latchkey/front_door/login",
    ];
    for topic in topics {
        client.mosquitto_pub(topic, b"", &["-q", "1"]);
    }
    client.round().await;
    let replies =
        client.since(mark).into_iter().filter(|it| topics.iter().any(|topic| it.topic == response_topic(topic)));
    assert_eq!(replies.count(), 0);
    assert_eq!(bench.n_calls(), before);
}

#[tokio::test]
async fn a_retained_command_is_refused_and_cleared_whether_it_comes_live_or_is_found() {
    let (bench, latchkey, client) = signed_in().await;
    let before = bench.n_calls();
    let commands: [(&str, &[u8]); 11] = [
        ("latchkey/front_door/refresh_tokens", b"{}"),
        ("latchkey/bridge/request/refresh_tokens", b"front_door"),
        ("latchkey/home/trigger_scene", b"tv_warning"),
        ("latchkey/home/scene/tv_warning/set", b"ON"),
        ("latchkey/home/status", b"{}"),
        ("latchkey/front_door/open_door", b"gate"),
        ("latchkey/front_door/door/gate_0/press", b"PRESS"),
        ("latchkey/home/list_scenes", b"{}"),
        ("latchkey/front_door/request_login_code", b"{}"),
        ("latchkey/front_door/login", b"123456"),
        ("latchkey/bridge/request/login", br#"{"entry_id":"home","code":"123456"}"#),
    ];
    for (topic, payload) in commands {
        let (_, reply) = client.request_with(topic, payload, &["-q", "1", "-r"]).await;
        assert_eq!(code(&reply), "retained", "{topic}");
    }
    let is_command = |topic: &String| commands.iter().any(|it| it.0 == topic);
    assert!(!client.retained().await.keys().any(is_command), "a retained command was left at the broker");

    assert!(latchkey.stop().await.success());
    for (topic, payload) in commands {
        client.mosquitto_pub(topic, payload, &["-q", "1", "-r"]);
    }
    let mark = client.mark();
    let _latchkey = bench.run().await;
    for (topic, _) in commands {
        // The broker kept the ones at QoS 1 in the session, too: those may be answered twice, and refused both times.
        let response = response_topic(topic);
        let reply = client.heard(mark, &response, |it| it.topic == response).await;
        assert_eq!(code(&serde_json::from_slice(&reply.payload).unwrap()), "retained", "{topic}");
    }
    client.round().await;
    assert!(!client.retained().await.keys().any(is_command), "a retained command was left at the broker");
    assert_eq!(bench.n_calls(), before);
}

#[tokio::test]
async fn retained_new_tokens_are_taken_once_and_cleared() {
    let (bench, _latchkey, client) = started().await;
    let topic = "latchkey/front_door/update_tokens";
    let tokens = bench.front_door_tokens();
    let (_, reply) = client.request_with(topic, tokens.as_bytes(), &["-q", "1", "-r"]).await;
    assert_eq!(data(&reply)["outcome"], "proved");
    assert!(!client.retained().await.contains_key(topic));
    let refreshes = bench.akuvox.counters().refreshes;

    // The same again changes nothing: its refresh token is spent.
    let (_, again) = client.request_with(topic, tokens.as_bytes(), &["-q", "1", "-r"]).await;
    assert_eq!(again, reply);
    assert!(!client.retained().await.contains_key(topic));
    assert_eq!((bench.akuvox.counters().refreshes, bench.akuvox.counters().replays), (refreshes, 0));
}

#[tokio::test]
async fn retained_new_tokens_are_found_at_the_start() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let topic = "latchkey/front_door/update_tokens";
    client.mosquitto_pub(topic, bench.front_door_tokens().as_bytes(), &["-q", "1", "-r"]);
    let _latchkey = bench.run().await;
    client.state("front_door", |it| it["condition"] == "ok").await;
    // It is cleared before it is answered.
    let response = response_topic(topic);
    client.heard(0, "the reply", |it| it.topic == response).await;
    assert!(!client.retained().await.contains_key(topic));
}

#[tokio::test]
async fn a_retained_access_token_alone_is_taken_only_where_there_is_none() {
    let (bench, _latchkey, client) = started().await;
    let topic = "latchkey/front_door/update_tokens";
    let access = json!({ "token": bench.akuvox.credentials(0).token }).to_string();
    let (_, reply) = client.request_with(topic, access.as_bytes(), &["-q", "1", "-r"]).await;
    assert_eq!(data(&reply)["outcome"], "adopted");
    assert!(!client.retained().await.contains_key(topic));

    let other = json!({ "token": "another" }).to_string();
    let before = client.state("front_door", |it| it["condition"] == "ok").await;
    let (_, reply) = client.request_with(topic, other.as_bytes(), &["-q", "1", "-r"]).await;
    assert_eq!(code(&reply), "retained");
    assert!(!client.retained().await.contains_key(topic));
    assert_eq!(client.state("front_door", |_| true).await, before);
}

#[tokio::test]
async fn a_scene_is_not_run_after_the_fact() {
    for keeps_everything in [false, true] {
        // Some brokers keep what is subscribed to at QoS 0 for those who are away; Mosquitto does when it is told to.
        let more = if keeps_everything { vec!["queue_qos0_messages true".to_owned()] } else { Vec::new() };
        let mosquitto = Mosquitto::start_with(&MosquittoOptions { more, ..MosquittoOptions::default() });
        let bench = Bench { mosquitto, ..Bench::new().await };
        let latchkey = bench.run().await;
        let client = bench.client().await;
        bench.sign_in(&client).await;
        let reply = client.request("latchkey/home/trigger_scene", b"tv_warning").await;
        data(&reply);
        latchkey.kill().await;

        let mark = client.mark();
        client.mosquitto_pub("latchkey/home/trigger_scene", b"tv_warning", &["-q", "1"]);
        client.mosquitto_pub("latchkey/home/scene/tv_warning/set", b"ON", &["-q", "1"]);
        client.mosquitto_pub(
            "latchkey/bridge/request/status",
            br#"{"entry_id":"home","transaction":"kept"}"#,
            &["-q", "1"],
        );
        let latchkey = bench.run().await;
        // It was sent after the scenes, and the broker keeps the order.
        client.heard(mark, "the kept command's reply", |it| text(it).contains("\"kept\"")).await;
        let is_late = |it: &latchkey::mqtt::Inbound| it.topic == "latchkey/home/response/trigger_scene";
        client.heard_times(if keeps_everything { 2 } else { 0 }, mark, "the late scenes' reply", is_late).await;
        client.round().await;
        let runs: u64 = bench.aqara.counters().scene_runs.values().sum();
        assert_eq!(runs, 1, "a scene was run late; {}", latchkey.log());
        let replies = client.since(mark).into_iter().filter(|it| it.topic == "latchkey/home/response/trigger_scene");
        let codes: Vec<String> =
            replies.map(|it| code(&serde_json::from_slice(&it.payload).unwrap()).to_owned()).collect();
        assert_eq!(codes, vec!["too_late"; if keeps_everything { 2 } else { 0 }]);
        // And the next one is on time.
        data(&client.request("latchkey/home/trigger_scene", b"tv_warning").await);
    }
}

#[tokio::test]
async fn a_scene_whose_outcome_is_unknown_is_not_repeated() {
    let (bench, _latchkey, client) = signed_in().await;
    data(&client.request("latchkey/home/trigger_scene", b"tv_warning").await);
    let fault = Fault::new(FaultKind::ReplyLostAfterRotation);
    bench.aqara.inject(fault.on(latchkey::demo::clouds::Scope::Action, 1));
    let reply = client.request("latchkey/home/trigger_scene", b"tv_warning").await;
    assert_eq!(code(&reply), "outcome_unknown");
    let runs: u64 = bench.aqara.counters().scene_runs.values().sum();
    assert_eq!(runs, 2);
}

#[tokio::test]
async fn a_scene_whose_access_token_is_rejected_runs_once_after_a_refresh() {
    let (bench, _latchkey, client) = signed_in().await;
    bench.aqara.revoke(0, What::Access);
    let refreshes = bench.aqara.counters().refreshes;
    data(&client.request("latchkey/home/trigger_scene", b"tv_warning").await);
    let counters = bench.aqara.counters();
    assert_eq!((counters.refreshes, counters.scene_runs.values().sum::<u64>()), (refreshes + 1, 1));
}

#[tokio::test]
async fn a_slow_vendor_does_not_hold_up_the_other_account() {
    let (bench, _latchkey, client) = signed_in().await;
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(3.0));
    let mark = client.mark();
    // More than the broker sends without an acknowledgement.
    for _ in 0..40 {
        client.link.publish(latchkey::mqtt::Outgoing::passing("latchkey/front_door/refresh_tokens", "{}"));
    }
    data(&client.request("latchkey/home/trigger_scene", b"tv_warning").await);
    let is_slow_reply = |it: &latchkey::mqtt::Inbound| it.topic == "latchkey/front_door/response/refresh_tokens";
    assert!(!client.since(mark).iter().any(is_slow_reply), "the slow one was answered first");
    client.heard(mark, "the slow replies", is_slow_reply).await;
    client.state("front_door", |it| it["condition"] == "ok").await;
}

#[tokio::test]
async fn a_named_instance_lives_below_its_own_topics() {
    let mut bench = Bench::new().await;
    bench.top = "instance = \"attic\"".to_owned();
    let latchkey = bench.start();
    latchkey.logged(CONNECTED).await;
    let mut client = bench.client().await;
    client.base = "latchkey_attic".to_owned();
    bench.sign_in(&client).await;
    client.state("home", |it| it["condition"] == "ok").await;
    client.heard(0, "its own state", |it| it.topic == "latchkey_attic/bridge/state" && text(it) == "online").await;
    let foreign = client.since(0).into_iter().find(|it| it.topic.starts_with("latchkey/"));
    assert_eq!(foreign.map(|it| it.topic), None);

    client.mosquitto_pub("latchkey/home/status", b"{}", &["-q", "1"]);
    client.round().await;
    assert!(!client.since(0).iter().any(|it| it.topic == "latchkey/home/response/status"));
}
