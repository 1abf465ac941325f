//! What the demo shows of the broker: a second client, which tells what everybody there may see.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use serde_json::Value;

use crate::{
    clock::Clock,
    mqtt::{Backoff, Events, Inbound, Link, LinkEvent, LinkSettings, Qos, Subscription},
};

/// Why nothing more is seen.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the demo cannot connect to the broker: {0}")]
    Broker(String),
    #[error("the demo's connection to the broker has ended")]
    Link,
}

/// A second MQTT client, which sees what everybody at the broker sees, and tells it.
pub(super) struct Onlooker {
    pub(super) link: Link,
    events: Events,
    /// What was told of each state topic, so that only news is.
    told: BTreeMap<String, String>,
}

impl Onlooker {
    pub(super) fn connect(host: &str, port: u16) -> Result<Self, Gone> {
        let settings = LinkSettings {
            host: host.to_owned(),
            port,
            client_id: format!("latchkey-demo-{}", std::process::id()),
            credentials: None,
            tls: None,
            keep_alive: Duration::from_secs(30),
            session_expiry: Duration::ZERO,
            will: None,
            echo_topic: None,
            subscriptions: vec![Subscription::new("latchkey/#", Qos::AtLeastOnce)],
            outbox_limit: 100,
            backoff: Backoff::default(),
        };
        let (link, events, _) =
            Link::start(settings, Clock::system()).map_err(|error| Gone::Broker(error.to_string()))?;
        Ok(Self { link, events, told: BTreeMap::new() })
    }

    /// Tells what is seen until a message on `topic` holds `word`.
    pub(super) async fn until(&mut self, topic: &str, word: &str, aloud: bool) -> Result<(), Gone> {
        loop {
            let message = self.next(aloud).await?;
            if message.topic == topic && String::from_utf8_lossy(&message.payload).contains(word) {
                return Ok(());
            }
        }
    }

    pub(super) async fn next(&mut self, aloud: bool) -> Result<Inbound, Gone> {
        loop {
            match self.events.next().await {
                Some(LinkEvent::Message(message)) => {
                    if let Some(token) = message.ack {
                        self.link.ack(token);
                    }
                    if aloud && let Some(line) = self.narrate(&message) {
                        say(format_args!("{}  {line}", Clock::system().now().strftime("%H:%M:%S")))?;
                    }
                    return Ok(message);
                }
                Some(_) => {}
                None => return Err(Gone::Link),
            }
        }
    }

    /// One readable line for what matters; none for the rest.
    fn narrate(&mut self, message: &Inbound) -> Option<String> {
        let topic = message.topic.as_str();
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if topic == "latchkey/bridge/state" {
            return Some(format!("{topic:<44} {text}"));
        }
        if topic.ends_with("/event") {
            let (what, by) = (word(&body["event_type"]), word(&body["by"]));
            return Some(format!("{topic:<44} {what} (by {by}), generation {}", body["generation"]));
        }
        if topic.contains("/response/") {
            let outcome = match body["status"].as_str() {
                Some("ok") => format!("ok {}", body["data"]),
                _ => format!("error {}", word(&body["error"]["message"])),
            };
            return Some(format!("{topic:<44} {outcome}"));
        }
        // The field for a login code has a state, too, which tells nobody anything.
        if topic.ends_with("/state") && body["condition"].is_string() {
            let time = |key: &str| body[key].as_str().and_then(|it| it.get(11..19)).unwrap_or("unknown").to_owned();
            let line = format!(
                "{topic:<44} {}, access token ends {}, next refresh {}",
                word(&body["condition"]),
                time("access_token_expires_at"),
                time("next_refresh_at")
            );
            let is_news = self.told.insert(topic.to_owned(), line.clone()).as_ref() != Some(&line);
            return is_news.then_some(line);
        }
        None
    }
}

/// A line of what the demo tells.
pub(super) fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
