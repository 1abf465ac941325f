//! The service put together: store, vendors, keeper, link, bridge; and taken apart again in the right order.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    account::AccountId,
    alert::Alerts,
    clock::Clock,
    config::{AccountSettings, Settings, StoreKey},
    homeassistant::{Announcer, AnnouncerSettings, Devices, House, Ledger},
    keeper::{AT_A_TIME, Account, Grounds, Keeper, Reloaded, UnreadableRecord},
    mqtt::{
        Backoff, Link, LinkSettings, Qos, Subscription, TlsError, TlsSettings, Will,
        bridge::{Bridge, LEDGER, OFFLINE},
        commands::Commands,
        probe::Right,
        topics::Topics,
    },
    store::{CHECKPOINT_EVERY, KeySource, OpenReport, SledStore, Store, StoreError, StoreSettings},
    vendor::{self, Http},
    web::{self, AllowedHosts, PortTaken, Server, WebKey},
};

/// How long a broker keeps our session, so that a blip loses no command.
const SESSION_EXPIRY: Duration = Duration::from_secs(300);
/// A reconnect within this time is not announced as an outage.
const WILL_DELAY: Duration = Duration::from_secs(10);
/// Three looks were missed.
const SCHEDULE_HANGS_AFTER: Duration = Duration::from_secs(90);
const STORE_HANGS_AFTER: Duration = Duration::from_secs(10);
const OUTBOX_LIMIT: usize = 50_000;

/// A running Latchkey.
pub struct Service {
    pub keeper: Keeper,
    /// Where the admin API listens; none where it is switched off.
    pub web: Option<SocketAddr>,
    /// As it was started, without the accounts: what takes a restart to change.
    settings: Settings,
    /// How the store was found.
    report: OpenReport,
    vitals: Vitals,
    http: Http,
    stop: CancellationToken,
    bridge: JoinHandle<()>,
    /// Ends the web edge's connections and event streams, and alerts, before the keeper stops.
    web_stop: CancellationToken,
    web_task: Option<JoinHandle<()>>,
    alert_task: Option<JoinHandle<()>>,
}

/// Whether Latchkey gets on, whatever becomes of its accounts.
#[derive(Clone)]
pub struct Vitals {
    keeper: Keeper,
    store: Arc<dyn Store>,
    link: Link,
    clock: Clock,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}. {mend}", mend = .0.mend())]
    Store(#[from] StoreError),
    #[error("{0}. Run the version of Latchkey that wrote it, or a later one.")]
    Record(#[from] UnreadableRecord),
    #[error("{0}")]
    Port(#[from] PortTaken),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error(
        "the HTTP client could not be made: {0}. It needs the authorities that this machine trusts: install ca-certificates."
    )]
    Http(String),
}

impl Service {
    /// Opens the store, starts keeping the accounts, and connects to the broker in the background: a broker that is away
    /// stops nothing.
    pub fn start(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        Self::start_with(settings, clock, Backoff::default())
    }

    /// As [`Service::start`], with other pauses between two connections to the broker.
    pub fn start_with(mut settings: Settings, clock: Clock, backoff: Backoff) -> Result<Self, StartError> {
        let server = settings.web.listen.map(Server::bind).transpose()?;
        let alert_http = settings.alert.as_ref().map(|_| Http::new(settings.keeper.call_timeout, clock.clone()));
        let alert_http = alert_http.transpose().map_err(StartError::Http)?;
        let (store, report) = SledStore::open(store_settings(&settings), clock.clone())?;
        tell(&report);
        let fingerprints = store.fingerprint_key();
        let sled = Arc::new(store);
        let store: Arc<dyn Store> = sled.clone();
        let unproven = settings.accounts.keys().filter(|it| report.is_unproven(it)).cloned().collect();
        let refreshes_per_host = settings.keeper.refreshes_per_host;
        let grounds =
            Grounds { store: store.clone(), fingerprints, clock: clock.clone(), refreshes_per_host, unproven };
        let web_key =
            server.is_some().then(|| WebKey::obtain(settings.web.key.as_ref(), &settings.store.path)).transpose()?;
        let http = http(&settings, &clock)?;
        let keeper = Keeper::start(connect(std::mem::take(&mut settings.accounts), &http), grounds)?;
        let notices = keeper.subscribe();
        let topics = Topics::new(&settings.mqtt.base_topic);
        let devices = Devices { house: house(&settings), accounts: keeper.cards() };
        let n_accounts = devices.accounts.len();
        let link = LinkSettings { backoff, ..link_settings(&settings, devices.topics()) };
        let (link, events, _) = Link::start(link, clock.clone())?;
        let (stop, web_stop) = (CancellationToken::new(), CancellationToken::new());
        let web = server.as_ref().map(Server::address);
        let web_task = server.zip(web_key).map(|(server, key)| {
            let parts = web::Parts {
                keeper: keeper.clone(),
                store: sled,
                link: link.clone(),
                clock: clock.clone(),
                key,
                hosts: AllowedHosts::new(
                    server.address(),
                    settings.web.public_url.as_ref(),
                    &settings.web.allowed_hosts,
                ),
                public_url: settings.web.public_url.clone(),
                metrics_public: settings.web.metrics_public,
                ingress_from: settings.web.ingress_from,
                stop: web_stop.clone(),
            };
            tokio::spawn(server.run(web::router(parts), web_stop.clone(), stop.clone()))
        });
        let alert_task = alert_http.zip(settings.alert.clone()).map(|(http, alert)| {
            let link = settings.web.public_url.as_ref().map(|it| it.as_str().to_owned());
            let alerts = Alerts::new(keeper.clone(), store.clone(), clock.clone(), http, alert, link);
            tokio::spawn(alerts.run(web_stop.clone()))
        });
        let reply_prefix = settings.mqtt.reply_prefix.clone();
        let commands = Commands::new(link.clone(), keeper.clone(), topics.clone(), reply_prefix);
        let vitals = Vitals { keeper: keeper.clone(), store: store.clone(), link: link.clone(), clock: clock.clone() };
        let bridge = Bridge {
            instance: settings.instance.to_string(),
            started: clock.now(),
            subscriptions: subscriptions(&settings, &topics),
            announcer: settings.home_assistant.discovery.then(|| announcer(&settings, &*store, &devices, &keeper)),
            birth_topic: settings.home_assistant.birth_topic.as_str().to_owned(),
            keeper: keeper.clone(),
            notices,
            commands: Arc::new(commands),
            devices,
            link,
            events,
            store,
            topics,
            clock,
            remembered: HashSet::new(),
        };
        let bridge = tokio::spawn(bridge.run(stop.clone()));
        keeper.tell_of_opening(&report);
        info!(accounts = n_accounts, "Latchkey {} ({}) is running", env!("CARGO_PKG_VERSION"), env!("LATCHKEY_BUILD"));
        Ok(Self { keeper, web, settings, report, vitals, http, stop, bridge, web_stop, web_task, alert_task })
    }

    /// How it gets on, for those who watch over it.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Takes over the accounts of other settings while everything goes on. What else they change takes a restart: that is
    /// said, and stays as it was.
    pub async fn reload(&self, mut settings: Settings) {
        for key in self.settings.differences(&settings) {
            warn!("{key} is another one now, which takes a restart; until then it stays as it was");
        }
        settings.accounts.retain(|id, _| {
            let fits = self.settings.mqtt.has_room_for(id);
            if !fits {
                warn!(account = %id, "its topics are those of `mqtt.reply_prefix` as it was; it takes a restart");
            }
            fits
        });
        let accounts = connect(settings.accounts, &self.http).collect();
        let Reloaded { added, changed, removed } = self.keeper.reload(accounts, |id| self.report.is_unproven(id)).await;
        let tell = |accounts: &[AccountId], what| accounts.iter().for_each(|it| info!(account = %it, "{what}"));
        tell(&added, "it is kept from now on");
        tell(&changed, "it is kept as it is configured now");
        tell(&removed, "it is kept no more; its record stays in the store");
        let (added, changed, removed) = (added.len(), changed.len(), removed.len());
        info!(added, changed, removed, "the configuration was read again");
    }

    /// Lets a running refresh finish, answers what was asked, says goodbye to the broker and closes the store.
    pub async fn stop(self) {
        info!("stopping");
        self.web_stop.cancel();
        if let Some(alerts) = self.alert_task
            && alerts.await.is_err()
        {
            warn!("alerts ended by a fault of their own");
        }
        self.keeper.stop().await;
        self.stop.cancel();
        if self.bridge.await.is_err() {
            warn!("the bridge ended by a fault of its own");
        }
        if let Some(web) = self.web_task
            && web.await.is_err()
        {
            warn!("the admin API ended by a fault of its own");
        }
    }
}

impl Vitals {
    /// How many accounts there are, and those that need somebody. Of very many, a few are looked at in one go.
    pub async fn accounts(&self) -> (usize, Vec<AccountId>) {
        let cards = self.keeper.cards();
        let needs_somebody = |it: &AccountId| self.keeper.status(it).is_some_and(|it| it.problem);
        let mut needy = Vec::new();
        for some in cards.chunks(AT_A_TIME) {
            needy.extend(some.iter().map(|it| it.id.clone()).filter(needs_somebody));
            yield_now().await;
        }
        (cards.len(), needy)
    }

    pub fn is_broker_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// What has stopped moving: the schedule, or the store's writer. A disk that is full moves.
    pub async fn what_hangs(&self) -> Option<&'static str> {
        if SCHEDULE_HANGS_AFTER < self.clock.monotonic().saturating_sub(self.keeper.looked_at()) {
            return Some("the schedule");
        }
        let answer = tokio::time::timeout(STORE_HANGS_AFTER, self.store.check_room()).await;
        answer.is_err().then_some("the store")
    }
}

/// Connects every account to its vendor.
pub(crate) fn connect(accounts: BTreeMap<AccountId, AccountSettings>, http: &Http) -> impl Iterator<Item = Account> {
    accounts.into_values().map(|settings| Account { vendor: vendor::connect(&settings, http), settings })
}

pub(crate) fn http(settings: &Settings, clock: &Clock) -> Result<Http, StartError> {
    Http::new(settings.keeper.call_timeout, clock.clone()).map_err(StartError::Http)
}

fn tell(report: &OpenReport) {
    if report.created {
        info!("a new store was made");
    }
    for account in &report.rolled_back {
        warn!(%account, "the database had gone back to an older state; the journal mended it");
    }
    for account in &report.mended_from_sled {
        warn!(%account, "the journal lacked the newest record; the database mended it");
    }
    for account in &report.outdated {
        warn!(%account, "its newest record cannot be read; the tokens of an older one are tried once");
    }
    for account in &report.unreadable {
        error!(%account, "no copy of its record can be read: give its tokens again with update_tokens");
    }
    if report.journal_missing {
        warn!("the journal was missing and was made anew from the database");
    }
    if let Some(why) = &report.sled_unavailable {
        warn!("the database cannot be opened at the moment ({why}); the journal serves alone");
    }
    if report.fingerprint_key_lost {
        warn!("the key of the fingerprints was lost: tokens spent until now are not recognised");
    }
    if 0 < report.damaged_records {
        warn!(records = report.damaged_records, "damaged records were found in the journal and stepped over");
    }
    if report.torn_tail {
        info!("the last write before the stop was incomplete and was cut off");
    }
    if let Some(folder) = &report.sled_set_aside {
        warn!(folder = %folder.display(), "the database was damaged; it was set aside and rebuilt from the journal");
    }
}

pub(crate) fn store_settings(settings: &Settings) -> StoreSettings {
    let key = match &settings.store.key {
        StoreKey::Given(key) => KeySource::Given(key.clone()),
        StoreKey::File(path) => KeySource::File(path.clone()),
    };
    StoreSettings { path: settings.store.path.clone(), key, checkpoint_every: CHECKPOINT_EVERY }
}

/// `device_topics`: where the devices are announced.
pub(crate) fn link_settings(settings: &Settings, device_topics: impl Iterator<Item = String>) -> LinkSettings {
    let mqtt = &settings.mqtt;
    let topics = Topics::new(&mqtt.base_topic);
    let mut subscriptions = subscriptions(settings, &topics);
    if settings.home_assistant.discovery {
        subscriptions.extend(device_topics.map(Subscription::live));
    }
    LinkSettings {
        host: mqtt.host.clone(),
        port: mqtt.port,
        client_id: mqtt.client_id.clone(),
        credentials: mqtt
            .username
            .clone()
            .map(|name| (name, mqtt.password.clone().unwrap_or_else(|| crate::account::Secret::new("")))),
        tls: mqtt.tls.as_ref().map(|tls| TlsSettings {
            ca_file: tls.ca_file.clone(),
            client_cert_file: tls.client.as_ref().map(|it| it.cert_file.clone()),
            client_key_file: tls.client.as_ref().map(|it| it.key_file.clone()),
        }),
        keep_alive: mqtt.keep_alive,
        session_expiry: SESSION_EXPIRY,
        will: Some(Will { topic: topics.bridge_state(), payload: OFFLINE.into(), delay: WILL_DELAY }),
        subscriptions,
        echo_topic: Some(topics.echo()),
        outbox_limit: OUTBOX_LIMIT,
        backoff: Backoff::default(),
    }
}

/// All but those to the topics of devices. What acts on the house at QoS 0, so that the broker never queues it for later;
/// tokens at QoS 1.
fn subscriptions(settings: &Settings, topics: &Topics) -> Vec<Subscription> {
    let command = |(filter, acts_on_house): (String, bool)| {
        Subscription::new(filter, if acts_on_house { Qos::AtMostOnce } else { Qos::AtLeastOnce })
    };
    let mut subscriptions: Vec<Subscription> = topics.command_filters().into_iter().map(command).collect();
    // What we retained in an earlier life tells whether the store has become an older one meanwhile.
    subscriptions.push(Subscription { no_local: false, ..Subscription::new(topics.state_filter(), Qos::AtMostOnce) });
    if settings.home_assistant.discovery {
        subscriptions.push(Subscription::live(settings.home_assistant.birth_topic.as_str()));
    }
    subscriptions
}

/// What the broker has to let us do.
pub(crate) fn rights(settings: &Settings) -> Vec<Right> {
    // No id of an account has a hyphen.
    let nobody = format!("check-{:08x}", fastrand::u32(..));
    let mut rights = Topics::new(&settings.mqtt.base_topic).rights(&settings.mqtt.reply_prefix, &nobody);
    if settings.home_assistant.discovery {
        let prefix = settings.home_assistant.discovery_prefix.as_str();
        let (filter, sample) = (format!("{prefix}/device/+/config"), Some(format!("{prefix}/device/{nobody}/config")));
        rights.push(Right { filter, sample, reads: true, writes: true });
        let filter = settings.home_assistant.birth_topic.as_str().to_owned();
        rights.push(Right { filter, sample: None, reads: true, writes: false });
    }
    rights
}

fn announcer(settings: &Settings, store: &dyn Store, devices: &Devices, keeper: &Keeper) -> Announcer {
    let ledger: Ledger = store.note(LEDGER).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let announcer_settings = AnnouncerSettings {
        discovery_prefix: settings.home_assistant.discovery_prefix.as_str().to_owned(),
        birth_payload: settings.home_assistant.birth_payload.clone(),
        announce_delay: settings.home_assistant.announce_delay,
    };
    let announcements = devices.announcements(|account| keeper.inventory(account));
    Announcer::new(announcer_settings, ledger, announcements)
}

fn house(settings: &Settings) -> House {
    House {
        discovery_prefix: settings.home_assistant.discovery_prefix.as_str().to_owned(),
        base_topic: settings.mqtt.base_topic.as_str().to_owned(),
        instance: (!settings.instance.is_default()).then(|| settings.instance.to_string()),
        version: env!("CARGO_PKG_VERSION"),
        public_url: settings.web.public_url.as_ref().map(|it| it.as_str().to_owned()),
    }
}
