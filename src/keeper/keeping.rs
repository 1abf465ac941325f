//! One account in the keeper's hands: how it is configured, its durable record, and the one way to change it.

use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use jiff::Timestamp;
use tokio::sync::broadcast;
use tracing::warn;

use crate::{
    account::{AccountId, Circumstances, Code, EventType, Policy, Record, Secret, Status, next_login, next_refresh},
    clock::Clock,
    store::{Commit, Store, StoreError, codec},
    vendor::{Vendor, VendorKind},
};

use super::{
    Account, ReadRecord,
    card::Card,
    flight::Flight,
    mentions::Mentions,
    notice::{Event, Notice, Trigger},
    tally::Tallies,
};

/// An account that is kept, as it is configured. A reload makes another one with the same heart; what is under way ends by
/// the terms by which it began.
#[derive(Clone)]
pub(super) struct Keeping {
    pub(super) id: AccountId,
    pub(super) card: Arc<Card>,
    pub(super) vendor: Arc<dyn Vendor>,
    /// One for all accounts that are kept alike.
    pub(super) policy: Arc<Policy>,
    pub(super) clock: Clock,
    pub(super) heart: Arc<Heart>,
    store: Arc<dyn Store>,
    mentions: Arc<Mentions>,
    notices: broadcast::Sender<Notice>,
}

/// What of an account does not depend on its configuration. There is one for an account at a time, whatever is reloaded,
/// so that single flight and the order of commits hold. It has one vendor for life.
pub(super) struct Heart {
    pub(super) vendor: VendorKind,
    pub(super) flight: Mutex<Option<Flight>>,
    pub(super) tallies: Tallies,
    /// What is on disk; replaced only after a commit.
    record: RwLock<Arc<Record>>,
    /// The record became another one when it was read, which is to be on disk, too.
    is_ahead: AtomicBool,
    /// Tokens are proposed one after the other, and what is asked behind them waits.
    pub(super) proposing: tokio::sync::Mutex<()>,
    /// One commit at a time.
    turn: tokio::sync::Mutex<()>,
    present: Mutex<Present>,
}

/// What is known of this moment and is lost with the process.
#[derive(Clone, Default)]
pub(super) struct Present {
    /// Why this machine cannot refresh, in words for the log.
    pub(super) blocked: Option<String>,
    pub(super) is_cloud_reached: Option<bool>,
    /// Not before this time, for reasons that are not the record's.
    pub(super) hold_until: Option<Timestamp>,
}

impl Heart {
    /// Of an account of this vendor; none is read where the store has nothing of it.
    pub(super) fn new(vendor: VendorKind, read: Option<ReadRecord>) -> Self {
        let blank = || ReadRecord {
            record: Arc::new(Record { vendor: Some(vendor.as_str().into()), ..Record::default() }),
            is_ahead: false,
        };
        let ReadRecord { record, is_ahead } = read.unwrap_or_else(blank);
        Self {
            vendor,
            flight: Mutex::default(),
            tallies: Tallies::default(),
            record: RwLock::new(record),
            is_ahead: AtomicBool::new(is_ahead),
            proposing: tokio::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            present: Mutex::default(),
        }
    }

    /// The record as it is on disk.
    pub(super) fn record(&self) -> Arc<Record> {
        self.record.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Keeping {
    pub(super) fn new(
        account: Account,
        policy: Arc<Policy>,
        heart: Arc<Heart>,
        clock: Clock,
        store: Arc<dyn Store>,
        mentions: Arc<Mentions>,
        notices: broadcast::Sender<Notice>,
    ) -> Self {
        mentions.note(&account.settings.id, &Record::default(), &heart.record(), || {});
        let card = Arc::new(Card::of(&account.settings));
        Self { id: card.id.clone(), card, vendor: account.vendor, policy, clock, heart, store, mentions, notices }
    }

    /// The same account, configured otherwise.
    pub(super) fn configured(&self, card: Card, vendor: Arc<dyn Vendor>, policy: Arc<Policy>) -> Self {
        Self { card: Arc::new(card), vendor, policy, ..self.clone() }
    }

    /// The record as it is on disk.
    pub(super) fn record(&self) -> Arc<Record> {
        self.heart.record()
    }

    pub(super) fn kind(&self) -> VendorKind {
        self.vendor.kind()
    }

    pub(super) fn status(&self) -> Status {
        let present = self.present();
        let around = Circumstances {
            is_blocked: present.blocked.is_some(),
            is_cloud_reached: present.is_cloud_reached,
            vendor_ahead_by: self.vendor.vendor_ahead_by(),
        };
        Status::of(&self.record(), &self.policy, &self.id, around, self.clock.now())
    }

    /// When the scheduler is to look at this account next; none: when something changes.
    pub(super) fn next_look(&self, now: Timestamp) -> Option<Timestamp> {
        let present = self.present();
        if present.blocked.is_some() {
            // Whether or not a refresh is due: what stands in the way is shown until it is gone.
            return Some(present.hold_until.unwrap_or(now));
        }
        let record = self.record();
        let due =
            [next_refresh(&record, &self.policy, &self.id, now), next_login(&record)].into_iter().flatten().min()?;
        Some(present.hold_until.map_or(due, |hold| due.max(hold)))
    }

    /// Whether a refresh is due, whatever stands in its way.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        next_refresh(&self.record(), &self.policy, &self.id, now).is_some_and(|it| it <= now)
    }

    /// Whether Latchkey is to sign in by itself.
    pub(super) fn is_login_due(&self, now: Timestamp) -> bool {
        next_login(&self.record()).is_some_and(|it| it <= now)
    }

    /// Changes the record durably: when this returns `Ok`, the change is on disk, and not before is it seen.
    ///
    /// `change` may run on a record that others changed meanwhile, and refuses by an error, which changes nothing.
    pub(super) async fn change<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Record) -> Result<T, E>,
    ) -> Result<T, E> {
        self.commit(None, false, change).await
    }

    /// As [`Keeping::change`]; the raw answer that the change was read from goes into the same commit.
    pub(super) async fn change_with<T, E: From<StoreError>>(
        &self,
        answer: Option<&Secret>,
        change: impl FnOnce(&mut Record) -> Result<T, E>,
    ) -> Result<T, E> {
        self.commit(answer, false, change).await
    }

    /// As [`Keeping::change`], and nothing is changed unless the disk has room for what will follow from it, with which it is
    /// told.
    pub(super) async fn change_with_room<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Record) -> Result<T, E>,
    ) -> Result<T, E> {
        self.commit(None, true, change).await
    }

    async fn commit<T, E: From<StoreError>>(
        &self,
        answer: Option<&Secret>,
        needs_room: bool,
        change: impl FnOnce(&mut Record) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = self.heart.turn.lock().await;
        let held = self.record();
        let mut next = Record::clone(&held);
        let result = change(&mut next)?;
        if next == *held && !self.heart.is_ahead.load(Relaxed) {
            return Ok(result);
        }
        let commit = Commit {
            account: self.id.clone(),
            expected: held.revision,
            payload: codec::encode(&next, answer, self.policy.persist_access),
            spent: next.spent.iter().copied().collect(),
            needs_room,
        };
        next.revision = self.store.commit(commit).await?;
        self.heart.is_ahead.store(false, Relaxed);
        let next = Arc::new(next);
        self.mentions.note(&self.id, &held, &next.clone(), || {
            *self.heart.record.write().unwrap_or_else(PoisonError::into_inner) = next;
        });
        if !needs_room {
            self.changed();
        }
        Ok(result)
    }

    /// Brings to the disk what the record became when it was read. Until then it becomes the same again at every start.
    pub(super) async fn catch_up(&self) {
        if let Err(trouble) = self.change(|_| Ok::<_, StoreError>(())).await {
            warn!(account = %self.id, "whose its tokens are cannot be stored: {trouble}. {}", trouble.mend());
        }
    }

    pub(super) fn is_ahead(&self) -> bool {
        self.heart.is_ahead.load(Relaxed)
    }

    pub(super) fn present(&self) -> Present {
        self.heart.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known of this moment; tells the edges if it may show.
    pub(super) fn note_present(&self, note: impl FnOnce(&mut Present)) {
        let mut present = self.heart.present.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = (present.blocked.is_some(), present.is_cloud_reached);
        note(&mut present);
        let shows = (present.blocked.is_some(), present.is_cloud_reached);
        drop(present);
        if shown != shows {
            self.changed();
        }
    }

    /// Nothing of this machine's stands in the way any more.
    pub(super) fn unblock(&self) {
        self.note_present(|present| {
            present.blocked = None;
            present.hold_until = None;
        });
    }

    pub(super) fn happened(&self, event_type: EventType, by: Trigger, error: Option<Code>) {
        let generation = self.record().current.as_ref().map_or(0, |it| it.generation);
        let event = Event { event_type, by, generation, error };
        let _ = self.notices.send(Notice::Happened(self.id.clone(), event));
    }

    pub(super) fn inventory_changed(&self) {
        let _ = self.notices.send(Notice::Inventory(self.id.clone()));
    }

    /// Tells the edges that the status may read differently now.
    pub(super) fn changed(&self) {
        // Nobody listening is no fault: edges ask for the state when they come.
        let _ = self.notices.send(Notice::Changed(self.id.clone()));
    }
}
