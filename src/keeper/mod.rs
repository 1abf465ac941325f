//! Who renews, and when: the heart.
//!
//! [`Keeper::start`] loads the records and starts the schedule (`agenda`); a refresh runs as a `flight`, one for an
//! account at a time, made of an `attempt` or two, each of which is `settle`d; commands come in by [`Keeper::submit`]. A
//! record changes in one place only, `Keeping::change`, which returns when the change is on disk. What acts on the house
//! is a `call`, made with a live token by way of `access`; the `inventory` is what there is to act on. The `roster` says who
//! is kept, and a `reload` changes it.

mod access;
mod agenda;
mod asked;
mod attempt;
mod call;
mod card;
mod check_in;
mod command;
mod courtesy;
mod deadlines;
mod desk;
mod fitness;
mod flight;
mod forget;
mod heart;
mod inventory;
mod keeping;
mod limits;
mod line;
mod login;
mod mentions;
mod notice;
mod opening;
mod quotas;
mod reading;
mod reload;
mod reply;
mod roster;
mod settle;
mod share;
mod start;
mod tally;
mod tell;
mod twins;
mod update;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{broadcast, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

pub use card::Card;
pub use command::{Command, CommandError, Reply, ReplyData};
pub use deadlines::Deadlines;
pub use limits::{HostQueue, Purpose};
pub use notice::{Event, Notice, Trigger};
pub use reload::Reloaded;
pub use reply::reply_json;
pub use share::LiveAccess;
pub use start::{Grounds, UnreadableRecord};
pub use tally::Tally;

use crate::{
    account::{AccountId, Class, Code, FingerprintKey, Inventory, Policy, Status},
    clock::Clock,
    config::AccountSettings,
    store::{Store, StoreError},
    vendor::{Vendor, VendorError},
};

use agenda::Agenda;
use courtesy::Courtesy;
use inventory::Inventories;
use keeping::{Common, Keeping};
use limits::Limits;
use quotas::Quotas;
use roster::Roster;

/// A refresh that is running may finish: its HTTP call takes 15 s in all by default.
const LONGEST_STOP: Duration = Duration::from_secs(20);
/// How long a vendor that asks for fewer calls is left alone, unless it says so itself.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// So many accounts are looked at before anything else has its turn.
pub const AT_A_TIME: usize = 100;
/// No account gets this far, and numbers beyond it do not survive in other people's JSON.
const HIGHEST_GENERATION: u64 = 1 << 53;

/// Keeps all accounts. Clones are handles to the same keeper.
#[derive(Clone)]
pub struct Keeper(Arc<Shared>);

/// An account as it is configured, and its vendor.
pub struct Account {
    pub settings: AccountSettings,
    pub vendor: Arc<dyn Vendor>,
}

/// A command that was handed in.
pub struct Ticket {
    /// Resolves when what the command brought is durable: from then on the sender may forget it.
    pub taken: oneshot::Receiver<()>,
    pub reply: oneshot::Receiver<Reply>,
}

struct Shared {
    roster: RwLock<Arc<Roster>>,
    fingerprints: FingerprintKey,
    common: Arc<Common>,
    /// Has everything since the start, for whoever subscribes first.
    first: Mutex<Option<broadcast::Receiver<Notice>>>,
    agenda: Agenda,
    limits: Limits,
    courtesy: Courtesy,
    quotas: Quotas,
    inventories: Inventories,
    last_policy: Mutex<Option<Arc<Policy>>>,
    /// Refresh tokens are proposed one at a time, so that no two accounts take the same one.
    proposals: tokio::sync::Mutex<()>,
    /// When the schedule was looked at last, in milliseconds of monotonic time.
    looked_at: AtomicU64,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Keeper {
    /// Takes a command and carries it out in a task of its own; a caller that goes away does not cancel it.
    pub fn submit(&self, command: Command) -> Ticket {
        let (taken, is_taken) = oneshot::channel();
        let (reply, replied) = oneshot::channel();
        let shared = self.0.clone();
        self.0.tasks.spawn(async move {
            // Nobody may be waiting any more, which is their choice.
            let _ = reply.send(shared.carry_out(command, taken).await);
        });
        Ticket { taken: is_taken, reply: replied }
    }

    /// Carries out a command and waits for its reply.
    pub async fn ask(&self, command: Command) -> Reply {
        let whom = command.entry_id().clone();
        self.submit(command).reply.await.unwrap_or_else(|_| Err(CommandError::new(Code::Internal, whom)))
    }

    /// The accounts that are kept at this moment, in the order of their ids.
    pub fn cards(&self) -> Vec<Arc<Card>> {
        self.0.roster().kept.values().map(|it| it.card.clone()).collect()
    }

    pub fn card(&self, account: &AccountId) -> Option<Arc<Card>> {
        self.0.kept(account).map(|it| it.card.clone())
    }

    pub fn status(&self, account: &AccountId) -> Option<Status> {
        self.0.kept(account).map(|it| self.0.status(&it))
    }

    /// The doors and scenes of an account, as far as they are known.
    pub fn inventory(&self, account: &AccountId) -> Option<Inventory> {
        self.0.kept(account).map(|it| self.0.inventory(&it))
    }

    /// Asks the vendor for the doors and scenes of an account where what is known is nothing or old. A keeper with a
    /// schedule does so by itself.
    pub async fn look_around(&self, account: &AccountId) -> Result<(), CommandError> {
        let keeping = self.0.kept(account).ok_or_else(|| CommandError::new(Code::UnknownAccount, account))?;
        self.0.look_around(&keeping).await
    }

    /// Notices from now on; the first who asks gets those since the start too, which are told before anybody can ask.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        let first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.0.common.notices.subscribe())
    }

    /// Somebody saw a grant of this generation published. If it is newer than ours, our store is an old copy: the tokens
    /// are tried once, soon.
    pub fn saw_generation(&self, account: &AccountId, generation: u64) {
        let Some(keeping) = self.0.kept(account) else { return };
        if generation <= keeping.record().generation {
            return;
        }
        if HIGHEST_GENERATION < generation {
            warn!(%account, generation, "what the broker remembers of this account was not written by Latchkey");
            return;
        }
        warn!(%account, generation, "the broker remembers newer tokens than the store: the store is an older copy");
        let shared = self.0.clone();
        self.0.tasks.spawn(async move {
            let marked = keeping.change(|record| {
                record.unproven = true;
                record.generation = record.generation.max(generation);
                Ok::<_, StoreError>(())
            });
            if let Err(trouble) = marked.await {
                error!(account = %keeping.id, "cannot mark the tokens as unproven: {trouble}. {}", trouble.mend());
            }
            shared.plan(&keeping.id);
        });
    }

    /// When the schedule was looked at last, by monotonic time. It is looked at every 30 s at least.
    pub fn looked_at(&self) -> Duration {
        Duration::from_millis(self.0.looked_at.load(Relaxed))
    }

    /// Stops taking commands, lets a running refresh finish, and closes the store. At most 20 s.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(LONGEST_STOP, self.0.tasks.wait()).await.is_err() {
            warn!("a refresh did not finish in time; it is marked as open and is looked at again at the next start");
        }
        if let Err(trouble) = self.0.quotas.save(self.0.store(), true).await {
            warn!("the counted calls were not stored: {trouble}. {}", trouble.mend());
        }
        if let Err(trouble) = self.0.store().close().await {
            error!("the store was not closed well: {trouble}. {}", trouble.mend());
        }
    }
}

impl Shared {
    fn clock(&self) -> &Clock {
        &self.common.clock
    }

    fn store(&self) -> &dyn Store {
        &*self.common.store
    }

    fn status(&self, keeping: &Keeping) -> Status {
        let calls = keeping.vendor.budget().map(|it| self.quotas.used(&it, self.clock().now()));
        let (calls_this_month, calls_in_all) = calls.map(|it| (it.this_month, it.in_all)).unzip();
        Status { calls_this_month, calls_in_all, ..keeping.status() }
    }

    /// Takes one call from what the vendor allows, or tells how long until there is room.
    fn spend_call(&self, keeping: &Keeping, purpose: Purpose) -> Result<(), Duration> {
        if let Some(budget) = keeping.vendor.budget() {
            // They are made already, so they count, whether or not there was room.
            for _ in 0..keeping.vendor.take_unbilled() {
                let _ = self.limits.spend(&budget, Purpose::Refresh);
                self.quotas.count(&budget, self.clock().now());
            }
            self.limits.spend(&budget, purpose)?;
            self.quotas.count(&budget, self.clock().now());
        }
        keeping.heart.doings().tallies.count_call(purpose);
        Ok(())
    }

    /// A vendor that asks for fewer calls means all accounts that share them.
    fn heed(&self, keeping: &Keeping, failure: &VendorError) {
        if let (Class::Throttled { retry_after }, Some(budget)) = (failure.class, keeping.vendor.budget()) {
            self.limits.pause(&budget, retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE));
        }
    }

    async fn carry_out(self: &Arc<Self>, command: Command, taken: oneshot::Sender<()>) -> Reply {
        let Some(keeping) = &self.kept(command.entry_id()) else {
            return Err(CommandError::new(Code::UnknownAccount, command.entry_id()));
        };
        if self.stopping.is_cancelled() {
            return Err(CommandError::new(Code::ShuttingDown, &keeping.id));
        }
        let _waited = self.courtesy.somebody_waits();
        match command {
            Command::UpdateTokens { proposal, .. } => self.update_tokens(keeping, proposal, taken).await,
            Command::RefreshTokens { .. } => self.refresh_tokens(keeping).await,
            Command::TriggerScene { scene, .. } => self.trigger_scene(keeping, &scene).await,
            Command::OpenDoor { door, .. } => self.open_door(keeping, &door).await,
            Command::ListScenes { .. } => self.list_scenes(keeping).await,
            Command::RequestLoginCode { .. } => self.request_login_code(keeping).await,
            Command::Login { credential, .. } => self.login(keeping, credential).await,
            Command::Forget { .. } => self.forget(keeping).await,
            Command::Recall { .. } => self.recall(keeping).await,
            Command::Status { .. } => {
                let (entry_id, status) = (keeping.id.clone(), Box::new(self.status(keeping)));
                Ok(ReplyData::Status { entry_id, status })
            }
        }
    }
}

/// The time before which no clock can be right: when this version was built.
fn built_at() -> Timestamp {
    let seconds = env!("LATCHKEY_BUILT_AT").parse().unwrap_or(0);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
