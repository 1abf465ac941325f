//! Between the broker and the keeper: commands in, replies, states, events and discovery out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    account::AccountId,
    clock::{Clock, LOOK_AGAIN},
    homeassistant::Announcer,
    keeper::{Keeper, Notice},
    store::Store,
    vendor::VendorKind,
};

use super::{
    Events, Inbound, Link, LinkEvent, Outgoing,
    commands::Commands,
    topics::{Address, Topics},
};

/// The name under which the store keeps what was announced.
pub const LEDGER: &str = "discovery";

const ONLINE: &str = "online";
pub const OFFLINE: &str = "offline";
/// How long replies that are being written may take when Latchkey stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The bridge's task.
pub struct Bridge {
    pub link: Link,
    pub events: Events,
    pub keeper: Keeper,
    pub store: Arc<dyn Store>,
    pub topics: Topics,
    pub commands: Arc<Commands>,
    /// None where discovery is switched off.
    pub announcer: Option<Announcer>,
    pub birth_topic: String,
    pub info: Info,
    pub clock: Clock,
}

/// What `bridge/info` says.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    pub version: &'static str,
    pub instance: String,
    pub accounts: Vec<AccountInfo>,
    /// RFC 3339 in UTC.
    pub started: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct AccountInfo {
    pub id: AccountId,
    pub vendor: VendorKind,
}

impl Info {
    pub fn new(instance: String, keeper: &Keeper, started: Timestamp) -> Self {
        let accounts = keeper.accounts().map(|(id, vendor)| AccountInfo { id: id.clone(), vendor }).collect();
        let started = started.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
        Self { version: env!("CARGO_PKG_VERSION"), instance, accounts, started }
    }
}

impl Bridge {
    /// Runs until `stop`, then says goodbye: what is being answered is answered, `offline` is retained.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut notices = self.keeper.subscribe();
        let mut published = Published::default();
        let tasks = TaskTracker::new();
        let mut look_at = self.clock.monotonic() + LOOK_AGAIN;
        loop {
            let now = self.clock.monotonic();
            if look_at <= now {
                look_at = now + LOOK_AGAIN;
                self.publish_states(&mut published);
            }
            self.announce(&mut published).await;
            let next = self.announcer.as_ref().and_then(Announcer::next_due).map_or(look_at, |it| it.min(look_at));
            let deadline = self.clock.now().checked_add(next.saturating_sub(now)).unwrap_or(Timestamp::MAX);
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => self.handle(event, &mut published, &tasks),
                    None => break,
                },
                notice = notices.recv() => self.notice(notice, &mut published),
                () = self.clock.wait(deadline) => {}
                () = stop.cancelled() => break,
            }
        }
        tasks.close();
        if tokio::time::timeout(LAST_WORDS, tasks.wait()).await.is_err() {
            warn!("some commands were not answered in time");
        }
        self.drain(&mut notices, &mut published);
        let offline = Outgoing::retained(self.topics.bridge_state(), OFFLINE);
        self.link.stop(vec![offline]).await;
        info!("disconnected from the broker");
    }

    fn handle(&mut self, event: LinkEvent, published: &mut Published, tasks: &TaskTracker) {
        match event {
            LinkEvent::Connected { .. } => {
                info!("connected to the broker");
                published.forget();
                match &mut self.announcer {
                    Some(announcer) => announcer.connected(self.clock.monotonic()),
                    None => self.publish_everything(published),
                }
            }
            LinkEvent::Disconnected { reason, retry_in } => {
                let retry_in = humantime::format_duration(Duration::from_millis(
                    u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
                ));
                warn!("no connection to the broker: {reason}; trying again in {retry_in}");
                if let Some(announcer) = &mut self.announcer {
                    announcer.disconnected();
                }
            }
            LinkEvent::SubscriptionRefused { filter, reason } => {
                error!("the broker refused the subscription to {filter}: {reason}");
            }
            LinkEvent::Message(message) => self.take(message, tasks),
        }
    }

    fn take(&mut self, message: Inbound, tasks: &TaskTracker) {
        match self.topics.parse(&message.topic) {
            Some(Address::State(account)) => {
                self.saw_state(&account, &message);
                self.acknowledge(&message);
            }
            Some(Address::BridgeState) => {
                self.acknowledge(&message);
                // An earlier connection's will, or somebody's mistake: we are here.
                if message.payload != ONLINE && self.link.is_connected() && !message.retain {
                    self.link.publish(Outgoing::retained(self.topics.bridge_state(), ONLINE));
                }
            }
            Some(address) => {
                let commands = self.commands.clone();
                tasks.spawn(async move { commands.take(address, message).await });
            }
            None => {
                if let Some(announcer) = &mut self.announcer {
                    if message.topic == self.birth_topic {
                        announcer.home_assistant_said(&message.payload, fastrand::f64(), self.clock.monotonic());
                    } else {
                        announcer.heard_discovery(&message.topic, &message.payload);
                    }
                }
                self.acknowledge(&message);
            }
        }
    }

    fn acknowledge(&self, message: &Inbound) {
        if let Some(token) = message.ack {
            self.link.ack(token);
        }
    }

    /// What the broker retained of an earlier run: a generation beyond ours means that our store is an older copy.
    fn saw_state(&self, account: &AccountId, message: &Inbound) {
        let state: Option<serde_json::Value> = serde_json::from_slice(&message.payload).ok();
        if let Some(generation) = state.as_ref().and_then(|it| it.get("generation")).and_then(|it| it.as_u64()) {
            self.keeper.saw_generation(account, generation);
        }
    }

    fn notice(&mut self, notice: Result<Notice, RecvError>, published: &mut Published) {
        match notice {
            Ok(Notice::Changed(account)) => self.publish_state(&account, published),
            Ok(Notice::Happened(account, event)) => {
                self.publish_state(&account, published);
                let payload = serde_json::to_vec(&event).expect("an event of plain fields is JSON");
                self.link.publish(Outgoing::passing(self.topics.event(&account), payload));
            }
            Err(RecvError::Lagged(_)) => self.publish_states(published),
            Err(RecvError::Closed) => {}
        }
    }

    fn drain(&mut self, notices: &mut Receiver<Notice>, published: &mut Published) {
        while let Ok(notice) = notices.try_recv() {
            self.notice(Ok(notice), published);
        }
        self.publish_states(published);
    }

    /// What the announcer wants said now. The ledger is on disk before anything is announced that it is to take back.
    async fn announce(&mut self, published: &mut Published) {
        let Some(announcer) = &mut self.announcer else { return };
        let batch = announcer.due(self.clock.monotonic());
        if let Some(ledger) = &batch.ledger {
            let bytes = serde_json::to_vec(ledger).expect("a ledger of plain fields is JSON");
            if let Err(trouble) = self.store.put_note(LEDGER, bytes).await {
                warn!("what was announced to Home Assistant could not be noted: {trouble}. {}", trouble.mend());
            }
        }
        for message in batch.messages {
            self.link.publish(Outgoing::retained(message.topic, message.payload));
        }
        if batch.is_announced {
            published.forget();
            self.publish_everything(published);
        }
    }

    fn publish_everything(&self, published: &mut Published) {
        let info = serde_json::to_vec(&self.info).expect("plain fields are JSON");
        self.link.publish(Outgoing::retained(self.topics.bridge_info(), info));
        self.link.publish(Outgoing::retained(self.topics.bridge_state(), ONLINE));
        self.publish_states(published);
    }

    fn publish_states(&self, published: &mut Published) {
        for account in self.info.accounts.iter().map(|it| &it.id) {
            self.publish_state(account, published);
        }
    }

    fn publish_state(&self, account: &AccountId, published: &mut Published) {
        let Some(status) = self.keeper.status(account) else { return };
        let payload = serde_json::to_vec(&status).expect("a status of plain fields is JSON");
        if published.is_news(account, &payload) {
            self.link.publish(Outgoing::retained(self.topics.state(account), payload));
        }
    }
}

/// What was published last, as checksums, so that nothing is said twice.
#[derive(Default)]
struct Published(HashMap<AccountId, u32>);

impl Published {
    fn is_news(&mut self, account: &AccountId, payload: &[u8]) -> bool {
        let checksum = crc32fast::hash(payload);
        self.0.insert(account.clone(), checksum) != Some(checksum)
    }

    fn forget(&mut self) {
        self.0.clear();
    }
}
