//! A look at the broker: does it let us in, and how long does a message take.

use std::time::Duration;

use crate::clock::Clock;

use super::{Link, LinkEvent, LinkSettings, Outgoing, Qos, Subscription, Will};

const PATIENCE: Duration = Duration::from_secs(10);
const MESSAGES: usize = 9;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The median time of a message at QoS 1 from one client to another.
    pub round_trip: Duration,
}

/// Connects twice with the credentials of `settings`, under client ids and on a topic of its own.
pub async fn probe(settings: &LinkSettings, clock: &Clock) -> Result<Probe, String> {
    match tokio::time::timeout(PATIENCE, exchange(settings, clock)).await {
        Ok(result) => result,
        Err(_) => Err("no answer within ten seconds".to_owned()),
    }
}

async fn exchange(settings: &LinkSettings, clock: &Clock) -> Result<Probe, String> {
    let topic = format!("{}/check", settings.will.topic);
    let start = |role: &str, subscriptions| {
        let settings = LinkSettings {
            client_id: format!("{}-check-{role}-{:08x}", settings.client_id, fastrand::u32(..)),
            session_expiry: Duration::ZERO,
            will: Will { topic: format!("{topic}/will"), payload: Vec::new(), delay: Duration::ZERO },
            subscriptions,
            ..settings.clone()
        };
        Link::start(settings, clock.clone()).map_err(|error| error.to_string())
    };
    let (reader, mut incoming, _) = start("reader", vec![Subscription::new(&topic, Qos::AtLeastOnce)])?;
    let (writer, mut outgoing, _) = start("writer", Vec::new())?;
    for events in [&mut incoming, &mut outgoing] {
        loop {
            match events.next().await {
                Some(LinkEvent::Connected { .. }) => break,
                Some(LinkEvent::Disconnected { reason, .. }) => return Err(reason.to_string()),
                Some(LinkEvent::SubscriptionRefused { reason, .. }) => return Err(reason),
                Some(LinkEvent::Message(_)) => {}
                None => return Err("the connection ended".to_owned()),
            }
        }
    }
    let mut times = Vec::with_capacity(MESSAGES);
    for _ in 0..MESSAGES {
        let sent = clock.monotonic();
        writer.publish(Outgoing::passing(&topic, "check"));
        loop {
            match incoming.next().await {
                Some(LinkEvent::Message(message)) => {
                    if let Some(token) = message.ack {
                        reader.ack(token);
                    }
                    break;
                }
                Some(LinkEvent::Disconnected { reason, .. }) => return Err(reason.to_string()),
                Some(_) => {}
                None => return Err("the connection ended".to_owned()),
            }
        }
        times.push(clock.monotonic().saturating_sub(sent));
    }
    times.sort_unstable();
    writer.stop(Vec::new()).await;
    reader.stop(Vec::new()).await;
    Ok(Probe { round_trip: times[MESSAGES / 2] })
}
