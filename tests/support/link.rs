//! Links with settings for tests, and waits for what they tell.

use std::time::Duration;

use latchkey::{
    clock::Clock,
    mqtt::{Backoff, Events, Inbound, Link, LinkEvent, LinkFailure, LinkSettings, Qos, Subscription, Will},
};
use tokio::{task::JoinHandle, time::timeout};

use super::scripted_broker::PATIENCE;

pub const SLOW: Duration = Duration::from_secs(3600);

pub fn settings(port: u16) -> LinkSettings {
    LinkSettings {
        host: "127.0.0.1".to_owned(),
        port,
        client_id: "latchkey-test".to_owned(),
        credentials: None,
        tls: None,
        keep_alive: Duration::from_secs(30),
        session_expiry: Duration::from_secs(300),
        will: Some(Will {
            topic: "base/bridge/state".to_owned(),
            payload: b"offline".to_vec(),
            delay: Duration::from_secs(10),
        }),
        subscriptions: vec![Subscription::new("base/commands/+", Qos::AtLeastOnce)],
        echo_topic: None,
        outbox_limit: 1000,
        backoff: Backoff {
            min: Duration::from_millis(5),
            max: Duration::from_millis(50),
            slow_min: SLOW,
            slow_max: SLOW,
        },
    }
}

pub fn start(settings: LinkSettings) -> (Link, Events, JoinHandle<()>) {
    Link::start(settings, Clock::system()).unwrap()
}

pub async fn next_event(events: &mut Events) -> LinkEvent {
    timeout(PATIENCE, events.next()).await.expect("the link tells nothing").expect("the link has ended")
}

/// Steps over everything until the link is connected; says whether the broker had kept the session.
pub async fn connected(events: &mut Events) -> bool {
    wait_for(events, |event| match event {
        LinkEvent::Connected { session_present } => Some(session_present),
        _ => None,
    })
    .await
}

/// Steps over everything until the link is disconnected.
pub async fn disconnected(events: &mut Events) -> (LinkFailure, Duration) {
    wait_for(events, |event| match event {
        LinkEvent::Disconnected { reason, retry_in } => Some((reason, retry_in)),
        _ => None,
    })
    .await
}

/// Steps over everything until a message comes.
pub async fn message(events: &mut Events) -> Inbound {
    wait_for(events, |event| match event {
        LinkEvent::Message(message) => Some(message),
        _ => None,
    })
    .await
}

async fn wait_for<T>(events: &mut Events, wanted: impl Fn(LinkEvent) -> Option<T>) -> T {
    let mut seen = Vec::new();
    let search = async {
        loop {
            let event = events.next().await.expect("the link has ended");
            seen.push(format!("{event:?}"));
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    match timeout(PATIENCE, search).await {
        Ok(found) => found,
        Err(_) => panic!("what the test waits for did not come; the link told {seen:#?}"),
    }
}
