//! Which accounts may know of a refresh token, so that finding another one with the same token does not mean to look at
//! all of them before every refresh.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::account::{AccountId, Fingerprint, FingerprintKey, Record, Secret};

/// Every token that an account holds or remembers to have spent, and perhaps more: what its record says counts.
pub(super) struct Mentions {
    fingerprints: FingerprintKey,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    now: Index,
    /// What is being gathered, to take the place of the other.
    next: Option<Index>,
    /// How many tokens there were when they were gathered last.
    n_gathered: usize,
}

#[derive(Default)]
struct Index {
    tokens: HashMap<Fingerprint, AccountId>,
    /// Whoever else mentions a token, which is hardly ever anyone.
    others: HashMap<Fingerprint, Vec<AccountId>>,
}

/// So few are not worth gathering anew.
const FEW: usize = 1000;

impl Mentions {
    /// With room for so many tokens: a table that grows leaves a hole where the smaller one was.
    pub(super) fn with_room(n_tokens: usize, fingerprints: FingerprintKey) -> Self {
        let now = Index { tokens: HashMap::with_capacity(n_tokens), ..Index::default() };
        Self { fingerprints, known: Mutex::new(Known { now, ..Known::default() }) }
    }

    /// Takes in what the record `next` mentions and the one `before` it did not, and puts it in place by `replace`: nobody
    /// sees a record whose tokens are not known.
    pub(super) fn note(&self, account: &AccountId, before: &Record, next: &Record, replace: impl FnOnce()) {
        let new_tokens = tokens(next).filter(|it| tokens(before).all(|old| old != *it));
        // They come behind those that were known.
        let new_spent = next.spent.iter().rev().take_while(|it| !before.spent.contains(it)).copied();
        let mut known = self.known();
        let known = &mut *known;
        for fingerprint in new_tokens.map(|it| self.fingerprints.of(it)).chain(new_spent) {
            for index in [Some(&mut known.now), known.next.as_mut()].into_iter().flatten() {
                index.add(fingerprint, account);
            }
        }
        replace();
    }

    /// The accounts to look at for a token with this fingerprint.
    pub(super) fn of(&self, fingerprint: Fingerprint) -> Vec<AccountId> {
        let known = &self.known().now;
        let others = known.others.get(&fingerprint).into_iter().flatten();
        known.tokens.get(&fingerprint).into_iter().chain(others).cloned().collect()
    }

    /// The accounts that mention a token which another one mentions, too.
    pub(super) fn shared(&self) -> BTreeSet<AccountId> {
        let known = &self.known().now;
        let firsts = known.others.keys().filter_map(|it| known.tokens.get(it));
        known.others.values().flatten().chain(firsts).cloned().collect()
    }

    /// What is known now is what the records mention.
    pub(super) fn were_gathered(&self) {
        let mut known = self.known();
        known.n_gathered = known.now.tokens.len();
    }

    /// Begins to gather anew what records mention, where that may be less than half of what is known. Gives whether it is to
    /// be done. What is noted from here on is gathered, too.
    pub(super) fn begin_to_gather(&self) -> bool {
        let mut known = self.known();
        let is_worth_it = FEW.max(2 * known.n_gathered) <= known.now.tokens.len();
        known.next = is_worth_it.then(Index::default);
        is_worth_it
    }

    pub(super) fn gather(&self, account: &AccountId, record: &Record) {
        if let Some(next) = &mut self.known().next {
            for fingerprint in tokens(record).map(|it| self.fingerprints.of(it)).chain(record.spent.iter().copied()) {
                next.add(fingerprint, account);
            }
        }
    }

    /// What was gathered is what is known: all accounts that may still spend a token have had their turn.
    pub(super) fn finish_gathering(&self) {
        let mut known = self.known();
        if let Some(next) = known.next.take() {
            known.n_gathered = next.tokens.len();
            known.now = next;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, fingerprint: Fingerprint, account: &AccountId) {
        match self.tokens.entry(fingerprint) {
            Entry::Vacant(vacant) => drop(vacant.insert(account.clone())),
            Entry::Occupied(first) if first.get() == account => {}
            Entry::Occupied(_) => {
                let others = self.others.entry(fingerprint).or_default();
                if !others.contains(account) {
                    others.push(account.clone());
                }
            }
        }
    }
}

fn tokens(record: &Record) -> impl Iterator<Item = &Secret> {
    record.held().filter_map(|it| it.refresh.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Grant, fixture};

    fn holding(token: String) -> Record {
        fixture::holding(Grant { refresh: Some(Secret::new(token)), ..fixture::grant(1) })
    }

    #[test]
    fn an_account_is_found_by_what_it_holds_and_by_what_it_spent_until_its_record_says_so_no_more() {
        let key = FingerprintKey::from_bytes([1; 32]);
        let mentions = Mentions::with_room(0, key.clone());
        let of = |token: &str| key.of(&Secret::new(token));
        let (home, cabin): (AccountId, AccountId) = ("home".parse().unwrap(), "cabin".parse().unwrap());
        mentions.note(&home, &Record::default(), &holding("0".to_owned()), || {});
        assert!(mentions.shared().is_empty());
        mentions.note(&cabin, &Record::default(), &holding("0".to_owned()), || {});
        assert_eq!(mentions.shared(), [cabin.clone(), home.clone()].into());
        assert_eq!(mentions.of(of("0")), [home.clone(), cabin.clone()]);
        let mut record = holding("0".to_owned());
        for number in 1..=FEW {
            let mut next = holding(number.to_string());
            next.spent = [of(&(number - 1).to_string())].into();
            mentions.note(&home, &record, &next, || {});
            record = next;
        }
        assert_eq!(mentions.of(of("1")), std::slice::from_ref(&home));
        let last = FEW.to_string();
        assert!(mentions.begin_to_gather());
        mentions.note(&cabin, &holding("0".to_owned()), &holding("meanwhile".to_owned()), || {});
        mentions.gather(&home, &record);
        mentions.finish_gathering();
        assert_eq!((mentions.of(of(&last)), mentions.of(of("1"))), (vec![home.clone()], vec![]));
        assert_eq!(mentions.of(of(&(FEW - 1).to_string())), [home]);
        assert_eq!(mentions.of(of("meanwhile")), [cabin]);
        assert!(!mentions.begin_to_gather(), "there is too little for it");
    }
}
