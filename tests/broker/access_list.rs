//! A real Mosquitto with the access list that is shipped.

use latchkey::{
    account::Secret,
    demo::clouds::{AkuvoxCloud, AqaraCloud},
    mqtt::{Inbound, LinkEvent, LinkSettings, Outgoing, Qos, Subscription},
};
use serde_json::Value;

use crate::support::{
    latchkey::{Bench, Client, output, text},
    link,
    mosquitto::{Mosquitto, MosquittoOptions},
};

const SHIPPED: &str = include_str!("../../config/mosquitto.acl");
const HOME_ASSISTANT: (&str, &str) = ("homeassistant", "password of homeassistant");
const STRANGER: (&str, &str) = ("stranger", "password of stranger");

/// A bench whose broker knows three users and follows this access list.
async fn bench_with(access_list: &str) -> Bench {
    let users = ["latchkey", HOME_ASSISTANT.0, STRANGER.0].map(|it| (it.to_owned(), format!("password of {it}")));
    let options =
        MosquittoOptions { users: users.to_vec(), access_list: Some(access_list.to_owned()), ..Default::default() };
    let clouds = (AkuvoxCloud::start_default().await.unwrap(), AqaraCloud::start_default().await.unwrap());
    let mut bench = Bench::with(Mosquitto::start_with(&options), clouds.0, clouds.1);
    bench.mqtt = "username = \"latchkey\"\npassword = \"password of latchkey\"\n".to_owned();
    bench.front_door = "doors = true\ndial_code = \"46\"\nphone = \"0701234567\"\n".to_owned();
    bench
}

/// What `latchkey check` says of the access list; none where nothing is wrong.
async fn denials(bench: &Bench) -> Option<String> {
    let mut command = bench.command("check");
    command.arg("--json");
    let said = output(command).await;
    let reply: Value = serde_json::from_slice(&said.stdout).unwrap();
    let findings = reply["data"]["findings"].as_array().unwrap();
    let finding = findings.iter().find(|it| it["what"] == "broker access")?;
    assert_eq!(said.status.code(), Some(1));
    assert!(finding["mend"].as_str().unwrap().contains("config/mosquitto.acl"), "{finding}");
    Some(finding["says"].as_str().unwrap().to_owned())
}

/// Somebody at the broker who publishes, and is told what was refused.
async fn refused(port: u16, (user, password): (&str, &str), topics: &[&str]) -> (Vec<String>, Vec<Inbound>) {
    let (link, mut events, _) = link::start(LinkSettings {
        credentials: Some((user.to_owned(), Secret::new(password))),
        client_id: format!("test-{user}"),
        will: None,
        subscriptions: ["#", "latchkey/#", "latchkey/+/update_tokens", "latchkey/bridge/request/+"]
            .map(|it| Subscription { no_local: false, ..Subscription::new(it, Qos::AtLeastOnce) })
            .to_vec(),
        ..link::settings(port)
    });
    link::connected(&mut events).await;
    for topic in topics {
        link.publish(Outgoing::passing(*topic, "forged"));
    }
    // Nobody may write this, so the answer to it is the last.
    link.publish(Outgoing::passing("nobody/writes/this", ""));
    let (mut refused, mut heard) = (Vec::new(), Vec::new());
    loop {
        match link::next_event(&mut events).await {
            LinkEvent::PublishRefused { topic, .. } if topic == "nobody/writes/this" => return (refused, heard),
            LinkEvent::PublishRefused { topic, .. } => refused.push(topic),
            LinkEvent::Message(message) => heard.push(message),
            _ => {}
        }
    }
}

#[tokio::test]
async fn with_the_shipped_list_everything_works_that_latchkey_and_home_assistant_do() {
    let bench = bench_with(SHIPPED).await;
    assert_eq!(denials(&bench).await, None);
    let latchkey = bench.run().await;
    let client = Client::connect_as(bench.mosquitto.port, Some(HOME_ASSISTANT)).await;
    bench.sign_in(&client).await;

    // What the entities, the package's scripts and automations publish.
    for (topic, payload) in [
        ("latchkey/home/scene/tv_warning/set", "ON"),
        ("latchkey/home/trigger_scene", "tv_warning"),
        ("latchkey/home/refresh_tokens", "{}"),
        ("latchkey/home/list_scenes", "{}"),
        ("latchkey/front_door/open_door", "Gate"),
        ("latchkey/front_door/door/0c1105000001_0/press", "PRESS"),
        ("latchkey/bridge/request/status", "home"),
        ("latchkey/bridge/request/trigger_scene", r#"{"entry_id": "home", "scene": "tv_warning"}"#),
    ] {
        let reply = client.request(topic, payload.as_bytes()).await;
        assert_eq!(reply["status"], "ok", "{topic}: {reply}");
    }
    for topic in ["latchkey/front_door/request_login_code", "latchkey/front_door/login"] {
        assert_eq!(client.request(topic, b"{}").await["status"], "error", "the cloud knows no such phone");
    }
    // What they listen to.
    for topic in [
        "latchkey/bridge/state",
        "latchkey/bridge/info",
        "latchkey/home/state",
        "latchkey/home/advice",
        "latchkey/home/event",
        "latchkey/front_door/login/state",
        "homeassistant/device/latchkey_home/config",
    ] {
        client.heard(0, topic, |it| it.topic == topic && !it.payload.is_empty()).await;
    }
    // Home Assistant starts, and a device is deleted there.
    let mark = client.mark();
    let is_device = |it: &Inbound| it.topic == "homeassistant/device/latchkey_home/config";
    client.link.publish(Outgoing::passing("homeassistant/status", "online"));
    client.heard(mark, "the device again", |it| is_device(it) && !it.payload.is_empty()).await;
    client.link.publish(Outgoing::retained("homeassistant/device/latchkey_home/config", ""));
    latchkey.logged("was deleted in Home Assistant").await;
    // A retained command is cleared.
    let (_, reply) = client.request_with("latchkey/home/status", b"{}", &["-q", "1", "-r"]).await;
    assert_eq!(reply["error"]["code"], "retained");
    assert!(latchkey.stop().await.success());
    client.heard(mark, "the farewell", |it| it.topic == "latchkey/bridge/state" && text(it) == "offline").await;
    let late = Client::connect_as(bench.mosquitto.port, Some(HOME_ASSISTANT)).await;
    late.heard(0, "the farewell", |it| it.topic == "latchkey/bridge/state").await;
    assert!(!late.since(0).iter().any(|it| it.topic == "latchkey/home/status"));
}

#[tokio::test]
async fn with_the_shipped_list_nobody_else_sees_a_token_or_speaks_for_latchkey() {
    let bench = bench_with(SHIPPED).await;
    let latchkey = bench.run().await;
    let client = Client::connect_as(bench.mosquitto.port, Some(HOME_ASSISTANT)).await;
    bench.sign_in(&client).await;
    client.request("latchkey/front_door/login", b"0912873").await;
    client.round().await;
    let is_command = |it: &Inbound| it.topic.ends_with("/update_tokens") || it.topic.ends_with("/login");
    let overheard = client.since(0).into_iter().filter(|it| is_command(it) && !it.topic.contains("/response/"));
    assert_eq!(overheard.map(|it| it.topic).collect::<Vec<_>>(), Vec::<String>::new());

    let in_latchkeys_name = [
        "latchkey/bridge/state",
        "latchkey/home/state",
        "latchkey/home/event",
        "latchkey/home/response/status",
        "latchkey/bridge/response/update_tokens",
        "latchkey/home/login/state",
        "latchkey/reply/somebody",
    ];
    let (refusals, _) = refused(bench.mosquitto.port, HOME_ASSISTANT, &in_latchkeys_name).await;
    assert_eq!(refusals, in_latchkeys_name);

    let anything = [
        "latchkey/front_door/update_tokens",
        "latchkey/bridge/request/update_tokens",
        "latchkey/front_door/open_door",
        "latchkey/home/scene/tv_warning/set",
        "latchkey/home/state",
        "homeassistant/status",
        "homeassistant/device/latchkey_home/config",
    ];
    let (refusals, heard) = refused(bench.mosquitto.port, STRANGER, &anything).await;
    assert_eq!(refusals, anything);
    assert_eq!(heard, Vec::new(), "a stranger hears what is not for them");
    assert_eq!(bench.akuvox.counters().door_openings.len(), 0);
    assert!(!latchkey.log().contains("refused"), "{}", latchkey.log());
}

#[tokio::test]
async fn the_lines_that_keep_update_tokens_from_home_assistant_do_so() {
    let lines: Vec<&str> = SHIPPED.split('`').filter(|it| it.starts_with("topic deny ")).collect();
    assert_eq!(lines.len(), 2);
    let list = format!("{SHIPPED}\n{}\n", lines.join("\n"));
    let bench = bench_with(&list).await;
    let topics = [
        "latchkey/front_door/update_tokens",
        "latchkey/bridge/request/update_tokens",
        "latchkey/bridge/request/status",
        "latchkey/home/refresh_tokens",
    ];
    let (refusals, _) = refused(bench.mosquitto.port, HOME_ASSISTANT, &topics).await;
    assert_eq!(refusals, topics[..2]);
}

#[tokio::test]
async fn check_tells_what_the_list_denies_whether_the_broker_says_so_or_not() {
    for (list, expected) in [
        (
            "topic readwrite latchkey/#\ntopic readwrite homeassistant/#\ntopic deny latchkey/+/update_tokens",
            "Latchkey may not write latchkey/+/update_tokens",
        ),
        (
            "topic readwrite latchkey/#\ntopic read homeassistant/#",
            "Latchkey may not write homeassistant/device/+/config",
        ),
        (
            "topic write latchkey/bridge/request/refresh_tokens\ntopic readwrite latchkey/+/+\n\
             topic readwrite latchkey/+/+/+/+\ntopic readwrite homeassistant/#",
            "Latchkey may not read latchkey/bridge/request/refresh_tokens, and may not write \
             latchkey/bridge/request/update_tokens, ",
        ),
    ] {
        let bench = bench_with(&format!("user latchkey\n{list}\n")).await;
        let says = denials(&bench).await.unwrap();
        assert!(says.starts_with(expected), "{says}");
    }
}
