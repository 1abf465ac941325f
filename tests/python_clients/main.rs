//! Clients for Python, as their users install them, work unmodified against the simulated clouds.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "../support/tools.rs"]
mod tools;

use std::{fs, net::Ipv4Addr, path::Path, process::Command};

use latchkey::demo::clouds::{AqaraCloud, Options, Places, Tls};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_clients/aqara_iot_py_sdk.py");

#[tokio::test(flavor = "multi_thread")]
async fn aqaras_own_sdk_signs_in_lists_and_runs_scenes_and_fails_at_its_own_refresh() {
    let installed = tokio::task::spawn_blocking(|| tools::python("python")).await.unwrap();
    let Some(python) = tools::or_skip("the clients for Python were not tried", installed) else { return };
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("cloud.pem");
    let cloud = https_cloud(&trusted).await;

    let seeds = cloud.credentials(0);
    let told = json!({
        "url": cloud.url(),
        "app_id": seeds.app_id,
        "app_key": seeds.app_key,
        "key_id": seeds.key_id,
        "account": seeds.account,
        "password": seeds.password,
        "scene": "Gute Nacht",
    });
    let mut driver = Command::new(python);
    driver.arg(DRIVER).env("REQUESTS_CA_BUNDLE", &trusted).env("SSL_CERT_FILE", &trusted);
    driver.env("NO_PROXY", "127.0.0.1,localhost");
    let seen = tokio::task::spawn_blocking(move || tools::drive(&mut driver, &told)).await.unwrap();

    assert_eq!((&seen["wrong_password"], &seen["signed_in"]), (&json!(false), &json!(true)));
    assert_eq!(seen["access_token"], cloud.credentials(0).access_token);
    assert_eq!(seen["positions"], json!(["Bedroom", "Home", "Living room"]));
    assert_eq!(seen["scenes"], json!(seeds.scenes));
    assert_eq!(seen["ran"]["code"], 0);
    let scene = &seeds.scenes["Gute Nacht"];
    assert_eq!(cloud.counters().scene_runs.into_iter().collect::<Vec<_>>(), [(scene.clone(), 1)]);

    let log = cloud.log();
    let refreshes: Vec<_> = log.iter().filter(|it| it.call == "config.auth.refreshToken").collect();
    assert_eq!(refreshes.iter().map(|it| it.outcome.as_str()).collect::<Vec<_>>(), ["106 Invalid sign"]);
    assert_eq!((cloud.account(0).generation, &seen["after_its_refresh"]["code"]), (1, &json!(106)));
}

/// An Aqara cloud with a certificate of its own making, which is left at `trusted`.
async fn https_cloud(trusted: &Path) -> AqaraCloud {
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    fs::write(trusted, certificate.pem()).unwrap();
    let tls = Tls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let places = Places { tls: Some(tls), ..Places::default() };
    AqaraCloud::start((Ipv4Addr::LOCALHOST, 0).into(), Options { places, ..Options::default() }).await.unwrap()
}
