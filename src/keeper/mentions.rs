//! Which accounts may know of a refresh token, so that finding another one with the same token does not mean to look at
//! all of them before every refresh.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::account::{AccountId, Fingerprint, FingerprintKey, Record, Secret};

/// Every token that an account holds or remembers to have spent, and perhaps more: what its record says counts.
pub(super) struct Mentions {
    fingerprints: FingerprintKey,
    known: Mutex<Known>,
}

/// How the index names an account: an id has four times the room, and an account remembers many tokens.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u32);

/// What records mention, while they are gone through.
pub(super) struct Gathering(Vec<Mention>);

#[derive(Default)]
struct Known {
    /// By number.
    accounts: Vec<AccountId>,
    /// What all records mentioned when they were gone through last, sorted.
    gathered: Vec<Mention>,
    /// What came between that and the beginning of the next time; something while that is under way.
    before: BTreeSet<Mention>,
    /// What came since they were begun to be gone through.
    since: BTreeSet<Mention>,
}

/// Half of the fingerprint of a token, and an account. Two tokens that have the same half are taken for one here, which the
/// records know better.
type Mention = (u32, Number);

/// So few are not worth going through all records.
const FEW: usize = 100;

impl Mentions {
    /// With nothing gathered yet, and with room for so many accounts: what grows leaves a hole where the smaller one was.
    pub(super) fn with_room(n_accounts: usize, fingerprints: FingerprintKey) -> Self {
        let known = Known { accounts: Vec::with_capacity(n_accounts), ..Known::default() };
        Self { fingerprints, known: Mutex::new(known) }
    }

    /// Of an account that is kept from now on. One that comes back gets another number, which is few bytes for each time.
    pub(super) fn number(&self, account: &AccountId) -> Number {
        let accounts = &mut self.known().accounts;
        let number = u32::try_from(accounts.len()).expect("there are fewer accounts than numbers");
        accounts.push(account.clone());
        Number(number)
    }

    /// Takes in what the record `next` mentions and the one `before` it did not, and puts it in place by `replace`: nobody
    /// sees a record whose tokens are not known.
    pub(super) fn note(&self, account: Number, before: &Record, next: &Record, replace: impl FnOnce()) {
        let new_tokens = tokens(next).filter(|it| tokens(before).all(|old| old != *it));
        // They come behind those that were known.
        let new_spent = next.spent.iter().rev().take_while(|it| !before.spent.contains(it)).copied();
        let mut known = self.known();
        for fingerprint in new_tokens.map(|it| self.fingerprints.of(it)).chain(new_spent) {
            let mention = (half(fingerprint), account);
            // While records are gone through, what is known by then is about to be forgotten.
            let is_gathering = !known.before.is_empty();
            if is_gathering || known.gathered.binary_search(&mention).is_err() {
                known.since.insert(mention);
            }
        }
        replace();
    }

    /// The accounts to look at for a token with this fingerprint.
    pub(super) fn of(&self, fingerprint: Fingerprint) -> BTreeSet<AccountId> {
        let (known, half) = (self.known(), half(fingerprint));
        let first = known.gathered.partition_point(|it| it.0 < half);
        let gathered = known.gathered[first..].iter().take_while(|it| it.0 == half);
        let all = (half, Number(0))..=(half, Number(u32::MAX));
        let found = gathered.chain(known.before.range(all.clone())).chain(known.since.range(all));
        found.map(|it| known.account(it).clone()).collect()
    }

    /// The accounts that mention a token which another one mentions, too, as they were gathered.
    pub(super) fn shared(&self) -> BTreeSet<AccountId> {
        let known = self.known();
        let shared = known.gathered.chunk_by(|one, next| one.0 == next.0).filter(|it| 1 < it.len());
        shared.flatten().map(|it| known.account(it).clone()).collect()
    }

    /// Begins to gather anew what records mention, where much came since the last time. What comes from here on is known,
    /// whether or not it is gathered.
    pub(super) fn begin_to_gather(&self) -> Option<Gathering> {
        let known = &mut *self.known();
        if known.since.len() < FEW.max(known.gathered.len() / 4) {
            return None;
        }
        known.before.append(&mut known.since);
        Some(Gathering::with_room(known.gathered.len() + known.before.len()))
    }

    pub(super) fn gather(&self, account: Number, record: &Record, into: &mut Gathering) {
        let held = tokens(record).map(|it| self.fingerprints.of(it)).filter(|it| !record.spent.contains(it));
        let fingerprints = held.chain(record.spent.iter().copied());
        into.0.extend(fingerprints.map(|it| (half(it), account)));
    }

    /// What was gathered is what is known, and what came since: all accounts that may still spend a token have had their
    /// turn.
    pub(super) fn finish_gathering(&self, sorted: Gathering) {
        let mut known = self.known();
        known.gathered = sorted.0;
        known.before.clear();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathering {
    /// With room for so many tokens.
    pub(super) fn with_room(n_tokens: usize) -> Self {
        Self(Vec::with_capacity(n_tokens))
    }

    /// Of a hundred thousand accounts it takes half a second.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self.0.dedup();
        self
    }
}

impl Known {
    fn account(&self, (_, number): &Mention) -> &AccountId {
        &self.accounts[number.0 as usize]
    }
}

fn half(fingerprint: Fingerprint) -> u32 {
    let [a, b, c, d, ..] = *fingerprint.as_bytes();
    u32::from_be_bytes([a, b, c, d])
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

    fn spent(last: u8) -> Record {
        Record { spent: [Fingerprint::from_bytes([7, 7, 7, 7, 0, 0, 0, last])].into(), ..Record::default() }
    }

    /// Nothing gathered yet, and two accounts.
    fn mentions() -> (Mentions, [(AccountId, Number); 2]) {
        let mentions = Mentions::with_room(0, FingerprintKey::from_bytes([1; 32]));
        let accounts = ["home", "cabin"].map(|it| it.parse().unwrap()).map(|it| (mentions.number(&it), it));
        (mentions, accounts.map(|(number, id)| (id, number)))
    }

    #[test]
    fn an_account_is_found_by_what_it_holds_and_by_what_it_spent_until_its_record_says_so_no_more() {
        let (mentions, [(home, of_home), (cabin, of_cabin)]) = mentions();
        let of = |token: &str| mentions.fingerprints.of(&Secret::new(token));
        let mut gathering = Gathering::with_room(0);
        for account in [of_home, of_cabin] {
            mentions.gather(account, &holding("0".to_owned()), &mut gathering);
        }
        mentions.finish_gathering(gathering.sorted());
        assert_eq!(mentions.shared(), [cabin.clone(), home.clone()].into());
        assert_eq!(mentions.of(of("0")), [home.clone(), cabin.clone()].into());
        let mut record = holding("0".to_owned());
        for number in 1..=FEW {
            assert!(mentions.begin_to_gather().is_none(), "{number} are few");
            let mut next = holding(number.to_string());
            next.spent = [of(&(number - 1).to_string())].into();
            mentions.note(of_home, &record, &next, || {});
            record = next;
        }
        assert_eq!(mentions.of(of("1")), [home.clone()].into());
        let last = FEW.to_string();
        let mut gathering = mentions.begin_to_gather().unwrap();
        assert_eq!(mentions.of(of("1")), [home.clone()].into(), "until all is gathered");
        mentions.note(of_cabin, &holding("0".to_owned()), &holding("meanwhile".to_owned()), || {});
        mentions.gather(of_home, &record, &mut gathering);
        mentions.gather(of_cabin, &holding("meanwhile".to_owned()), &mut gathering);
        mentions.finish_gathering(gathering.sorted());
        assert_eq!((mentions.of(of(&last)), mentions.of(of("1"))), ([home.clone()].into(), [].into()));
        assert_eq!(mentions.of(of(&(FEW - 1).to_string())), [home].into());
        assert_eq!(mentions.of(of("meanwhile")), [cabin].into());
        assert!(mentions.begin_to_gather().is_none(), "little came since");
        assert!(mentions.shared().is_empty());
    }

    #[test]
    fn what_comes_back_while_records_are_gone_through_is_known_after_it() {
        let (mentions, [(home, of_home), (_, of_cabin)]) = mentions();
        let (blank, held) = (Record::default(), holding("0".to_owned()));
        let mut gathering = Gathering::with_room(0);
        mentions.gather(of_home, &held, &mut gathering);
        mentions.finish_gathering(gathering.sorted());
        for number in 1..=FEW {
            mentions.note(of_cabin, &blank, &holding(number.to_string()), || {});
        }
        let mut gathering = mentions.begin_to_gather().unwrap();
        // It was forgotten, and is recalled when its turn is over.
        mentions.gather(of_home, &blank, &mut gathering);
        mentions.note(of_home, &blank, &held, || {});
        mentions.finish_gathering(gathering.sorted());
        assert_eq!(mentions.of(mentions.fingerprints.of(&Secret::new("0"))), [home].into());
    }

    #[test]
    fn two_tokens_that_look_alike_in_the_index_are_both_found() {
        let (mentions, [(home, of_home), (cabin, of_cabin)]) = mentions();
        let mut gathering = Gathering::with_room(0);
        mentions.gather(of_home, &spent(1), &mut gathering);
        mentions.gather(of_home, &spent(2), &mut gathering);
        mentions.finish_gathering(gathering.sorted());
        assert!(mentions.shared().is_empty());
        for (account, last) in [(of_home, 3), (of_cabin, 4), (of_cabin, 5)] {
            mentions.note(account, &Record::default(), &spent(last), || {});
        }
        for last in 0..=5 {
            assert_eq!(mentions.of(spent(last).spent[0]), [home.clone(), cabin.clone()].into());
        }
        assert!(mentions.of(Fingerprint::from_bytes([8; 8])).is_empty());
    }
}
