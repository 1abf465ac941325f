//! Who is kept. A reload puts another roster in the place of the one before; who works with an account of the old one goes
//! on with it to the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, Weak},
};

use crate::account::AccountId;

use super::{Shared, heart::Heart, keeping::Keeping};

#[derive(Default)]
pub(super) struct Roster {
    pub(super) kept: BTreeMap<AccountId, Arc<Keeping>>,
    /// Hearts of accounts that were taken out of the configuration. One that still beats has something under way; it is
    /// given back to its account if that returns, so that no account ever has two.
    pub(super) leaving: BTreeMap<AccountId, Weak<Heart>>,
}

impl Roster {
    /// The hearts of all accounts that may still spend a token, with whether they are about to leave.
    pub(super) fn hearts(&self) -> impl Iterator<Item = (&AccountId, Arc<Heart>, bool)> {
        let kept = self.kept.iter().map(|(id, keeping)| (id, keeping.heart.clone(), false));
        let leaving = self.leaving.iter().filter_map(|(id, heart)| Some((id, heart.upgrade()?, true)));
        kept.chain(leaving)
    }

    /// The heart of an account that may still spend a token, with whether it is about to leave.
    pub(super) fn heart(&self, account: &AccountId) -> Option<(Arc<Heart>, bool)> {
        let kept = self.kept.get(account).map(|it| (it.heart.clone(), false));
        kept.or_else(|| Some((self.leaving.get(account)?.upgrade()?, true)))
    }
}

impl Shared {
    /// Who is kept at this moment.
    pub(super) fn roster(&self) -> Arc<Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An account as it is configured at this moment.
    pub(super) fn kept(&self, account: &AccountId) -> Option<Arc<Keeping>> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).kept.get(account).cloned()
    }

    /// Puts an account on the agenda where its record says it belongs; one that is kept no more goes off it.
    pub(super) fn plan(&self, account: &AccountId) {
        // Held until it is planned, so that nobody plans by terms that a reload has replaced meanwhile.
        let roster = self.roster.read().unwrap_or_else(PoisonError::into_inner);
        match roster.kept.get(account) {
            Some(keeping) => self.agenda.plan(keeping, self.clock().now()),
            None => self.agenda.strike(account),
        }
    }
}
