//! The handle that the rest of Latchkey holds: publish, acknowledge, wait, stop.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    message::{AckToken, Inbound, LinkEvent, Outgoing, Qos},
    outbox::Outbox,
    session::Session,
    settings::{LinkSettings, Subscription},
    tls::TlsError,
};
use crate::clock::Clock;

/// How many messages may wait for the reader of [`Events`] before those at QoS 0 are dropped. At QoS 1 the broker stops
/// by itself, since it waits for our acknowledgements.
const MAX_UNREAD: usize = 1024;
/// The same in bytes.
const MAX_UNREAD_WEIGHT: usize = 16 << 20;

/// A connection to the broker that is kept up for as long as Latchkey runs. Clones are the same link.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

/// What the link tells, in order. It has to be read: when a thousand messages wait, those at QoS 0 are dropped.
pub struct Events {
    receiver: mpsc::UnboundedReceiver<LinkEvent>,
    unread: Arc<Unread>,
    ended: CancellationToken,
}

/// Messages that wait to be read, and what they weigh in bytes.
#[derive(Default)]
struct Unread {
    count: AtomicUsize,
    weight: AtomicUsize,
}

/// Figures of a link since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    pub is_connected: bool,
    /// How often everything stood: all but the first are reconnects.
    pub connections: u64,
    /// Messages that wait to be published, or for their acknowledgement.
    pub outbox: usize,
    /// Messages that came and wait to be read.
    pub unread: usize,
    /// Messages that were dropped because the outbox was full or their topic impossible.
    pub dropped: u64,
}

/// What the handle and the task that runs the connection have in common.
///
/// The locks are never held across an await, so they are those of the standard library.
pub(super) struct Shared {
    pub(super) clock: Clock,
    outbox: Mutex<Outbox>,
    subscriptions: Mutex<Arc<[Subscription]>>,
    /// The subscription to the echo, beside all others.
    echo: Option<Subscription>,
    acks: Mutex<Vec<AckToken>>,
    /// Tells the task that there is something to send.
    pub(super) work: Notify,
    pub(super) is_connected: watch::Sender<bool>,
    pub(super) n_connections: AtomicU64,
    is_idle: watch::Sender<bool>,
    pub(super) stop: CancellationToken,
    ended: CancellationToken,
    events: mpsc::UnboundedSender<LinkEvent>,
    unread: Arc<Unread>,
}

impl Link {
    /// Starts the connection's task and returns at once, whether there is a broker or not. The task ends by
    /// [`Link::stop`] only, and if it is aborted the broker publishes the will.
    ///
    /// Fails where the TLS files cannot be used. Has to be called within a Tokio runtime.
    pub fn start(mut settings: LinkSettings, clock: Clock) -> Result<(Self, Events, JoinHandle<()>), TlsError> {
        let tls = settings.tls.as_ref().map(super::TlsSettings::to_client_config).transpose()?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let unread = Arc::new(Unread::default());
        let shared = Arc::new(Shared {
            clock,
            outbox: Mutex::new(Outbox::new(settings.outbox_limit)),
            subscriptions: Mutex::default(),
            echo: settings.echo_topic.clone().map(Subscription::echo),
            acks: Mutex::default(),
            work: Notify::new(),
            is_connected: watch::channel(false).0,
            n_connections: AtomicU64::new(0),
            is_idle: watch::channel(true).0,
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            events: sender,
            unread: unread.clone(),
        });
        shared.subscribe(std::mem::take(&mut settings.subscriptions));
        let session = Session::new(settings, tls, shared.clone());
        let ended = shared.ended.clone();
        let ends = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _ends = ends;
            session.run().await;
        });
        Ok((Self(shared), Events { receiver, unread, ended }, task))
    }

    /// Puts a message into the outbox, from where it goes in order as soon as there is a connection. Never blocks.
    ///
    /// What was accepted survives reconnects and may then be delivered twice. Not so a message at QoS 0 that is not
    /// retained: it is dropped when there is no connection.
    pub fn publish(&self, message: Outgoing) {
        let now = self.0.clock.monotonic();
        self.0.with_outbox(|outbox| outbox.push(message, now));
        self.0.work.notify_one();
    }

    /// Has these subscriptions from now on, and at every later connection, in place of those before.
    pub fn subscribe(&self, subscriptions: Vec<Subscription>) {
        self.0.subscribe(subscriptions);
        self.0.work.notify_one();
    }

    /// Tells the broker that it may forget the message. Acknowledgements go out in the order in which the messages
    /// came (MQTT 5 §4.6), so one that is held back holds back those after it.
    pub fn ack(&self, token: AckToken) {
        self.0.acks.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        self.0.work.notify_one();
    }

    /// Whether the broker has answered our subscriptions and the connection stands.
    pub fn is_connected(&self) -> bool {
        *self.0.is_connected.borrow() && !self.0.ended.is_cancelled()
    }

    /// How many messages were dropped because the outbox was full or their topic impossible.
    pub fn n_dropped(&self) -> u64 {
        self.0.with_outbox(|outbox| outbox.n_dropped())
    }

    pub fn stats(&self) -> LinkStats {
        let (outbox, dropped) = self.0.with_outbox(|outbox| (outbox.len(), outbox.n_dropped()));
        LinkStats {
            is_connected: self.is_connected(),
            connections: self.0.n_connections.load(Ordering::Relaxed),
            outbox,
            unread: self.0.unread.count.load(Ordering::Relaxed),
            dropped,
        }
    }

    /// Waits until everything that was published has been acknowledged, or the link has ended.
    pub async fn idle(&self) {
        let mut is_idle = self.0.is_idle.subscribe();
        tokio::select! {
            _ = is_idle.wait_for(|it| *it) => {}
            () = self.0.ended.cancelled() => {}
        }
    }

    /// Publishes the farewell after what still waits, takes leave of the broker so that it does not publish the will,
    /// and ends the task. Without a connection, or when the broker does not answer within a few seconds, just ends.
    pub async fn stop(self, farewell: Vec<Outgoing>) {
        for message in farewell {
            self.publish(message);
        }
        self.0.stop.cancel();
        self.0.ended.cancelled().await;
    }
}

impl Events {
    /// The next event, or none when the link has ended and all were read.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        let event = tokio::select! {
            biased;
            event = self.receiver.recv() => event,
            () = self.ended.cancelled() => None,
        };
        if let Some(LinkEvent::Message(message)) = &event {
            self.unread.count.fetch_sub(1, Ordering::Relaxed);
            self.unread.weight.fetch_sub(message.weight(), Ordering::Relaxed);
        }
        event
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn with_outbox<T>(&self, work: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut outbox);
        // Under the lock, so that two changes cannot be told in the wrong order.
        let is_idle = outbox.is_idle();
        self.is_idle.send_if_modified(|it| std::mem::replace(it, is_idle) != is_idle);
        result
    }

    fn subscribe(&self, subscriptions: Vec<Subscription>) {
        let all = subscriptions.into_iter().chain(self.echo.clone());
        *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner) = all.collect();
    }

    /// What is to be subscribed to now.
    pub(super) fn subscriptions(&self) -> Arc<[Subscription]> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn take_acks(&self) -> Vec<AckToken> {
        std::mem::take(&mut *self.acks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands an event to the reader. A reader that went away is none of the connection's business.
    pub(super) fn tell(&self, event: LinkEvent) {
        let _ = self.events.send(event);
    }

    pub(super) fn tell_message(&self, message: Inbound) {
        let n_unread = self.unread.count.load(Ordering::Relaxed);
        let is_full = MAX_UNREAD <= n_unread || MAX_UNREAD_WEIGHT <= self.unread.weight.load(Ordering::Relaxed);
        if message.qos == Qos::AtMostOnce && is_full {
            debug!(topic = message.topic, "a message was dropped: too many wait to be read");
            return;
        }
        if n_unread + 1 == MAX_UNREAD {
            warn!(n_unread = MAX_UNREAD, "messages come in faster than they are handled; some may be dropped");
        }
        self.unread.count.fetch_add(1, Ordering::Relaxed);
        self.unread.weight.fetch_add(message.weight(), Ordering::Relaxed);
        self.tell(LinkEvent::Message(message));
    }
}
