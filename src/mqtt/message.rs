//! What goes over the link: topics and bytes, without a word of what they mean.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::failure::LinkFailure;

/// How sure a delivery is. There is no `ExactlyOnce`: with rumqttc 0.25.1 a single stray PUBREL makes a reconnect storm
/// (its issue #664), and every message of ours bears repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    AtMostOnce,
    AtLeastOnce,
}

/// A message to publish.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: String,
    pub payload: Bytes,
    /// A retained message always goes at least once, whatever stands here.
    pub qos: Qos,
    pub retain: bool,
    /// The MQTT 5 correlation data of the request that this message answers.
    pub correlation_data: Option<Bytes>,
    /// How long the message is of use, in whole seconds; the wait in the outbox counts.
    pub message_expiry: Option<Duration>,
}

/// A message that arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Inbound {
    pub topic: String,
    pub payload: Bytes,
    pub qos: Qos,
    /// As the sender set it, live or stored: every subscription is retain-as-published.
    pub retain: bool,
    /// The broker says that it may have sent this message before.
    pub dup: bool,
    /// The broker had kept it for us while we were away, or may have.
    pub was_kept: bool,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Bytes>,
    /// To be handed to [`Link::ack`](super::Link::ack) in the end, whatever came of the message; only at QoS 1.
    pub ack: Option<AckToken>,
}

/// The right to acknowledge one message. It dies with the connection that brought the message, because the broker
/// delivers what was not acknowledged again on the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckToken {
    /// The message's number among all that ever arrived, since packet ids are used again.
    pub(super) number: u64,
}

/// What the link tells.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// The broker has answered the subscriptions: now is the time to announce everything, after each of these.
    Connected {
        /// False where the broker knew nothing of us, or had forgotten it.
        session_present: bool,
    },
    /// One of the filters was refused; the others work. `reason` says what the broker said and the likely mend.
    SubscriptionRefused {
        filter: String,
        reason: String,
    },
    /// The broker refused a message: its access list does not let us write there.
    PublishRefused {
        topic: String,
        reason: String,
    },
    /// The connection ended, or could not be made; the next try is after `retry_in`.
    Disconnected {
        reason: LinkFailure,
        retry_in: Duration,
    },
    Message(Inbound),
}

impl Outgoing {
    /// A state that the broker keeps for whoever subscribes later.
    pub fn retained(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { retain: true, ..Self::passing(topic, payload) }
    }

    /// A message for those who listen now, delivered at least once.
    pub fn passing(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            retain: false,
            correlation_data: None,
            message_expiry: None,
        }
    }

    /// Whether it says how something is, for whoever comes later. What clears a topic does not.
    pub(super) fn is_lasting(&self) -> bool {
        self.retain && !self.payload.is_empty()
    }

    /// What it takes to keep the message, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.topic.len() + self.payload.len() + length(self.correlation_data.as_ref())
    }

    /// Whether a broker takes this topic: one that does not would close the connection, and again each time that the
    /// message is sent. A response topic comes from whoever sent the request, so it cannot be trusted.
    pub(super) fn has_valid_topic(&self) -> bool {
        let is_refused = |it: char| {
            let is_noncharacter = matches!(u32::from(it), 0xfdd0..=0xfdef) || u32::from(it) & 0xfffe == 0xfffe;
            it.is_control() || matches!(it, '+' | '#') || is_noncharacter
        };
        !self.topic.is_empty() && u16::try_from(self.topic.len()).is_ok() && !self.topic.contains(is_refused)
    }
}

impl Inbound {
    /// What it takes to keep the message, in bytes.
    pub(super) fn weight(&self) -> usize {
        let properties = self.response_topic.as_ref().map_or(0, String::len) + length(self.correlation_data.as_ref());
        self.topic.len() + self.payload.len() + properties
    }
}

fn length(bytes: Option<&Bytes>) -> usize {
    bytes.map_or(0, Bytes::len)
}

// Payloads may hold what a user pasted, so neither direction shows them.

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("topic", &self.topic)
            .field("length", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("topic", &self.topic)
            .field("length", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("dup", &self.dup)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_a_broker_would_hang_up_on_is_not_valid() {
        for good in ["latchkey/home/state", "ä/b c", "/"] {
            assert!(Outgoing::passing(good, "").has_valid_topic(), "{good}");
        }
        let too_long = "a".repeat(65_536);
        for bad in ["", "a/+", "a/#", "a\0b", "a\nb", "a\u{fdd0}", "a\u{ffff}", &too_long] {
            assert!(!Outgoing::passing(bad, "").has_valid_topic(), "{bad:.20}");
        }
    }

    #[test]
    fn debug_shows_no_payload() {
        let shown = format!("{:?}", Outgoing::retained("topic", "canary"));
        assert!(shown.contains("topic") && !shown.contains("canary"), "{shown}");
    }
}
