//! `latchkey backup`, `restore` and `rotate-key`, as a person and as a cron job use them.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;
#[path = "support/tools.rs"]
mod tools;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use support::latchkey::{Bench, latchkey, output};
use tools::or_skip;

const PASSPHRASE: &str = "a few words that nobody guesses";

/// A subcommand with further arguments, run to its end.
async fn run(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command = bench.command(arguments[0]);
    command.args(&arguments[1..]);
    output(command).await
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// It failed, says why, and says the mend.
fn assert_refused(output: &Output, why: &str, mend: &str) {
    assert_eq!(code(output), 1, "{}", said(output));
    assert!(output.stdout.is_empty(), "{}", said(output));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains(why) && stderr.contains(mend) && stderr.lines().count() == 1, "{stderr}");
}

/// The reply document, which is all that is said.
fn json(output: &Output) -> serde_json::Value {
    assert!(output.stderr.is_empty(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn write_passphrase(bench: &Bench, text: &str) -> PathBuf {
    let path = bench.folder.path().join("passphrase");
    fs::write(&path, text).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn what_a_backup_brings_back_is_tried_once_and_whoever_asks_hears_which_logins_live() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    let passphrase = write_passphrase(&bench, &format!("{PASSPHRASE}\n"));
    let backup = bench.folder.path().join("logins.backup");
    let made = run(&bench, &["backup", text(&backup), "--passphrase-file", text(&passphrase)]).await;
    assert_eq!(code(&made), 0, "{}", said(&made));
    let again = json(
        &run(&bench, &["backup", text(&backup), "--overwrite", "--json", "--passphrase-file", text(&passphrase)]).await,
    );
    assert_eq!(again["data"], serde_json::json!({ "file": backup, "accounts": ["front_door", "home"] }));
    assert!(said(&made).contains("front_door, home"), "{}", said(&made));
    // One login is renewed after that, so what the backup has of it is spent.
    let reply = client.request("latchkey/home/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert!(latchkey.stop().await.success());

    fs::rename(bench.store(), bench.folder.path().join("lost")).unwrap();
    let calls = bench.n_calls();
    let restored = run(&bench, &["restore", text(&backup), "--passphrase-file", text(&passphrase)]).await;
    assert_eq!(code(&restored), 0, "{}", said(&restored));
    for phrase in ["front_door  generation 2", "home        generation 2", "tries each login once"] {
        assert!(said(&restored).contains(phrase), "{}", said(&restored));
    }
    assert_eq!(bench.n_calls(), calls, "restoring asks nobody");

    let refreshes = bench.akuvox.counters().refreshes;
    let mark = client.mark();
    let latchkey = bench.run().await;
    let heard = |account: &'static str, condition: &'static str| {
        let topic = format!("latchkey/{account}/state");
        let client = &client;
        async move {
            let is_it = |it: &latchkey::mqtt::Inbound| {
                it.topic == topic && support::latchkey::text(it).contains(&format!("\"condition\":\"{condition}\""))
            };
            client.heard(mark, condition, is_it).await
        }
    };
    heard("home", "reauth_required").await;
    bench.akuvox.wait_for(|it| refreshes < it.refreshes).await;
    let state = client.state("front_door", |it| it["generation"].as_u64() > Some(2)).await;
    assert_eq!(state["condition"], "ok", "{state}");
    assert_eq!(bench.akuvox.counters().refreshes, refreshes + 1);
    assert!(latchkey.stop().await.success());
}

/// Runs `age` in `folder`; it takes a passphrase from a terminal alone.
fn age(folder: &Path, arguments: &str, passphrase: &str) -> Result<(), String> {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &format!("age {arguments}"), "/dev/null"]).current_dir(folder);
    let streams = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut script = streams.spawn().map_err(|error| format!("script: {error}"))?;
    script.stdin.take().unwrap().write_all(format!("{passphrase}\n").repeat(2).as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    if output.status.success() { Ok(()) } else { Err(format!("age {arguments}: {}", said(&output))) }
}

#[tokio::test]
async fn a_backup_is_a_file_of_age_in_both_directions() {
    let found = Command::new("age").arg("--version").output();
    let found = found.map_err(|error| format!("{error}: apt-get install age"));
    if or_skip("age opens a backup", found).is_none() {
        return;
    }
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    bench.sign_in(&bench.client().await).await;
    assert!(latchkey.stop().await.success());
    let (folder, passphrase) = (bench.folder.path(), write_passphrase(&bench, PASSPHRASE));
    let backup = folder.join("logins.backup");
    let made = run(&bench, &["backup", text(&backup), "--passphrase-file", text(&passphrase)]).await;
    assert_eq!(code(&made), 0, "{}", said(&made));
    age(folder, "--decrypt --output opened logins.backup", PASSPHRASE).unwrap();
    let opened = fs::read(folder.join("opened")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&opened).unwrap();
    assert_eq!(document["accounts"].as_array().unwrap().len(), 2);

    age(folder, "--passphrase --output sealed opened", PASSPHRASE).unwrap();
    fs::rename(bench.store(), folder.join("lost")).unwrap();
    let sealed = folder.join("sealed");
    let restored = run(&bench, &["restore", text(&sealed), "--passphrase-file", text(&passphrase)]).await;
    assert_eq!(code(&restored), 0, "{}", said(&restored));
    assert!(said(&restored).contains("front_door  generation 2"), "{}", said(&restored));
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_backup_is_said_with_the_mend_and_nothing_is_written() {
    let bench = Bench::new().await;
    let passphrase = write_passphrase(&bench, PASSPHRASE);
    let backup = bench.folder.path().join("logins.backup");
    let arguments = ["backup", text(&backup), "--passphrase-file", text(&passphrase)];
    assert_refused(&run(&bench, &arguments).await, "there is no store", "store.path");
    assert!(!bench.store().exists());
    assert!(bench.run().await.stop().await.success());

    let nowhere = ["backup", text(&backup), "--passphrase-file", "/nowhere/passphrase"];
    assert_refused(&run(&bench, &nowhere).await, "/nowhere/passphrase", "Name a file");
    assert_refused(&run(&bench, &["backup", text(&backup)]).await, "no passphrase", "--passphrase-file");
    write_passphrase(&bench, "short");
    assert_refused(&run(&bench, &arguments).await, "too short", "12 characters");
    assert!(!backup.exists());

    // As a cron job gives it.
    let mut command = bench.command("backup");
    command.arg(&backup).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSPHRASE}").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let before = fs::read(&backup).unwrap();

    write_passphrase(&bench, PASSPHRASE);
    assert_refused(&run(&bench, &arguments).await, "exists already", "--overwrite");
    assert!(fs::read(&backup).unwrap() == before);
    let overwriting = [&arguments[..], &["--overwrite"]].concat();
    assert_eq!(code(&run(&bench, &overwriting).await), 0);
}

#[tokio::test]
async fn a_restore_takes_the_place_of_nothing_unless_it_is_set_aside() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let passphrase = write_passphrase(&bench, PASSPHRASE);
    let backup = bench.folder.path().join("logins.backup");
    assert_eq!(code(&run(&bench, &["backup", text(&backup), "--passphrase-file", text(&passphrase)]).await), 0);
    let restore = ["restore", text(&backup), "--passphrase-file", text(&passphrase)];
    assert_refused(&run(&bench, &restore).await, "another Latchkey already uses", "stop it");
    assert!(latchkey.stop().await.success());
    assert_refused(&run(&bench, &restore).await, "already holds a store", "--set-aside");
    write_passphrase(&bench, "other words than those");
    assert_refused(&run(&bench, &restore).await, "the passphrase is wrong", "Give the passphrase");
    write_passphrase(&bench, PASSPHRASE);
    let refused = json(&run(&bench, &[&restore[..], &["--json"]].concat()).await);
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&"error".into(), &"store".into()), "{refused}");
    let foreign = ["restore", text(&passphrase), "--passphrase-file", text(&passphrase)];
    assert_refused(&run(&bench, &foreign).await, "no backup", "latchkey backup");
    let restored = run(&bench, &[&restore[..], &["--set-aside"]].concat()).await;
    assert_eq!(code(&restored), 0, "{}", said(&restored));
    assert!(said(&restored).contains("before-restore-"), "{}", said(&restored));
    let restored = json(&run(&bench, &[&restore[..], &["--set-aside", "--json"]].concat()).await);
    let account = serde_json::json!({ "entry_id": "front_door", "generation": null, "last_refresh_at": null, "configured": true });
    assert!(restored["data"]["set_aside"].as_str().unwrap().contains("before-restore-"), "{restored}");
    assert!(
        restored["data"]["accounts"].as_array().unwrap().is_empty() || restored["data"]["accounts"][0] == account,
        "{restored}"
    );
    assert!(bench.run().await.stop().await.success());
}

#[tokio::test]
async fn the_key_is_changed_while_latchkey_is_stopped_and_it_goes_on_with_the_new_one() {
    let bench = Bench::new().await;
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    let key = bench.store().join("key");
    let before = fs::read(&key).unwrap();
    assert_refused(&run(&bench, &["rotate-key"]).await, "another Latchkey already uses", "Stop the other Latchkey");
    assert!(latchkey.stop().await.success());
    let changed = run(&bench, &["rotate-key"]).await;
    assert_eq!(code(&changed), 0, "{}", said(&changed));
    assert!(said(&changed).contains("sealed with the new key"), "{}", said(&changed));
    assert_ne!(fs::read(&key).unwrap(), before);

    let mark = client.mark();
    let latchkey = bench.run().await;
    let is_known = |it: &latchkey::mqtt::Inbound| {
        it.topic == "latchkey/front_door/state" && support::latchkey::text(it).contains("\"condition\":\"ok\"")
    };
    client.heard(mark, "the state", is_known).await;
    assert_eq!(client.request("latchkey/front_door/refresh_tokens", b"{}").await["status"], "ok");
    assert!(latchkey.stop().await.success());
}

#[tokio::test]
async fn a_key_that_is_given_is_changed_to_one_in_a_file() {
    let mut bench = Bench::new().await;
    bench.environment.push(("LATCHKEY__STORE__KEY".to_owned(), "17".repeat(32)));
    assert!(bench.run().await.stop().await.success());
    assert_refused(&run(&bench, &["rotate-key"]).await, "lies in no file", "--to FILE");
    let to = bench.folder.path().join("new-key");
    let changed = run(&bench, &["rotate-key", "--to", text(&to)]).await;
    assert_eq!(code(&changed), 0, "{}", said(&changed));
    assert!(said(&changed).contains("Give Latchkey that key"), "{}", said(&changed));
    let to_another = bench.folder.path().join("newer-key");
    bench.environment.clear();
    bench.environment.push(("LATCHKEY__STORE__KEY_FILE".to_owned(), text(&to).to_owned()));
    let changed = json(&run(&bench, &["rotate-key", "--json", "--to", text(&to_another)]).await);
    assert_eq!(changed["data"], serde_json::json!({ "key_file": to_another, "still_old": [] }));
    let to = to_another;
    bench.environment.clear();
    bench.environment.push(("LATCHKEY__STORE__KEY_FILE".to_owned(), text(&to).to_owned()));
    assert!(bench.run().await.stop().await.success());
}

#[tokio::test]
async fn each_command_teaches_by_example_and_bad_usage_is_64() {
    for (command, example) in [
        ("backup", "latchkey backup logins.backup"),
        ("restore", "latchkey restore logins.backup --set-aside"),
        ("rotate-key", "latchkey rotate-key --to"),
    ] {
        let help = output(latchkey(&[command, "--help"])).await;
        assert!(help.status.success() && said(&help).contains(example), "{}", said(&help));
    }
    for bad in [&["backup"][..], &["restore"], &["backup", "x", "--passphrase", "y"], &["rotate-key", "x"]] {
        assert_eq!(code(&output(latchkey(bad)).await), 64, "{bad:?}");
    }
}
