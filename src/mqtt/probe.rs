//! A look at the broker: does it let us in, what does it deny us, and how long does a message take.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;

use crate::clock::Clock;

use super::{Events, Link, LinkEvent, LinkSettings, Outgoing, Qos, Subscription};

const PATIENCE: Duration = Duration::from_secs(20);
/// Mosquitto accepts a subscription that its access list denies, and then sends nothing: what is not heard by then is
/// denied.
const SILENCE: Duration = Duration::from_secs(2);
/// Linux acknowledges the first packets of a connection at once, and hides what it is about.
const WARM_UP: usize = 20;
const COMMANDS: usize = 9;

/// What was seen.
#[derive(Clone, Debug)]
pub struct Probe {
    pub denied: Vec<Denied>,
    /// The median time from a command at QoS 1 to its reply. Whoever asked gets two small packets, the acknowledgement
    /// and then the reply: a broker that holds small packets back sends the second when the first was seen to arrive.
    /// None where we may not do what it is measured by.
    pub round_trip: Option<Duration>,
}

/// What the broker has to let us do with the topics of one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub filter: String,
    /// A topic of these on which an empty message is nobody's business; none where there is no such.
    pub sample: Option<String>,
    pub reads: bool,
    pub writes: bool,
}

/// A filter that we need and do not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Reading(String),
    Writing(String),
}

/// Connects with the credentials of `settings`, under client ids of its own: first to try the `rights`, then twice, as
/// one who asks and one who answers. Says nothing but empty messages on the samples.
pub async fn probe(settings: &LinkSettings, rights: &[Right], clock: &Clock) -> Result<Probe, String> {
    let look = async {
        let denied = try_rights(settings, rights, clock).await?;
        // Two topics of commands that we may both read and write.
        let mut usable = rights.iter().filter(|it| it.reads && it.writes && !denied.iter().any(|no| no.is_of(it)));
        let mut topic = || usable.next().and_then(|it| it.sample.clone());
        let round_trip = match (topic(), topic()) {
            (Some(command), Some(reply)) => Some(measure(settings, clock, &command, &reply).await?),
            _ => None,
        };
        Ok(Probe { denied, round_trip })
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| Err("no answer within twenty seconds".to_owned()))
}

async fn try_rights(settings: &LinkSettings, rights: &[Right], clock: &Clock) -> Result<Vec<Denied>, String> {
    let filters = rights.iter().filter(|it| it.reads).map(|it| it.filter.clone());
    let (link, mut events, deaf) = connect(settings, clock, filters).await?;
    let samples: Vec<&str> = rights.iter().filter_map(|it| it.sample.as_deref()).collect();
    let mut awaited: BTreeSet<&str> =
        rights.iter().filter(|it| it.reads).filter_map(|it| it.sample.as_deref()).collect();
    let (mut refused, mut n_last_words) = (BTreeSet::new(), 0);
    let marker = samples.first().copied().unwrap_or_default();
    // The first goes again behind the others: when that was answered, so were they.
    for sample in samples.iter().chain(samples.first()) {
        link.publish(Outgoing::passing(*sample, ""));
    }
    while !awaited.is_empty() || n_last_words < 2 {
        let Ok(event) = timeout(SILENCE, events.next()).await else { break };
        let topic = match event {
            Some(LinkEvent::Message(message)) => {
                message.ack.into_iter().for_each(|it| link.ack(it));
                message.topic
            }
            Some(LinkEvent::PublishRefused { topic, .. }) => {
                refused.insert(topic.clone());
                topic
            }
            other => return Err(bad_news(other).unwrap_or_default()),
        };
        awaited.remove(topic.as_str());
        n_last_words += usize::from(topic == marker);
    }
    link.stop(Vec::new()).await;
    let denied = |right: &Right| {
        let is_mute = right.sample.as_ref().is_some_and(|it| refused.contains(it));
        let is_deaf = right.reads
            && (deaf.contains(&right.filter) || right.sample.as_deref().is_some_and(|it| awaited.contains(it)));
        let filter = || right.filter.clone();
        [(right.writes && is_mute).then(|| Denied::Writing(filter())), is_deaf.then(|| Denied::Reading(filter()))]
    };
    Ok(rights.iter().flat_map(denied).flatten().collect())
}

async fn measure(settings: &LinkSettings, clock: &Clock, command: &str, reply: &str) -> Result<Duration, String> {
    let (asking, mut replies, _) = connect(settings, clock, [reply.to_owned()]).await?;
    let (answering, mut commands, _) = connect(settings, clock, [command.to_owned()]).await?;
    let mut times = Vec::with_capacity(WARM_UP + COMMANDS);
    for _ in 0..WARM_UP + COMMANDS {
        let sent = clock.monotonic();
        asking.publish(Outgoing::passing(command, ""));
        message(&answering, &mut commands).await?;
        answering.publish(Outgoing { qos: Qos::AtMostOnce, ..Outgoing::passing(reply, "") });
        message(&asking, &mut replies).await?;
        times.push(clock.monotonic().saturating_sub(sent));
    }
    asking.stop(Vec::new()).await;
    answering.stop(Vec::new()).await;
    let times = &mut times[WARM_UP..];
    times.sort_unstable();
    Ok(times[COMMANDS / 2])
}

/// A connection of its own that is subscribed to `filters`, and which of these were refused.
async fn connect(
    settings: &LinkSettings,
    clock: &Clock,
    filters: impl IntoIterator<Item = String>,
) -> Result<(Link, Events, BTreeSet<String>), String> {
    let subscription =
        |filter| Subscription { send_retained: false, no_local: false, ..Subscription::new(filter, Qos::AtMostOnce) };
    let settings = LinkSettings {
        client_id: format!("{}-check-{:08x}", settings.client_id, fastrand::u32(..)),
        session_expiry: Duration::ZERO,
        will: None,
        echo_topic: None,
        subscriptions: filters.into_iter().map(subscription).collect(),
        ..settings.clone()
    };
    let (link, mut events, _) = Link::start(settings, clock.clone()).map_err(|error| error.to_string())?;
    let mut refused = BTreeSet::new();
    loop {
        match events.next().await {
            Some(LinkEvent::Connected { .. }) => return Ok((link, events, refused)),
            Some(LinkEvent::SubscriptionRefused { filter, .. }) => {
                refused.insert(filter);
            }
            other => bad_news(other).map_or(Ok(()), Err)?,
        }
    }
}

async fn message(link: &Link, events: &mut Events) -> Result<(), String> {
    loop {
        match events.next().await {
            Some(LinkEvent::Message(message)) => {
                message.ack.into_iter().for_each(|it| link.ack(it));
                return Ok(());
            }
            other => bad_news(other).map_or(Ok(()), Err)?,
        }
    }
}

/// What says that nothing more will come.
fn bad_news(event: Option<LinkEvent>) -> Option<String> {
    match event {
        Some(LinkEvent::Disconnected { reason, .. }) => Some(reason.to_string()),
        Some(LinkEvent::PublishRefused { topic, .. }) => Some(format!("it refuses a message on {topic}")),
        Some(_) => None,
        None => Some("the connection ended".to_owned()),
    }
}

// === impl Denied ===

impl Denied {
    fn is_of(&self, right: &Right) -> bool {
        let (Self::Reading(filter) | Self::Writing(filter)) = self;
        *filter == right.filter
    }
}
