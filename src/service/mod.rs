//! The service put together: store, vendors, keeper, link, bridge; and taken apart again in the right order.

mod parts;

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use parts::{connect, http, link_settings, rights, store_settings};

use crate::{
    account::AccountId,
    alert::Alerts,
    clock::Clock,
    config::Settings,
    homeassistant::Devices,
    keeper::{AT_A_TIME, Grounds, Keeper, Reloaded, UnreadableRecord},
    mqtt::{Backoff, Link, LinkSettings, TlsError, bridge::Bridge, commands::Commands, topics::Topics},
    store::{OpenReport, SledStore, Store, StoreError},
    vendor::Http,
    web::{self, AllowedHosts, PortTaken, Server, WebKey},
};

use parts::{announcer, house, subscriptions};

/// Three looks were missed.
const SCHEDULE_HANGS_AFTER: Duration = Duration::from_secs(90);
const STORE_HANGS_AFTER: Duration = Duration::from_secs(10);

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
        report.tell();
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
