//! Somebody at the broker who may publish anything anywhere.

use std::{fs, net::TcpListener, time::Duration};

use latchkey::{
    demo::clouds::{Fault, FaultKind, Scope},
    mqtt::{Inbound, Outgoing, Qos},
};
use serde_json::{Value, json};

use crate::support::{
    latchkey::{Bench, Client, Latchkey, text},
    scripted_broker::{CORRELATION_DATA, Packet, Properties, Publish, RESPONSE_TOPIC, ScriptedBroker},
};

/// Nothing that anybody sends may make Latchkey take more than this beyond what it takes at rest: twice 16 MiB for what
/// comes in, 16 MiB for what goes out, and as much again for what the allocator keeps.
const MOST_GROWTH_KIB: u64 = 96 * 1024;

fn resident_kib(latchkey: &Latchkey) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", latchkey.pid())).unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn signed_in() -> (Bench, Latchkey, Client) {
    let mut bench = Bench::new().await;
    bench.front_door = "doors = true\n".to_owned();
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    client.round().await;
    (bench, latchkey, client)
}

#[tokio::test]
async fn a_flood_fills_neither_the_memory_nor_the_ways_of_others() {
    let (bench, latchkey, client) = signed_in().await;
    let at_rest = resident_kib(&latchkey);
    // What is carried out is stuck, so everything that comes has to be held or dropped.
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(10.0).on(Scope::Action, 100_000));
    // A tree of many small parts is what weighs most for its length.
    let tree = format!("[{}]", vec!["[]"; 20_000].join(","));
    let open = format!("{{\"door\": \"Gate\", \"transaction\": {tree}}}");
    let mut most = 0;
    for number in 0..2400 {
        let (topic, payload) = match number % 6 {
            0 => ("latchkey/home/status".to_owned(), format!("{{\"transaction\": {tree}}}")),
            1 => ("latchkey/home/update_tokens".to_owned(), "x".repeat(200 * 1024)),
            2 => (format!("latchkey/{}/status", "nobody".repeat(2000)), "{}".to_owned()),
            _ => ("latchkey/front_door/open_door".to_owned(), open.clone()),
        };
        let qos = if number % 2 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
        client.link.publish(Outgoing { qos, ..Outgoing::passing(topic, payload) });
        if number % 50 == 0 {
            client.link.idle().await;
            most = most.max(resident_kib(&latchkey));
        }
    }
    client.link.idle().await;
    most = most.max(resident_kib(&latchkey));
    println!("{at_rest} KiB at rest, at most {most} KiB in the flood");
    assert!(most < at_rest + MOST_GROWTH_KIB, "{at_rest} KiB at rest, {most} KiB in the flood");
    bench.akuvox.clear_faults();
    let reply = client.request("latchkey/home/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");
}

#[tokio::test]
async fn latchkey_answers_below_its_reply_prefix_and_nowhere_else() {
    let broker = ScriptedBroker::start().await;
    let mut bench = Bench::new().await;
    bench.environment.push(("LATCHKEY__MQTT__PORT".to_owned(), broker.port.to_string()));
    let _latchkey = bench.start();
    let mut peer = broker.accept_ready(false).await;
    let wishes: [&[u8]; 17] = [
        b"latchkey/reply/me",
        b"latchkey/reply/me/too",
        b"latchkey/reply/",
        b"latchkey/reply",
        b"latchkey/reply/+",
        b"latchkey/reply/#",
        b"latchkey/reply/a//b",
        b"latchkey/reply/a\x07b",
        b"latchkey/replying/me",
        b"$SYS/broker/uptime",
        b"$share/group/latchkey/reply/me",
        b"latchkey/home/update_tokens",
        b"latchkey/bridge/request/refresh_tokens",
        b"latchkey/bridge/state",
        b"latchkey/home/state",
        b"homeassistant/device/latchkey_home/config",
        b"",
    ];
    for wish in wishes {
        let bytes = vec![(RESPONSE_TOPIC, wish.to_vec()), (CORRELATION_DATA, b"hostile".to_vec())];
        let properties = Properties { bytes, ..Properties::default() };
        let (topic, payload) = ("latchkey/home/status".to_owned(), b"{}".to_vec());
        peer.publish(&Publish { topic, payload, properties, ..Publish::default() }).await;
    }
    let (mut n_answers, mut elsewhere) = (0, Vec::new());
    while n_answers < wishes.len() {
        let Packet::Publish(publish) = peer.next().await else { continue };
        peer.puback(publish.packet_id, 0).await;
        n_answers += usize::from(publish.topic == "latchkey/home/response/status");
        // What answers a wish bears its correlation data.
        if publish.properties.bytes(CORRELATION_DATA).is_some() {
            elsewhere.push(publish.topic);
        }
    }
    assert_eq!(elsewhere, ["latchkey/reply/me", "latchkey/reply/me/too"]);
}

#[tokio::test]
async fn no_command_makes_latchkey_call_a_host_that_is_not_configured_or_tell_a_token() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}", trap.local_addr().unwrap());
    let (bench, latchkey, client) = signed_in().await;
    let mark = client.mark();
    let calls = bench.n_calls();
    for field in ["host", "url", "gate", "rest", "base_url", "subdomain", "region", "proxy"] {
        for verb in ["status", "refresh_tokens", "update_tokens", "list_scenes"] {
            let request = json!({ field: url, "refresh_token": "R", "token": "T" }).to_string();
            let reply = client.request(&format!("latchkey/home/{verb}"), request.as_bytes()).await;
            assert_eq!(reply["error"]["code"], "unknown_field", "{reply}");
        }
    }
    assert_eq!(bench.n_calls(), calls);
    for (topic, payload) in [
        ("latchkey/home/trigger_scene", url.clone()),
        ("latchkey/home/trigger_scene", format!("AL.1@{url}")),
        ("latchkey/home/trigger_scene", "AL.1/../../v3.0/open/api?x".to_owned()),
        ("latchkey/front_door/open_door", format!("{url}/1")),
        ("latchkey/front_door/open_door", "0C1105000001/1&host=evil".to_owned()),
        ("latchkey/front_door/open_door", "../../login".to_owned()),
        ("latchkey/home/login", format!("1@{url}")),
        ("latchkey/bridge/request/status", json!({ "entry_id": url }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": url, "refresh_token": format!("@{url}/") }).to_string()),
    ] {
        let reply = client.request(topic, payload.as_bytes()).await;
        assert_eq!(reply["status"], "error", "{topic} {payload}: {reply}");
    }
    assert!(trap.accept().is_err(), "Latchkey called where a command led it; {}", latchkey.log());
    assert_eq!(bench.akuvox.counters().door_openings.len(), 0);

    let (akuvox, aqara) = (bench.akuvox.credentials(0), bench.aqara.credentials(0));
    let held = [akuvox.token, akuvox.refresh_token, aqara.access_token, aqara.refresh_token, aqara.app_key];
    let said = client.since(mark);
    for secret in held {
        assert!(!said.iter().any(|it| text(it).contains(&secret)), "a token was told");
    }
    // And the accounts are as they were.
    for account in ["home", "front_door"] {
        let reply = client.request(&format!("latchkey/{account}/refresh_tokens"), b"{}").await;
        assert_eq!(reply["status"], "ok", "{reply}");
    }
}

#[tokio::test]
async fn what_is_forged_in_latchkeys_name_makes_it_neither_loop_nor_call_anybody() {
    let (bench, latchkey, client) = signed_in().await;
    let generation = client.state("front_door", |_| true).await["generation"].as_u64().unwrap();
    let (mark, calls) = (client.mark(), bench.n_calls());
    let state = |generation: u64| json!({ "generation": generation, "condition": "ok" }).to_string();
    let forged = [
        ("latchkey/front_door/state", state(generation + 1)),
        ("latchkey/front_door/state", state(1 << 48)),
        ("latchkey/home/state", state(generation + 1000)),
        ("latchkey/nobody/state", state(7)),
        ("latchkey/home/advice", "{\"advice\": \"give me your tokens\"}".to_owned()),
        ("latchkey/home/response/status", "{}".to_owned()),
        ("latchkey/bridge/response/status", "home".to_owned()),
        ("latchkey/home/response/refresh_tokens", "{}".to_owned()),
        ("latchkey/reply/refresh_tokens", "{\"status\": \"ok\"}".to_owned()),
        ("latchkey/home/event", "{}".to_owned()),
        ("latchkey/front_door/login/state", "{}".to_owned()),
        ("latchkey/bridge/info", "{}".to_owned()),
        ("latchkey/bridge/echo", "0000000000000000".to_owned()),
        ("latchkey/bridge/state", "offline".to_owned()),
    ];
    for retain in [false, true] {
        for (topic, payload) in &forged {
            client.link.publish(Outgoing { retain, ..Outgoing::passing(*topic, payload.clone()) });
        }
    }
    client.link.idle().await;
    client.round().await;
    client.round().await;
    // A pause in which a loop would be heard.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.round().await;
    let is_forged = |it: &Inbound| forged.iter().any(|(topic, payload)| it.topic == *topic && text(it) == *payload);
    let is_round = |it: &Inbound| it.topic.ends_with("/status");
    let said: Vec<Inbound> = client.since(mark).into_iter().filter(|it| !is_forged(it) && !is_round(it)).collect();
    let told: Vec<String> = said.iter().map(|it| format!("{} {}", it.topic, text(it))).collect();
    // `online` for each `offline`, what was left by nobody is cleared, and one who calls itself `reply` is not known.
    assert!(said.len() <= 8, "{told:#?}");
    assert_eq!(bench.n_calls(), calls, "{}", latchkey.log());
    assert!(!latchkey.log().contains("older copy"), "{}", latchkey.log());
    let reply: Value = client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    assert_eq!(reply["data"]["generation"], generation + 1, "{reply}");
}
