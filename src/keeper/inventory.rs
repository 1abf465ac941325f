//! What each account can act on, as its vendor listed it: kept over restarts, so that a start asks nobody, and listed
//! anew when an access token comes and it has grown old.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::{
    account::{AccountId, BackOff, Code, Inventory, Secret, Slot},
    store::{Store, StoreError},
    vendor::{Toll, Vendor, VendorError},
};

use super::{
    Shared,
    access::{Call, CallFailure},
    flight::Landing,
    keeping::Keeping,
    limits::Purpose,
};

/// What was listed longer ago than this is listed anew when there is an occasion.
const OLD: SignedDuration = SignedDuration::from_hours(24);
/// Between two tries to list in the background. Nobody waits for it.
const PATIENCE: BackOff = BackOff { first: Duration::from_secs(3600), longest: Duration::from_secs(24 * 3600) };

/// What is known of all accounts.
pub(super) struct Inventories {
    store: Arc<dyn Store>,
    shelves: Mutex<HashMap<AccountId, Arc<Shelf>>>,
}

/// What is known of one account.
struct Shelf {
    contents: Mutex<Contents>,
    /// One listing at a time.
    turn: tokio::sync::Mutex<()>,
    /// One who lists in the background, or waits to.
    background: Arc<Semaphore>,
}

#[derive(Default)]
struct Contents {
    listed: Option<Listed>,
    /// How often new tokens came, which may be another login's, and how often they had come when it was listed.
    n_logins: u64,
    n_logins_listed: u64,
    /// Failures in the background, one after the other.
    n_failures: u32,
    /// No try in the background before this, by the clock that never goes back.
    not_before: Duration,
}

/// As the vendor listed it. This is what the store keeps.
#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    /// Seconds since 1970 in UTC.
    at: i64,
    /// Whose doors and scenes they are. Earlier versions did not say.
    #[serde(default)]
    vendor: Option<String>,
    inventory: Inventory,
}

impl Shared {
    /// What the user configured, and what the vendor listed beside it.
    pub(super) fn inventory(&self, keeping: &Keeping) -> Inventory {
        keeping.vendor.configured().with_discovered(&self.listed(keeping))
    }

    /// What the vendor listed, as far as this account is to have it.
    pub(super) fn listed(&self, keeping: &Keeping) -> Inventory {
        let rules = keeping.vendor.rules();
        let mut listed = self.inventories.shelf(keeping).known();
        if !rules.has_doors {
            listed.doors.clear();
        }
        if !rules.has_scenes {
            listed.scenes.clear();
        }
        listed
    }

    /// Asks the vendor in a command's name, if that `is_wanted` of what is known to be old or not.
    pub(super) async fn list(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        is_wanted: impl Fn(bool) -> bool,
    ) -> Result<(), CallFailure> {
        let shelf = self.inventories.shelf(keeping);
        let _turn = shelf.turn.lock().await;
        // Somebody who came first may have listed it.
        if !is_wanted(shelf.is_old(self.clock().now())) {
            return Ok(());
        }
        let n_logins = shelf.n_logins();
        let inventory = self.call(keeping, List).await?;
        self.put_on_shelf(keeping, &shelf, inventory, n_logins).await;
        Ok(())
    }

    /// After a flight: an access token that just came is an occasion to list.
    pub(super) fn look_at_inventory(self: &Arc<Self>, keeping: &Arc<Keeping>, landing: Landing) {
        match landing {
            Landing::Renewed { slot, .. } => self.tend_inventory(keeping, slot == Slot::Candidate),
            Landing::LoggedIn { .. } => self.tend_inventory(keeping, true),
            Landing::CheckedIn | Landing::CandidateRefused(_) | Landing::Failed { .. } => {}
        }
    }

    /// Lists in the background what is not known or old, or anew where new tokens may be another login's.
    pub(super) fn tend_inventory(self: &Arc<Self>, keeping: &Arc<Keeping>, has_new_login: bool) {
        let rules = keeping.vendor.rules();
        let has_any = rules.has_doors || rules.has_scenes;
        let shelf = self.inventories.shelf(keeping);
        if has_new_login {
            shelf.note_login();
        }
        if !has_any || !shelf.is_old(self.clock().now()) || self.stopping.is_cancelled() {
            return;
        }
        // Whoever has it looks again before leaving.
        let Ok(place) = shelf.background.clone().try_acquire_owned() else { return };
        let (shared, account) = (self.clone(), keeping.id.clone());
        self.tasks.spawn(async move {
            let _place = place;
            tokio::select! {
                () = shared.list_until_known(&account, &shelf) => {}
                // A listing changes nothing at the vendor, so it may be cut off anywhere.
                () = shared.stopping.cancelled() => {}
            }
        });
    }

    /// Until it is known, or the account is kept no more.
    async fn list_until_known(&self, account: &AccountId, shelf: &Arc<Shelf>) {
        while shelf.is_old(self.clock().now()) {
            let Some(keeping) = &self.kept_with(account, shelf) else { return };
            let left = shelf.not_before().saturating_sub(self.clock().monotonic());
            if !left.is_zero() {
                self.clock().wait(self.clock().now().checked_add(left).unwrap_or(Timestamp::MAX)).await;
                continue;
            }
            let Some(_place) = self.limits.turn_at(keeping.vendor.host(), Purpose::Call).await else { return };
            let _turn = shelf.turn.lock().await;
            if !shelf.is_old(self.clock().now()) {
                continue;
            }
            let n_logins = shelf.n_logins();
            match self.call_with_held(keeping, List).await {
                Some(Ok(inventory)) => self.put_on_shelf(keeping, shelf, inventory, n_logins).await,
                Some(Err(CallFailure::Vendor(failure))) if failure.code == Code::NotSupported => return,
                Some(Err(failure)) => self.put_off(keeping, shelf, &failure),
                // The next access token is the next occasion.
                None => return,
            }
        }
    }

    /// The account as it is configured now, if what is known of it stands on this shelf.
    fn kept_with(&self, account: &AccountId, shelf: &Arc<Shelf>) -> Option<Arc<Keeping>> {
        self.kept(account).filter(|it| Arc::ptr_eq(&self.inventories.shelf(it), shelf))
    }

    /// What is known stays known.
    fn put_off(&self, keeping: &Keeping, shelf: &Shelf, failure: &CallFailure) {
        let pause = shelf.put_off(self.clock().monotonic(), failure.retry_after());
        let next = humantime::format_duration(Duration::from_secs(pause.as_secs()));
        warn!(account = %keeping.id, "doors and scenes were not listed: {failure}. The next try is in {next}");
    }

    /// What the vendor listed counts, even if it is less than before.
    async fn put_on_shelf(&self, keeping: &Keeping, shelf: &Shelf, inventory: Inventory, n_logins: u64) {
        info!(
            account = %keeping.id, doors = inventory.doors.len(), scenes = inventory.scenes.len(),
            "doors and scenes listed"
        );
        let vendor = Some(keeping.kind().as_str().to_owned());
        let listed = Listed { at: self.clock().now().as_second(), vendor, inventory };
        if let Err(trouble) = self.inventories.save(&keeping.id, &listed).await {
            warn!(account = %keeping.id, "the doors and scenes were not stored: {trouble}. {}", trouble.mend());
        }
        let before = self.inventory(keeping);
        shelf.put(listed, n_logins);
        if self.inventory(keeping) != before {
            keeping.inventory_changed();
        }
    }
}

impl Inventories {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, shelves: Mutex::default() }
    }

    /// As an earlier run left it, at first.
    fn shelf(&self, keeping: &Keeping) -> Arc<Shelf> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let load = || {
            let listed = self.store.note(&note(&keeping.id)).and_then(|bytes| serde_json::from_slice(&bytes).ok());
            // What another vendor listed is nothing here.
            let is_ours = |it: &Listed| it.vendor.as_ref().is_none_or(|it| *it == keeping.kind().as_str());
            Arc::new(Shelf::new(listed.filter(is_ours)))
        };
        shelves.entry(keeping.id.clone()).or_insert_with(load).clone()
    }

    /// Lets go of what is known of an account that has come to its end; the store keeps it.
    pub(super) fn forget(&self, account: &AccountId) {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }

    async fn save(&self, account: &AccountId, listed: &Listed) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(listed).expect("an inventory of plain fields is JSON");
        self.store.put_note(&note(account), bytes).await
    }
}

/// Asks for doors and scenes.
struct List;

#[async_trait]
impl Call for List {
    type Answer = Inventory;

    async fn make(&self, vendor: &dyn Vendor, access: &Secret, toll: &dyn Toll) -> Result<Inventory, VendorError> {
        vendor.inventory(access, toll).await
    }
}

/// The name under which the store keeps an account's inventory.
fn note(account: &AccountId) -> String {
    format!("inventory/{account}")
}

// === impl Shelf ===

impl Shelf {
    fn new(listed: Option<Listed>) -> Self {
        let contents = Mutex::new(Contents { listed, ..Contents::default() });
        Self { contents, turn: tokio::sync::Mutex::default(), background: Arc::new(Semaphore::new(1)) }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Inventory {
        self.contents().listed.as_ref().map(|it| it.inventory.clone()).unwrap_or_default()
    }

    /// Not known, of another login perhaps, too long ago, or at a time that has not come yet.
    fn is_old(&self, now: Timestamp) -> bool {
        let contents = self.contents();
        contents.n_logins_listed < contents.n_logins
            || contents.listed.as_ref().is_none_or(|it| !(0..=OLD.as_secs()).contains(&(now.as_second() - it.at)))
    }

    fn note_login(&self) {
        self.contents().n_logins += 1;
    }

    fn n_logins(&self) -> u64 {
        self.contents().n_logins
    }

    fn not_before(&self) -> Duration {
        self.contents().not_before
    }

    fn put(&self, listed: Listed, n_logins: u64) {
        let mut contents = self.contents();
        *contents = Contents {
            listed: Some(listed),
            n_logins: contents.n_logins,
            n_logins_listed: n_logins,
            ..Contents::default()
        };
    }

    /// Notes a failure, and says how long to wait.
    fn put_off(&self, now: Duration, retry_after: Option<Duration>) -> Duration {
        let mut contents = self.contents();
        contents.n_failures += 1;
        let pause = PATIENCE.pause(contents.n_failures, fastrand::f64()).max(retry_after.unwrap_or_default());
        contents.not_before = now + pause;
        pause
    }
}
