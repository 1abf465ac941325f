//! `latchkey diagnostics`: everything that helps, and no secret.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::{alone, run, run_json};

#[tokio::test]
async fn diagnostics_tell_how_everything_is_and_no_secret() {
    let mut bench = alone::signed_in().await;
    bench.mqtt = "username = \"canary-user\"\npassword = \"canary-mqtt-password\"\n".to_owned();
    bench.front_door = "dial_code = \"46\"\nphone = \"0709876543\"\nuser = \"canary@example.com\"".to_owned();
    bench.more = "\n[web]\nkey = \"canary-web-key\"\n".to_owned();
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
