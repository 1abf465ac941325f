//! Clients for Python, as their users install them, work unmodified against the simulated clouds.
//!
//! They are installed on demand, below the target folder. Where that cannot be done the test says so and passes, but not
//! with `CI=true`.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::{
    fs,
    io::{self, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use latchkey::demo::clouds::{AqaraCloud, Options, Places, Tls};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_clients/requirements.txt");
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_clients/aqara_iot_py_sdk.py");

#[tokio::test(flavor = "multi_thread")]
async fn aqaras_own_sdk_signs_in_lists_and_runs_scenes_and_fails_at_its_own_refresh() {
    let python = match tokio::task::spawn_blocking(installed).await.unwrap() {
        Ok(python) => python,
        Err(why) if is_demanded() => panic!("the clients for Python cannot be had: {why}"),
        Err(why) => {
            // Not by `eprintln!`, whose words are swallowed when a test passes.
            writeln!(io::stderr(), "SKIPPED: the clients for Python were not tried: {why}").unwrap();
            return;
        }
    };
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
    let seen = tokio::task::spawn_blocking(move || drive(&python, &trusted, &told)).await.unwrap();

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

/// Runs the driver, with what it is told on its standard input.
fn drive(python: &Path, trusted: &Path, told: &Value) -> Value {
    let mut driver = Command::new(python)
        .arg(DRIVER)
        .env("REQUESTS_CA_BUNDLE", trusted)
        .env("SSL_CERT_FILE", trusted)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    driver.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = driver.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{complaints}");
    serde_json::from_slice(&stdout).unwrap_or_else(|err| panic!("{err}; {complaints}"))
}

/// The interpreter of an environment with the clients in it, made anew where the requirements have changed.
fn installed() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-clients");
    let python = folder.join("bin/python");
    let (wanted, stamp) = (fs::read_to_string(REQUIREMENTS).unwrap(), folder.join("installed.txt"));
    if fs::read_to_string(&stamp).is_ok_and(|it| it == wanted) && python.exists() {
        return Ok(python);
    }
    let _ = fs::remove_dir_all(&folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS]))?;
    fs::write(stamp, wanted).map_err(|err| err.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|err| format!("{command:?}: {err}"))?;
    let complaints = [stderr, stdout].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}: {complaints}")) }
}

#[allow(clippy::disallowed_methods, reason = "this is no setting of Latchkey")]
fn is_demanded() -> bool {
    std::env::var("CI").is_ok_and(|it| it == "true")
}
