//! Connection after connection, with a pause between them, until the link is stopped.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    backoff::Waits, connection::Connection, failure::LinkFailure, link::Shared, message::LinkEvent, receipts::Receipts,
    settings::LinkSettings, subscribed::Subscribed,
};

/// After so many hangups in a row there is more to it than a restart of the broker.
const MANY_HANGUPS: u32 = 3;

/// What outlives a connection.
pub(super) struct Session {
    settings: LinkSettings,
    tls: Option<Arc<ClientConfig>>,
    shared: Arc<Shared>,
    receipts: Receipts,
    subscribed: Subscribed,
    waits: Waits,
    /// What the log has heard last, so that a broker that is down for a day does not fill it.
    last_failure: Option<LinkFailure>,
    /// How often in a row the broker hung up soon after everything stood.
    n_hangups: u32,
    /// After a packet beyond all limits: it would come again with each subscription if it is retained.
    without_retained: bool,
}

impl Session {
    pub(super) fn new(settings: LinkSettings, tls: Option<Arc<ClientConfig>>, shared: Arc<Shared>) -> Self {
        let waits = Waits::new(settings.backoff);
        Self {
            settings,
            tls,
            shared,
            receipts: Receipts::default(),
            subscribed: Subscribed::default(),
            waits,
            last_failure: None,
            n_hangups: 0,
            without_retained: false,
        }
    }

    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        while let Err(reason) = self.connect(&shared).await {
            self.without_retained |= matches!(reason, LinkFailure::TooLarge { .. });
            let retry_in = self.waits.next(reason.pace());
            self.log(&reason, retry_in);
            self.last_failure = Some(reason.clone());
            shared.tell(LinkEvent::Disconnected { reason, retry_in });
            tokio::select! {
                () = sleep(retry_in) => {}
                () = shared.stop.cancelled() => break,
            }
        }
        info!("the MQTT link has ended");
    }

    /// One connection, and the accounts settled after it. `Ok` when the link was asked to stop.
    async fn connect(&mut self, shared: &Shared) -> Result<(), LinkFailure> {
        // What we could not take would come again with the session: leave that behind. (A stray PUBREL of a session
        // that some other program left made 25 connections in 5 s.)
        let clean_start = matches!(self.last_failure, Some(LinkFailure::TooLarge { .. } | LinkFailure::Protocol(_)));
        let options = self.settings.to_mqtt_options(self.tls.clone(), clean_start);
        debug!(host = self.settings.host, port = self.settings.port, "connecting to the MQTT broker");

        self.subscribed.begin(shared.subscriptions(), self.without_retained);
        let echo_topic = self.settings.echo_topic.clone();
        let (mut connection, eventloop) =
            Connection::new(shared, &mut self.receipts, &mut self.subscribed, options, echo_topic);
        let outcome = connection.serve(eventloop).await;
        let ready_since = connection.ready_since();

        self.receipts.forget();
        shared.is_connected.send_replace(false);
        shared.with_outbox(|outbox| outbox.went_offline());
        if let Some(ready_since) = ready_since {
            self.last_failure = None;
            let was_good = self.settings.backoff.max <= shared.clock.monotonic().saturating_sub(ready_since);
            if was_good {
                self.waits.reset();
                self.n_hangups = 0;
            }
            if outcome == Err(LinkFailure::HungUp) {
                self.n_hangups += 1;
            }
        }
        match outcome {
            Err(LinkFailure::HungUp) if MANY_HANGUPS <= self.n_hangups => Err(LinkFailure::HungUpAgain),
            outcome => outcome,
        }
    }

    fn log(&self, reason: &LinkFailure, retry_in: Duration) {
        if self.last_failure.as_ref() == Some(reason) {
            debug!(?retry_in, "still: {reason}");
        } else {
            warn!(host = self.settings.host, port = self.settings.port, ?retry_in, "{reason}");
        }
    }
}
