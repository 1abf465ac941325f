//! Which accounts may know of a refresh token, so that finding another one with the same token does not mean to look at
//! all of them before every refresh.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::account::{AccountId, Fingerprint, FingerprintKey, Record, Secret};

/// Every token that an account holds or remembers to have spent, and perhaps more: what its record says counts.
pub(super) struct Mentions {
    fingerprints: FingerprintKey,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tokens: HashMap<Fingerprint, Vec<AccountId>>,
    /// How many there were when they were gathered last.
    n_gathered: usize,
}

/// So few are not worth gathering anew.
const FEW: usize = 1000;

impl Mentions {
    pub(super) fn new(fingerprints: FingerprintKey) -> Self {
        Self { fingerprints, known: Mutex::default() }
    }

    /// Takes in what the record `next` mentions and the one `before` it did not, and puts it in place by `replace`: nobody
    /// sees a record whose tokens are not known.
    pub(super) fn note(&self, account: &AccountId, before: &Record, next: &Record, replace: impl FnOnce()) {
        let new_tokens = tokens(next).filter(|it| tokens(before).all(|old| old != *it));
        let new_spent = next.spent.iter().filter(|it| !before.spent.contains(it)).copied();
        let mut known = self.known();
        for fingerprint in new_tokens.map(|it| self.fingerprints.of(it)).chain(new_spent) {
            known.add(fingerprint, account);
        }
        replace();
    }

    /// The accounts to look at for a token with this fingerprint.
    pub(super) fn of(&self, fingerprint: Fingerprint) -> Vec<AccountId> {
        self.known().tokens.get(&fingerprint).cloned().unwrap_or_default()
    }

    /// The accounts that mention a token which another one mentions, too.
    pub(super) fn shared(&self) -> BTreeSet<AccountId> {
        self.known().tokens.values().filter(|it| 1 < it.len()).flatten().cloned().collect()
    }

    /// Forgets what no record mentions any more, where that may be the greater part. `records`: of all accounts that may
    /// still spend a token, as they are when it is called.
    pub(super) fn tidy<'a>(&self, records: impl Iterator<Item = (&'a AccountId, Arc<Record>)>) {
        let mut known = self.known();
        if known.tokens.len() < FEW.max(2 * known.n_gathered) {
            return;
        }
        let mut gathered = Known::default();
        for (account, record) in records {
            for fingerprint in tokens(&record).map(|it| self.fingerprints.of(it)).chain(record.spent.iter().copied()) {
                gathered.add(fingerprint, account);
            }
        }
        gathered.n_gathered = gathered.tokens.len();
        *known = gathered;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, fingerprint: Fingerprint, account: &AccountId) {
        let accounts = self.tokens.entry(fingerprint).or_default();
        if !accounts.contains(account) {
            // Hardly ever is there a second one.
            accounts.reserve_exact(1);
            accounts.push(account.clone());
        }
    }
}

fn tokens(record: &Record) -> impl Iterator<Item = &Secret> {
    record.held().filter_map(|it| it.refresh.as_ref())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::account::{Extras, Grant};

    fn holding(token: String) -> Record {
        let at = Timestamp::UNIX_EPOCH;
        let grant = Grant {
            access: None,
            refresh: Some(Secret::new(token)),
            extras: Extras::default(),
            issued_at: at,
            refresh_updated_at: at,
            access_expires_at: None,
            refresh_expires_at: None,
            generation: 1,
            proven: true,
            refresh_end: None,
        };
        Record { current: Some(grant), ..Record::default() }
    }

    #[test]
    fn an_account_is_found_by_what_it_holds_and_by_what_it_spent_until_its_record_says_so_no_more() {
        let key = FingerprintKey::from_bytes([1; 32]);
        let mentions = Mentions::new(key.clone());
        let of = |token: &str| key.of(&Secret::new(token));
        let (home, cabin): (AccountId, AccountId) = ("home".parse().unwrap(), "cabin".parse().unwrap());
        mentions.note(&home, &Record::default(), &holding("0".to_owned()), || {});
        assert!(mentions.shared().is_empty());
        mentions.note(&cabin, &Record::default(), &holding("0".to_owned()), || {});
        assert_eq!(mentions.shared(), [cabin.clone(), home.clone()].into());
        assert_eq!(mentions.of(of("0")), [home.clone(), cabin]);
        let mut record = holding("0".to_owned());
        for number in 1..=FEW {
            let mut next = holding(number.to_string());
            next.spent = [of(&(number - 1).to_string())].into();
            mentions.note(&home, &record, &next, || {});
            record = next;
        }
        assert_eq!(mentions.of(of("1")), std::slice::from_ref(&home));
        let last = FEW.to_string();
        mentions.tidy([(&home, Arc::new(record))].into_iter());
        assert_eq!((mentions.of(of(&last)), mentions.of(of("1"))), (vec![home.clone()], vec![]));
        assert_eq!(mentions.of(of(&(FEW - 1).to_string())), [home]);
    }
}
