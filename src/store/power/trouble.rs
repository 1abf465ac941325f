//! A disk that is full, read-only or slow, seen from outside: what exists stays, and nothing is promised that is not kept.

use std::{sync::Arc, time::Duration};

use super::FrailDisk;
use crate::{
    account::{AccountId, Secret},
    clock::Clock,
    store::{CHECKPOINT_EVERY, Commit, KeySource, OpenReport, Packed, SledStore, Store, StoreError, StoreSettings},
};

struct Bench {
    base: tempfile::TempDir,
    disk: Arc<FrailDisk>,
}

impl Bench {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let disk = Arc::new(FrailDisk::on(&base.path().join("store")));
        Self { base, disk }
    }

    fn open(&self) -> Result<(SledStore, OpenReport), StoreError> {
        let key = KeySource::Given(Secret::new("01".repeat(32)));
        let path = self.base.path().join("store");
        SledStore::open_on(
            self.disk.clone(),
            StoreSettings { path, key, checkpoint_every: CHECKPOINT_EVERY },
            Clock::system(),
        )
    }

    fn room(&self) -> StoreError {
        StoreError::NoRoom { folder: self.base.path().join("store") }
    }
}

fn home() -> AccountId {
    "home".parse().unwrap()
}

fn commit(revision: u64) -> Commit {
    let record = Packed::new(&[], &[u8::try_from(revision % 251).unwrap(); 3000]).unwrap();
    Commit { account: home(), expected: revision - 1, record, needs_room: false }
}

/// The first record of one of many accounts. Newer records of one account would be compacted away, on and on.
fn first_of(number: u64) -> Commit {
    Commit { account: format!("account_{number}").parse().unwrap(), ..commit(1) }
}

fn newest(store: &SledStore) -> u64 {
    let entries = store.load();
    assert!(entries.iter().all(|it| it.record == commit(it.revision).record));
    entries.iter().map(|it| it.revision).max().unwrap_or(0)
}

#[tokio::test]
async fn a_disk_that_fills_up_stops_refreshes_first_and_commits_last_and_loses_nothing() {
    let bench = Bench::new();
    let (store, _) = bench.open().unwrap();
    bench.disk.limit_room(Some(1024 * 1024 + 100_000));
    let mut n_accounts = 0;
    let mut stopped_at = None;
    loop {
        if stopped_at.is_none() && store.check_room().await.is_err() {
            stopped_at = Some(n_accounts);
            let attempt = Commit { needs_room: true, ..first_of(n_accounts) };
            assert_eq!(store.commit(attempt).await, Err(bench.room()), "what asks for room itself is refused, too");
        }
        match store.commit(first_of(n_accounts)).await {
            Ok(_) => n_accounts += 1,
            Err(error) => {
                assert_eq!(error, bench.room());
                break;
            }
        }
    }
    let stopped_at = stopped_at.expect("whoever asks for room is refused before a commit is");
    assert!(stopped_at + 100 < n_accounts, "the ballast took only {} commits", n_accounts - stopped_at);
    assert_eq!(store.check_room().await, Err(bench.room()));
    drop(store);

    // A full disk is no reason not to start: what is there is served, and nothing is spent.
    let (store, report) = bench.open().unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((store.load().len() as u64, store.stats().records), (n_accounts, n_accounts));
    assert_eq!(store.check_room().await, Err(bench.room()));
    bench.disk.limit_room(None);
    store.check_room().await.unwrap();
    assert_eq!(store.commit(first_of(n_accounts)).await, Ok(1));
}

#[tokio::test]
async fn a_disk_that_became_read_only_is_named_and_served_from_and_written_to_when_it_is_well() {
    let bench = Bench::new();
    let (store, _) = bench.open().unwrap();
    store.commit(commit(1)).await.unwrap();
    bench.disk.make_read_only(true);
    let read_only = StoreError::ReadOnly { folder: bench.base.path().join("store") };
    assert_eq!(store.check_room().await, Err(read_only.clone()));
    assert_eq!(store.commit(commit(2)).await, Err(read_only.clone()));
    assert_eq!(store.commit(Commit { needs_room: true, ..commit(2) }).await, Err(read_only.clone()));
    assert_eq!(store.put_note("ledger", b"x".to_vec()).await, Err(read_only.clone()));
    assert_eq!(store.note("ledger"), None, "a note that was not stored is not shown");
    drop(store);
    let error = bench.open().err().unwrap();
    assert_eq!(error, read_only);
    assert!(error.mend().contains("mounted read-only"), "{}", error.mend());
    bench.disk.make_read_only(false);
    let (store, report) = bench.open().unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(newest(&store), 1);
    assert_eq!(store.commit(commit(2)).await, Ok(2));
}

#[tokio::test]
async fn a_slow_disk_keeps_whoever_commits_waiting_and_nobody_else() {
    let bench = Bench::new();
    let (store, _) = bench.open().unwrap();
    let store = Arc::new(store);
    store.put_note("ledger", b"one".to_vec()).await.unwrap();
    bench.disk.hold_syncs(true);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.commit(commit(1)).await }
    });
    let disk = bench.disk.clone();
    tokio::task::spawn_blocking(move || disk.until_somebody_waits()).await.unwrap();
    assert!(!waiting.is_finished(), "it was acknowledged before it was durable");
    assert_eq!(store.note("ledger").unwrap(), b"one");
    // A caller that gives up does not undo it.
    let given_up = tokio::time::timeout(Duration::from_millis(1), store.commit(commit(2))).await;
    assert!(given_up.is_err());
    bench.disk.hold_syncs(false);
    assert_eq!(waiting.await.unwrap(), Ok(1));
    store.check_room().await.unwrap();
    drop(store);
    assert_eq!(newest(&bench.open().unwrap().0), 2);
}
