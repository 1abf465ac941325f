//! The store as others hold it: a handle to the thread that writes.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    Commit, Entry, OpenReport, Stats, Store, StoreError, StoreSettings,
    counters::Counters,
    disk::{self, Disk},
    open,
    writer::{Change, Notes, Reply, Request},
};
use crate::{
    account::{AccountId, Fingerprint, FingerprintKey},
    clock::Clock,
};

const MAX_NOTE_NAME: usize = 64;

/// The journal with sled 0.34.7 behind it, in a folder of its own.
///
/// Dropping it makes sled durable and lets go of the lock, as [`Store::close`] does, and blocks for that long.
pub struct SledStore {
    /// Nothing once the store is being dropped.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// Held for a moment only, never across an await.
    entries: Mutex<Vec<Entry>>,
    notes: Notes,
    fingerprint_key: FingerprintKey,
    counters: Arc<Counters>,
}

impl SledStore {
    /// Opens the store, making it where there is none. Blocks while it reads; the report says what was found and mended.
    ///
    /// Fails without having changed anything when the folder or the key is not private, the key is missing or wrong,
    /// another process holds the store, or a later Latchkey wrote it.
    pub fn open(settings: StoreSettings, clock: Clock) -> Result<(Self, OpenReport), StoreError> {
        Self::open_on(disk::real(), settings, clock)
    }

    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        settings: StoreSettings,
        clock: Clock,
    ) -> Result<(Self, OpenReport), StoreError> {
        let notes = open::no_notes();
        let counters = Arc::new(Counters::default());
        let opened = open::open(&settings, disk, clock, notes.clone(), counters.clone())?;
        let (requests, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            let closing = opened.writer.run(&receiver);
            if let Some((reply, closed)) = closing {
                let _ = reply.send(closed);
            }
        });
        let thread = thread.map_err(|error| StoreError::io("start the writer of", &settings.path, &error))?;
        let store = Self {
            requests: Some(requests),
            thread: Some(thread),
            entries: Mutex::new(opened.entries),
            notes,
            fingerprint_key: opened.fingerprint_key,
            counters,
        };
        Ok((store, opened.report))
    }

    /// The key under which this installation takes fingerprints; the same for as long as the store lives.
    pub fn fingerprint_key(&self) -> FingerprintKey {
        self.fingerprint_key.clone()
    }

    /// Figures since the store was opened.
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        let _waiting = self.counters.wait();
        requests.send(request(reply)).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

#[async_trait]
impl Store for SledStore {
    fn load(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn record(&self, account: &AccountId) -> Result<Option<Entry>, StoreError> {
        let account = account.clone();
        self.ask(|reply| Request::Record { account, reply }).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        self.ask(|reply| Request::Change(Change::Commit { commit, reply })).await
    }

    async fn is_spent(&self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError> {
        let accounts = accounts.to_vec();
        self.ask(|reply| Request::IsSpent { accounts, fingerprint, reply }).await
    }

    fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.notes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn put_note(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        if name.is_empty() || name.len() > MAX_NOTE_NAME {
            return Err(StoreError::TooLong { what: "the name of a note".to_owned() });
        }
        let name = name.to_owned();
        self.ask(|reply| Request::Change(Change::Note { name, bytes, reply })).await
    }

    async fn check_room(&self) -> Result<(), StoreError> {
        self.ask(|reply| Request::CheckRoom { reply }).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.ask(|reply| Request::Close { reply }).await
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
