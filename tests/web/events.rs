//! What changes and happens, live.

use latchkey::clock::Clock;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Duration, timeout},
};

use super::bench::{House, KEY, Plan};

/// Somebody who listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    async fn connect(house: &House) -> Self {
        Self::connect_with(house, &format!("X-Latchkey-Key: {KEY}\r\n")).await
    }

    async fn connect_with(house: &House, headers: &str) -> Self {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
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

#[tokio::test]
async fn a_listener_hears_no_more_when_its_session_is_signed_out_elsewhere() {
    let house = House::new().await;
    let (session, other) = (sign_in(&house).await, sign_in(&house).await);
    let mut listener = Listener::connect_with(&house, &session).await;
    let mut other = Listener::connect_with(&house, &other).await;
    let mut by_key = Listener::connect(&house).await;
    listener.until("past", |_| true).await;
    assert_eq!(house.send_with("DELETE", "/v1/session", &session, "").await.status, 200);
    while listener.line("").await.is_some() {}
    house.sign_in().await;
    for it in [&mut other, &mut by_key] {
        it.until("event", |it| it["event_type"] == "refreshed").await;
    }
    let mut too_late = Listener::connect_with(&house, &session).await;
    assert_eq!(too_late.line("HTTP/1.1 ").await.unwrap(), "401 Unauthorized");
}

#[tokio::test]
async fn a_listener_hears_no_more_when_its_session_has_lasted_for_a_week() {
    let (clock, hand) = Clock::paused("2026-11-24T12:00:00Z".parse().unwrap());
    let house = House::at(clock, Plan::default()).await;
    let mut listener = Listener::connect_with(&house, &sign_in(&house).await).await;
    listener.until("past", |_| true).await;
    let something_happens = async |day: u32| {
        hand.advance(Duration::from_secs(23 * 3600));
        let tokens = json!({ "refresh_token": format!("{day:032x}"), "prove": false });
        assert_eq!(house.put("/v1/accounts/home/tokens", &tokens).await.status, 200);
    };
    // It listens, so it is in use.
    for day in 1..=7 {
        something_happens(day).await;
        listener.until("event", |it| it["event_type"] == "tokens_updated").await;
    }
    something_happens(8).await;
    while listener.line("").await.is_some() {}
}

/// What a browser sends along once the key was shown.
async fn sign_in(house: &House) -> String {
    let page = "X-Latchkey-Page: 1\r\nSec-Fetch-Site: same-origin\r\n";
    let answer = house.send_with("POST", "/v1/session", &format!("X-Latchkey-Key: {KEY}\r\n{page}"), "").await;
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap();
    format!("Cookie: {cookie}\r\n{page}")
}
