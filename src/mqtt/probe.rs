//! A look at the broker: does it let us in, and how long does a message take.

use std::time::Duration;

use crate::clock::Clock;

use super::{Events, Link, LinkEvent, LinkSettings, Outgoing, Qos, Subscription, Will};

const PATIENCE: Duration = Duration::from_secs(10);
/// Linux acknowledges the first packets of a connection at once, and hides what it is about.
const WARM_UP: usize = 20;
const COMMANDS: usize = 9;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The median time from a command at QoS 1 to its reply. Whoever asked gets two small packets, the acknowledgement
    /// and then the reply: a broker that holds small packets back sends the second when the first was seen to arrive.
    pub round_trip: Duration,
}

/// Connects twice with the credentials of `settings`, under client ids and on topics of its own: as one who asks and one
/// who answers.
pub async fn probe(settings: &LinkSettings, clock: &Clock) -> Result<Probe, String> {
    match tokio::time::timeout(PATIENCE, exchange(settings, clock)).await {
        Ok(result) => result,
        Err(_) => Err("no answer within ten seconds".to_owned()),
    }
}

async fn exchange(settings: &LinkSettings, clock: &Clock) -> Result<Probe, String> {
    let topic = |name: &str| format!("{}/check/{name}", settings.will.topic);
    let (command, reply) = (topic("command"), topic("reply"));
    let (asking, mut replies) = connect(settings, clock, &reply).await?;
    let (answering, mut commands) = connect(settings, clock, &command).await?;
    let mut times = Vec::with_capacity(WARM_UP + COMMANDS);
    for _ in 0..WARM_UP + COMMANDS {
        let sent = clock.monotonic();
        asking.publish(Outgoing::passing(&command, "check"));
        message(&mut commands).await?;
        answering.publish(Outgoing { qos: Qos::AtMostOnce, ..Outgoing::passing(&reply, "check") });
        message(&mut replies).await?;
        times.push(clock.monotonic().saturating_sub(sent));
    }
    asking.stop(Vec::new()).await;
    answering.stop(Vec::new()).await;
    let times = &mut times[WARM_UP..];
    times.sort_unstable();
    Ok(Probe { round_trip: times[COMMANDS / 2] })
}

async fn connect(settings: &LinkSettings, clock: &Clock, filter: &str) -> Result<(Link, Events), String> {
    let settings = LinkSettings {
        client_id: format!("{}-check-{:08x}", settings.client_id, fastrand::u32(..)),
        session_expiry: Duration::ZERO,
        will: Will { topic: format!("{filter}/gone"), payload: Vec::new(), delay: Duration::ZERO },
        subscriptions: vec![Subscription::new(filter, Qos::AtMostOnce)],
        ..settings.clone()
    };
    let (link, mut events, _) = Link::start(settings, clock.clone()).map_err(|error| error.to_string())?;
    while !matches!(next(&mut events).await?, LinkEvent::Connected { .. }) {}
    Ok((link, events))
}

async fn message(events: &mut Events) -> Result<(), String> {
    while !matches!(next(events).await?, LinkEvent::Message(_)) {}
    Ok(())
}

/// The next event, unless it says that nothing more will come.
async fn next(events: &mut Events) -> Result<LinkEvent, String> {
    match events.next().await {
        Some(LinkEvent::Disconnected { reason, .. }) => Err(reason.to_string()),
        Some(LinkEvent::SubscriptionRefused { reason, .. }) => Err(reason),
        Some(event) => Ok(event),
        None => Err("the connection ended".to_owned()),
    }
}
