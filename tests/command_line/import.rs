//! `latchkey import`: from the Akuvox integration's storage, and from the earlier Aqara system.

use std::{fs, path::PathBuf, process::Command};

use rusqlite::Connection;
use serde_json::json;

use crate::{
    output_with, run, run_json, stderr, stdout,
    support::latchkey::{Bench, latchkey, output},
};

fn file(bench: &Bench, name: &str, text: &str) -> String {
    let path = bench.folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn storage(bench: &Bench) -> String {
    let credentials = bench.akuvox.credentials(0);
    let data = json!({
        "token": credentials.token, "refresh_token": credentials.refresh_token, "auth_token": credentials.auth_token,
        "last_token_refresh": "2026-11-20T10:00:00+00:00", "subdomain": "ucloud", "camera_data": [],
    });
    let document = json!({ "version": 1, "minor_version": 1, "key": "local_akuvox_storage", "data": data });
    file(bench, "local_akuvox_storage", &document.to_string())
}

/// The database as its system leaves it when it is killed: the newest row is in the file beside it.
fn database(bench: &Bench, refresh_token: &str) -> (PathBuf, Connection) {
    let path = bench.folder.path().join("metron.db");
    let database = Connection::open(&path).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    let schema = "CREATE TABLE aqara_tokens (id INTEGER PRIMARY KEY CHECK (id = 1), refresh_token TEXT NOT NULL, \
         access_token TEXT, access_token_expires_at DATETIME, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL);
         INSERT INTO aqara_tokens VALUES (1, 'spent-long-ago', NULL, NULL, '2025-12-01 08:00:00+00:00', \
         '2025-12-01 08:00:00+00:00');";
    database.execute_batch(schema).unwrap();
    database.pragma_update(None, "wal_checkpoint", "TRUNCATE").ok();
    let update = "UPDATE aqara_tokens SET refresh_token = ?1, updated_at = '2025-12-11 18:30:00+00:00'";
    database.execute(update, [refresh_token]).unwrap();
    (path, database)
}

#[tokio::test]
async fn the_akuvox_integrations_storage_is_taken_over() {
    let bench = Bench::new().await;
    let storage = storage(&bench);
    let before = fs::read(&storage).unwrap();
    let (code, said, complaints) = run(&bench, &["import", &storage], "").await;
    assert_eq!((code, complaints.as_str()), (0, ""));
    let found = "an access token and a refresh token of Akuvox, last renewed 2026-11-20 10:00 UTC.";
    for phrase in [found, "front_door: the tokens are good", "Remove the other system now"] {
        assert!(said.contains(phrase), "{phrase} is not in {said}");
    }
    assert_eq!(fs::read(&storage).unwrap(), before);
    let credentials = bench.akuvox.credentials(0);
    assert!(!said.contains(&credentials.refresh_token));
    let (_, reply) = run_json(&bench, &["status", "front_door"], "").await;
    assert_eq!(reply["data"]["accounts"][0]["condition"], "ok", "{reply}");
    // The same import once more is the same command, and spends nothing.
    let refreshes = bench.akuvox.counters().refreshes;
    let (code, reply) = run_json(&bench, &["import", &storage], "").await;
    assert_eq!((code, &reply["data"]["updated"][0]["outcome"]), (0, &"proved".into()), "{reply}");
    assert_eq!(bench.akuvox.counters().refreshes, refreshes);
}

#[tokio::test]
async fn the_earlier_aqara_systems_database_is_taken_over_with_its_newest_row() {
    let bench = Bench::new().await;
    let refresh_token = bench.aqara.credentials(0).refresh_token;
    let (path, open) = database(&bench, &refresh_token);
    let path = path.to_str().unwrap().to_owned();
    let (code, said, complaints) = run(&bench, &["import", &path, "--account", "home"], "").await;
    assert_eq!((code, complaints.as_str()), (0, ""), "{said}");
    for phrase in ["a refresh token of Aqara, last renewed 2025-12-11 18:30 UTC", "home: the tokens are good"] {
        assert!(said.contains(phrase), "{phrase} is not in {said}");
    }
    assert!(!said.contains(&refresh_token));
    let row: String = open.query_row("SELECT refresh_token FROM aqara_tokens", [], |it| it.get(0)).unwrap();
    assert_eq!(row, refresh_token, "the database of others was written to");
}

#[tokio::test]
async fn both_vendors_are_taken_over_at_once_and_no_proof_spends_no_token() {
    let bench = Bench::new().await;
    let (path, _open) = database(&bench, &bench.aqara.credentials(0).refresh_token);
    let files = [storage(&bench), path.to_str().unwrap().to_owned()];
    let (code, reply) = run_json(&bench, &["import", &files[0], &files[1], "--no-prove"], "").await;
    assert_eq!(code, 0, "{reply}");
    let updated = reply["data"]["updated"].as_array().unwrap();
    let outcomes: Vec<_> = updated.iter().map(|it| (&it["entry_id"], &it["outcome"])).collect();
    assert_eq!(outcomes, [(&json!("front_door"), &json!("adopted")), (&json!("home"), &json!("adopted"))]);
    assert_eq!(bench.akuvox.counters().refreshes + bench.aqara.counters().refreshes, 0);
}

#[tokio::test]
async fn the_earlier_aqara_systems_configuration_becomes_a_table_of_ours() {
    let bench = Bench::new().await;
    let mut aqara = json!({
        "app_id": "4e693d54d75db580a56d1263", "app_key": "canary-app-key-canary", "key_id": "K.900000000000000001",
        "base_url": "https://open-ger.aqara.com", "access_token": "canary-access-token",
        "scenes": { "tv_pin_entry": "AL.1", "tv_warning": "AL.2", "tv_power_off": "AL.3" },
    });
    let config = file(&bench, "config.json", &json!({ "server": { "port": 8080 }, "aqara": aqara }).to_string());
    let (code, said, complaints) = run(&bench, &["import", &config], "").await;
    assert_eq!((code, complaints.as_str()), (0, ""));
    for phrase in [
        "an Aqara application with 3 scenes. Its `access_token` is no longer used: remove it.",
        "[accounts.aqara_home]\nvendor = \"aqara\"\nbase_url = \"https://open-ger.aqara.com\"",
        "[accounts.aqara_home.scenes]\ntv_pin_entry = \"AL.1\"\ntv_power_off = \"AL.3\"\ntv_warning = \"AL.2\"",
    ] {
        assert!(said.contains(phrase), "{phrase} is not in {said}");
    }
    assert!(!said.contains("canary"), "{said}");

    // What was printed is a configuration, once the key is filled in.
    let section = said.split("\n\n").skip(1).collect::<Vec<_>>().join("\n\n");
    let filled = section.replace("<aqara.app_key of that file>", "secret");
    let toml = file(&bench, "taken-over.toml", &filled);
    let status = output(latchkey(&["status", "--config", &toml])).await;
    assert!(status.status.success() && stdout(&status).contains("aqara_home"), "{}", stderr(&status));

    // Of what is configured already only the scenes that lack are told.
    let credentials = bench.aqara.credentials(0);
    aqara["app_id"] = json!(credentials.app_id);
    aqara["key_id"] = json!(credentials.key_id);
    let config = file(&bench, "config.json", &json!({ "aqara": aqara }).to_string());
    let (_, reply) = run_json(&bench, &["import", &config], "").await;
    let configuration = reply["data"]["configuration"].as_str().unwrap();
    assert!(configuration.starts_with("[accounts.home.scenes]\ntv_pin_entry"), "{configuration}");
}

#[tokio::test]
async fn where_there_is_no_account_yet_the_configuration_to_add_is_told() {
    let bench = Bench::new().await;
    let storage = storage(&bench);
    let nothing = file(&bench, "empty.toml", "");
    let mut command: Command = latchkey(&["import", "--config", &nothing]);
    command.arg(&storage);
    let output = output_with(command, "").await;
    assert_eq!(output.status.code(), Some(64));
    let said = stderr(&output);
    assert!(said.contains("[accounts.front_door]\nvendor = \"akuvox\"\nsubdomain = \"ucloud\""), "{said}");
    assert_eq!(bench.n_calls(), 0);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_told() {
    let bench = Bench::new().await;
    let notes = file(&bench, "notes.txt", "canary-token");
    let other = file(&bench, "other.json", "{\"token\": 5, \"data\": {\"canary\": \"canary\"}}");
    let table = bench.folder.path().join("other.db");
    Connection::open(&table).unwrap().execute_batch("CREATE TABLE canary (a);").unwrap();
    for (path, expected, sentence) in [
        (notes.as_str(), 64, "holds nothing that can be taken over"),
        (&other, 64, "holds nothing that can be taken over"),
        (table.to_str().unwrap(), 1, "no such table: aqara_tokens"),
        ("/nowhere/config.json", 1, "cannot read /nowhere/config.json"),
    ] {
        let (code, said, complaints) = run(&bench, &["import", path], "").await;
        assert_eq!((code, said.as_str()), (expected, ""), "{complaints}");
        assert!(complaints.contains(sentence) && !complaints.contains("canary"), "{complaints}");
    }
    let (_open_path, open) = database(&bench, "R1");
    open.execute("DELETE FROM aqara_tokens", []).unwrap();
    let path = bench.folder.path().join("metron.db");
    let (code, _, complaints) = run(&bench, &["import", path.to_str().unwrap()], "").await;
    assert!(code == 64 && complaints.contains("holds no refresh token. Copy the refresh token"), "{complaints}");
    let (code, _, complaints) = run(&bench, &["import", &storage(&bench), "--account", "home"], "").await;
    assert!(code == 64 && complaints.contains("home is no Akuvox account"), "{complaints}");
}
