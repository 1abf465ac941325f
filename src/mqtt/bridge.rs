//! Between the broker and the keeper: commands in, replies, states, events and discovery out.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    task::yield_now,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    account::{AccountId, shown_time},
    clock::{Clock, LOOK_AGAIN},
    homeassistant::{Announcer, Devices, advice},
    keeper::{Card, Event, Keeper, Notice},
    store::Store,
    vendor::VendorKind,
};

use super::{
    Events, Inbound, Link, LinkEvent, Outgoing, Subscription,
    commands::{Commands, FIELD_READY},
    presence::Presence,
    topics::{Address, Topics},
};

/// The name under which the store keeps what was announced.
pub const LEDGER: &str = "discovery";

const ONLINE: &str = "online";
pub const OFFLINE: &str = "offline";
/// How long replies that are being written may take when Latchkey stops.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// So many notices are taken before anything else has its turn.
const AT_A_TIME: usize = 1024;
/// So many accounts are looked at in one go, and the next when the broker has what there was to say of these: of very many
/// accounts not all states are to be in memory at once, and no reply is to stand in line behind them.
const STATES_AT_A_TIME: usize = 100;
/// No account comes to a generation beyond this; whoever publishes one means harm.
const HIGHEST_GENERATION: u64 = 1 << 48;

/// The bridge's task.
pub struct Bridge {
    pub link: Link,
    pub events: Events,
    pub keeper: Keeper,
    /// Since the keeper was started, so that no event of its first refreshes is missed.
    pub notices: Receiver<Notice>,
    pub store: Arc<dyn Store>,
    pub topics: Topics,
    pub commands: Arc<Commands>,
    pub devices: Devices,
    /// None where discovery is switched off.
    pub announcer: Option<Announcer>,
    pub birth_topic: String,
    /// All but those to the topics of devices, which come and go.
    pub subscriptions: Vec<Subscription>,
    pub instance: String,
    pub started: Timestamp,
    pub clock: Clock,
    /// The accounts of which it is known what the broker retained of an earlier run. Empty at first.
    pub remembered: HashSet<AccountId>,
}

/// What `bridge/info` says.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    pub version: &'static str,
    /// The commit and the features.
    pub build: &'static str,
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

/// What the topic of the advice says: null where nobody is needed.
#[derive(Serialize)]
struct Advice {
    advice: Option<String>,
}

impl Info {
    pub fn new(instance: String, accounts: &[Arc<Card>], started: Timestamp) -> Self {
        let (version, build) = (env!("CARGO_PKG_VERSION"), env!("LATCHKEY_BUILD"));
        let accounts = accounts.iter().map(|it| AccountInfo { id: it.id.clone(), vendor: it.vendor }).collect();
        Self { version, build, instance, accounts, started: shown_time(started) }
    }
}

impl Bridge {
    /// Runs until `stop`, then says goodbye: what is being answered is answered, `offline` is retained.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut presence = Presence::default();
        let tasks = TaskTracker::new();
        let mut look_at = self.clock.monotonic() + LOOK_AGAIN;
        loop {
            let now = self.clock.monotonic();
            if look_at <= now {
                look_at = now + LOOK_AGAIN;
                // Until everything was announced all states are still to come.
                if presence.is_announced {
                    self.publish_states(&mut presence);
                }
            }
            self.announce(&mut presence).await;
            let next = self.announcer.as_ref().and_then(Announcer::next_due).map_or(look_at, |it| it.min(look_at));
            let deadline = self.clock.now().checked_add(next.saturating_sub(now)).unwrap_or(Timestamp::MAX);
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => self.handle(event, &mut presence, &tasks),
                    None => break,
                },
                notice = self.notices.recv() => {
                    // What is ready goes first, the reply among it that somebody waits for.
                    yield_now().await;
                    self.take_notices(notice, &mut presence);
                }
                () = self.link.idle(), if 0 < presence.n_unseen => self.publish_some_states(&mut presence),
                () = self.clock.wait(deadline) => {}
                () = stop.cancelled() => break,
            }
        }
        tasks.close();
        if tokio::time::timeout(LAST_WORDS, tasks.wait()).await.is_err() {
            warn!("some commands were not answered in time");
        }
        self.drain(&mut presence);
        let offline = Outgoing::retained(self.topics.bridge_state(), OFFLINE);
        self.link.stop(vec![offline]).await;
        info!("disconnected from the broker");
    }

    fn handle(&mut self, event: LinkEvent, presence: &mut Presence, tasks: &TaskTracker) {
        // The link itself logs what befalls the connection.
        match event {
            LinkEvent::Connected { .. } => {
                *presence = Presence::default();
                match &mut self.announcer {
                    Some(announcer) => announcer.connected(self.clock.monotonic()),
                    None => self.publish_everything(presence),
                }
            }
            LinkEvent::Disconnected { .. } => {
                *presence = Presence::default();
                if let Some(announcer) = &mut self.announcer {
                    announcer.disconnected();
                }
            }
            LinkEvent::SubscriptionRefused { .. } | LinkEvent::PublishRefused { .. } => {}
            LinkEvent::Message(message) => self.take(message, presence, tasks),
        }
    }

    fn take(&mut self, message: Inbound, presence: &mut Presence, tasks: &TaskTracker) {
        match self.topics.parse(&message.topic) {
            Some(Address::State(account)) => {
                if let Some(card) = self.shown(&account) {
                    self.saw_state(card.id.clone(), &message, presence);
                } else if message.retain && !message.payload.is_empty() {
                    info!(%account, "cleared the retained state of an account that is not configured");
                    self.clear(&account);
                }
                self.acknowledge(&message);
            }
            Some(Address::BridgeState) => {
                self.acknowledge(&message);
                // An earlier connection's will, or somebody's mistake: we are here.
                if message.payload != ONLINE && presence.is_announced {
                    self.link.publish(Outgoing::retained(self.topics.bridge_state(), ONLINE));
                }
            }
            Some(address) => {
                self.commands.take(address, message, tasks);
            }
            None => {
                if let Some(announcer) = &mut self.announcer {
                    if message.topic == self.birth_topic {
                        announcer.home_assistant_said(&message.payload, fastrand::f64(), self.clock.monotonic());
                    } else if let Some(device) = announcer.heard_discovery(&message.topic, &message.payload) {
                        info!(
                            "the device {device:?} was deleted in Home Assistant: it stays away until it gets another name"
                        );
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

    /// What the broker retained of an earlier run is the first that is heard of an account: a generation beyond ours means
    /// that our store is an older copy. Whatever comes later is our own word, or a lie, which is set right.
    fn saw_state(&mut self, account: AccountId, message: &Inbound, presence: &mut Presence) {
        presence.heard(&account, &message.payload);
        if !self.remembered.contains(&account) {
            let state: Option<serde_json::Value> = serde_json::from_slice(&message.payload).ok();
            let generation = state.as_ref().and_then(|it| it.get("generation")).and_then(serde_json::Value::as_u64);
            if let Some(generation) = generation.filter(|it| message.retain && *it <= HIGHEST_GENERATION) {
                self.keeper.saw_generation(&account, generation);
            }
            self.remembered.insert(account);
        }
    }

    /// Takes away what an account left at the broker that is no longer configured.
    fn clear(&self, account: &AccountId) {
        for topic in [self.topics.state(account), self.topics.advice(account), self.topics.login_field(account)] {
            self.link.publish(Outgoing::retained(topic, ""));
        }
    }

    fn shown(&self, account: &AccountId) -> Option<&Arc<Card>> {
        let place = self.devices.accounts.binary_search_by(|it| it.id.cmp(account)).ok()?;
        self.devices.accounts.get(place)
    }

    /// Shows the accounts that are kept now, as they are configured now, and takes away what others left.
    fn show_accounts(&mut self, presence: &mut Presence) {
        let before = std::mem::replace(&mut self.devices.accounts, self.keeper.cards());
        if before == self.devices.accounts {
            return;
        }
        for card in before {
            match self.shown(&card.id) {
                None => {
                    self.clear(&card.id);
                    presence.forget(&card.id);
                }
                Some(now) if card.logs_in_by_code && !now.logs_in_by_code => {
                    self.link.publish(Outgoing::retained(self.topics.login_field(&card.id), ""));
                }
                Some(_) => {}
            }
        }
        self.want_devices(self.clock.monotonic());
        self.link.subscribe(self.subscriptions());
        if presence.is_announced {
            self.publish_everything(presence);
        }
    }

    /// What was asked for at the start, and the topic of each device: whoever deletes one in Home Assistant clears it.
    fn subscriptions(&self) -> Vec<Subscription> {
        let mut subscriptions = self.subscriptions.clone();
        if self.announcer.is_some() {
            subscriptions.extend(self.devices.topics().map(Subscription::live));
        }
        subscriptions
    }

    /// Takes this notice and those that wait behind it: of an account that changed several times only what it is now is
    /// worth saying.
    fn take_notices(&mut self, first: Result<Notice, RecvError>, presence: &mut Presence) {
        let mut changed = BTreeSet::new();
        let mut has_other_devices = false;
        let mut n_taken = 0;
        let mut next = Some(first);
        while let Some(notice) = next {
            match notice {
                Ok(Notice::Changed(account)) => drop(changed.insert(account)),
                // The calls that it took are counted in its state.
                Ok(Notice::Inventory(account)) => {
                    has_other_devices = true;
                    changed.insert(account);
                }
                // What was under way for an account that is gone ends in silence.
                Ok(Notice::Happened(account, _)) if self.shown(&account).is_none() => {}
                Ok(Notice::Happened(account, event)) => {
                    changed.remove(&account);
                    self.publish_event(&account, &event, presence);
                }
                Ok(Notice::Accounts) => self.show_accounts(presence),
                Err(RecvError::Lagged(_)) => {
                    self.show_accounts(presence);
                    has_other_devices = true;
                    self.publish_states(presence);
                }
                Err(RecvError::Closed) => {}
            }
            n_taken += 1;
            if n_taken == AT_A_TIME {
                break;
            }
            next = match self.notices.try_recv() {
                Ok(notice) => Some(Ok(notice)),
                Err(TryRecvError::Lagged(n_missed)) => Some(Err(RecvError::Lagged(n_missed))),
                Err(TryRecvError::Empty | TryRecvError::Closed) => None,
            };
        }
        for account in changed {
            self.publish_state(&account, presence);
        }
        if has_other_devices && let Some(announcer) = &mut self.announcer {
            announcer.something_changed(self.clock.monotonic());
        }
    }

    fn publish_event(&self, account: &AccountId, event: &Event, presence: &mut Presence) {
        self.publish_state(account, presence);
        let payload = serde_json::to_vec(event).expect("an event of plain fields is JSON");
        self.link.publish(Outgoing::passing(self.topics.event(account), payload));
    }

    fn drain(&mut self, presence: &mut Presence) {
        while let Ok(notice) = self.notices.try_recv() {
            self.take_notices(Ok(notice), presence);
        }
        self.publish_states(presence);
        while 0 < presence.n_unseen {
            self.publish_some_states(presence);
        }
    }

    /// The doors or scenes of an account may be others now.
    fn want_devices(&mut self, now: Duration) {
        let Some(announcer) = &mut self.announcer else { return };
        let wanted = self.devices.announcements(|account| self.keeper.inventory(account));
        announcer.want(wanted, now);
    }

    /// What the announcer wants said now. The ledger is on disk before anything is announced that it is to take back.
    async fn announce(&mut self, presence: &mut Presence) {
        let now = self.clock.monotonic();
        if self.announcer.as_ref().is_some_and(|it| it.is_to_be_told(now)) {
            self.want_devices(now);
        }
        let Some(announcer) = &mut self.announcer else { return };
        let batch = announcer.due(now);
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
            presence.say_all_again();
            self.publish_everything(presence);
        }
    }

    fn publish_everything(&self, presence: &mut Presence) {
        let info = Info::new(self.instance.clone(), &self.devices.accounts, self.started);
        let info = serde_json::to_vec(&info).expect("plain fields are JSON");
        self.link.publish(Outgoing::retained(self.topics.bridge_info(), info));
        self.link.publish(Outgoing::retained(self.topics.bridge_state(), ONLINE));
        for card in self.devices.accounts.iter().filter(|it| it.logs_in_by_code) {
            self.link.publish(Outgoing::retained(self.topics.login_field(&card.id), FIELD_READY));
        }
        presence.is_announced = true;
        self.publish_states(presence);
    }

    /// Looks at all accounts, by and by where they are very many.
    fn publish_states(&self, presence: &mut Presence) {
        presence.n_unseen = self.devices.accounts.len();
        self.publish_some_states(presence);
    }

    fn publish_some_states(&self, presence: &mut Presence) {
        // Some may have been taken out of the configuration since.
        let n_accounts = self.devices.accounts.len();
        presence.n_unseen = presence.n_unseen.min(n_accounts);
        for _ in 0..STATES_AT_A_TIME.min(presence.n_unseen) {
            presence.seen_last = (presence.seen_last + 1) % n_accounts;
            presence.n_unseen -= 1;
            self.publish_card(&self.devices.accounts[presence.seen_last], presence);
        }
    }

    fn publish_state(&self, account: &AccountId, presence: &mut Presence) {
        if let Some(card) = self.shown(account) {
            self.publish_card(card, presence);
        }
    }

    /// The advice comes first: whoever hears that attention is needed can say why.
    fn publish_card(&self, card: &Card, presence: &mut Presence) {
        let Some(status) = self.keeper.status(&card.id) else { return };
        let advice = Advice { advice: advice(&status, card.logs_in_by_code) };
        let advice = serde_json::to_vec(&advice).expect("plain fields are JSON");
        let state = serde_json::to_vec(&status).expect("plain fields are JSON");
        if presence.is_news_of_advice(&card.id, &advice) {
            self.link.publish(Outgoing::retained(self.topics.advice(&card.id), advice));
        }
        if presence.is_news(&card.id, &state) {
            self.link.publish(Outgoing::retained(self.topics.state(&card.id), state));
        }
    }
}
