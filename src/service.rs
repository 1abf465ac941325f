//! The service put together: store, vendors, keeper, link, bridge; and taken apart again in the right order.

use std::{net::SocketAddr, sync::Arc};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    account::AccountId,
    alert::Alerts,
    clock::Clock,
    config::{AccountSettings, Settings, StoreKey, VendorSettings},
    homeassistant::{AccountCard, Announcement, Announcer, AnnouncerSettings, Devices, House, Ledger},
    keeper::{Account, Grounds, Keeper, UnreadableRecord},
    mqtt::{
        Backoff, Link, LinkSettings, Qos, Subscription, TlsError, TlsSettings, Will,
        bridge::{Bridge, Info, LEDGER, OFFLINE},
        commands::{CommandRules, Commands},
        probe::Right,
        topics::Topics,
    },
    store::{CHECKPOINT_EVERY, KeySource, OpenReport, SledStore, Store, StoreError, StoreSettings},
    vendor::{self, Http},
    web::{self, AllowedHosts, Card, LoginBy, PortTaken, Server, WebKey},
};

/// How long a broker keeps our session, so that a blip loses no command.
const SESSION_EXPIRY: std::time::Duration = std::time::Duration::from_secs(300);
/// A reconnect within this time is not announced as an outage.
const WILL_DELAY: std::time::Duration = std::time::Duration::from_secs(10);
const OUTBOX_LIMIT: usize = 50_000;

/// A running Latchkey.
pub struct Service {
    pub keeper: Keeper,
    /// Where the admin API listens; none where it is switched off.
    pub web: Option<SocketAddr>,
    stop: CancellationToken,
    bridge: JoinHandle<()>,
    /// Ends the web edge's connections and event streams, and alerts, before the keeper stops.
    web_stop: CancellationToken,
    web_task: Option<JoinHandle<()>>,
    alert_task: Option<JoinHandle<()>>,
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
    #[error("the HTTP client could not be made: {0}")]
    Http(String),
}

impl Service {
    /// Opens the store, starts keeping the accounts, and connects to the broker in the background: a broker that is away
    /// stops nothing.
    pub fn start(settings: Settings, clock: Clock) -> Result<Self, StartError> {
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
        let keeper = keep(&settings, grounds, Keeper::start)?;
        let notices = keeper.subscribe();
        let topics = Topics::new(&settings.mqtt.base_topic);
        let devices = devices(&settings);
        let announcements = devices.announcements(|account| keeper.inventory(account));
        let (link, events, _) = Link::start(link_settings(&settings, &announcements), clock.clone())?;
        let (stop, web_stop) = (CancellationToken::new(), CancellationToken::new());
        let web = server.as_ref().map(Server::address);
        let web_task = server.zip(web_key).map(|(server, key)| {
            let parts = web::Parts {
                keeper: keeper.clone(),
                accounts: settings.accounts.values().map(web_card).collect(),
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
            let cards = devices.accounts.clone();
            let alerts = Alerts::new(keeper.clone(), store.clone(), clock.clone(), http, alert, cards, link);
            tokio::spawn(alerts.run(web_stop.clone()))
        });
        let rules = command_rules(&settings, &devices);
        let commands = Commands::new(link.clone(), keeper.clone(), topics.clone(), rules);
        let bridge = Bridge {
            info: Info::new(settings.instance.to_string(), &keeper, clock.now()),
            announcer: announcer(&settings, &*store, announcements),
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
        };
        let bridge = tokio::spawn(bridge.run(stop.clone()));
        keeper.tell_of_opening(&report);
        info!(accounts = settings.accounts.len(), "Latchkey {} is running", env!("CARGO_PKG_VERSION"));
        Ok(Self { keeper, web, stop, bridge, web_stop, web_task, alert_task })
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

/// How a keeper is started: with its schedule or without.
pub(crate) type StartKeeper = fn(Vec<Account>, Grounds) -> Result<Keeper, UnreadableRecord>;

/// Connects every account to its vendor, and starts a keeper over them.
pub(crate) fn keep(settings: &Settings, grounds: Grounds, start: StartKeeper) -> Result<Keeper, StartError> {
    let http = Http::new(settings.keeper.call_timeout, grounds.clock.clone()).map_err(StartError::Http)?;
    let connect =
        |settings: &AccountSettings| Account { settings: settings.clone(), vendor: vendor::connect(settings, &http) };
    Ok(start(settings.accounts.values().map(connect).collect(), grounds)?)
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

pub(crate) fn link_settings(settings: &Settings, announcements: &[Announcement]) -> LinkSettings {
    let mqtt = &settings.mqtt;
    let topics = Topics::new(&mqtt.base_topic);
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
        subscriptions: subscriptions(settings, &topics, announcements),
        echo_topic: Some(topics.echo()),
        outbox_limit: OUTBOX_LIMIT,
        backoff: Backoff::default(),
    }
}

/// What acts on the house at QoS 0, so that the broker never queues it for later; tokens at QoS 1.
fn subscriptions(settings: &Settings, topics: &Topics, announcements: &[Announcement]) -> Vec<Subscription> {
    let command = |(filter, acts_on_house): (String, bool)| {
        Subscription::new(filter, if acts_on_house { Qos::AtMostOnce } else { Qos::AtLeastOnce })
    };
    let mut subscriptions: Vec<Subscription> = topics.command_filters().into_iter().map(command).collect();
    // What we retained in an earlier life tells whether the store has become an older one meanwhile.
    subscriptions.push(Subscription { no_local: false, ..Subscription::new(topics.state_filter(), Qos::AtMostOnce) });
    if settings.home_assistant.discovery {
        let live = |topic: &str| Subscription { send_retained: false, ..Subscription::new(topic, Qos::AtMostOnce) };
        subscriptions.push(live(settings.home_assistant.birth_topic.as_str()));
        subscriptions.extend(announcements.iter().map(|it| live(&it.topic)));
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

fn announcer(settings: &Settings, store: &dyn Store, announcements: Vec<Announcement>) -> Option<Announcer> {
    if !settings.home_assistant.discovery {
        return None;
    }
    let ledger: Ledger = store.note(LEDGER).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let announcer_settings = AnnouncerSettings {
        discovery_prefix: settings.home_assistant.discovery_prefix.as_str().to_owned(),
        birth_payload: settings.home_assistant.birth_payload.clone(),
        announce_delay: settings.home_assistant.announce_delay,
    };
    Some(Announcer::new(announcer_settings, ledger, announcements))
}

fn command_rules(settings: &Settings, devices: &Devices) -> CommandRules {
    let code_fields = devices.accounts.iter().filter(|it| it.logs_in_by_code).map(|it| it.id.clone());
    CommandRules { reply_prefix: settings.mqtt.reply_prefix.clone(), code_fields: code_fields.collect() }
}

fn devices(settings: &Settings) -> Devices {
    let house = House {
        discovery_prefix: settings.home_assistant.discovery_prefix.as_str().to_owned(),
        base_topic: settings.mqtt.base_topic.as_str().to_owned(),
        instance: (!settings.instance.is_default()).then(|| settings.instance.to_string()),
        version: env!("CARGO_PKG_VERSION"),
        public_url: settings.web.public_url.as_ref().map(|it| it.as_str().to_owned()),
    };
    Devices { house, accounts: settings.accounts.values().map(card).collect() }
}

fn web_card(settings: &AccountSettings) -> (AccountId, Card) {
    let ways = match &settings.vendor {
        VendorSettings::Akuvox(akuvox) => {
            [akuvox.phone.is_some().then_some(LoginBy::Code), akuvox.user.is_some().then_some(LoginBy::Password)]
        }
        VendorSettings::Aqara(aqara) => [aqara.login.is_some().then_some(LoginBy::Code), None],
    };
    let (name, share_access_token) = (settings.name.clone(), settings.share_access_token);
    (settings.id.clone(), Card { name, share_access_token, logs_in_by: ways.into_iter().flatten().collect() })
}

fn card(settings: &AccountSettings) -> AccountCard {
    let (opens_doors, logs_in_by_code) = match &settings.vendor {
        VendorSettings::Akuvox(akuvox) => (akuvox.doors, akuvox.phone.is_some()),
        VendorSettings::Aqara(aqara) => (false, aqara.login.is_some()),
    };
    let (id, name) = (settings.id.clone(), settings.name.clone());
    AccountCard { id, name, vendor: vendor::kind(settings), opens_doors, logs_in_by_code }
}
