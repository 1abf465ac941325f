//! Commands beside a running service: they go to its admin API. A stub plays it where every answer is to be seen.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use serde_json::{Value, json};

use crate::{run, run_json, support::latchkey::Bench};

const KEY: &str = "canary-web-key-0123456789";

/// The admin API as far as a test gives it words, and what it was asked.
struct Stub {
    shared: Arc<Shared>,
    /// Held as a running service holds it.
    _lock: File,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<(String, String, Value)>>,
    answer: Mutex<Option<Value>>,
}

impl Stub {
    /// Stands in for the service of `bench`, whose configuration it amends.
    async fn start(bench: &mut Bench) -> Self {
        fs::DirBuilder::new().mode(0o700).create(bench.store()).unwrap();
        let lock = private(&bench.store().join("lock"));
        lock.lock().unwrap();
        fs::write(bench.store().join("web.key"), format!("{KEY}\n")).unwrap();
        let shared = Arc::<Shared>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        listen(bench, address);
        Self { shared, _lock: lock }
    }

    /// What is answered from now on.
    fn answers(&self, answer: Value) {
        *self.shared.answer.lock().unwrap() = Some(answer);
    }

    /// What it was asked last: method, path, body.
    fn asked(&self) -> (String, String, Value) {
        self.shared.asked.lock().unwrap().pop().expect("nothing was asked")
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    if headers.get("x-latchkey-key").is_none_or(|it| it != KEY) {
        let error = json!({ "code": "unauthorized", "message": "the key is missing or wrong", "hint": "Send it." });
        return (StatusCode::UNAUTHORIZED, json!({ "status": "error", "error": error }).to_string());
    }
    let body = serde_json::from_slice(&body).unwrap_or_default();
    shared.asked.lock().unwrap().push((method.to_string(), uri.to_string(), body));
    let answer = shared.answer.lock().unwrap().clone();
    let status = answer.as_ref().map_or(StatusCode::OK, |it| match it["status"].as_str() {
        Some("error") => StatusCode::CONFLICT,
        _ => StatusCode::OK,
    });
    (status, answer.map_or_else(|| "<html>somebody else</html>".to_owned(), |it| it.to_string()))
}

/// Has the configuration say where the admin API listens.
fn listen(bench: &mut Bench, address: SocketAddr) {
    bench.environment.retain(|it| it.0 != "LATCHKEY__WEB__LISTEN");
    bench.environment.push(("LATCHKEY__WEB__LISTEN".to_owned(), address.to_string()));
}

fn private(path: &Path) -> File {
    File::options().mode(0o600).write(true).create(true).truncate(false).open(path).unwrap()
}

fn ok(data: Value) -> Value {
    json!({ "status": "ok", "data": data })
}

#[tokio::test]
async fn every_command_is_carried_out_by_the_service_that_holds_the_store() {
    let mut bench = Bench::new().await;
    let stub = Stub::start(&mut bench).await;
    let door = "/v1/accounts/front_door";
    let home = "/v1/accounts/home";
    let plain = json!({});
    for (arguments, input, method, path, body, data, says) in [
        (
            &["refresh", "home"][..],
            "",
            "POST",
            format!("{home}/refresh"),
            plain.clone(),
            json!({ "entry_id": "home", "generation": 7 }),
            "home: the tokens are renewed (generation 7).\n",
        ),
        (
            &["trigger", "warn"],
            "",
            "POST",
            format!("{home}/scenes/tv_warning/trigger"),
            plain.clone(),
            json!({ "entry_id": "home", "scene": "tv_warning" }),
            "home: tv_warning was run.\n",
        ),
        (
            &["trigger", "Bonne nuit/été?"],
            "",
            "POST",
            format!("{home}/scenes/Bonne%20nuit%2F%C3%A9t%C3%A9%3F/trigger"),
            plain.clone(),
            json!({ "entry_id": "home", "scene": "Bonne nuit/été?" }),
            "home: Bonne nuit/été? was run.\n",
        ),
        (
            &["open", "front_door", "garage"],
            "",
            "POST",
            format!("{door}/doors/garage/open"),
            plain.clone(),
            json!({ "entry_id": "front_door", "door": "garage" }),
            "front_door: garage was opened.\n",
        ),
        (
            &["scenes"],
            "",
            "GET",
            format!("{home}/scenes"),
            Value::Null,
            json!({ "entry_id": "home", "scenes": [{ "key": "tv", "id": "AL.1", "name": "Télé" }] }),
            "KEY  ID    NAME\ntv   AL.1  Télé\n",
        ),
        (
            &["doors"],
            "",
            "GET",
            format!("{door}/doors"),
            Value::Null,
            json!({ "entry_id": "front_door", "doors": [] }),
            "No doors are known: they are listed once the account says `doors = true` and is signed in.\n",
        ),
        (
            &["tokens", "set", "home", "--no-prove"],
            "{\"refresh_token\": \"R1\", \"issued_at\": \"2026-11-22T10:00:00Z\"}",
            "PUT",
            format!("{home}/tokens"),
            json!({ "refresh_token": "R1", "issued_at": "2026-11-22T10:00:00Z", "prove": false }),
            json!({ "entry_id": "home", "outcome": "adopted", "generation": 1 }),
            "home: the tokens are taken, unproved.\n",
        ),
        (
            &["tokens", "set", "front_door"],
            "{\"token\": \"A1\", \"refresh_token\": \"R1\", \"auth_token\": \"T1\"}",
            "PUT",
            format!("{door}/tokens"),
            json!({ "token": "A1", "refresh_token": "R1", "auth_token": "T1", "prove": true }),
            json!({ "entry_id": "front_door", "outcome": "proved", "generation": 2 }),
            "front_door: the tokens are good, and were renewed once.\n",
        ),
        (
            &["login", "front_door", "--request-code"],
            "",
            "POST",
            format!("{door}/login-code"),
            plain.clone(),
            json!({ "entry_id": "front_door" }),
            "front_door: the code is on its way. Hand it over with `latchkey login front_door`.\n",
        ),
        (
            &["login", "front_door"],
            "123456\n",
            "POST",
            format!("{door}/login"),
            json!({ "code": "123456" }),
            json!({ "entry_id": "front_door", "generation": 3, "has_refresh_token": true }),
            "front_door: signed in (generation 3).\n",
        ),
        (
            &["login", "front_door", "--password-file", "-", "--keep-password"],
            "sesame\n",
            "POST",
            format!("{door}/login"),
            json!({ "password": "sesame", "keep": true }),
            json!({ "entry_id": "front_door", "generation": 3, "has_refresh_token": true }),
            "front_door: signed in (generation 3).\n",
        ),
        (
            &["forget", "home"],
            "",
            "POST",
            format!("{home}/forget"),
            plain.clone(),
            json!({ "entry_id": "home", "until": "2026-12-22T10:00:00+00:00" }),
            "home: forgotten. Until 2026-12-22T10:00:00+00:00 `latchkey recall home` brings it back.\n",
        ),
        (
            &["recall", "home"],
            "",
            "POST",
            format!("{home}/recall"),
            plain.clone(),
            json!({ "entry_id": "home", "generation": 4 }),
            "home: brought back (generation 4).\n",
        ),
    ] {
        stub.answers(ok(data.clone()));
        let (code, said, complaints) = run(&bench, arguments, input).await;
        assert_eq!((code, said.as_str(), complaints.as_str()), (0, says, ""), "{arguments:?}");
        assert_eq!(stub.asked(), (method.to_owned(), path, body), "{arguments:?}");
        let (code, reply) = run_json(&bench, arguments, input).await;
        assert_eq!((code, reply), (0, ok(data)), "{arguments:?}");
    }
    assert_eq!(bench.n_calls(), 0, "a vendor was called by somebody else than the service");
}

#[tokio::test]
async fn no_secret_on_its_way_to_the_service_is_logged() {
    let mut bench = Bench::new().await;
    let stub = Stub::start(&mut bench).await;
    stub.answers(ok(json!({ "entry_id": "home", "outcome": "proved", "generation": 1 })));
    bench.environment.push(("RUST_LOG".to_owned(), "trace".to_owned()));
    let tokens = "{\"refresh_token\": \"canary-refresh-token\"}";
    let (code, said, log) = run(&bench, &["tokens", "set", "home"], tokens).await;
    assert_eq!(code, 0, "{log}");
    let (_, more, more_log) = run(&bench, &["login", "front_door", "--password-file", "-"], "canary-password").await;
    assert!(!format!("{said}{log}{more}{more_log}").contains("canary"), "{log}{more_log}");
}

#[tokio::test]
async fn status_and_errors_are_the_services() {
    let mut bench = Bench::new().await;
    let stub = Stub::start(&mut bench).await;
    let account = json!({ "entry_id": "home", "vendor": "aqara", "condition": "in_doubt", "problem": "OFF" });
    let other = json!({ "entry_id": "front_door", "vendor": "akuvox", "condition": "ok", "problem": "OFF" });
    stub.answers(ok(json!({ "accounts": [account, other] })));
    let (code, said, _) = run(&bench, &["status", "home"], "").await;
    assert_eq!(code, 0);
    assert!(said.contains("home: The reply to a renewal was lost") && !said.contains("front_door"), "{said}");
    assert_eq!(stub.asked(), ("GET".to_owned(), "/v1/accounts".to_owned(), Value::Null));

    let error = json!({ "code": "too_soon", "message": "home: it was refreshed a moment ago",
        "hint": "Try again in 42 seconds.", "retry_after": 42 });
    stub.answers(json!({ "status": "error", "error": error }));
    let (code, said, complaints) = run(&bench, &["refresh", "home"], "").await;
    let sentence = "latchkey: home: it was refreshed a moment ago. Try again in 42 seconds.\n";
    assert_eq!((code, said.as_str(), complaints.as_str()), (1, "", sentence));
    let (code, reply) = run_json(&bench, &["refresh", "home"], "").await;
    assert_eq!((code, &reply["error"]), (1, &error));
}

#[tokio::test]
async fn a_service_that_cannot_be_asked_is_told_with_the_mend() {
    let mut bench = Bench::new().await;
    let _stub = Stub::start(&mut bench).await;
    // What answers is not Latchkey.
    let (code, _, complaints) = run(&bench, &["refresh", "home"], "").await;
    assert!(code == 1 && complaints.contains("is not the admin API of this Latchkey"), "{complaints}");

    bench.web = "key = \"another-key\"\n".to_owned();
    let (code, _, complaints) = run(&bench, &["status"], "").await;
    assert!(code == 1 && complaints.contains("does not accept the key. Use the configuration"), "{complaints}");
    assert!(!complaints.contains("another-key"));

    bench.web = String::new();
    fs::remove_file(bench.store().join("web.key")).unwrap();
    let (code, _, complaints) = run(&bench, &["status"], "").await;
    assert!(code == 1 && complaints.contains("cannot be read from") && complaints.contains("web.key"), "{complaints}");

    fs::write(bench.store().join("web.key"), KEY).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    listen(&mut bench, nobody);
    let (code, _, complaints) = run(&bench, &["trigger", "warn"], "").await;
    assert!(code == 1 && complaints.contains("its admin API does not answer at 127.0.0.1"), "{complaints}");

    bench.web = "enabled = false\n".to_owned();
    let (code, _, complaints) = run(&bench, &["status"], "").await;
    assert!(code == 1 && complaints.contains("its admin API is switched off. Switch it on"), "{complaints}");
    assert_eq!(complaints.lines().count(), 1);
}

#[tokio::test]
async fn a_scene_whose_answer_does_not_come_may_have_been_run_and_is_not_repeated() {
    let mut bench = Bench::new().await;
    let _stub = Stub::start(&mut bench).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listen(&mut bench, listener.local_addr().unwrap());
    let n_connections = Arc::new(Mutex::new(0));
    let counted = n_connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            let mut byte = [0];
            let _ = stream.readable().await;
            let _ = stream.try_read(&mut byte);
        }
    });
    let (code, _, complaints) = run(&bench, &["trigger", "warn"], "").await;
    assert!(code == 1 && complaints.contains("so it may have happened or not"), "{complaints}");
    assert_eq!(*n_connections.lock().unwrap(), 1);
    let (code, _, complaints) = run(&bench, &["status"], "").await;
    assert!(code == 1 && complaints.contains("gave no answer. Try again."), "{complaints}");
}

#[tokio::test]
async fn the_real_service_carries_the_commands_out() {
    let mut bench = Bench::new().await;
    bench.front_door = "doors = true".to_owned();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    listen(&mut bench, address);
    let latchkey = bench.run().await;
    for (account, tokens) in [("front_door", bench.front_door_tokens()), ("home", bench.home_tokens())] {
        let (code, said, complaints) = run(&bench, &["tokens", "set", account], &tokens).await;
        assert!(code == 0 && said.contains("the tokens are good, and were renewed once"), "{said}{complaints}");
    }
    let (code, said, complaints) = run(&bench, &["status"], "").await;
    assert!(code == 0 && said.contains("front_door  akuvox  ok  ") && said.contains("home: The login"), "{complaints}");
    let (code, said, complaints) = run(&bench, &["trigger", "warn"], "").await;
    assert_eq!((code, said.as_str()), (0, "home: tv_warning was run.\n"), "{complaints}");
    let (code, said, _) = run(&bench, &["scenes"], "").await;
    assert!(code == 0 && said.contains("tv_warning"), "{said}");
    // It lists the doors in the background.
    let door = loop {
        let (code, reply) = run_json(&bench, &["doors"], "").await;
        assert_eq!(code, 0, "{reply}");
        if let Some(door) = reply["data"]["doors"][0]["key"].as_str() {
            break door.to_owned();
        }
    };
    let (code, said, complaints) = run(&bench, &["open", &door], "").await;
    assert_eq!((code, said), (0, format!("front_door: {door} was opened.\n")), "{complaints}");
    let (code, reply) = run_json(&bench, &["refresh", "home"], "").await;
    assert_eq!((code, &reply["data"]["generation"]), (0, &3.into()), "{reply}");
    let (code, reply) = run_json(&bench, &["login", "home", "--request-code"], "").await;
    assert_eq!((code, &reply["error"]["code"]), (64, &"login_not_set".into()), "{reply}");
    for arguments in [&["forget", "home"][..], &["recall", "home"], &["diagnostics"]] {
        let (code, _, complaints) = run(&bench, arguments, "").await;
        assert_eq!(code, 0, "{complaints}");
    }
    assert!(latchkey.stop().await.success());
    let (code, reply) = run_json(&bench, &["status", "home"], "").await;
    assert_eq!((code, &reply["data"]["accounts"][0]["condition"]), (0, &"ok".into()), "{reply}");
}
