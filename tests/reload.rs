//! SIGHUP: the configuration is read again while the service goes on.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use latchkey::demo::clouds::{AkuvoxCloud, AqaraCloud, Fault, FaultKind, Options, Places};
use serde_json::{Value, json};
use support::{
    latchkey::{Bench, Client, Latchkey, text},
    mosquitto::{Mosquitto, MosquittoOptions},
    scripted_broker::PATIENCE,
};
use tokio::time::{sleep, timeout};

const SIDE_DEVICE: &str = "homeassistant/device/latchkey_side/config";

/// A bench whose Akuvox has a login for an account `side` that is not configured yet.
async fn bench() -> Bench {
    let more = vec!["sys_interval 1".to_owned()];
    let mosquitto = Mosquitto::start_with(&MosquittoOptions { more, ..MosquittoOptions::default() });
    let options = Options { n_accounts: 2, knobs: Default::default(), time: None, places: Places::default() };
    let akuvox = AkuvoxCloud::start("127.0.0.1:0".parse().unwrap(), options).await.unwrap();
    let mut bench = Bench::with(mosquitto, akuvox, AqaraCloud::start_default().await.unwrap());
    bench.web = "metrics_public = true\n".to_owned();
    bench
}

/// The configuration as it is to be: with `side` or without.
fn configure(bench: &mut Bench, has_side: bool) {
    let gate = bench.akuvox.url();
    let side =
        format!("[accounts.side]\nvendor = \"akuvox\"\ngate = {gate:?}\ndial_code = \"46\"\nphone = \"0701234567\"\n");
    bench.more = if has_side { side } else { String::new() };
    bench.configuration();
}

async fn give_side_its_tokens(bench: &Bench, client: &Client) -> Value {
    let held = bench.akuvox.credentials(1);
    let tokens = json!({ "token": held.token, "refresh_token": held.refresh_token }).to_string();
    client.request("latchkey/side/update_tokens", tokens.as_bytes()).await
}

/// What the metrics page says of a figure.
fn figure(latchkey: &Latchkey, name: &str) -> u64 {
    let log = latchkey.log();
    let address = log.split("listens on http://").nth(1).unwrap().split_whitespace().next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find(|it| it.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// How many subscriptions the broker keeps, for everybody.
fn n_subscriptions(bench: &Bench) -> u64 {
    let listen = |arguments: &[&str]| {
        let port = bench.mosquitto.port.to_string();
        let output = Command::new("mosquitto_sub").args(["-h", "127.0.0.1", "-p", &port]).args(arguments).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    // It counts once in a second: what is read is of a count that began after now.
    listen(&["-R", "-C", "2", "-t", "$SYS/broker/uptime"]);
    listen(&["-C", "1", "-t", "$SYS/broker/subscriptions/count"]).trim().parse().unwrap()
}

/// Waits until a figure reads as wanted.
async fn until<T: PartialEq + std::fmt::Debug>(what: &str, wanted: T, mut read: impl FnMut() -> T) {
    let mut last = None;
    let come = timeout(PATIENCE, async {
        while *last.insert(read()) != wanted {
            sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(come.await.is_ok(), "{what}: {last:?}, not {wanted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_comes_and_goes_and_comes_back_with_its_tokens() {
    let mut bench = bench().await;
    configure(&mut bench, false);
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    client.heard(0, "online", |it| it.topic == "latchkey/bridge/state" && text(it) == "online").await;
    let before = client.retained().await;
    let n_before = n_subscriptions(&bench);

    // It comes.
    let mark = client.mark();
    configure(&mut bench, true);
    latchkey.reload().await;
    client.heard(mark, "its device", |it| it.topic == SIDE_DEVICE && !it.payload.is_empty()).await;
    assert_eq!(client.state("side", |_| true).await["condition"], "missing");
    let says_side = |it: &latchkey::mqtt::Inbound| it.topic == "latchkey/bridge/info" && text(it).contains("\"side\"");
    client.heard(mark, "the bridge's list of accounts", says_side).await;
    let reply = give_side_its_tokens(&bench, &client).await;
    assert_eq!(reply["data"]["outcome"], "proved", "{reply}");
    let side = client.state("side", |it| it["condition"] == "ok").await;
    let retained = client.retained().await;
    assert!(retained.contains_key("latchkey/side/advice") && retained.contains_key("latchkey/side/login/state"));

    // It goes, and nothing of it is left but its record.
    let mark = client.mark();
    configure(&mut bench, false);
    latchkey.reload().await;
    client.heard(mark, "its device's end", |it| it.topic == SIDE_DEVICE && it.payload.is_empty()).await;
    client.round().await;
    let after = client.retained().await;
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(!after["latchkey/bridge/info"].contains("\"side\""));
    let reply = client.request("latchkey/side/refresh_tokens", b"{}").await;
    assert_eq!(reply["error"]["code"], "unknown_account", "{reply}");
    until("subscriptions", n_before, || n_subscriptions(&bench)).await;

    // It comes back as it was, and nobody asks the cloud for it.
    let n_calls = bench.n_calls();
    configure(&mut bench, true);
    latchkey.reload().await;
    let back = client.state("side", |it| it["generation"] == side["generation"]).await;
    for key in ["condition", "last_refresh_at", "refresh_count", "access_token_expires_at"] {
        assert_eq!(back[key], side[key], "{key}");
    }
    assert_eq!(bench.n_calls(), n_calls, "{}", latchkey.log());
    assert!(client.state("front_door", |_| true).await["condition"] == "ok");
    assert_eq!(latchkey.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_deletes_a_new_device_in_home_assistant_is_heard() {
    let mut bench = bench().await;
    configure(&mut bench, false);
    let latchkey = bench.run().await;
    let client = bench.client().await;
    let mark = client.mark();
    configure(&mut bench, true);
    latchkey.reload().await;
    client.heard(mark, "its device", |it| it.topic == SIDE_DEVICE && !it.payload.is_empty()).await;
    client.mosquitto_pub(SIDE_DEVICE, b"", &["-r", "-q", "1"]);
    latchkey.logged("was deleted in Home Assistant").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_in_flight_ends_well_whatever_is_reloaded() {
    let mut bench = bench().await;
    configure(&mut bench, true);
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    give_side_its_tokens(&bench, &client).await;
    let counters = bench.akuvox.counters();
    let side = client.state("side", |it| it["condition"] == "ok").await;

    bench.akuvox.inject(Fault::new(FaultKind::Slow).after().lasting(2.0));
    let mark = client.mark();
    client.mosquitto_pub("latchkey/side/refresh_tokens", b"{}", &["-q", "1"]);
    bench.akuvox.wait_for(|it| counters.refreshes < it.refreshes).await;
    for has_side in [false, true, false] {
        configure(&mut bench, has_side);
        latchkey.reload().await;
    }
    let reply = client.heard(mark, "its reply", |it| it.topic == "latchkey/side/response/refresh_tokens").await;
    assert!(text(&reply).contains("\"ok\""), "{}", text(&reply));
    assert!(!client.retained().await.contains_key("latchkey/side/state"), "nothing of it is published any more");

    configure(&mut bench, true);
    latchkey.reload().await;
    let generation = side["generation"].as_u64().unwrap() + 1;
    client.state("side", |it| it["generation"] == generation && it["condition"] == "ok").await;
    let after = bench.akuvox.counters();
    assert_eq!((after.refreshes, after.replays), (counters.refreshes + 1, 0), "{}", latchkey.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_is_wrong_keeps_the_old_one_and_every_error_is_told_with_its_mend() {
    let mut bench = bench().await;
    configure(&mut bench, false);
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;

    let file = bench.folder.path().join("latchkey.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("[keeper]", "[keeper]\nbackoff_frist = \"1s\"").replace("\"aqara\"", "\"acara\""))
        .unwrap();
    latchkey.signal("HUP");
    latchkey.logged("the configuration has 2 problems; Latchkey goes on with the one before").await;
    latchkey.logged("keeper.backoff_frist: this key is not known. Mend: did you mean `backoff_first`?").await;
    latchkey.logged("accounts.home.vendor: ").await;
    fs::remove_file(&file).unwrap();
    latchkey.signal("HUP");
    latchkey.logged("the configuration has 1 problem;").await;
    let reply = client.request("latchkey/home/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");

    fs::write(&file, good).unwrap();
    latchkey.reload().await;
    client.round().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_a_restart_is_said_and_stays_and_the_rest_is_taken() {
    let mut bench = bench().await;
    configure(&mut bench, false);
    let latchkey = bench.run().await;
    let client = bench.client().await;
    let mark = client.mark();
    let file = bench.folder.path().join("latchkey.toml");
    let text_now = fs::read_to_string(&file).unwrap();
    let name = "[accounts.front_door]\nname = \"The front\"";
    let elsewhere = text_now
        .replace("host = \"127.0.0.1\"", "host = \"broker.invalid\"")
        .replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"")
        .replace("[accounts.front_door]", name);
    fs::write(&file, format!("instance = \"other\"\n{elsewhere}")).unwrap();
    latchkey.reload().await;
    for key in ["instance", "mqtt.host", "web.listen"] {
        latchkey
            .logged(&format!("{key} is another one now, which takes a restart; until then it stays as it was"))
            .await;
    }
    let is_renamed = |it: &latchkey::mqtt::Inbound| {
        it.topic == "homeassistant/device/latchkey_front_door/config" && text(it).contains("\"The front\"")
    };
    client.heard(mark, "the new name", is_renamed).await;
    client.round().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_leave_nothing_behind() {
    let mut bench = bench().await;
    configure(&mut bench, true);
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    give_side_its_tokens(&bench, &client).await;
    client.request("latchkey/side/open_door", b"nowhere").await;
    let n_calls = bench.n_calls();
    let files = || fs::read_dir(format!("/proc/{}/fd", latchkey.pid())).unwrap().count();
    let threads = || fs::read_dir(format!("/proc/{}/task", latchkey.pid())).unwrap().count();
    let tasks = || figure(&latchkey, "latchkey_tasks");
    let before = (files(), threads(), tasks());
    let n_before = n_subscriptions(&bench);

    for has_side in [false, true].repeat(50) {
        configure(&mut bench, has_side);
        latchkey.reload().await;
    }
    client.state("side", |it| it["condition"] == "ok").await;
    client.round().await;
    until("files, threads and tasks", before, || (files(), threads(), tasks())).await;
    until("subscriptions", n_before, || n_subscriptions(&bench)).await;
    assert_eq!(bench.n_calls(), n_calls, "a reload asks nobody: {}", latchkey.log());
    let reply = client.request("latchkey/side/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!(latchkey.stop().await.code(), Some(0));
}
