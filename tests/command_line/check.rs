//! `latchkey check`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    thread,
};

use serde_json::Value;

use crate::{
    stdout,
    support::{
        self,
        latchkey::{Bench, output},
        mosquitto::Mosquitto,
    },
};

/// What `latchkey check --json` finds: its exit code, and each finding by its name.
async fn check(bench: &Bench) -> (i32, Vec<Value>) {
    let mut command = bench.command("check");
    command.arg("--json");
    let output = output(command).await;
    assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let findings = document["data"]["findings"].as_array().unwrap().clone();
    assert_eq!(
        (&document["status"], &document["data"]["ok"]),
        (&"ok".into(), &findings.iter().all(|it| it["ok"] == true).into())
    );
    (output.status.code().unwrap(), findings)
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
    assert!(stdout(&for_people).ends_with("All is well.\n") && for_people.stderr.is_empty());
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
    assert!(said.ends_with("4 of them have to be mended.\n"), "{said}");
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
