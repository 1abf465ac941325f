//! What was committed is there, once and in order; nothing lies in the clear.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, sync::Arc};

use latchkey::{
    account::Secret,
    store::{Packed, SledStore, Store, StoreError},
};
use tokio::task::JoinSet;

use super::bench::{Bench, account, commit, contents, fingerprint, flip, load, revisions};

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let bench = Bench::filled(&["home", "work"], 3).await;
    let (store, report) = bench.open();
    assert!(report.is_clean() && !report.created, "{report:?}");
    assert_eq!(load(&store), revisions(&[("home", 3), ("work", 3)]));
    assert!(store.load().is_empty(), "the records are not kept in memory");
    assert!(store.is_spent(&[account("home")], fingerprint(2)).await.unwrap());
    assert!(!store.is_spent(&[account("home")], fingerprint(4)).await.unwrap());
    assert!(!store.is_spent(&[account("other")], fingerprint(2)).await.unwrap());
    assert!(store.is_spent(&[account("other"), account("home")], fingerprint(2)).await.unwrap());
    assert!(!store.is_spent(&[], fingerprint(2)).await.unwrap());
    assert_eq!(store.commit(commit("home", 4)).await, Ok(4));
}

/// So many that sled is opened anew.
#[tokio::test]
async fn very_many_accounts_are_all_there_after_a_restart_and_after_damage() {
    const N_ACCOUNTS: usize = 6000;
    let name = |number: usize| format!("account_{number}");
    let bench = Bench::new();
    let (store, _) = bench.open();
    let store = Arc::new(store);
    let commits = (0..N_ACCOUNTS).map(|it| {
        let store = store.clone();
        async move { store.commit(commit(&name(it), 1)).await }
    });
    assert!(JoinSet::from_iter(commits).join_all().await.iter().all(|it| *it == Ok(1)));
    store.close().await.unwrap();
    drop(store);

    let mut expected: BTreeMap<String, u64> = (0..N_ACCOUNTS).map(|it| (name(it), 1)).collect();
    let (store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(load(&store), expected);
    assert!(store.is_spent(&[account("account_5999")], fingerprint(1)).await.unwrap());
    assert_eq!(store.commit(commit("account_5999", 2)).await, Ok(2));
    expected.insert("account_5999".to_owned(), 2);
    store.close().await.unwrap();
    drop(store);

    let journal = bench.path().join("journal");
    flip(&journal, fs::metadata(&journal).unwrap().len() as usize / 2);
    let (store, report) = bench.open();
    assert_eq!((report.damaged_records, report.mended_from_sled.len()), (1, 1), "{report:?}");
    assert!(report.outdated.is_empty() && report.rolled_back.is_empty(), "{report:?}");
    assert_eq!(load(&store), expected);
    store.close().await.unwrap();
    drop(store);
    let (store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(load(&store), expected);
}

#[tokio::test]
async fn a_commit_that_does_not_follow_the_newest_record_is_a_conflict_and_changes_nothing() {
    let bench = Bench::filled(&["home"], 2).await;
    let (store, _) = bench.open();
    for revision in [1, 2, 4] {
        let conflict = StoreError::Conflict { account: account("home"), expected: revision - 1, found: 2 };
        assert_eq!(store.commit(commit("home", revision)).await, Err(conflict));
    }
    drop(store);
    let (store, _) = bench.open();
    assert_eq!(load(&store), revisions(&[("home", 2)]));
}

#[tokio::test]
async fn of_many_racing_commits_on_one_revision_exactly_one_wins() {
    let bench = Bench::filled(&["home"], 1).await;
    let (store, _) = bench.open();
    let commits = JoinSet::from_iter({
        let store = Arc::new(store);
        (0..50).map(move |_| {
            let store = store.clone();
            async move { store.commit(commit("home", 2)).await }
        })
    });
    let outcomes = commits.join_all().await;
    assert_eq!(outcomes.iter().filter(|it| **it == Ok(2)).count(), 1);
    assert_eq!(outcomes.iter().filter(|it| matches!(it, Err(StoreError::Conflict { found: 2, .. }))).count(), 49);
}

#[tokio::test]
async fn two_hundred_accounts_commit_at_once() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    let store = Arc::new(store);
    let before = store.stats();
    let commits = JoinSet::from_iter((0..200).map(|number| {
        let store = store.clone();
        async move { store.commit(commit(&format!("account_{number}"), 1)).await }
    }));
    assert!(commits.join_all().await.iter().all(|it| *it == Ok(1)));
    let stats = store.stats();
    assert_eq!((stats.commits - before.commits, stats.records), (200, 200));
    // How many share a sync is up to the disk's speed; the writer's own tests hold it to one for all that wait.
    assert!(stats.syncs - before.syncs <= 200);
}

#[tokio::test]
async fn notes_read_back_at_once_and_after_a_restart() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    assert_eq!(store.note("ledger"), None);
    store.put_note("ledger", b"one".to_vec()).await.unwrap();
    store.put_note("ledger", b"two".to_vec()).await.unwrap();
    store.put_note("counters", Vec::new()).await.unwrap();
    assert_eq!(store.note("ledger").unwrap(), b"two");
    assert!(store.put_note("", Vec::new()).await.is_err());
    drop(store);
    let (store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((store.note("ledger").unwrap(), store.note("counters").unwrap()), (b"two".to_vec(), Vec::new()));
}

#[tokio::test]
async fn a_closed_store_takes_nothing_and_lets_go_of_its_folder() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    store.commit(commit("home", 1)).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.commit(commit("home", 2)).await, Err(StoreError::Closed));
    assert_eq!(store.check_room().await, Err(StoreError::Closed));
    let (again, _) = bench.open();
    assert_eq!(load(&again), revisions(&[("home", 1)]));
}

#[tokio::test]
async fn nothing_that_was_committed_lies_in_the_folder_in_the_clear() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    let mut canary = commit("home", 1);
    canary.record = Packed::new(&[], b"canary-refresh-token").unwrap();
    assert!(!format!("{canary:?}").contains("canary"));
    store.commit(canary).await.unwrap();
    store.put_note("ledger", b"canary-note".to_vec()).await.unwrap();
    store.close().await.unwrap();
    for (path, bytes) in contents(&bench.path()) {
        assert!(!bytes.windows(6).any(|it| it == b"canary"), "{}", path.display());
    }
}

#[tokio::test]
async fn every_file_is_for_the_owner_only() {
    let bench = Bench::filled(&["home"], 2).await;
    for path in contents(&bench.path()).keys() {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
}

#[tokio::test]
async fn the_fingerprint_key_stays_the_same() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    let of = |store: &SledStore| store.fingerprint_key().of(&Secret::new("a token"));
    let first = of(&store);
    drop(store);
    for lost in ["identity", "journal", "db"] {
        let lost = bench.path().join(lost);
        if lost.is_dir() {
            fs::remove_dir_all(&lost).unwrap()
        } else {
            fs::remove_file(&lost).unwrap()
        }
        let (store, report) = bench.open();
        assert!(!report.fingerprint_key_lost, "without {}", lost.display());
        assert_eq!(of(&store), first, "without {}", lost.display());
    }
}
