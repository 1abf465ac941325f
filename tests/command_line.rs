//! The command line, as a person and as a script use it.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::Output,
    thread,
};

use serde_json::Value;
use support::{
    latchkey::{Bench, Client, Latchkey, latchkey, output, text},
    mosquitto::Mosquitto,
};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What `latchkey check --json` finds: its exit code, and each finding by its name.
async fn check(bench: &Bench) -> (i32, Vec<Value>) {
    let mut command = bench.command("check");
    command.arg("--json");
    let output = output(command).await;
    assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
    (output.status.code().unwrap(), serde_json::from_str(&stdout(&output)).unwrap())
}

fn finding<'a>(findings: &'a [Value], what: &str) -> &'a Value {
    findings.iter().find(|it| it["what"] == what).unwrap_or_else(|| panic!("no {what} in {findings:?}"))
}

/// A finding that is wrong has a mend.
fn assert_wrong(findings: &[Value], what: &str, says: &str) {
    let finding = finding(findings, what);
    assert_eq!(finding["ok"], false, "{finding}");
    assert!(finding["says"].as_str().unwrap().contains(says), "{finding}");
    assert!(finding["mend"].as_str().is_some_and(|it| !it.is_empty()), "{finding}");
}

/// Waits for a line of JSON that a command prints when it is ready.
async fn ready_line(latchkey: &Latchkey) -> Value {
    latchkey.logged("\n").await;
    let said = latchkey.log();
    let value = serde_json::from_str(said.lines().next().unwrap());
    value.unwrap_or_else(|_| panic!("no JSON: {said}"))
}

#[tokio::test]
async fn check_goes_through_the_chain_and_touches_nothing() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let (code, findings) = check(&bench).await;
    assert_eq!(code, 0, "{findings:?}");
    let names: Vec<&str> = findings.iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(names, ["configuration", "store", "broker", "home assistant", "front_door (akuvox)", "home (aqara)"]);
    assert!(finding(&findings, "store")["says"].as_str().unwrap().contains("will be made at the first start"));
    assert!(!bench.store().exists());
    assert!(client.retained().await.is_empty(), "check left something at the broker");
    let refreshes = bench.akuvox.counters().refreshes + bench.aqara.counters().refreshes;
    assert_eq!(refreshes, 0);

    let for_people = output(bench.command("check")).await;
    assert!(for_people.status.success());
    assert_eq!(stdout(&for_people).lines().filter(|it| it.starts_with("ok   ")).count(), 6);
}

#[tokio::test]
async fn check_beside_a_running_latchkey_does_not_disturb_it() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    let n_warnings = latchkey.log().matches("WARN").count();
    let (code, findings) = check(&bench).await;
    assert_eq!(code, 0, "{findings:?}");
    assert!(finding(&findings, "store")["says"].as_str().unwrap().contains("in use by a running Latchkey"));
    client.round().await;
    assert_eq!(latchkey.log().matches("WARN").count(), n_warnings, "{}", latchkey.log());
    assert!(latchkey.stop().await.success());

    let (code, findings) = check(&bench).await;
    assert_eq!(code, 0, "{findings:?}");
    assert!(finding(&findings, "store")["says"].as_str().unwrap().contains("is well"));
}

#[tokio::test]
async fn check_says_the_mend_for_everything_that_is_wrong() {
    let mut bench = Bench::new().await;
    fs::create_dir(bench.store()).unwrap();
    fs::set_permissions(bench.store(), fs::Permissions::from_mode(0o755)).unwrap();
    bench.mosquitto.kill();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (late, _server) = cloud_with_an_old_clock();
    bench.more = format!(
        "\n[accounts.away]\nvendor = \"akuvox\"\ngate = \"http://{nobody}\"\n\
         \n[accounts.late]\nvendor = \"akuvox\"\ngate = \"{late}\"\n"
    );
    let (code, findings) = check(&bench).await;
    assert_eq!(code, 1);
    assert_wrong(&findings, "store", "permissions are 755");
    assert_wrong(&findings, "broker", "127.0.0.1");
    assert_wrong(&findings, "away (akuvox)", "does not answer");
    assert_wrong(&findings, "late (akuvox)", "behind ours");
    assert_eq!(finding(&findings, "front_door (akuvox)")["ok"], true);

    let for_people = output(bench.command("check")).await;
    assert_eq!(for_people.status.code(), Some(1));
    let said = stdout(&for_people);
    assert_eq!(said.lines().filter(|it| it.starts_with("WRONG")).count(), 4, "{said}");
    assert_eq!(said.lines().filter(|it| it.contains("-> ")).count(), 4, "{said}");
}

#[tokio::test]
async fn check_tells_of_a_slow_mosquitto_and_a_refused_login() {
    let bench = Bench::new().await;
    let users = vec![("latchkey".to_owned(), "right".to_owned())];
    let options = support::mosquitto::MosquittoOptions { users, ..Default::default() };
    let bench = Bench { mosquitto: Mosquitto::start_with(&options), ..bench };
    let (code, findings) = check(&bench).await;
    assert_eq!(code, 1);
    assert_wrong(&findings, "broker", "127.0.0.1");

    let more = vec!["set_tcp_nodelay false".to_owned()];
    let options = support::mosquitto::MosquittoOptions { more, ..Default::default() };
    let bench = Bench { mosquitto: Mosquitto::start_with(&options), ..bench };
    let (code, findings) = check(&bench).await;
    assert_eq!(code, 0, "advice is no failure");
    assert!(finding(&findings, "broker speed")["says"].as_str().unwrap().contains("ms on its way"));
    assert!(finding(&findings, "broker speed")["mend"].as_str().unwrap().contains("set_tcp_nodelay true"));
}

/// Something that answers as of 1994.
fn cloud_with_an_old_clock() -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\n{}";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, server)
}

#[tokio::test]
async fn a_bad_configuration_ends_with_64_and_the_whole_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    fs::write(&file, "[mqtt]\nport = 70000\nhots = \"x\"\n\n[accounts.home]\nvendor = \"aqara\"\n").unwrap();
    for subcommand in ["run", "check"] {
        let mut command = latchkey(&[subcommand, "--config"]);
        command.arg(&file);
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(64));
        let said = stderr(&output);
        for key in ["mqtt.port", "mqtt.hots", "accounts.home.app_id", "accounts.home.app_key"] {
            assert!(said.contains(key), "{key} is not in {said}");
        }
        assert!(said.matches("mend:").count() >= 4, "{said}");
    }
    let mut command = latchkey(&["run", "--config"]);
    command.arg(folder.path().join("nowhere.toml"));
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("there is no such file"), "{}", stderr(&output));
}

#[tokio::test]
async fn help_and_version_are_no_failures_and_bad_usage_is_64() {
    let help = output(latchkey(&["--help"])).await;
    assert!(help.status.success());
    for subcommand in ["run", "check", "demo", "simulate"] {
        assert!(stdout(&help).contains(subcommand), "{}", stdout(&help));
        let help = output(latchkey(&[subcommand, "--help"])).await;
        assert!(help.status.success() && stdout(&help).contains("Usage: latchkey"), "{}", stdout(&help));
    }
    let version = output(latchkey(&["--version"])).await;
    assert_eq!(stdout(&version), format!("latchkey {}\n", env!("CARGO_PKG_VERSION")));
    for bad in [&[][..], &["bogus"], &["run", "--bogus"], &["demo", "--mqtt-port", "x"], &["demo", "--broker", "x"]] {
        let output = output(latchkey(bad)).await;
        assert_eq!(output.status.code(), Some(64), "{bad:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{bad:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn the_simulated_clouds_say_in_one_line_where_they_are() {
    let mut simulate = Latchkey::start(latchkey(&["simulate", "--json", "--accounts", "2"]));
    let line = ready_line(&simulate).await;
    for vendor in ["akuvox", "aqara"] {
        assert!(line[vendor]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{line}");
        assert_eq!(line[vendor]["accounts"].as_array().unwrap().len(), 2);
    }
    simulate.signal("TERM");
    assert_eq!(simulate.ended().await.code(), Some(0));
    assert_eq!(simulate.log().lines().count(), 1);
}

/// Tokens of the demo are renewed before everybody's eyes; then it ends when it is told to.
async fn watch_a_demo(mut demo: Latchkey, port: u16) {
    let client = Client::connect(port).await;
    for account in ["front_door", "aqara_home"] {
        let state = client.state(account, |it| it["condition"] == "ok").await;
        let event = format!("latchkey/{account}/event");
        let is_renewal = |it: &latchkey::mqtt::Inbound| it.topic == event && text(it).contains("\"schedule\"");
        client.heard(0, "a renewal by the schedule", is_renewal).await;
        client.state(account, |it| state["generation"].as_u64() < it["generation"].as_u64()).await;
    }
    let reply = client.request("latchkey/aqara_home/trigger_scene", b"tv_pin_entry").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    demo.signal("TERM");
    assert_eq!(demo.ended().await.code(), Some(0));
    assert_eq!(demo.log().lines().count(), 1, "{}", demo.log());
}

#[tokio::test]
async fn the_demo_runs_with_a_broker_of_its_own() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let demo = Latchkey::start(latchkey(&["demo", "--json", "--token-lifetime", "4s", "--mqtt-port", &port]));
    let line = ready_line(&demo).await;
    assert_eq!((&line["ready"], line["mqtt_port"].to_string()), (&Value::Bool(true), port));
    let (web, key) = (line["web"].as_str().unwrap(), line["key"].as_str().unwrap());
    assert!(web.starts_with("http://127.0.0.1:") && web.ends_with('/') && key.len() == 48, "{line}");
    let store = line["store"].as_str().unwrap().to_owned();
    assert!(fs::exists(&store).unwrap());
    watch_a_demo(demo, u16::try_from(line["mqtt_port"].as_u64().unwrap()).unwrap()).await;
    assert!(!fs::exists(&store).unwrap(), "the demo left its store behind");
}

#[tokio::test]
async fn the_demo_runs_with_the_users_broker_and_narrates() {
    let mosquitto = Mosquitto::start();
    let broker = format!("localhost:{}", mosquitto.port);
    let demo = Latchkey::start(latchkey(&["demo", "--json", "--token-lifetime", "4s", "--broker", &broker]));
    let line = ready_line(&demo).await;
    assert_eq!(line["mqtt_port"], mosquitto.port);
    watch_a_demo(demo, mosquitto.port).await;

    let mut demo = Latchkey::start(latchkey(&["demo", "--token-lifetime", "4s", "--broker", &broker]));
    demo.logged("Ctrl-C ends it.").await;
    let said = demo.log();
    for phrase in [
        "two simulated clouds",
        "The page is at http://127.0.0.1:",
        "with the key",
        "proved",
        "tv_pin_entry",
        &format!("-h localhost -p {}", mosquitto.port),
    ] {
        assert!(said.contains(phrase), "{phrase} is not in {said}");
    }
    demo.logged("(by schedule)").await;
    demo.signal("INT");
    assert_eq!(demo.ended().await.code(), Some(0));
}
