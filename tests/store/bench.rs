//! A folder with a store, and what the tests do with it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use latchkey::{
    account::{AccountId, Fingerprint},
    clock::Clock,
    store::{CHECKPOINT_EVERY, Commit, KeySource, OpenReport, Packed, SledStore, Store, StoreError, StoreSettings},
};
use tempfile::TempDir;

/// A folder for stores, and what the tests do with the one in it.
pub(crate) struct Bench(pub(crate) TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        // In memory where that can be had: hundreds of stores are killed and damaged, and none loses power.
        let memory = Path::new("/dev/shm");
        Self(if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    pub(crate) fn open(&self) -> (SledStore, OpenReport) {
        open(&self.path()).unwrap()
    }

    pub(crate) async fn filled(accounts: &[&str], n_commits: u64) -> Self {
        let bench = Self::new();
        let (store, report) = bench.open();
        assert!(report.created);
        for revision in 1..=n_commits {
            for account in accounts {
                assert_eq!(store.commit(commit(account, revision)).await.unwrap(), revision);
            }
        }
        store.close().await.unwrap();
        bench
    }

    /// A second bench with a copy of this one's store.
    pub(crate) fn copy(&self) -> Self {
        let other = Self::new();
        copy_folder(&self.path(), &other.path());
        other
    }
}

pub(crate) fn settings(path: &Path) -> StoreSettings {
    StoreSettings { path: path.into(), key: KeySource::File(path.join("key")), checkpoint_every: CHECKPOINT_EVERY }
}

pub(crate) fn open(path: &Path) -> Result<(SledStore, OpenReport), StoreError> {
    SledStore::open(settings(path), Clock::system())
}

pub(crate) fn account(name: &str) -> AccountId {
    name.parse().unwrap()
}

pub(crate) fn fingerprint(number: u64) -> Fingerprint {
    Fingerprint::from_bytes(number.to_be_bytes())
}

pub(crate) fn payload(account: &str, revision: u64) -> Vec<u8> {
    format!("{account} at {revision}, {}", "x".repeat(300)).into_bytes()
}

/// The commit that makes `revision` of an account; it spends the token with the revision's number.
pub(crate) fn commit(name: &str, revision: u64) -> Commit {
    Commit {
        account: account(name),
        expected: revision - 1,
        record: Packed::new(&[fingerprint(revision)], &payload(name, revision)).unwrap(),
        needs_room: false,
    }
}

/// Account and revision of all that a store loads; each payload must be the one of its revision.
pub(crate) fn load(store: &SledStore) -> BTreeMap<String, u64> {
    let entries = store.load();
    for entry in &entries {
        assert_eq!(entry.record.payload(), payload(entry.account.as_str(), entry.revision));
    }
    entries.into_iter().map(|it| (it.account.to_string(), it.revision)).collect()
}

pub(crate) fn revisions(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, revision)| ((*name).to_owned(), *revision)).collect()
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Every file below a folder with its content.
pub(crate) fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.insert(entry.path(), Vec::new());
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
