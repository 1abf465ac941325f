//! A simulated cloud as a test or a command holds it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    counters::Counters,
    engine::{Core, Engine},
    fault::{Fault, Faults},
    grants::GrantBook,
    journal::{Journal, LogEntry},
    listener::{Cut, CuttableListener},
    simulation::Simulation,
};
use crate::clock::{Clock, Hand};

/// How long a stop waits for connections that are open.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// A simulated cloud on its own listener, stopped when dropped.
///
/// What it does by HTTP below `/_sim/` it does by its methods too, so that a test need not ask for it.
pub struct Cloud<S: Simulation> {
    engine: Arc<Engine<S>>,
    url: String,
    serving: JoinHandle<()>,
}

/// How a cloud is started. Most tests want `Options::default()`: one account, strict, a clock of its own.
pub struct Options<K> {
    /// How many accounts are signed in at the start, 1 or more.
    pub n_accounts: usize,
    pub knobs: K,
    /// A clock to share, with the hand that moves it; none for one of its own that starts at the machine's time and runs.
    pub time: Option<(Clock, Hand)>,
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

/// How an account stands at the vendor.
#[derive(Clone, Debug, Serialize)]
pub struct AccountState {
    pub account: usize,
    /// 1 after a login, one more for each refresh since.
    pub generation: u64,
    pub access_token: String,
    pub refresh_token: String,
    /// RFC 3339 in UTC, by the cloud's clock, like those below.
    pub issued_at: String,
    pub access_expires_at: String,
    /// None where the refresh token has no end.
    pub refresh_expires_at: Option<String>,
    /// Whether the grant was revoked.
    pub revoked: bool,
    /// Codes that were sent, doors, scenes.
    pub extras: serde_json::Value,
}

impl<S: Simulation> Cloud<S> {
    /// Starts a cloud at `address` (port 0 for a free one) with its accounts signed in.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub async fn start(address: SocketAddr, options: Options<S::Knobs>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?.to_string();
        let url = format!("http://{address}");
        let Options { n_accounts, knobs, time } = options;
        let (clock, hand) = time.unwrap_or_else(Clock::running);

        let rules = S::rules(&knobs);
        let mut grants = GrantBook::default();
        for account in 0..n_accounts.max(1) {
            grants.log_in(account, None, clock.now(), &rules);
        }
        let core = Core {
            simulation: S::new(n_accounts.max(1)),
            knobs,
            grants,
            faults: Faults::default(),
            journal: Journal::default(),
            counters: Counters::default(),
        };
        let engine = Arc::new(Engine::new(core, clock, hand, address));

        let service = engine.clone().router().into_make_service_with_connect_info::<Cut>();
        let stopped = engine.stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            // It only ever returns once it was told to stop.
            let _ = axum::serve(CuttableListener(listener), service).with_graceful_shutdown(stopped).await;
        });
        Ok(Self { engine, url, serving })
    }

    /// Starts a strict cloud with one account on a free loopback port.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start_default() -> io::Result<Self> {
        Self::start((Ipv4Addr::LOCALHOST, 0).into(), Options::default()).await
    }

    /// `http://host:port`, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a client of an account is configured with, with the live pair.
    ///
    /// # Panics
    /// There is no such account; so with the other methods that take one.
    pub fn credentials(&self, account: usize) -> S::Credentials {
        let core = self.engine.core();
        core.simulation.credentials(account, core.grants.newest(account).0)
    }

    /// Signs the account in anew, as its user would in the vendor's app: the old pair is dead.
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

    /// Stops listening and cuts the calls that have not been answered.
    pub async fn shutdown(mut self) {
        self.engine.stop.cancel();
        if tokio::time::timeout(STOP_WITHIN, &mut self.serving).await.is_err() {
            self.serving.abort();
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
        Self { n_accounts: 1, knobs: K::default(), time: None }
    }
}

// === impl Engine ===

impl<S: Simulation> Engine<S> {
    pub(super) fn sign_in(&self, account: usize) -> S::Credentials {
        let now = self.clock.now();
        self.change(|core| {
            let rules = S::rules(&core.knobs);
            let pair = core.grants.log_in(account, None, now, &rules);
            core.counters.logins += 1;
            core.simulation.credentials(account, &pair)
        })
    }

    pub(super) fn revoke(&self, account: usize, what: What) {
        self.change(|core| match what {
            What::Access => core.grants.revoke_access(account),
            What::Grant => core.grants.revoke_grant(account),
        });
    }

    pub(super) fn account(&self, account: usize) -> AccountState {
        let core = self.core();
        let (pair, revoked) = core.grants.newest(account);
        AccountState {
            account,
            generation: pair.generation,
            access_token: pair.access_token.clone(),
            refresh_token: pair.refresh_token.clone(),
            issued_at: pair.issued_at.to_string(),
            access_expires_at: pair.access_expires_at.to_string(),
            refresh_expires_at: pair.refresh_expires_at.map(|it| it.to_string()),
            revoked,
            extras: core.simulation.extras(account),
        }
    }
}
