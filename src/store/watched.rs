//! A store that tells somebody of every record as soon as it is durable, before the one who committed it goes on.

use async_trait::async_trait;

use super::{Commit, Entry, SledStore, Store, StoreError, codec};
use crate::account::{AccountId, Fingerprint, Record};

/// `watch` hears of every record that is loaded, and of each one that is committed.
pub struct Watched<W> {
    store: SledStore,
    watch: W,
}

impl<W: Fn(&AccountId, &Record) + Send + Sync> Watched<W> {
    pub fn new(store: SledStore, watch: W) -> Self {
        Self { store, watch }
    }
}

#[async_trait]
impl<W: Fn(&AccountId, &Record) + Send + Sync> Store for Watched<W> {
    fn load(&self) -> Vec<Entry> {
        let entries = self.store.load();
        for entry in &entries {
            if let Ok(record) = codec::decode(&entry.record, entry.revision) {
                (self.watch)(&entry.account, &record);
            }
        }
        entries
    }

    async fn record(&self, account: &AccountId) -> Result<Option<Entry>, StoreError> {
        self.store.record(account).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        let Commit { account, record, .. } = commit.clone();
        let revision = self.store.commit(commit).await?;
        if let Ok(record) = codec::decode(&record, revision) {
            (self.watch)(&account, &record);
        }
        Ok(revision)
    }

    async fn is_spent(&self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError> {
        self.store.is_spent(accounts, fingerprint).await
    }

    fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.store.note(name)
    }

    async fn put_note(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.store.put_note(name, bytes).await
    }

    async fn check_room(&self) -> Result<(), StoreError> {
        self.store.check_room().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
