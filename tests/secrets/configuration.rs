//! A configuration that cannot be read is told of without the secrets in it.

use std::{fs, process::Command};

use serde_json::json;

use crate::{
    canaries::Canaries,
    support::latchkey::{Bench, latchkey, output},
};

const BROKER_PASSWORD: &str = "Canary-broker/pa55word+\"quoted\"=";

#[tokio::test]
async fn a_broken_configuration_is_told_without_its_secrets() {
    let bench = Bench::new().await;
    let aqara = bench.aqara.credentials(0);
    let mut canaries = Canaries::default();
    canaries.add("the application's key", aqara.app_key.clone());
    canaries.add("the broker's password", BROKER_PASSWORD);
    let password = json!(BROKER_PASSWORD);
    let key = &aqara.app_key;
    let broken = [
        // Not TOML, with the secret in the line.
        format!("[mqtt]\nusername = \"l\"\npassword = {password} oops\n"),
        format!("[mqtt]\npassword = {password}\n{password}\n"),
        // In the wrong place, of the wrong kind, under a misspelt key.
        format!("[mqtt]\nhost = {password}\nport = {password}\nkeep_alive = {password}\n"),
        format!("[mqtt]\npassword = [{password}]\n"),
        format!("[mqtt]\npasword = {password}\n"),
        format!("[mqtt]\nusername = \"l\"\npassword_file = {password}\n"),
        format!(
            "[accounts.home]\nvendor = \"aqara\"\nregion = \"eu\"\napp_id = 5\nkey_id = \"\"\napp_key = [\"{key}\"]\n"
        ),
        format!("[accounts.home]\nvendor = \"aqara\"\nregion = \"{key}\"\napp_key = \"{key}\"\napp_kee = \"{key}\"\n"),
        format!("[accounts.home]\nvendor = \"{key}\"\napp_key = \"{key}\"\n"),
        format!("[store]\nkey = \"{key}\"\nkey_file = \"{key}\"\n"),
    ];
    let file = bench.folder.path().join("broken.toml");
    for text in broken {
        fs::write(&file, &text).unwrap();
        for subcommand in ["run", "check"] {
            let mut command: Command = latchkey(&[subcommand, "--config"]);
            command.arg(&file).env("RUST_LOG", "trace");
            let output = output(command).await;
            assert_eq!(output.status.code(), Some(64), "{text}");
            assert!(!output.stderr.is_empty(), "{text}");
            canaries.look_into(&format!("what is said of {text}"), &[output.stdout, output.stderr].concat());
        }
    }
}
