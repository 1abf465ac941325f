//! The disk under the service: full, gone, read-only, damaged. No token is spent for an answer that it could not keep, it
//! says why, and nothing is lost when the disk is well again.
//!
//! The first three are real, in a mount namespace of the service's own. That takes root; where it cannot be had these tests
//! say so and try nothing. `tests/keeper/disk.rs` and `src/store/power/` play the same troubles for everybody.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "these are tests, helpers included")]

mod support;

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};
use support::{
    latchkey::{Bench, CONNECTED, Client, Latchkey, output, text},
    scripted_broker::PATIENCE,
};

const REFRESH: &str = "latchkey/home/refresh_tokens";

/// Whether this machine lets us mount; says so where not.
fn may_mount() -> bool {
    let tried =
        Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs none /mnt && command -v nsenter"]).output();
    let may = tried.is_ok_and(|it| it.status.success());
    if !may {
        eprintln!("NOT TRIED: a real disk in trouble takes root and a mount namespace, which are not to be had here");
    }
    may
}

/// `command` in a mount namespace of its own, after `script` has mounted something there. `$1` is the store's folder.
fn within(script: &str, store: &Path, command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    let script = format!("{script} && shift && exec \"$@\"");
    outer.args(["-m", "sh", "-c", &script, "sh"]).arg(store).arg(command.get_program()).args(command.get_args());
    outer.stdin(std::process::Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Has `script` run where the service sees the disk; whether it went well.
fn beside(latchkey: &Latchkey, script: &str, arguments: &[&OsStr]) -> bool {
    let mut command = Command::new("nsenter");
    command.args(["-t", &latchkey.pid().to_string(), "-m", "sh", "-c", script, "sh"]).args(arguments);
    command.output().unwrap().status.success()
}

/// A command that stands in front of the disk's trouble: it is refused, no vendor is asked, the state and the log say why.
async fn assert_blocked(bench: &Bench, client: &Client, latchkey: &Latchkey, why: &str) {
    let n_calls = bench.n_calls();
    let reply = client.request(REFRESH, b"{}").await;
    assert_eq!(reply["error"]["code"], "blocked", "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().contains(why), "{reply}");
    client.state("home", |it| it["condition"] == "blocked" && it["problem"] == "ON").await;
    latchkey.logged("no token was spent").await;
    assert!(latchkey.log().contains(why), "{}", latchkey.log());
    assert_eq!(bench.n_calls(), n_calls, "a vendor was asked");
}

/// The disk is well: whoever asks gets a refresh, and a restart finds it.
async fn assert_well_and_restarts(bench: &Bench, client: &Client, latchkey: Latchkey) {
    let reply = client.request(REFRESH, b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}; {}", latchkey.log());
    client.state("home", |it| it["condition"] == "ok").await;
    assert_eq!((bench.akuvox.counters().replays, bench.aqara.counters().replays), (0, 0));
    assert!(latchkey.stop().await.success());
}

#[tokio::test]
async fn on_a_full_disk_refreshes_stop_before_a_token_is_spent_and_go_on_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let bench = Bench::new().await;
    fs::create_dir(bench.store()).unwrap();
    let mount = "mount -t tmpfs -o size=8m,mode=700 none \"$1\"";
    let latchkey = Latchkey::start(within(mount, &bench.store(), &bench.command("run")));
    latchkey.logged(CONNECTED).await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    let mut n_refreshes = 0;
    let blocked = loop {
        // What is left of the room is taken each time: the ballast lets what is under way come to its end, once.
        beside(&latchkey, "cat /dev/zero >>\"$1/filler\"", &[bench.store().as_os_str()]);
        let reply = client.request(REFRESH, b"{}").await;
        if reply["status"] != "ok" {
            break reply;
        }
        n_refreshes += 1;
        assert!(n_refreshes < 10, "it renews on a disk without room");
    };
    assert_eq!(blocked["error"]["code"], "blocked", "{blocked}");
    let generation = client.state("home", |it| it["condition"] == "blocked").await["generation"].clone();
    assert_blocked(&bench, &client, &latchkey, "no room").await;
    assert!(beside(&latchkey, "rm \"$1/filler\"", &[bench.store().as_os_str()]));
    let reply = client.request(REFRESH, b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    let held = client.state("home", |it| it["condition"] == "ok").await["generation"].clone();
    assert_eq!(held.as_u64(), generation.as_u64().map(|it| it + 1));
    assert_well_and_restarts(&bench, &client, latchkey).await;
}

#[tokio::test]
async fn on_a_disk_that_is_gone_nothing_is_spent_and_it_goes_on_when_that_is_back() {
    if !may_mount() {
        return;
    }
    let bench = Bench::new().await;
    fs::create_dir(bench.store()).unwrap();
    let disk = bench.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!("chmod 700 {disk:?} && mount --bind {disk:?} \"$1\"");
    let latchkey = Latchkey::start(within(&mount, &bench.store(), &bench.command("run")));
    latchkey.logged(CONNECTED).await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    assert!(beside(&latchkey, "umount -l \"$1\"", &[bench.store().as_os_str()]));
    assert_blocked(&bench, &client, &latchkey, "was removed").await;
    assert!(fs::read_dir(bench.store()).unwrap().next().is_none(), "something was written beside the disk");
    assert!(beside(&latchkey, "mount --bind \"$1\" \"$2\"", &[disk.as_os_str(), bench.store().as_os_str()]));
    assert_well_and_restarts(&bench, &client, latchkey).await;
}

#[tokio::test]
async fn a_disk_that_is_read_only_is_told_at_the_start_and_nothing_on_it_is_touched() {
    if !may_mount() {
        return;
    }
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    assert!(latchkey.stop().await.success());
    let n_calls = bench.n_calls();
    let mount = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\"";
    let refused = output(within(mount, &bench.store(), &bench.command("run"))).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("mounted read-only"), "{said}");
    assert_eq!(bench.n_calls(), n_calls);
    let latchkey = bench.run().await;
    assert!(!latchkey.log().contains("damaged"), "{}", latchkey.log());
    assert_well_and_restarts(&bench, &client, latchkey).await;
}

#[tokio::test]
async fn damage_that_was_mended_is_told_as_an_event_by_mqtt_and_http_and_costs_nothing() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    let before = client.state("home", |it| it["condition"] == "ok").await;
    assert!(latchkey.stop().await.success());
    fs::write(bench.store().join("db/conf"), "no configuration at all").unwrap();
    let mark = client.mark();
    let latchkey = bench.run().await;
    for account in ["front_door", "home"] {
        let told = event(&client, mark, account).await;
        assert_eq!((&told["event_type"], &told["by"]), (&json!("store_mended"), &json!("start")), "{told}");
    }
    latchkey.logged("set aside").await;
    assert!(past_events(&bench, &latchkey).await.contains("\"store_mended\""));
    let after = client.state("home", |it| it["condition"] == "ok").await;
    assert_eq!(after["generation"], before["generation"]);
    assert_eq!(bench.aqara.counters().refreshes, 1, "nothing needed to be tried");
    assert_well_and_restarts(&bench, &client, latchkey).await;

    // sled alone cannot vouch for having the newest, so each login is tried.
    fs::remove_file(bench.store().join("journal")).unwrap();
    let mark = client.mark();
    let latchkey = bench.run().await;
    let told = event(&client, mark, "home").await;
    assert_eq!((&told["event_type"], &told["by"]), (&json!("store_damaged"), &json!("start")), "{told}");
    client.state("home", |it| it["refresh_count"] == 3 && it["condition"] == "ok").await;
    assert_well_and_restarts(&bench, &client, latchkey).await;
}

/// The first event of an account that is about the store.
async fn event(client: &Client, mark: usize, account: &str) -> Value {
    let topic = format!("latchkey/{account}/event");
    let is_it = |it: &latchkey::mqtt::Inbound| it.topic == topic && text(it).contains("store_");
    serde_json::from_slice(&client.heard(mark, &topic, is_it).await.payload).unwrap()
}

/// What `/v1/events` says of what happened before somebody listened.
async fn past_events(bench: &Bench, latchkey: &Latchkey) -> String {
    latchkey.logged("the admin API listens on http://").await;
    let log = latchkey.log();
    let address = log.split_once("the admin API listens on http://").unwrap().1.split_whitespace().next().unwrap();
    let key = fs::read_to_string(bench.store().join("web.key")).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: {address}\r\nx-latchkey-key: {}\r\n\r\n", key.trim()).unwrap();
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let n_bytes = stream.read(&mut buffer).unwrap();
        assert_ne!(n_bytes, 0, "{said}");
        said += &String::from_utf8_lossy(&buffer[..n_bytes]);
        if let Some((_, past)) = said.split_once("event: past\n")
            && let Some((past, _)) = past.split_once("\n\n")
        {
            return past.to_owned();
        }
    }
}
