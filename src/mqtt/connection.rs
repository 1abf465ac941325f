//! One connection to the broker, from CONNECT to its end. Each has an event loop of its own: rumqttc 0.25.1 carries
//! mistakes of an old one into the next (lost requests, collisions that never resolve, packet ids out of range).

use std::{mem, pin::Pin, time::Duration};

use bytes::Bytes;
use rumqttc::{
    Outgoing as Sent,
    v5::{
        AsyncClient, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{ConnAck, PubAck, PubAckReason, Publish, PublishProperties, SubAck, SubscribeReasonCode},
        },
    },
};
use tokio::time::{Sleep, sleep, timeout};
use tracing::{debug, error, info, warn};

use super::{
    failure::LinkFailure,
    link::Shared,
    message::{Inbound, LinkEvent, Outgoing, Qos},
    outbox::NotSent,
    receipts::Receipts,
    settings::{MAX_IN_FLIGHT, MIN_KEEP_ALIVE, whole_seconds},
    subscribed::Subscribed,
};

/// How many requests rumqttc takes before it has written them.
const REQUEST_CAPACITY: usize = 64;
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(10);
/// By then an echo has come back, or never will: the access list (ACL) lets us say it and not hear it.
const ECHO_LIMIT: Duration = Duration::from_secs(30);
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);
const CLOSING_LIMIT: Duration = Duration::from_secs(1);
const REFUSED_MESSAGE: &str = "the MQTT broker refused a message; its access list (ACL) has to let us write there";

/// One connection.
pub(super) struct Connection<'a> {
    shared: &'a Shared,
    receipts: &'a mut Receipts,
    subscribed: &'a mut Subscribed,
    client: AsyncClient,
    phase: Phase,
    /// When the present phase has lasted too long.
    deadline: Pin<Box<Sleep>>,
    session_present: bool,
    /// Where we listen for what ends the messages that the broker kept.
    echo_topic: Option<String>,
    /// What is to come back there; none where nothing is awaited.
    echo: Option<Bytes>,
    /// How many publishes may wait for their acknowledgement.
    window: usize,
    /// The biggest packet that the broker takes, if it said so.
    max_packet: Option<usize>,
    has_warned_of_refusal: bool,
    /// Monotonic time of the broker's answer to our subscriptions.
    ready_since: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Until CONNACK; rumqttc limits the time.
    Opening,
    /// Until SUBACK.
    Subscribing,
    /// Until the broker has acknowledged what is to come back as an echo: nothing else is in flight meanwhile, so that
    /// there is no doubt what its acknowledgement is for.
    Calling,
    Ready,
    /// Asked to stop: what waits is still delivered.
    Leaving,
    /// DISCONNECT is on its way. The socket is kept until the broker closes it: closing it with unread bytes in it
    /// would reset the connection, and the broker might see that before the DISCONNECT and publish the will.
    Closing,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        receipts: &'a mut Receipts,
        subscribed: &'a mut Subscribed,
        options: MqttOptions,
        echo_topic: Option<String>,
    ) -> (Self, EventLoop) {
        let (client, eventloop) = AsyncClient::new(options, REQUEST_CAPACITY);
        let connection = Self {
            shared,
            receipts,
            subscribed,
            client,
            phase: Phase::Opening,
            deadline: Box::pin(sleep(Phase::Opening.limit())),
            session_present: false,
            echo_topic,
            echo: None,
            window: MAX_IN_FLIGHT.into(),
            max_packet: None,
            has_warned_of_refusal: false,
            ready_since: None,
        };
        (connection, eventloop)
    }

    /// Monotonic time since when the connection was of use, if it ever was.
    pub(super) fn ready_since(&self) -> Option<Duration> {
        self.ready_since
    }

    /// Runs the connection to its end: an error, or `Ok` after the link was asked to stop.
    pub(super) async fn serve(&mut self, mut eventloop: EventLoop) -> Result<(), LinkFailure> {
        let shared = self.shared;
        loop {
            // rumqttc comes back at least once in a keep-alive, with its own ping. When it does not, it hangs in a
            // write that the other side does not read, for which it has no timeout.
            let patience = eventloop.options.keep_alive() * 3 / 2 + Duration::from_secs(5);
            let outcome = {
                let poll = timeout(patience, eventloop.poll());
                tokio::pin!(poll);
                // The poll is kept across the other branches: a dropped one may take a packet with it.
                loop {
                    tokio::select! {
                        outcome = &mut poll => break outcome,
                        () = shared.work.notified() => self.send_waiting(),
                        () = shared.stop.cancelled(), if self.phase < Phase::Leaving && self.phase != Phase::Calling => {
                            if self.phase == Phase::Opening {
                                return Ok(());
                            }
                            self.enter(Phase::Leaving);
                            self.send_waiting();
                        }
                        () = self.deadline.as_mut() => match self.phase {
                            Phase::Opening | Phase::Ready => self.enter(self.phase),
                            Phase::Subscribing | Phase::Calling => return Err(LinkFailure::SubscribeUnanswered),
                            Phase::Leaving => {
                                warn!("the MQTT broker did not acknowledge our last messages in time");
                                if !self.disconnect() {
                                    return Ok(());
                                }
                            }
                            Phase::Closing => return Ok(()),
                        },
                    }
                }
            };
            let event = match outcome {
                Ok(Ok(event)) => event,
                Ok(Err(_)) | Err(_) if self.phase == Phase::Closing => return Ok(()),
                Ok(Err(failure)) => {
                    self.on_leftovers(mem::take(&mut eventloop.state.events).into_iter());
                    return Err(failure.into());
                }
                Err(_) => return Err(LinkFailure::Silent),
            };
            let is_connack = matches!(event, Event::Incoming(Incoming::ConnAck(_)));
            if is_connack && eventloop.options.keep_alive().is_zero() {
                // The broker turned keep-alive off; rumqttc would ping without a pause.
                eventloop.options.set_keep_alive(MIN_KEEP_ALIVE);
            }
            self.on_event(event)?;
            self.send_waiting();
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), LinkFailure> {
        match event {
            Event::Incoming(Incoming::ConnAck(connack)) => self.on_connack(&connack)?,
            Event::Incoming(Incoming::SubAck(suback)) => self.on_suback(&suback),
            Event::Incoming(Incoming::Publish(publish)) => self.on_publish(publish),
            Event::Incoming(Incoming::PubAck(puback)) if self.phase == Phase::Calling => self.on_called(&puback),
            Event::Incoming(Incoming::PubAck(puback)) => self.on_puback(&puback),
            Event::Outgoing(Sent::Publish(packet_id)) if packet_id != 0 && self.phase != Phase::Calling => {
                self.shared.with_outbox(|outbox| outbox.was_sent(packet_id));
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
        Ok(())
    }

    /// What had arrived before the connection broke: acknowledgements spare us a repetition, and a message at QoS 0
    /// does not come again. One at QoS 1 does.
    fn on_leftovers(&mut self, events: impl Iterator<Item = Event>) {
        for event in events {
            match event {
                Event::Incoming(Incoming::PubAck(puback)) => self.on_puback(&puback),
                Event::Incoming(Incoming::Publish(publish)) if publish.qos == QoS::AtMostOnce => {
                    self.on_publish(publish);
                }
                _ => {}
            }
        }
    }

    fn on_connack(&mut self, connack: &ConnAck) -> Result<(), LinkFailure> {
        self.session_present = connack.session_present;
        if let Some(properties) = &connack.properties {
            if let Some(receive_max) = properties.receive_max {
                self.window = receive_max.clamp(1, MAX_IN_FLIGHT).into();
            }
            self.max_packet = properties.max_packet_size.and_then(|it| usize::try_from(it).ok());
        }
        let filters = self.subscribed.everything(self.session_present);
        if filters.is_empty() {
            self.on_listening();
            self.on_ready();
            return Ok(());
        }
        self.client
            .try_subscribe_many(filters)
            .map_err(|_| LinkFailure::Protocol("one of our own filters is not valid".to_owned()))?;
        self.enter(Phase::Subscribing);
        Ok(())
    }

    fn on_suback(&mut self, suback: &SubAck) {
        let filters = self.subscribed.answered();
        let refused = filters.into_iter().zip(&suback.return_codes).filter_map(|(filter, code)| match code {
            SubscribeReasonCode::Success(_) => None,
            other => Some((filter, subscription_refusal(*other))),
        });
        for (filter, reason) in refused {
            error!(filter, reason, "the MQTT broker refuses a subscription");
            self.echo_topic.take_if(|it| *it == filter);
            self.shared.tell(LinkEvent::SubscriptionRefused { filter, reason });
        }
        if self.phase == Phase::Subscribing {
            self.on_listening();
            self.call();
        }
    }

    /// What is retained comes from here on, so whoever listens hears of the connection before.
    fn on_listening(&self) {
        self.shared.tell(LinkEvent::Connected { session_present: self.session_present });
    }

    /// Says something that comes back behind whatever the broker kept for us, if it kept anything.
    fn call(&mut self) {
        let Some(topic) = self.echo_topic.as_ref().filter(|_| self.session_present) else { return self.on_ready() };
        let echo = Bytes::from(format!("{:016x}", fastrand::u64(..)));
        if self.client.try_publish(topic, QoS::AtLeastOnce, false, echo.clone()).is_ok() {
            self.echo = Some(echo);
            self.enter(Phase::Calling);
        } else {
            self.on_ready();
        }
    }

    fn on_called(&mut self, puback: &PubAck) {
        if !is_accepted(puback.reason) {
            let topic = self.echo_topic.as_deref().unwrap_or_default();
            warn!(topic, reason = ?puback.reason, "{REFUSED_MESSAGE}");
            self.echo = None;
        }
        self.on_ready();
    }

    /// Whether what comes now may have been kept for us.
    fn is_catching_up(&self) -> bool {
        self.phase < Phase::Ready
            || self.echo.is_some()
                && self.ready_since.is_some_and(|it| self.shared.clock.monotonic().saturating_sub(it) < ECHO_LIMIT)
    }

    fn on_ready(&mut self) {
        info!(session_present = self.session_present, "connected to the MQTT broker");
        self.enter(Phase::Ready);
        self.ready_since = Some(self.shared.clock.monotonic());
        self.shared.with_outbox(|outbox| outbox.went_online());
        self.shared.is_connected.send_replace(true);
        self.shared.n_connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn on_publish(&mut self, publish: Publish) {
        let (qos, ack) = match publish.qos {
            QoS::AtMostOnce => (Qos::AtMostOnce, None),
            QoS::AtLeastOnce => (Qos::AtLeastOnce, Some(self.receipts.open(publish.pkid))),
            QoS::ExactlyOnce => {
                warn!("the MQTT broker sent a message at QoS 2, which we never ask for; it is ignored");
                return;
            }
        };
        let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
            warn!("a message whose topic is not UTF-8 is ignored");
            if let Some(token) = ack {
                self.receipts.acknowledge(token);
            }
            return;
        };
        debug!(topic, length = publish.payload.len(), "received");
        if self.echo_topic.as_ref() == Some(&topic) {
            self.echo.take_if(|it| *it == publish.payload);
            if let Some(token) = ack {
                self.receipts.acknowledge(token);
            }
            return;
        }
        let properties = publish.properties.unwrap_or_default();
        // Copies: a slice of a few bytes would keep the whole buffer that it was read into.
        let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        self.shared.tell_message(Inbound {
            topic,
            payload: own(&publish.payload),
            qos,
            retain: publish.retain,
            dup: publish.dup,
            was_kept: self.is_catching_up(),
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data.as_ref().map(own),
            ack,
        });
    }

    /// A refusal settles the message as well: the same broker would refuse it again.
    fn on_puback(&mut self, puback: &PubAck) {
        let topic = self.shared.with_outbox(|outbox| outbox.was_answered(puback.pkid));
        if is_accepted(puback.reason) {
            return;
        }
        let (topic, reason) = (topic.unwrap_or_default(), puback.reason);
        if mem::replace(&mut self.has_warned_of_refusal, true) {
            debug!(topic, ?reason, "the MQTT broker refused another message");
        } else {
            warn!(topic, ?reason, "{REFUSED_MESSAGE}");
        }
        self.shared.tell(LinkEvent::PublishRefused { topic, reason: format!("{reason:?}") });
    }

    fn send_waiting(&mut self) {
        for token in self.shared.take_acks() {
            self.receipts.acknowledge(token);
        }
        let client = self.client.clone();
        self.receipts.settle(|packet_id| {
            let received = Publish { qos: QoS::AtLeastOnce, pkid: packet_id, ..Publish::default() };
            client.try_ack(&received).is_ok()
        });
        if !matches!(self.phase, Phase::Ready | Phase::Leaving) {
            return;
        }
        if self.phase == Phase::Ready && !self.tend_subscriptions() {
            return;
        }
        let now = self.shared.clock.monotonic();
        let is_idle = self.shared.with_outbox(|outbox| {
            outbox.hand_over(now, self.window, |message| publish(&client, message, self.max_packet));
            outbox.is_idle()
        });
        if self.phase == Phase::Leaving && is_idle {
            self.disconnect();
        }
    }

    /// Asks for what is to be subscribed to otherwise than before. False where that has to wait.
    ///
    /// It takes packet ids, and rumqttc hangs where the ids in flight are not in a row: so nothing else is in flight then.
    fn tend_subscriptions(&mut self) -> bool {
        let wanted = self.shared.subscriptions();
        if !self.subscribed.has_news(&wanted) {
            return true;
        }
        if !self.shared.with_outbox(|outbox| outbox.is_nothing_in_flight()) {
            return false;
        }
        let client = &self.client;
        let is_taken = self.subscribed.subscribe(wanted, |filters| client.try_subscribe_many(filters).is_ok());
        self.subscribed.unsubscribe(|filter| client.try_unsubscribe(filter).is_ok());
        is_taken
    }

    /// Takes leave, unless rumqttc has no room for the request just now.
    fn disconnect(&mut self) -> bool {
        let is_taken = self.client.try_disconnect().is_ok();
        if is_taken {
            self.enter(Phase::Closing);
        }
        is_taken
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.deadline = Box::pin(sleep(phase.limit()));
    }
}

// === impl Phase ===

impl Phase {
    fn limit(self) -> Duration {
        match self {
            Self::Opening | Self::Ready => Duration::MAX,
            Self::Subscribing | Self::Calling => SUBSCRIBE_LIMIT,
            Self::Leaving => FAREWELL_LIMIT,
            Self::Closing => CLOSING_LIMIT,
        }
    }
}

fn is_accepted(reason: PubAckReason) -> bool {
    matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
}

/// Hands one message to rumqttc.
fn publish(client: &AsyncClient, message: &Outgoing, max_packet: Option<usize>) -> Result<(), NotSent> {
    let properties = PublishProperties {
        message_expiry_interval: message.message_expiry.map(|it| whole_seconds(it).max(1)),
        correlation_data: message.correlation_data.clone(),
        ..PublishProperties::default()
    };
    if let Some(limit) = max_packet {
        let size = packet_size(message, properties.clone());
        // rumqttc would end the connection over it, and again on the next one.
        if limit < size {
            return Err(NotSent::Impossible(format!("{size} bytes are more than the {limit} that the broker takes")));
        }
    }
    let (topic, qos, payload) = (message.topic.as_str(), message.qos.into(), message.payload.clone());
    client.try_publish_with_properties(topic, qos, message.retain, payload, properties).map_err(|_| NotSent::Busy)?;
    debug!(topic, length = message.payload.len(), retain = message.retain, "publishing");
    Ok(())
}

fn packet_size(message: &Outgoing, properties: PublishProperties) -> usize {
    let mut publish =
        Publish::new(&message.topic, message.qos.into(), Bytes::clone(&message.payload), Some(properties));
    // rumqttc counts the packet id only when there is one.
    publish.pkid = 1;
    publish.size()
}

fn subscription_refusal(code: SubscribeReasonCode) -> String {
    let mend = match code {
        SubscribeReasonCode::NotAuthorized | SubscribeReasonCode::Failure => {
            "the broker's access list (ACL) has to let our user read this filter"
        }
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => "the broker has to allow wildcard subscriptions",
        _ => "the broker's log should say why",
    };
    format!("{code:?}: {mend}")
}
