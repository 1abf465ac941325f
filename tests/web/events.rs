//! What changes and happens, live.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Duration, timeout},
};

use super::bench::{House, KEY};

/// Somebody who listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    async fn connect(house: &House) -> Self {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Latchkey-Key: {KEY}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream))
    }

    /// The next line that starts so, without that; none when the stream has ended.
    async fn line(&mut self, start: &str) -> Option<String> {
        let found = async {
            loop {
                let mut line = String::new();
                if self.0.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return None;
                }
                if let Some(rest) = line.trim_end().strip_prefix(start) {
                    return Some(rest.to_owned());
                }
            }
        };
        timeout(Duration::from_secs(60), found).await.expect("nothing came")
    }

    async fn event(&mut self) -> (String, Value) {
        let name = self.line("event: ").await.unwrap();
        (name, serde_json::from_str(&self.line("data: ").await.unwrap()).unwrap())
    }

    async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (found, data) = self.event().await;
            if found == name && wanted(&data) {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn states_come_first_and_then_what_changes_and_happens() {
    let house = House::new().await;
    let mut listener = Listener::connect(&house).await;
    assert_eq!(listener.line("HTTP/1.1 ").await.unwrap(), "200 OK");
    for account in ["front_door", "home"] {
        let (name, data) = listener.event().await;
        assert_eq!((name.as_str(), &data["entry_id"]), ("state", &json!(account)));
        assert_eq!(data["condition"], "missing");
    }
    house.sign_in().await;
    let event = listener.until("event", |it| it["entry_id"] == "home" && it["event_type"] == "refreshed").await;
    assert_eq!(event["by"], "update");
    let inventory = listener.until("inventory", |it| it["entry_id"] == "home").await;
    assert!(inventory["scenes"].as_array().is_some_and(|it| it.iter().any(|it| it["key"] == "tv_warning")));

    // Who comes later is told how things are.
    let mut late = Listener::connect(&house).await;
    let state = late.until("state", |it| it["entry_id"] == "home").await;
    assert_eq!((&state["condition"], &state["generation"]), (&json!("ok"), &json!(2)));
    let past = late.until("past", |_| true).await;
    let happened = |it: &Value| it["entry_id"] == "home" && it["event_type"] == "refreshed" && it["at"].is_string();
    assert!(past["events"].as_array().unwrap().iter().any(happened), "{past}");
}

#[tokio::test]
async fn listeners_are_bounded_and_their_places_are_given_back() {
    let house = House::new().await;
    let mut listeners = Vec::new();
    for _ in 0..32 {
        let mut listener = Listener::connect(&house).await;
        assert_eq!(listener.line("HTTP/1.1 ").await.unwrap(), "200 OK");
        listeners.push(listener);
    }
    let mut one_more = Listener::connect(&house).await;
    assert_eq!(one_more.line("HTTP/1.1 ").await.unwrap(), "503 Service Unavailable");
    drop(listeners);
    loop {
        if Listener::connect(&house).await.line("HTTP/1.1 ").await.unwrap() == "200 OK" {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_listener_does_not_keep_latchkey_from_stopping() {
    let house = House::new().await;
    let mut listener = Listener::connect(&house).await;
    listener.event().await;
    timeout(Duration::from_secs(60), house.service.stop()).await.expect("it does not stop");
    while listener.line("").await.is_some() {}
    assert!(TcpStream::connect(house.address).await.is_err(), "it still listens");
}
