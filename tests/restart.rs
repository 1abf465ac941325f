//! Latchkey stops and starts again, its broker does, its store is put back: it goes on where it was.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::fs;

use latchkey::{
    demo::clouds::{Fault, FaultKind},
    mqtt::{Inbound, Outgoing},
};
use serde_json::Value;
use support::latchkey::{Bench, CONNECTED, Client, copy_folder, output, text};

const STATE: &str = "latchkey/bridge/state";
const DEVICE_OF_HOME: &str = "homeassistant/device/latchkey_home/config";

fn is(topic: &'static str, payload: &'static str) -> impl Fn(&Inbound) -> bool {
    move |it| it.topic == topic && text(it) == payload
}

/// The first state document of an account since `mark`.
async fn state_since(client: &Client, mark: usize, account: &str) -> Value {
    let topic = format!("latchkey/{account}/state");
    let message = client.heard(mark, &topic, |it| it.topic == topic).await;
    serde_json::from_slice(&message.payload).unwrap()
}

/// A state document after a restart: what the vendor's clock reads is not known before it answers.
fn restarted(mut state: Value) -> Value {
    state["clock_skew_seconds"] = Value::Null;
    state
}

#[tokio::test]
async fn a_restart_alone_calls_no_vendor_and_changes_no_state() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    let front_door = client.state("front_door", |it| it["condition"] == "ok").await;
    let home = client.state("home", |it| it["condition"] == "ok").await;
    let n_calls = bench.n_calls();
    assert_eq!(latchkey.stop().await.code(), Some(0));

    let mark = client.mark();
    let latchkey = bench.run().await;
    assert_eq!(state_since(&client, mark, "front_door").await, restarted(front_door));
    let home_after = state_since(&client, mark, "home").await;
    for key in ["condition", "generation", "refresh_count", "last_refresh_at", "refresh_token_expires_at"] {
        assert_eq!(home_after[key], home[key], "{key}");
    }
    // Aqara's access tokens are kept in memory only.
    assert_eq!(home_after["access_token_status"], "not_cached");
    client.heard(mark, "online", is(STATE, "online")).await;
    client.round().await;
    assert_eq!(bench.n_calls(), n_calls, "{}", latchkey.log());

    // What was not cached is filled at its first use.
    let reply = client.request("latchkey/home/trigger_scene", b"tv_warning").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!(bench.aqara.counters().refreshes, 2);
}

#[tokio::test]
async fn a_second_latchkey_on_the_same_store_is_refused_in_plain_words() {
    let bench = Bench::new().await;
    let _latchkey = bench.run().await;
    let client = bench.client().await;
    let second = output(bench.command("run")).await;
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    let store = bench.store();
    let expected = format!("latchkey: another Latchkey already uses {}; stop it", store.display());
    assert!(said.contains(&expected), "{said}");
    // The first one has noticed nothing.
    client.round().await;
}

#[tokio::test]
async fn a_stop_lets_a_running_refresh_finish_and_says_goodbye() {
    for signal in ["TERM", "INT"] {
        let bench = Bench::new().await;
        let mut latchkey = bench.run().await;
        let client = bench.client().await;
        bench.sign_in(&client).await;
        client.heard(0, "online", is(STATE, "online")).await;
        let refreshes = bench.akuvox.counters().refreshes;

        bench.akuvox.inject(Fault::new(FaultKind::Slow).after().lasting(2.0));
        let mark = client.mark();
        client.mosquitto_pub("latchkey/front_door/refresh_tokens", b"{}", &["-q", "1"]);
        bench.akuvox.wait_for(|it| refreshes < it.refreshes).await;
        latchkey.signal(signal);
        assert_eq!(latchkey.ended().await.code(), Some(0), "after SIG{signal}");

        let reply = client.heard(mark, "the reply", |it| it.topic.ends_with("/response/refresh_tokens")).await;
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(reply["status"], "ok", "{reply}");
        let state = client.state("front_door", |it| it["generation"] == reply["data"]["generation"]).await;
        client.heard(mark, "offline", is(STATE, "offline")).await;
        assert_eq!(client.retained().await[STATE], "offline");

        let mark = client.mark();
        let _latchkey = bench.run().await;
        assert_eq!(state_since(&client, mark, "front_door").await, restarted(state));
        let counters = bench.akuvox.counters();
        assert_eq!((counters.refreshes, counters.replays), (refreshes + 1, 0));
    }
}

#[tokio::test]
async fn a_command_sent_while_it_restarts_is_answered_afterwards() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    latchkey.kill().await;
    let mark = client.mark();
    client.mosquitto_pub("latchkey/front_door/refresh_tokens", b"{}", &["-q", "1"]);
    let _latchkey = bench.run().await;
    let replies = client.replies(mark, "latchkey/front_door/refresh_tokens").await;
    assert_eq!(replies.len(), 1);
    assert!(text(&replies[0]).contains("\"ok\""), "{}", text(&replies[0]));
}

#[tokio::test]
async fn without_a_broker_renewals_go_on_and_commands_work_when_it_is_back() {
    let mut bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    latchkey.stop().await;

    bench.mosquitto.kill();
    bench.front_door = "refresh_every = \"1s\"\nsafety_margin = \"0s\"\njitter = \"0s\"".to_owned();
    let refreshes = bench.akuvox.counters().refreshes;
    let latchkey = bench.start();
    bench.akuvox.wait_for(|it| refreshes + 2 <= it.refreshes).await;
    assert!(!latchkey.log().contains(CONNECTED));

    bench.mosquitto.start_again();
    latchkey.logged(CONNECTED).await;
    let client = bench.client().await;
    let state = client.state("front_door", |it| it["condition"] == "ok").await;
    assert!(4 <= state["generation"].as_u64().unwrap(), "{state}");
    let reply = client.request("latchkey/home/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!(bench.akuvox.counters().replays, 0);
}

#[tokio::test]
async fn a_broker_that_lost_everything_is_told_everything_again() {
    let mut bench = Bench::new().await;
    let _latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    client.heard(0, "online", is(STATE, "online")).await;
    client.state("front_door", |it| it["condition"] == "ok").await;
    client.state("home", |it| it["condition"] == "ok").await;
    // Its scenes are listed when there are tokens, and then it is announced once more.
    let has_scenes = |it: &Inbound| it.topic == DEVICE_OF_HOME && text(it).contains("scene_al_");
    client.heard(0, "scenes", has_scenes).await;
    client.round().await;
    let before = client.retained().await;
    for topic in [STATE, "latchkey/bridge/info", "latchkey/front_door/state", "latchkey/home/state"] {
        assert!(before.contains_key(topic), "{topic} is not among {:?}", before.keys());
    }
    assert_eq!(before.keys().filter(|it| it.starts_with("homeassistant/device/")).count(), 3);

    let info: Value = serde_json::from_str(&before["latchkey/bridge/info"]).unwrap();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["build"], env!("LATCHKEY_BUILD"));
    assert_eq!(info["instance"], "default");
    let accounts = serde_json::json!([{"id": "front_door", "vendor": "akuvox"}, {"id": "home", "vendor": "aqara"}]);
    assert_eq!(info["accounts"], accounts);
    assert!(info["started"].as_str().unwrap().ends_with("+00:00"));

    bench.mosquitto.kill();
    let mark = client.mark();
    bench.mosquitto.start_again();
    for topic in before.keys() {
        client.heard(mark, topic, |it| it.topic == *topic && it.retain && text(it) == before[topic]).await;
    }
}

#[tokio::test]
async fn a_false_offline_is_corrected() {
    let bench = Bench::new().await;
    let _latchkey = bench.run().await;
    let client = bench.client().await;
    client.heard(0, "online", is(STATE, "online")).await;
    client.round().await;
    let mark = client.mark();
    client.link.publish(Outgoing::retained(STATE, "offline"));
    client.heard(mark, "our own mistake", is(STATE, "offline")).await;
    client.heard(mark, "its correction", is(STATE, "online")).await;
}

#[tokio::test]
async fn a_kill_is_told_by_the_broker_and_the_next_start_takes_it_back() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    client.heard(0, "online", is(STATE, "online")).await;
    let mark = client.mark();
    latchkey.kill().await;
    client.heard(mark, "the will", is(STATE, "offline")).await;
    let mark = client.mark();
    let _latchkey = bench.run().await;
    client.heard(mark, "online", is(STATE, "online")).await;
    client.round().await;
    assert_eq!(client.retained().await[STATE], "online");
}

#[tokio::test]
async fn a_store_that_was_put_back_is_noticed_by_what_the_broker_remembers() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    latchkey.stop().await;
    let copy = bench.folder.path().join("copy");
    copy_folder(&bench.store(), &copy);

    let latchkey = bench.run().await;
    for _ in 0..3 {
        let reply = client.request("latchkey/front_door/refresh_tokens", b"{}").await;
        assert_eq!(reply["status"], "ok", "{reply}");
    }
    let newest = client.state("front_door", |it| it["refresh_count"] == 4).await;
    latchkey.stop().await;
    fs::remove_dir_all(bench.store()).unwrap();
    copy_folder(&copy, &bench.store());

    let mark = client.mark();
    let latchkey = bench.run().await;
    latchkey.logged("the broker remembers newer tokens than the store").await;
    // Its old token is tried once, since it is all that there is, and the user is told to sign in.
    client.state("front_door", |it| it["condition"] == "reauth_required").await;
    assert_eq!(bench.akuvox.counters().replays, 1);
    client.round().await;
    let noticed = client.since(mark).iter().any(|it| it.topic == "latchkey/home/event");
    assert!(!noticed, "the other account's tokens were not older");

    // New tokens are of a generation that was never seen before.
    bench.akuvox.sign_in(0);
    let reply = client.request("latchkey/front_door/update_tokens", bench.front_door_tokens().as_bytes()).await;
    assert_eq!(reply["data"]["outcome"], "proved", "{reply}");
    let state = client.state("front_door", |it| it["condition"] == "ok").await;
    assert!(newest["generation"].as_u64() < state["generation"].as_u64(), "{newest} {state}");
    assert_eq!(bench.akuvox.counters().replays, 1);
}

#[tokio::test]
async fn a_forged_state_cannot_break_an_account() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    let topic = "latchkey/front_door/state";
    for forged in
        ["{\"generation\": 18446744073709551615}", "{\"generation\": -1}", "[]", "\u{0}", "{\"generation\": {}}"]
    {
        client.link.publish(Outgoing::retained(topic, forged));
    }
    client.round().await;
    let reply = client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}; {}", latchkey.log());
    client.state("front_door", |it| it["generation"] == reply["data"]["generation"]).await;
    let reply = client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!(bench.akuvox.counters().replays, 0);
}

#[tokio::test]
async fn what_an_account_that_is_gone_left_at_the_broker_is_cleared() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    for topic in ["latchkey/gone/state", "latchkey/gone/advice", "latchkey/gone/login/state"] {
        client.mosquitto_pub(topic, b"{\"generation\":1}", &["-r"]);
    }
    let mark = client.mark();
    let latchkey = bench.run().await;
    client.heard(mark, "cleared", is("latchkey/gone/login/state", "")).await;
    state_since(&client, mark, "home").await;
    let retained = client.retained().await;
    assert!(!retained.keys().any(|it| it.starts_with("latchkey/gone/")), "{retained:?}");
    assert!(retained.contains_key("latchkey/home/state"), "of the others nothing is lost");
    assert_eq!(latchkey.stop().await.code(), Some(0));
}
