//! How it begins: each account's record as the store has it, what an earlier run left to be done, and the schedule.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
};

use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::{
    account::{AccountId, FingerprintKey, Policy, Record},
    clock::Clock,
    store::{Entry, Store, codec},
    vendor::VendorKind,
};

use super::{
    Account, Keeper, Shared,
    agenda::Agenda,
    courtesy::Courtesy,
    desk::Desk,
    flight::Errand,
    heart::Heart,
    inventory::Inventories,
    keeping::{Common, Keeping},
    limits::Limits,
    mentions::{Gathering, Mentions},
    quotas::Quotas,
    roster::Roster,
};

/// Edges that fall this far behind look at everything again.
const NOTICES: usize = 1024;

/// What the keeper stands on.
pub struct Grounds {
    pub store: Arc<dyn Store>,
    pub fingerprints: FingerprintKey,
    pub clock: Clock,
    /// How many refreshes may run at one host at a time.
    pub refreshes_per_host: usize,
    /// Accounts of which the store may hold an older copy: their tokens are tried once, soon.
    pub unproven: BTreeSet<AccountId>,
}

/// A record that this version of Latchkey does not understand.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the stored record of {account} cannot be read: {trouble}; nothing was changed")]
pub struct UnreadableRecord {
    pub account: AccountId,
    pub trouble: codec::CodecError,
}

/// A record as a run takes it over from an earlier one.
pub(super) struct ReadRecord {
    pub(super) record: Record,
    /// Whose it is was not on disk so.
    pub(super) is_ahead: bool,
}

impl Keeper {
    /// Loads what the store holds, marks what was left open, and starts the schedule.
    ///
    /// Fails where a record cannot be read, since keeping its account would mean to overwrite it.
    pub fn start(accounts: impl IntoIterator<Item = Account>, grounds: Grounds) -> Result<Self, UnreadableRecord> {
        let keeper = Self::load(accounts, grounds, |keeping| {
            if !keeping.record().has_refresh_token() {
                warn!(account = %keeping.id, "no refresh token configured: give one with update_tokens");
            }
        })?;
        keeper.0.tasks.spawn(keeper.0.clone().run_agenda());
        Ok(keeper)
    }

    /// As [`Keeper::start`], without the schedule: no vendor is called unless a command asks for it. For a process that
    /// ends after one command.
    pub fn start_unscheduled(
        accounts: impl IntoIterator<Item = Account>,
        grounds: Grounds,
    ) -> Result<Self, UnreadableRecord> {
        Self::load(accounts, grounds, |_| {})
    }

    /// All that there is to do with an account at the start is done before the next one's turn, while its record is open.
    fn load(
        accounts: impl IntoIterator<Item = Account>,
        grounds: Grounds,
        look_at: impl Fn(&Keeping),
    ) -> Result<Self, UnreadableRecord> {
        let Grounds { store, fingerprints, clock, refreshes_per_host, unproven } = grounds;
        let (notices, first) = broadcast::channel(NOTICES);
        let mut entries: HashMap<_, _> = store.load().into_iter().map(|it| (it.account.clone(), it)).collect();
        // One that is held, mostly, and those that are remembered.
        let n_tokens = entries.values().map(|it| 1 + it.record.spent().len()).sum();
        let mut gathering = Gathering::with_room(n_tokens);
        let shared = Arc::new(Shared {
            roster: RwLock::default(),
            fingerprints: fingerprints.clone(),
            limits: Limits::new(refreshes_per_host, clock.clone()),
            courtesy: Courtesy::default(),
            quotas: Quotas::load(&*store),
            inventories: Inventories::new(store.clone()),
            common: Arc::new(Common {
                clock,
                store,
                mentions: Mentions::with_room(entries.len(), fingerprints),
                notices,
                desk: Desk::default(),
            }),
            first: Mutex::new(Some(first)),
            agenda: Agenda::default(),
            last_policy: Mutex::default(),
            proposals: tokio::sync::Mutex::default(),
            looked_at: AtomicU64::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        let now = shared.clock().now();
        let n_stored = entries.len();
        let (mut kept, mut unfinished) = (Vec::new(), Vec::new());
        for mut account in accounts {
            let entry = entries.remove(&account.settings.id);
            if let Some(entry) = &entry {
                // One text for all who name it, the store among them.
                account.settings.id = entry.account.clone();
            }
            let (id, vendor) = (account.settings.id.clone(), account.vendor.kind());
            let read = entry.map(|it| read_record(&it, vendor, unproven.contains(&id), now)).transpose()?;
            let heart = Heart::new(vendor, shared.common.mentions.number(&id), read);
            let keeping = shared.keep(account, heart);
            shared.common.mentions.gather(keeping.heart.number, &keeping.record(), &mut gathering);
            look_at(&keeping);
            shared.agenda.plan(&keeping, now);
            if keeping.is_unfinished() {
                unfinished.push(keeping.clone());
            }
            shared.common.desk.take_in(&keeping.heart);
            kept.push((id, keeping));
        }
        info!(accounts = n_stored - entries.len(), "tokens loaded");
        shared.common.mentions.finish_gathering(gathering.sorted());
        let roster = Roster { kept: kept.into_iter().collect(), ..Roster::default() };
        *shared.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
        for keeping in unfinished {
            shared.finish_what_was_left(&keeping);
        }
        shared.look_for_twins_at_start();
        Ok(Self(shared))
    }
}

impl Shared {
    pub(super) fn keep(&self, account: Account, heart: Arc<Heart>) -> Arc<Keeping> {
        let policy = self.policy(&account);
        Arc::new(Keeping::new(account, policy, heart, self.common.clone()))
    }

    /// That of the account before where it is the same: very many accounts are kept alike.
    pub(super) fn policy(&self, account: &Account) -> Arc<Policy> {
        let policy = account.policy();
        let mut last = self.last_policy.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(same) if **same == policy => same.clone(),
            _ => last.insert(Arc::new(policy)).clone(),
        }
    }

    /// What an earlier run left to be done for an account that is kept from now on: to bring to the disk what its record
    /// became when it was read, and to read an answer that an earlier version could not.
    pub(super) fn finish_what_was_left(self: &Arc<Self>, keeping: &Arc<Keeping>) {
        if keeping.is_ahead() {
            let keeping = keeping.clone();
            self.tasks.spawn(async move { keeping.catch_up().await });
        }
        if keeping.may_finish_unread() {
            let _ = self.launch(keeping, Errand::FinishUnread, || Ok::<_, Infallible>(()));
        }
    }
}

impl Account {
    fn policy(&self) -> Policy {
        let (settings, rules) = (&self.settings, self.vendor.rules());
        Policy {
            refresh_every: settings.refresh_every,
            safety_margin: settings.safety_margin,
            jitter: settings.jitter,
            min_refresh_gap: settings.min_refresh_gap,
            back_off: settings.back_off,
            ambiguous: settings.ambiguous,
            usual_lifetime: rules.usual_lifetime,
            refresh_outlives_access: rules.refresh_outlives_access,
            refresh_needs_access: rules.refresh_needs_access,
            persist_access: rules.persist_access,
        }
    }
}

pub(super) fn read_record(
    entry: &Entry,
    vendor: VendorKind,
    is_unproven: bool,
    now: Timestamp,
) -> Result<ReadRecord, UnreadableRecord> {
    let account = &entry.account;
    let mut record = codec::decode(&entry.record, entry.revision)
        .map_err(|trouble| UnreadableRecord { account: account.clone(), trouble })?;
    if record.find_open_attempt(now) {
        warn!(%account, "a refresh was open when Latchkey stopped: its reply may be lost");
    }
    if record.find_open_login(now) {
        warn!(%account, "a login was open when Latchkey stopped: its reply may be lost; sign in again with a new code");
    }
    if is_unproven {
        record.doubt_all();
    }
    let said = record.vendor.clone();
    if let Some(left) = record.belong_to(vendor.as_str(), now) {
        warn!(
            %account,
            "it is configured for {vendor} now, and what is held is of {left}: that is laid aside, and is back if it is \
             configured for {left} again within 30 days"
        );
    }
    let is_ahead = record.vendor != said;
    record.drop_long_forgotten(now);
    debug!(%account, generation = record.generation, "tokens loaded");
    Ok(ReadRecord { record, is_ahead })
}
