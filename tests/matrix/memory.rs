//! A store in memory, which can be looked into.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
};

use async_trait::async_trait;
use latchkey::{
    account::{AccountId, Fingerprint, Record},
    store::{Commit, Entry, Store, StoreError, codec},
};

/// Keeps what the real one keeps, as long as the process lives.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    newest: HashMap<AccountId, Entry>,
    spent: HashMap<AccountId, BTreeSet<Fingerprint>>,
    notes: HashMap<String, Vec<u8>>,
}

impl Memory {
    /// The record of an account as its last commit has it.
    pub(crate) fn record(&self, account: &AccountId) -> Option<Record> {
        let contents = self.0.lock().unwrap();
        contents.newest.get(account).map(|it| codec::decode(&it.record, it.revision).unwrap())
    }
}

#[async_trait]
impl Store for Memory {
    fn load(&self) -> Vec<Entry> {
        Vec::new()
    }

    async fn record(&self, account: &AccountId) -> Result<Option<Entry>, StoreError> {
        Ok(self.0.lock().unwrap().newest.get(account).cloned())
    }

    async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        let Commit { account, expected, record, .. } = commit;
        let mut contents = self.0.lock().unwrap();
        assert_eq!(contents.newest.get(&account).map_or(0, |it| it.revision), expected, "two wrote at once");
        contents.spent.entry(account.clone()).or_default().extend(record.spent());
        contents.newest.insert(account.clone(), Entry { account, revision: expected + 1, record });
        Ok(expected + 1)
    }

    async fn is_spent(&self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError> {
        let spent = &self.0.lock().unwrap().spent;
        Ok(accounts.iter().filter_map(|it| spent.get(it)).any(|it| it.contains(&fingerprint)))
    }

    fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().notes.get(name).cloned()
    }

    async fn put_note(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.0.lock().unwrap().notes.insert(name.to_owned(), bytes);
        Ok(())
    }

    async fn check_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
