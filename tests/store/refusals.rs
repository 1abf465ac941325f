//! What is refused, with the mend, and touched by nobody.

use std::{fs, os::unix::fs::PermissionsExt};

use latchkey::{
    account::Secret,
    clock::Clock,
    store::{Commit, KeySource, SledStore, Store, StoreError, StoreSettings},
};

use super::bench::{Bench, commit, contents, load, open, revisions, set_mode, settings};

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_and_nothing_is_touched() {
    let bench = Bench::filled(&["home"], 2).await;
    let key_file = bench.0.path().join("key");
    fs::rename(bench.path().join("key"), &key_file).unwrap();
    for lost in [None, Some("journal"), Some("identity")] {
        if let Some(lost) = lost {
            fs::remove_file(bench.path().join(lost)).unwrap();
        }
        let before = contents(&bench.path());

        let missing = open(&bench.path()).err().unwrap();
        assert_eq!(missing, StoreError::KeyMissing { path: bench.path().join("key") });
        let key = KeySource::Given(Secret::new("17".repeat(32)));
        let wrong = SledStore::open(StoreSettings { key, ..settings(&bench.path()) }, Clock::system()).err().unwrap();
        assert_eq!(wrong, StoreError::KeyWrong { folder: bench.path() });
        assert!(wrong.mend().contains("key"));
        // With sled alone left, it has to be opened to tell whose it is.
        if lost != Some("identity") {
            assert!(contents(&bench.path()) == before, "something was touched without {lost:?}");
        }
    }
    let key = KeySource::File(key_file);
    let (store, _) = SledStore::open(StoreSettings { key, ..settings(&bench.path()) }, Clock::system()).unwrap();
    assert_eq!(load(&store), revisions(&[("home", 2)]));
}

#[tokio::test]
async fn a_store_of_a_later_format_is_refused_and_nothing_is_touched() {
    let bench = Bench::filled(&["home"], 2).await;
    let mut journal = fs::read(bench.path().join("journal")).unwrap();
    let name_len = usize::from(journal[6]);
    journal[4] = 2;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&journal[..28]);
    hasher.update(&journal[32..32 + name_len]);
    let crc = hasher.finalize();
    journal[28..32].copy_from_slice(&crc.to_be_bytes());
    fs::write(bench.path().join("journal"), journal).unwrap();
    let before = contents(&bench.path());
    assert_eq!(open(&bench.path()).err(), Some(StoreError::NewerFormat { version: 2 }));
    assert!(contents(&bench.path()) == before);
}

#[tokio::test]
async fn what_others_can_read_is_refused_with_the_mend() {
    let bench = Bench::filled(&["home"], 2).await;
    for (name, mode, mend) in [("", 0o750, "chmod 700"), ("key", 0o604, "chmod 600"), ("journal", 0o640, "chmod 600")] {
        let path = bench.path().join(name);
        let path = if name.is_empty() { bench.path() } else { path };
        let right = fs::metadata(&path).unwrap().permissions().mode();
        set_mode(&path, mode);
        let error = open(&bench.path()).err().unwrap();
        assert!(matches!(&error, StoreError::Loose { path: named, .. } if *named == path), "{error}");
        assert!(error.mend().contains(mend), "{}", error.mend());
        set_mode(&path, right);
    }
    bench.open();
}

#[tokio::test]
async fn a_second_latchkey_is_refused_in_plain_words() {
    let bench = Bench::new();
    let (_store, _) = bench.open();
    let error = open(&bench.path()).err().unwrap();
    let folder = bench.path();
    assert_eq!(
        error.to_string(),
        format!("another Latchkey already uses {}; stop it or give this one another store.path", folder.display())
    );
}

#[tokio::test]
async fn a_folder_that_was_swapped_under_way_takes_no_commit() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    store.commit(commit("home", 1)).await.unwrap();
    store.check_room().await.unwrap();
    let elsewhere = bench.0.path().join("elsewhere");
    fs::rename(bench.path(), &elsewhere).unwrap();
    let gone = StoreError::Gone { folder: bench.path() };
    assert_eq!(store.check_room().await, Err(gone.clone()));
    assert_eq!(store.commit(commit("home", 2)).await, Err(gone.clone()));
    // What needs room makes the ballast where it is missing, and not in somebody else's folder.
    fs::remove_file(elsewhere.join("ballast")).unwrap();
    fs::create_dir(bench.path()).unwrap();
    let attempt = || Commit { needs_room: true, ..commit("home", 2) };
    assert_eq!(store.commit(attempt()).await, Err(gone));
    assert_eq!(fs::read_dir(bench.path()).unwrap().count(), 0);
    fs::remove_dir(bench.path()).unwrap();
    fs::rename(&elsewhere, bench.path()).unwrap();
    assert_eq!(store.commit(attempt()).await, Ok(2));
}
