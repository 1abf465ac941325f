//! A simulated cloud as a test or a command holds it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tokio::task::JoinHandle;

use super::{
    counters::Counters,
    engine::{Core, Engine},
    fault::{Fault, Faults},
    grants::{GrantBook, Pair},
    journal::{Journal, LogEntry},
    listener::{Connection, CuttableListener},
    messages::{Message, Messages},
    places::Places,
    simulation::Simulation,
    state::AccountState,
};
use crate::clock::{Clock, Hand};

/// How long a stop waits for connections that are open.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// A simulated cloud on its own listeners, stopped when dropped.
///
/// What it does by HTTP below `/_sim/` it does by its methods too, so that a test need not ask for it.
pub struct Cloud<S: Simulation> {
    pub(super) engine: Arc<Engine<S>>,
    url: String,
    serving: Vec<JoinHandle<()>>,
}

/// How a cloud is started. Most tests want `Options::default()`: one account, strict, a clock of its own.
pub struct Options<K> {
    /// How many accounts are signed in at the start, 1 or more.
    pub n_accounts: usize,
    pub knobs: K,
    /// A clock to share, with the hand that moves it; none for one of its own that starts at the machine's time and runs.
    pub time: Option<(Clock, Hand)>,
    pub places: Places,
}

/// What is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The access token alone.
    Access,
    /// Both tokens.
    Grant,
}

impl<S: Simulation> Cloud<S> {
    /// Starts a cloud with its accounts signed in. The first part of its first region (the gate at Akuvox) listens at
    /// `address`, port 0 for a free one; the others where [`Options::places`] says.
    ///
    /// # Errors
    /// An address cannot be listened at.
    pub async fn start(address: SocketAddr, options: Options<S::Knobs>) -> io::Result<Self> {
        let Options { n_accounts, knobs, time, places } = options;
        let (addresses, listeners) = places.open(address, S::PARTS).await?;
        let url = addresses.url(0, S::PARTS[0]);
        let (clock, hand) = time.unwrap_or_else(Clock::running);

        let n_accounts = n_accounts.max(1);
        let core = Core {
            simulation: S::new(n_accounts, addresses.n_regions()),
            knobs,
            grants: GrantBook::default(),
            faults: Faults::default(),
            journal: Journal::default(),
            counters: Counters::default(),
            messages: Messages::default(),
        };
        let engine = Arc::new(Engine::new(core, clock, hand, addresses));
        engine.change(|core| {
            let (now, rules, life) = (engine.now(core), S::rules(&core.knobs), S::console_life(&core.knobs));
            for account in 0..n_accounts {
                core.grants.log_in(account, life, now, &rules);
            }
        });

        let serve = |(entrance, listener)| {
            let listener = CuttableListener { listener, entrance, tls: places.tls.clone() };
            let service = engine.clone().router().into_make_service_with_connect_info::<Connection>();
            let stopped = engine.stop.clone().cancelled_owned();
            tokio::spawn(async move {
                // It only ever returns once it was told to stop.
                let _ = axum::serve(listener, service).with_graceful_shutdown(stopped).await;
            })
        };
        let serving = listeners.into_iter().map(serve).collect();
        Ok(Self { engine, url, serving })
    }

    /// Starts a strict cloud with one account on free loopback ports.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start_default() -> io::Result<Self> {
        Self::start((Ipv4Addr::LOCALHOST, 0).into(), Options::default()).await
    }

    /// `http://host:port`, without a path, of the first part in the first region: the gate at Akuvox.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same of any part, one of [`Simulation::PARTS`].
    ///
    /// # Panics
    /// There is no such region or part.
    pub fn url_of(&self, region: usize, part: &str) -> String {
        self.engine.addresses.url(region, part)
    }

    pub fn n_regions(&self) -> usize {
        self.engine.addresses.n_regions()
    }

    /// What a client of an account is configured with, with the live pair.
    ///
    /// # Panics
    /// There is no such account; so with the other methods that take one.
    pub fn credentials(&self, account: usize) -> S::Credentials {
        let core = self.engine.core();
        core.simulation.credentials(&core.knobs, account, core.grants.newest(account).0)
    }

    /// Signs the account in anew, as its user would in the vendor's app or console: the old pair is dead.
    pub fn sign_in(&self, account: usize) -> S::Credentials {
        self.engine.sign_in(account)
    }

    /// Ends the access token or the whole grant of an account, as the vendor or another client may.
    pub fn revoke(&self, account: usize, what: What) {
        self.engine.revoke(account, what);
    }

    /// Lets a mishap befall a coming call.
    pub fn inject(&self, fault: Fault) {
        self.engine.change(|core| core.faults.inject(fault));
    }

    /// Forgets the mishaps that have not happened yet.
    pub fn clear_faults(&self) {
        self.engine.change(|core| core.faults.clear());
    }

    /// Turns some of the switches.
    pub fn turn_knobs(&self, turn: impl FnOnce(&mut S::Knobs)) {
        self.engine.change(|core| turn(&mut core.knobs));
    }

    /// Lets time pass for this cloud, and for all who share its clock.
    pub fn advance(&self, by: Duration) {
        self.engine.hand.advance(by);
    }

    /// The time that this cloud goes by.
    pub fn clock(&self) -> &Clock {
        &self.engine.clock
    }

    pub fn counters(&self) -> Counters {
        self.engine.core().counters.clone()
    }

    /// Waits until the counters satisfy `wanted`, for instance `|it| 2 <= it.refreshes`, and returns them. They are
    /// counted when the cloud has done the thing, a little before its answer arrives.
    pub async fn wait_for(&self, wanted: impl FnMut(&Counters) -> bool) -> Counters {
        self.engine.wait_for(wanted).await
    }

    /// The newest 10,000 calls, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.engine.core().journal.read()
    }

    pub fn account(&self, account: usize) -> AccountState {
        self.engine.account(account)
    }

    /// The pairs of an account that a refresh would take at this moment, whoever holds them.
    pub fn honoured(&self, account: usize) -> Vec<Pair> {
        let core = self.engine.core();
        let (now, rules) = (self.engine.now(&core), S::rules(&core.knobs));
        core.grants.honoured(account, now, &rules).into_iter().cloned().collect()
    }

    /// The newest 1,000 codes that were sent to residents, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.engine.core().messages.read()
    }

    /// The newest code that was sent to an account's owner.
    pub fn newest_code(&self, account: usize) -> Option<String> {
        self.messages().into_iter().rfind(|it| it.account == account).map(|it| it.code)
    }

    /// Stops listening and cuts the calls that have not been answered.
    pub async fn shutdown(mut self) {
        self.engine.stop.cancel();
        for serving in &mut self.serving {
            if tokio::time::timeout(STOP_WITHIN, &mut *serving).await.is_err() {
                serving.abort();
            }
        }
    }
}

impl<S: Simulation> Drop for Cloud<S> {
    fn drop(&mut self) {
        self.engine.stop.cancel();
    }
}

impl<K: Default> Default for Options<K> {
    fn default() -> Self {
        Self { n_accounts: 1, knobs: K::default(), time: None, places: Places::default() }
    }
}

// === impl Engine ===

impl<S: Simulation> Engine<S> {
    pub(super) fn sign_in(&self, account: usize) -> S::Credentials {
        self.change(|core| {
            let now = self.now(core);
            let rules = S::rules(&core.knobs);
            let pair = core.grants.log_in(account, S::console_life(&core.knobs), now, &rules);
            core.counters.logins += 1;
            core.simulation.credentials(&core.knobs, account, &pair)
        })
    }

    pub(super) fn revoke(&self, account: usize, what: What) {
        self.change(|core| match what {
            What::Access => core.grants.revoke_access(account),
            What::Grant => core.grants.revoke_grant(account),
        });
    }
}
