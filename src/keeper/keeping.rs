//! One account in the keeper's hands: how it is configured, its durable record, and the one way to change it.

use std::sync::{Arc, PoisonError};

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
    Account,
    card::Card,
    desk::Desk,
    heart::{Heart, Present},
    mentions::Mentions,
    notice::{Event, Notice, Trigger},
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
    pub(super) heart: Arc<Heart>,
    common: Arc<Common>,
}

/// What all accounts share.
pub(super) struct Common {
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn Store>,
    pub(super) mentions: Mentions,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) desk: Desk,
}

impl Keeping {
    pub(super) fn new(account: Account, policy: Arc<Policy>, heart: Arc<Heart>, common: Arc<Common>) -> Self {
        let card = Arc::new(Card::of(&account.settings));
        Self { id: card.id.clone(), card, vendor: account.vendor, policy, heart, common }
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
        Status::of(&self.record(), &self.policy, &self.id, around, self.common.clock.now())
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
        let _turn = self.heart.doings().turn.lock().await;
        let held = self.record();
        let mut next = Record::clone(&held);
        let result = change(&mut next)?;
        if next == *held && !self.heart.is_ahead() {
            return Ok(result);
        }
        let commit = Commit {
            account: self.id.clone(),
            expected: held.revision,
            record: codec::encode(&next, answer, self.policy.persist_access),
            needs_room,
        };
        next.revision = self.common.store.commit(commit).await?;
        self.heart.caught_up();
        let next = Arc::new(next);
        self.common
            .mentions
            .note(self.heart.number, &held, &next.clone(), || self.heart.replace(next, &self.common.desk));
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
        self.heart.is_ahead()
    }

    /// An answer that an earlier version could not read may be read now.
    pub(super) fn may_finish_unread(&self) -> bool {
        let record = self.record();
        record.unread.is_some() || record.logins.unread.is_some()
    }

    /// An earlier run left something to be done.
    pub(super) fn is_unfinished(&self) -> bool {
        self.is_ahead() || self.may_finish_unread()
    }

    pub(super) fn present(&self) -> Present {
        self.heart.present()
    }

    /// Changes what is known of this moment; tells the edges if it may show.
    pub(super) fn note_present(&self, note: impl FnOnce(&mut Present)) {
        let mut present = self.heart.doings().present.lock().unwrap_or_else(PoisonError::into_inner);
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
        let _ = self.common.notices.send(Notice::Happened(self.id.clone(), event));
    }

    pub(super) fn inventory_changed(&self) {
        let _ = self.common.notices.send(Notice::Inventory(self.id.clone()));
    }

    /// Tells the edges that the status may read differently now.
    pub(super) fn changed(&self) {
        // Nobody listening is no fault: edges ask for the state when they come.
        let _ = self.common.notices.send(Notice::Changed(self.id.clone()));
    }
}
