//! `latchkey diagnostics`: everything that helps, and no secret; nor is there one in any command's log.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::{alone, run, run_json, support::latchkey::Bench};

#[tokio::test]
async fn diagnostics_tell_how_everything_is_and_no_secret() {
    let mut bench = alone::signed_in().await;
    bench.mqtt = "username = \"canary-user\"\npassword = \"canary-mqtt-password\"\n".to_owned();
    bench.front_door = "dial_code = \"46\"\nphone = \"0709876543\"\nuser = \"canary@example.com\"".to_owned();
    bench.web = "key = \"canary-web-key\"\n".to_owned();
    let (code, reply) = run_json(&bench, &["diagnostics"], "").await;
    assert_eq!(code, 0, "{reply}");
    let data = &reply["data"];
    assert!(data["latchkey"].as_str().unwrap().starts_with(env!("CARGO_PKG_VERSION")), "{data}");
    assert_eq!(data["store"]["is_clean"], true, "{data}");
    assert_eq!(data["settings"]["accounts"]["front_door"]["has_phone"], true, "{data}");
    let conditions: Vec<&Value> = data["accounts"].as_array().unwrap().iter().map(|it| &it["condition"]).collect();
    assert_eq!(conditions, ["ok", "ok"]);

    let (code, said, complaints) = run(&bench, &["diagnostics"], "").await;
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["settings"], data["settings"]);
    let (akuvox, aqara) = (bench.akuvox.credentials(0), bench.aqara.credentials(0));
    let key = fs::read_to_string(bench.store().join("key")).unwrap();
    let secrets = [
        akuvox.token,
        akuvox.refresh_token,
        aqara.refresh_token,
        aqara.access_token,
        aqara.app_key,
        aqara.app_id,
        aqara.key_id,
        key.trim().to_owned(),
        "canary".to_owned(),
        "9876543".to_owned(),
    ];
    for secret in secrets {
        assert!(!format!("{said}{complaints}{reply}").contains(&secret), "{secret} is in {said}");
    }
}

#[tokio::test]
async fn diagnostics_tell_of_a_store_that_does_not_open() {
    let bench = alone::signed_in().await;
    fs::set_permissions(bench.store(), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, reply) = run_json(&bench, &["diagnostics"], "").await;
    assert_eq!(code, 0);
    let error = &reply["data"]["store"]["error"];
    assert!(error["message"].as_str().unwrap().contains("permissions are 755"), "{reply}");
    assert!(error["hint"].as_str().unwrap().contains("chmod 700"), "{reply}");
}

#[tokio::test]
async fn no_command_logs_a_secret_even_where_everything_is_logged() {
    let mut bench = Bench::new().await;
    bench.environment.push(("RUST_LOG".to_owned(), "trace".to_owned()));
    let credentials = bench.akuvox.credentials(0);
    bench.front_door = format!("user = {:?}", credentials.login);
    let token = bench.folder.path().join("token.txt");
    fs::write(&token, bench.aqara.sign_in(0).refresh_token).unwrap();
    let mut secrets = Vec::new();
    let mut said = String::new();
    for (arguments, input) in [
        (&["tokens", "set", "front_door"][..], bench.front_door_tokens()),
        (&["login", "front_door", "--password-file", "-"], credentials.password.clone()),
        (&["refresh", "front_door"], String::new()),
        (&["trigger", "--refresh-token-file", token.to_str().unwrap(), "home", "warn"], String::new()),
        (&["diagnostics"], String::new()),
    ] {
        let (akuvox, aqara) = (bench.akuvox.credentials(0), bench.aqara.credentials(0));
        secrets.extend([akuvox.token, akuvox.refresh_token, aqara.access_token, aqara.refresh_token]);
        let (_, on_stdout, on_stderr) = run(&bench, arguments, &input).await;
        assert!(!on_stderr.is_empty(), "{arguments:?} logged nothing");
        said.push_str(&on_stdout);
        said.push_str(&on_stderr);
    }
    secrets.extend([bench.aqara.credentials(0).app_key, credentials.password, credentials.login]);
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret} is in {said}");
    }
}
