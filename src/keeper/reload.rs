//! Other accounts than before, without a restart.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, Weak},
};

use tracing::{error, warn};

use crate::account::{AccountId, Record};

use super::{
    Account, Keeper, Notice, Shared, card::Card, heart::Heart, keeping::Keeping, roster::Roster, start::read_record,
};

/// What became of the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    pub added: Vec<AccountId>,
    pub changed: Vec<AccountId>,
    /// What is under way for them comes to its end, and their records stay in the store.
    pub removed: Vec<AccountId>,
}

impl Keeper {
    /// Keeps these accounts from now on, and no others.
    ///
    /// An account that stays keeps its record, its flight and its figures; a call under way ends by the terms by which it
    /// began. One that is new gets the record that the store has of it. One whose record cannot be read is not added, and
    /// one that has another vendor stays as it was; both are logged. `is_unproven`: as [`Grounds::unproven`], of those that
    /// are new.
    ///
    /// [`Grounds::unproven`]: super::Grounds::unproven
    pub async fn reload(&self, accounts: Vec<Account>, is_unproven: impl Fn(&AccountId) -> bool) -> Reloaded {
        let shared = &self.0;
        // One reload at a time, and nobody takes a token while the accounts are compared.
        let _turn = shared.proposals.lock().await;
        let old = shared.roster();
        let mut reloaded = Reloaded::default();
        let mut kept = BTreeMap::new();
        for account in accounts {
            let id = account.settings.id.clone();
            let keeping = match old.kept.get(&id) {
                Some(before) => {
                    let keeping = shared.changed(before, account);
                    if !Arc::ptr_eq(before, &keeping) {
                        reloaded.changed.push(id.clone());
                    }
                    keeping
                }
                None => match shared.added(&old, account, is_unproven(&id)).await {
                    Some(keeping) => {
                        reloaded.added.push(id.clone());
                        keeping
                    }
                    None => continue,
                },
            };
            kept.insert(id, keeping);
        }
        let removed: Vec<Arc<Keeping>> = old.kept.values().filter(|it| !kept.contains_key(&it.id)).cloned().collect();
        reloaded.removed = removed.iter().map(|it| it.id.clone()).collect();
        let records: Vec<Arc<Record>> = removed.iter().map(|it| it.record()).collect();
        shared.take_over(&old, kept, &removed);
        // From here on only what is under way holds the hearts of those that are gone.
        drop((old, removed));
        shared.look_at_twins(&reloaded.added, &records).await;
        let _ = shared.common.notices.send(Notice::Accounts);
        reloaded
    }
}

impl Shared {
    /// The account as it is configured now, with the heart that it has; the same one where nothing is different.
    fn changed(&self, before: &Arc<Keeping>, account: Account) -> Arc<Keeping> {
        let policy = self.policy(&account);
        let card = Card::of(&account.settings);
        if card.vendor != before.card.vendor {
            // The tokens that are held would be shown to a stranger.
            error!(
                account = %before.id,
                "an account keeps its vendor: it stays at {}. Give the login at {} an id of its own.",
                before.card.vendor, card.vendor
            );
            return before.clone();
        }
        let is_same_vendor = before.vendor.serves(&account.settings.vendor);
        if is_same_vendor && policy == before.policy && card == *before.card {
            return before.clone();
        }
        let vendor = if is_same_vendor { before.vendor.clone() } else { account.vendor };
        Arc::new(before.configured(card, vendor, policy))
    }

    /// An account that was not kept until now; none where what the store has of it cannot be read.
    async fn added(&self, old: &Roster, account: Account, is_unproven: bool) -> Option<Arc<Keeping>> {
        let id = &account.settings.id;
        let vendor = account.vendor.kind();
        if let Some(heart) = old.leaving.get(id).and_then(Weak::upgrade) {
            if heart.vendor == vendor {
                return Some(self.keep(account, heart));
            }
            error!(account = %id, "it is not kept: a call to {} is still under way for it. Reload again.", heart.vendor);
            return None;
        }
        // It may have been listed for an earlier life of this account.
        self.inventories.forget(id);
        let record = match self.store().record(id).await {
            Ok(entry) => entry.map(|it| read_record(&it, vendor, is_unproven, self.clock().now())).transpose(),
            Err(trouble) => {
                error!(account = %id, "it is not kept: {trouble}. {}", trouble.mend());
                return None;
            }
        };
        let read = match record {
            Ok(read) => read,
            Err(unreadable) => {
                error!(account = %id, "it is not kept: {unreadable}");
                return None;
            }
        };
        let heart = Heart::new(vendor, self.common.mentions.number(id), read);
        self.common.mentions.note(heart.number, &Record::default(), &heart.record(), || {});
        let keeping = self.keep(account, heart);
        if keeping.is_ahead() {
            keeping.catch_up().await;
        }
        if !keeping.record().has_refresh_token() {
            warn!(account = %keeping.id, "no refresh token configured: give one with update_tokens");
        }
        self.common.desk.lay(&keeping.heart);
        Some(keeping)
    }

    /// From here on the new roster counts.
    fn take_over(self: &Arc<Self>, old: &Roster, kept: BTreeMap<AccountId, Arc<Keeping>>, removed: &[Arc<Keeping>]) {
        let left = old.leaving.iter().map(|(id, heart)| (id.clone(), heart.clone()));
        let leaving = left.chain(removed.iter().map(|it| (it.id.clone(), Arc::downgrade(&it.heart))));
        let (beating, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            leaving.filter(|(id, _)| !kept.contains_key(id)).partition(|(_, heart)| 0 < heart.strong_count());
        let fresh: Vec<Arc<Keeping>> = kept
            .values()
            .filter(|it| old.kept.get(&it.id).is_none_or(|before| !Arc::ptr_eq(before, it)))
            .cloned()
            .collect();
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Roster { kept, leaving: beating });
        for id in gone.keys() {
            self.inventories.forget(id);
        }
        for keeping in removed {
            self.plan(&keeping.id);
        }
        for keeping in fresh {
            self.finish_what_was_left(&keeping);
            self.plan(&keeping.id);
        }
    }
}
