//! Alerts: one message when an account needs somebody and one when it is well again, to the configured address.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use latchkey::{
    account::{Proposal, ProposedTokens, Secret},
    clock::Clock,
    config,
    demo::clouds::{AqaraCloud, What},
    keeper::Command,
    service::Service,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// Whatever takes longer hangs.
const STUCK: Duration = Duration::from_secs(60);
const TOKEN: &str = "tk-canary-of-the-webhook";

/// A server that takes messages, after it has refused the first few.
struct Stub {
    port: u16,
    received: mpsc::UnboundedReceiver<Received>,
    to_refuse: Arc<AtomicUsize>,
}

struct Received {
    path: String,
    authorization: Option<String>,
    body: Value,
}

impl Stub {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = mpsc::unbounded_channel();
        let to_refuse = Arc::new(AtomicUsize::new(0));
        let refusing = to_refuse.clone();
        tokio::spawn(async move {
            loop {
                let message = take(listener.accept().await.unwrap().0, &refusing).await;
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self { port, received, to_refuse }
    }

    async fn next(&mut self) -> Received {
        timeout(STUCK, self.received.recv()).await.expect("nobody was told").unwrap()
    }

    async fn event(&mut self) -> Value {
        self.next().await.body["event"].clone()
    }
}

async fn take(stream: TcpStream, to_refuse: &AtomicUsize) -> Received {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found = lines.iter().filter_map(|it| it.split_once(": ")).find(|it| it.0.eq_ignore_ascii_case(name));
        found.map(|it| it.1.to_owned())
    };
    let mut body = vec![0; header("content-length").unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let is_refused = to_refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok();
    // A redirect is not followed: the message is for the configured address alone.
    let status = if is_refused { "307 Elsewhere\r\nLocation: /elsewhere" } else { "200 OK" };
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
    Received {
        path: lines[0].split(' ').nth(1).unwrap().to_owned(),
        authorization: header("authorization"),
        body: serde_json::from_slice(&body).unwrap(),
    }
}

/// An Aqara account in a folder that outlives the service.
struct House {
    cloud: AqaraCloud,
    folder: TempDir,
    alert: String,
}

impl House {
    async fn new(alert: String) -> Self {
        Self { cloud: AqaraCloud::start_default().await.unwrap(), folder: tempfile::tempdir().unwrap(), alert }
    }

    fn start(&self) -> Service {
        let seeds = self.cloud.credentials(0);
        let text = format!(
            "[mqtt]\nhost = \"127.0.0.1\"\nport = 1\n[store]\npath = {:?}\n[keeper]\nmin_refresh_gap = \"0s\"\n\
             [web]\nenabled = false\npublic_url = \"https://keys.example.org/\"\n\
             [alert]\ntoken = {TOKEN:?}\n{}\n\
             [accounts.home]\nvendor = \"aqara\"\nname = \"Our home\"\nbase_url = {:?}\napp_id = {:?}\nkey_id = {:?}\n\
             app_key = {:?}\n",
            self.folder.path().join("store"),
            self.alert,
            self.cloud.url(),
            seeds.app_id,
            seeds.key_id,
            seeds.app_key
        );
        let file = self.folder.path().join("latchkey.toml");
        fs::write(&file, text).unwrap();
        Service::start(config::load(Some(&file), std::iter::empty()).unwrap(), Clock::system()).unwrap()
    }

    async fn sign_in(&self, service: &Service) {
        let refresh = Secret::new(self.cloud.credentials(0).refresh_token);
        let tokens = ProposedTokens::Refresh(refresh);
        let proposal = Proposal { tokens, auth_token: None, issued_at: None, prove: true };
        let reply = service.keeper.ask(Command::UpdateTokens { entry_id: "home".parse().unwrap(), proposal }).await;
        assert!(reply.is_ok(), "{reply:?}");
    }

    async fn die(&self, service: &Service) {
        self.cloud.revoke(0, What::Grant);
        let reply = service.keeper.ask(Command::RefreshTokens { entry_id: "home".parse().unwrap() }).await;
        assert!(reply.is_err());
    }
}

#[tokio::test]
async fn a_trouble_is_told_once_and_its_end_once_over_restarts_too() {
    let mut stub = Stub::start().await;
    let house = House::new(format!("url = \"http://127.0.0.1:{}/hook\"\nafter = \"0s\"", stub.port)).await;
    let service = house.start();
    let first = stub.next().await;
    assert_eq!((first.path.as_str(), first.authorization), ("/hook", Some(format!("Bearer {TOKEN}"))));
    let expected = json!({
        "event": "needs_attention", "account": "home", "name": "Our home", "condition": "missing",
        "title": "Our home needs attention",
        "message": "No refresh token configured. Give one with update_tokens.",
        "link": "https://keys.example.org/",
    });
    assert_eq!(first.body, expected);
    house.sign_in(&service).await;
    assert_eq!(stub.event().await, "well_again");
    house.die(&service).await;
    assert_eq!(stub.event().await, "needs_attention");

    service.stop().await;
    let service = house.start();
    house.die(&service).await;
    house.cloud.sign_in(0);
    house.sign_in(&service).await;
    let next = stub.next().await.body;
    assert_eq!((&next["event"], &next["condition"]), (&json!("well_again"), &json!("ok")), "it was told again");
    service.stop().await;
    assert!(stub.received.try_recv().is_err());
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_and_no_redirect_is_followed() {
    let mut stub = Stub::start().await;
    stub.to_refuse.store(1, Ordering::SeqCst);
    let house = House::new(format!("url = \"http://127.0.0.1:{}/hook\"\nafter = \"0s\"", stub.port)).await;
    let service = house.start();
    let (refused, taken) = (stub.next().await, stub.next().await);
    assert_eq!((refused.path.as_str(), taken.path.as_str()), ("/hook", "/hook"));
    assert_eq!(refused.body, taken.body);
    service.stop().await;
}

#[tokio::test]
async fn nobody_waits_for_a_server_that_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let house = House::new(format!("url = \"http://127.0.0.1:{port}/hook\"\nafter = \"0s\"")).await;
    let service = house.start();
    let _held = timeout(STUCK, silent.accept()).await.expect("nobody was told").unwrap();
    house.sign_in(&service).await;
    timeout(STUCK, service.stop()).await.expect("it does not stop");
}

#[tokio::test]
async fn ntfy_gets_what_it_publishes() {
    let mut stub = Stub::start().await;
    let alert = format!("url = \"http://127.0.0.1:{}/our-house\"\nformat = \"ntfy\"\nafter = \"0s\"", stub.port);
    let house = House::new(alert).await;
    let service = house.start();
    let message = stub.next().await;
    let expected = json!({
        "topic": "our-house",
        "title": "Our home needs attention",
        "message": "No refresh token configured. Give one with update_tokens.",
        "priority": 4,
        "tags": ["warning"],
        "click": "https://keys.example.org/",
    });
    assert_eq!((message.path.as_str(), message.body), ("/", expected));
    service.stop().await;
}

#[test]
fn an_address_that_anybody_could_read_along_is_refused_without_being_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    for (alert, expected) in [
        ("url = \"http://192.168.1.9/canary\"", "expected https"),
        ("url = \"https://me:canary@hooks.example\"", "without a user name"),
        ("url = \"https://ntfy.example/canary topic\"\nformat = \"ntfy\"", "ends in the topic"),
        ("url = \"https://ntfy.example/\"\nformat = \"ntfy\"", "ends in the topic"),
        ("token = \"canary\"", "alert.url"),
    ] {
        fs::write(&file, format!("[alert]\n{alert}\n[accounts.a]\nvendor = \"akuvox\"\ncountry = \"SE\"\n")).unwrap();
        let errors = config::load(Some(&file), std::iter::empty()).unwrap_err().to_string();
        assert!(errors.contains(expected) && !errors.contains("canary"), "{errors}");
    }
}
