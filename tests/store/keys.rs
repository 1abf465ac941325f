//! The key that seals the store is changed.

use std::fs;

use latchkey::{
    account::Secret,
    clock::Clock,
    store::{KeySource, SledStore, Store, StoreError, StoreSettings, rotate_key},
};

use super::bench::{Bench, account, contents, fingerprint, load, settings};

#[tokio::test]
async fn a_changed_key_opens_everything_and_the_old_one_nothing() {
    let bench = Bench::filled(&["home", "work"], 5).await;
    let old = bench.copy();
    let old_key = fs::read(bench.path().join("key")).unwrap();
    let rotated = rotate_key(&settings(&bench.path()), None, &Clock::system()).unwrap();
    assert_eq!((&rotated.key_file, rotated.still_old.len()), (&bench.path().join("key"), 0));
    assert_ne!(fs::read(bench.path().join("key")).unwrap(), old_key);
    let (store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(load(&store).values().copied().collect::<Vec<_>>(), [5, 5]);
    for revision in 1..=5 {
        assert!(store.is_spent(&[account("work")], fingerprint(revision)).await.unwrap());
    }
    drop(store);
    let with_old_key = StoreSettings { key: KeySource::File(old.path().join("key")), ..settings(&bench.path()) };
    assert!(matches!(SledStore::open(with_old_key, Clock::system()), Err(StoreError::KeyWrong { .. })));
    // Nothing of it is left that the old key opens: each frame bears the id of its key.
    let key_id = fs::read(old.path().join("journal")).unwrap()[8..16].to_vec();
    for (path, bytes) in contents(&bench.path()) {
        assert!(!bytes.windows(8).any(|it| it == key_id), "{} has something of the old key", path.display());
    }
}

#[tokio::test]
async fn a_key_that_is_given_changes_to_one_in_a_file_and_a_store_in_use_is_left_alone() {
    let bench = Bench::filled(&["home"], 2).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(bench.path().join("key")).unwrap();
    let given = KeySource::Given(Secret::new(text.trim()));
    let given = StoreSettings { key: given, ..settings(&bench.path()) };
    assert_eq!(rotate_key(&given, None, &Clock::system()).err(), Some(StoreError::KeyGiven));
    let to = elsewhere.path().join("key");
    {
        let (_store, _) = bench.open();
        let locked = rotate_key(&given, Some(&to), &Clock::system());
        assert!(matches!(locked, Err(StoreError::Locked { .. })), "{locked:?}");
        assert!(!to.exists());
    }
    rotate_key(&given, Some(&to), &Clock::system()).unwrap();
    assert!(matches!(SledStore::open(given, Clock::system()), Err(StoreError::KeyWrong { .. })));
    let moved = StoreSettings { key: KeySource::File(to.clone()), ..settings(&bench.path()) };
    assert_eq!(rotate_key(&moved, Some(&to), &Clock::system()).err(), Some(StoreError::KeyUnchanged));
    let (store, report) = SledStore::open(moved, Clock::system()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(load(&store)["home"], 2);
    let nowhere = settings(&elsewhere.path().join("nowhere"));
    let refused = rotate_key(&nowhere, None, &Clock::system()).err();
    assert!(matches!(refused, Some(StoreError::NoStore { .. })), "{refused:?}");
    assert!(!nowhere.path.exists());
}
