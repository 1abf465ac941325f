//! The fingerprints of spent tokens, which sled keeps for good. Many share a key there: sled pays for each key many times.
//!
//! A run is up to [`LONGEST_RUN`] fingerprints of one account, behind each other in the order in which they came. Its key
//! is [`RUNS`], the account's id, a zero byte and the number of the run, so an account's runs stand in their order.

use std::collections::{BTreeMap, btree_map};

use sled::Db;

use crate::account::{AccountId, Fingerprint};

/// The first byte of the key of a fingerprint that has one for itself, as the first version wrote them. Frames have lower
/// ones.
pub(super) const SINGLE: u8 = 0x10;
/// The first byte of the key of a run.
const RUNS: u8 = 0x11;
/// What comes behind all of them.
pub(super) const END: u8 = 0x12;

/// A run is written anew for each that it takes, which costs up to 2 KiB. Each key costs sled 6 KB for good: with runs of 32
/// the store was four times as big after 100,000 refreshes.
const LONGEST_RUN: usize = 256;
const LENGTH: usize = size_of::<Fingerprint>();

/// Fingerprints by account, each once; those of one record in the order in which they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Spent(BTreeMap<AccountId, Vec<Fingerprint>>);

impl Spent {
    pub(super) fn add(&mut self, account: &AccountId, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        let mut fingerprints = fingerprints.into_iter().peekable();
        if fingerprints.peek().is_none() {
            return;
        }
        let known = self.0.entry(account.clone()).or_default();
        for fingerprint in fingerprints {
            if !known.contains(&fingerprint) {
                known.push(fingerprint);
            }
        }
    }

    pub(super) fn of(&self, account: &AccountId) -> &[Fingerprint] {
        self.0.get(account).map_or(&[], Vec::as_slice)
    }
}

impl IntoIterator for Spent {
    type Item = (AccountId, Vec<Fingerprint>);
    type IntoIter = btree_map::IntoIter<AccountId, Vec<Fingerprint>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Makes `database` know these fingerprints; whether there was one that it did not know.
pub(super) fn add(database: &Db, spent: impl IntoIterator<Item = (AccountId, Vec<Fingerprint>)>) -> sled::Result<bool> {
    let mut is_any_new = false;
    for (account, mut new) in spent {
        let newest = retain_unknown(database, &account, &mut new)?;
        is_any_new |= !new.is_empty();
        append(database, &account, newest, &new)?;
    }
    Ok(is_any_new)
}

pub(super) fn contains(database: &Db, account: &AccountId, fingerprint: Fingerprint) -> sled::Result<bool> {
    let mut unknown = vec![fingerprint];
    retain_unknown(database, account, &mut unknown)?;
    Ok(unknown.is_empty())
}

/// The newest run of an account: its number, and what it holds.
#[derive(Default)]
struct Run {
    number: u32,
    bytes: Vec<u8>,
}

/// Leaves those of `fingerprints` that the database does not know, and gives the account's newest run.
fn retain_unknown(database: &Db, account: &AccountId, fingerprints: &mut Vec<Fingerprint>) -> sled::Result<Run> {
    let mut newest = None;
    let prefix = key(RUNS, account, &[]);
    // What is asked for is mostly of late.
    for run in database.scan_prefix(&prefix).rev() {
        let (key, bytes) = run?;
        fingerprints.retain(|it| bytes.chunks_exact(LENGTH).all(|known| known != it.as_bytes()));
        newest.get_or_insert_with(|| Run { number: number(&key[prefix.len()..]), bytes: bytes.to_vec() });
        if fingerprints.is_empty() {
            break;
        }
    }
    let mut unknown = Vec::new();
    for fingerprint in fingerprints.drain(..) {
        if !database.contains_key(key(SINGLE, account, fingerprint.as_bytes()))? {
            unknown.push(fingerprint);
        }
    }
    *fingerprints = unknown;
    Ok(newest.unwrap_or_default())
}

fn append(database: &Db, account: &AccountId, mut newest: Run, new: &[Fingerprint]) -> sled::Result<()> {
    let mut new = new.iter();
    while !new.as_slice().is_empty() {
        let room = LONGEST_RUN.saturating_sub(newest.bytes.len() / LENGTH);
        newest.bytes.extend(new.by_ref().take(room).flat_map(Fingerprint::as_bytes));
        if 0 < room {
            database.insert(key(RUNS, account, &newest.number.to_be_bytes()), newest.bytes)?;
        }
        newest = Run { number: newest.number + 1, bytes: Vec::new() };
    }
    Ok(())
}

fn key(first: u8, account: &AccountId, last: &[u8]) -> Vec<u8> {
    [&[first], account.as_str().as_bytes(), &[0], last].concat()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    fn spent(account: &str, numbers: impl IntoIterator<Item = u64>) -> Spent {
        let mut spent = Spent::default();
        let fingerprints = numbers.into_iter().map(|it| Fingerprint::from_bytes(it.to_be_bytes()));
        spent.add(&account.parse().unwrap(), fingerprints);
        spent
    }

    fn take(database: &Db, spent: &Spent) -> bool {
        add(database, spent.0.clone()).unwrap()
    }

    fn knows(database: &Db, spent: &Spent) -> bool {
        let mut each = spent.0.iter().flat_map(|(account, all)| all.iter().map(move |it| (account, it)));
        each.all(|(account, it)| contains(database, account, *it).unwrap())
    }

    #[test]
    fn each_is_known_of_its_own_account_however_they_come() {
        let database = database();
        for number in 0..100 {
            assert!(take(&database, &spent("home", [number])), "{number}");
        }
        // An account's id may begin like another's; a store that is brought up gets many at once.
        let mut many = spent("home_2", 0..1000);
        many.0.extend(spent("other", [7, 7, 8]).0);
        assert_eq!(many.of(&"other".parse().unwrap()).len(), 2);
        assert!(take(&database, &many));
        assert!(!take(&database, &many) && !take(&database, &spent("home", 0..100)));
        assert!(!take(&database, &Spent::default()));
        assert!(knows(&database, &many) && knows(&database, &spent("home", 0..100)));
        for (account, number) in [("home", 100), ("home_2", 1000), ("other", 1), ("another", 7)] {
            assert!(!knows(&database, &spent(account, [number])), "{account} {number}");
        }
    }

    #[test]
    fn many_share_a_key() {
        let (database, n_spent) = (database(), 2 * LONGEST_RUN as u64 + 1);
        for number in 0..n_spent {
            take(&database, &spent("home", [number]));
        }
        assert_eq!(database.len(), 3);
        take(&database, &spent("other", 0..n_spent));
        assert_eq!(database.len(), 6);
        assert!(knows(&database, &spent("home", 0..n_spent)) && knows(&database, &spent("other", 0..n_spent)));
    }

    #[test]
    fn what_the_first_version_wrote_is_known() {
        let database = database();
        let old = spent("home", [1, 2]);
        let home = "home".parse().unwrap();
        for fingerprint in old.of(&home) {
            database.insert(key(SINGLE, &home, fingerprint.as_bytes()), &[]).unwrap();
        }
        assert!(knows(&database, &old) && !knows(&database, &spent("home", [3])));
        assert!(!take(&database, &old) && take(&database, &spent("home", [2, 3])));
        assert!(knows(&database, &spent("home", 1..=3)));
        assert_eq!(database.len(), 3);
    }
}
