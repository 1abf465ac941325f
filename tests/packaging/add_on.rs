//! The add-on's start: what the user chose and what the supervisor says become a running Latchkey.

use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use latchkey::config::{self, AlertFormat, Settings, VendorSettings, add_on::Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    read,
    support::{
        latchkey::{CONNECTED, Latchkey, latchkey, output},
        mosquitto::{Mosquitto, MosquittoOptions},
    },
};

const TOKEN: &str = "canary-supervisor-token";
const PASSWORD: &str = "canary-broker-password";

/// Home Assistant's supervisor as far as an add-on asks it.
struct Supervisor {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What it still has to answer, the last of it for ever.
type Answers = Arc<Mutex<VecDeque<(StatusCode, Value)>>>;

#[tokio::test]
async fn the_add_on_finds_its_broker_by_itself_even_one_that_is_slower_to_start() {
    let users = vec![("addons".to_owned(), PASSWORD.to_owned())];
    let mosquitto = Mosquitto::start_with(&MosquittoOptions { users, ..MosquittoOptions::default() });
    let service = json!({
        "addon": "core_mosquitto", "host": "127.0.0.1", "port": mosquitto.port, "ssl": false,
        "username": "addons", "password": PASSWORD, "protocol": "3.1.1",
    });
    let supervisor =
        Supervisor::start([not_enabled(), (StatusCode::OK, json!({ "result": "ok", "data": service }))]).await;
    let folder = tempfile::tempdir().unwrap();
    let mut add_on = Latchkey::start(add_on(&folder, &one_account(), &supervisor));
    add_on.logged(CONNECTED).await;
    assert!(add_on.log().contains("the supervisor knows no MQTT broker; waiting for it"), "{}", add_on.log());
    assert_eq!(supervisor.asked.lock().unwrap().len(), 2);

    // Every other command finds the configuration that was made.
    let file = folder.path().join("latchkey.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut status = latchkey(&["status"]);
    status.env("LATCHKEY_CONFIG", &file).env("LATCHKEY__WEB__LISTEN", "127.0.0.1:1");
    assert!(String::from_utf8(output(status).await.stderr).unwrap().contains("in use by a running Latchkey"));
    assert!(folder.path().join("data/store/journal").exists());
    let log = add_on.log();
    add_on.signal("TERM");
    assert!(add_on.ended().await.success());
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn what_keeps_the_add_on_from_starting_is_told_with_its_mend() {
    let supervisor = Supervisor::start([not_enabled()]).await;
    let forbidden = (StatusCode::FORBIDDEN, json!({ "result": "error", "message": "No access to mqtt service!" }));
    let refusing = Supervisor::start([forbidden]).await;
    let garbled = Supervisor::start([(StatusCode::OK, json!({ "result": "ok", "data": { "host": 1 } }))]).await;
    for (options, asked, code, says) in [
        (
            one_account(),
            &supervisor,
            1,
            "the supervisor knows no MQTT broker. Install and start the app Mosquitto broker",
        ),
        (one_account(), &refusing, 1, "the supervisor refuses to tell of the MQTT broker (403 Forbidden)"),
        (one_account(), &garbled, 1, "what the supervisor says of the MQTT broker is not understood"),
        (json!({ "accounts": [] }), &supervisor, 64, "there is no account yet. Mend it on the tab Configuration"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let ended = output(add_on(&folder, &options, asked)).await;
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains(says), "{said}");
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
    // An account that lacks what its vendor needs: all of it is told.
    let folder = tempfile::tempdir().unwrap();
    let options = json!({ "accounts": [{ "id": "home", "vendor": "aqara" }], "mqtt": { "host": "localhost" } });
    let ended = output(add_on(&folder, &options, &supervisor)).await;
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(64));
    assert!(said.contains("accounts.home.app_id") && said.contains("accounts.home.region"), "{said}");
}

/// `lint.py` holds the file to the schema of config.yaml: every option stands in it.
#[test]
fn every_option_of_the_add_on_is_a_setting() {
    let options = Options::parse(&read("tests/packaging/options.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    let text = options.configuration(None, Path::new("/data")).unwrap();
    fs::write(&file, &*text).unwrap();
    let Settings { mqtt, store, log, web, alert, accounts, .. } =
        config::load(Some(&file), std::iter::empty()).unwrap();

    assert_eq!((mqtt.host.as_str(), mqtt.port, mqtt.tls.is_some()), ("broker.local", 8883, true));
    assert_eq!((mqtt.username.as_deref(), mqtt.password.unwrap().expose()), (Some("latchkey"), "canary \"quoted\""));
    assert_eq!(store.path, Path::new("/data/store"));
    assert_eq!(log.filter, "debug");
    assert_eq!(web.listen, Some("0.0.0.0:8780".parse().unwrap()));
    assert_eq!(web.ingress_from, Some("172.30.32.2".parse().unwrap()));
    assert_eq!(alert.unwrap().format, AlertFormat::Ntfy);
    assert_eq!(accounts.len(), 3);
    for account in accounts.values() {
        match (account.id.as_str(), &account.vendor) {
            ("front_door", VendorSettings::Akuvox(akuvox)) => {
                assert_eq!(akuvox.gate.as_str(), "https://gate.ecloud.akuvox.com:8600");
                assert!(akuvox.doors && akuvox.phone.is_some() && akuvox.user.is_some());
                assert_eq!(akuvox.door_names.len(), 2);
                assert_eq!(account.refresh_every.unwrap().as_secs(), 5 * 86_400);
                assert_eq!(account.name.as_deref(), Some("Front door"));
            }
            ("cabin", VendorSettings::Akuvox(akuvox)) => assert!(!akuvox.doors && akuvox.phone.is_none()),
            ("home", VendorSettings::Aqara(aqara)) => {
                assert_eq!(aqara.app_key.expose(), "canary-app-key");
                assert_eq!(aqara.scenes.len(), 1);
                assert!(aqara.login.is_some());
            }
            (other, _) => panic!("{other}"),
        }
    }
}

impl Supervisor {
    async fn start(answers: impl IntoIterator<Item = (StatusCode, Value)>) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let answers: Answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state((asked.clone(), answers));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }
}

async fn answer(
    State((asked, answers)): State<(Arc<Mutex<Vec<String>>>, Answers)>,
    uri: Uri,
    headers: HeaderMap,
) -> (StatusCode, String) {
    if uri.path() != "/services/mqtt" || headers.get("authorization").is_none_or(|it| it != &format!("Bearer {TOKEN}"))
    {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    asked.lock().unwrap().push(uri.to_string());
    let mut answers = answers.lock().unwrap();
    let (status, body) = if answers.len() == 1 { answers[0].clone() } else { answers.pop_front().unwrap() };
    (status, body.to_string())
}

fn not_enabled() -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({ "result": "error", "message": "Service not enabled" }))
}

fn one_account() -> Value {
    let account = json!({ "id": "front_door", "vendor": "akuvox", "country": "SE" });
    json!({ "accounts": [account], "mqtt": {}, "alert": {}, "log_level": "info" })
}

/// The start of the add-on's container.
fn add_on(folder: &TempDir, options: &Value, supervisor: &Supervisor) -> Command {
    let data = folder.path().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("options.json"), options.to_string()).unwrap();
    let mut command = latchkey(&["add-on", "--wait", "3s", "--supervisor", &supervisor.address.to_string()]);
    command.arg("--options").arg(data.join("options.json")).arg("--data").arg(&data);
    command.env("LATCHKEY_CONFIG", folder.path().join("latchkey.toml")).env("SUPERVISOR_TOKEN", TOKEN);
    // The port in there is a container's own.
    command.env("LATCHKEY__WEB__LISTEN", "127.0.0.1:0");
    command
}
