//! The store keeps what it acknowledged: through restarts, kills, damaged files, rollbacks and a lost half.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop the test by panicking")]
#![allow(clippy::print_stdout, reason = "a child process tells its parent what was acknowledged")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use latchkey::{
    account::{AccountId, Fingerprint, Secret},
    clock::Clock,
    store::{CHECKPOINT_EVERY, Commit, KeySource, OpenReport, SledStore, Store, StoreError, StoreSettings},
};
use tempfile::TempDir;
use zeroize::Zeroizing;

// === helpers ===

/// A folder for stores, and what the tests do with the one in it.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn open(&self) -> (SledStore, OpenReport) {
        open(&self.path()).unwrap()
    }

    async fn filled(accounts: &[&str], n_commits: u64) -> Self {
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
    fn copy(&self) -> Self {
        let other = Self::new();
        copy_folder(&self.path(), &other.path());
        other
    }
}

fn settings(path: &Path) -> StoreSettings {
    StoreSettings { path: path.into(), key: KeySource::File(path.join("key")), checkpoint_every: CHECKPOINT_EVERY }
}

fn open(path: &Path) -> Result<(SledStore, OpenReport), StoreError> {
    SledStore::open(settings(path), Clock::system())
}

fn account(name: &str) -> AccountId {
    name.parse().unwrap()
}

fn fingerprint(number: u64) -> Fingerprint {
    Fingerprint::from_bytes(number.to_be_bytes())
}

fn payload(account: &str, revision: u64) -> Vec<u8> {
    format!("{account} at {revision}, {}", "x".repeat(300)).into_bytes()
}

/// The commit that makes `revision` of an account; it spends the token with the revision's number.
fn commit(name: &str, revision: u64) -> Commit {
    Commit {
        account: account(name),
        expected: revision - 1,
        payload: Zeroizing::new(payload(name, revision)),
        spent: vec![fingerprint(revision)],
    }
}

/// Account and revision of all that a store loads; each payload must be the one of its revision.
fn load(store: &SledStore) -> BTreeMap<String, u64> {
    let entries = store.load();
    for entry in &entries {
        assert_eq!(*entry.payload, payload(entry.account.as_str(), entry.revision));
    }
    entries.into_iter().map(|it| (it.account.to_string(), it.revision)).collect()
}

fn revisions(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, revision)| ((*name).to_owned(), *revision)).collect()
}

fn copy_folder(from: &Path, to: &Path) {
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
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

// === commits ===

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let bench = Bench::filled(&["home", "work"], 3).await;
    let (store, report) = bench.open();
    assert!(report.is_clean() && !report.created, "{report:?}");
    assert_eq!(load(&store), revisions(&[("home", 3), ("work", 3)]));
    assert!(store.load().is_empty(), "the records are not kept in memory");
    assert!(store.is_spent(&account("home"), fingerprint(2)).await.unwrap());
    assert!(!store.is_spent(&account("home"), fingerprint(4)).await.unwrap());
    assert!(!store.is_spent(&account("other"), fingerprint(2)).await.unwrap());
    assert_eq!(store.commit(commit("home", 4)).await, Ok(4));
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
    let commits = tokio::task::JoinSet::from_iter({
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
    let commits = tokio::task::JoinSet::from_iter((0..200).map(|number| {
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
    canary.payload = Zeroizing::new(b"canary-refresh-token".to_vec());
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

// === damage ===

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_and_costs_only_what_nobody_was_told_of() {
    let bench = Bench::filled(&["home"], 2).await;
    let before = fs::read(bench.path().join("journal")).unwrap().len();
    let with_two = bench.copy();
    let (store, _) = bench.open();
    store.commit(commit("home", 3)).await.unwrap();
    drop(store);
    let whole = fs::read(bench.path().join("journal")).unwrap();
    let frame_len = {
        let marker = &whole[..4];
        whole[before + 1..].windows(4).position(|it| it == marker).unwrap() + 1
    };
    for len in before..=before + frame_len {
        let torn = with_two.copy();
        fs::write(torn.path().join("journal"), &whole[..len]).unwrap();
        let (store, report) = torn.open();
        let is_whole = len == before + frame_len;
        let newest = if is_whole { 3 } else { 2 };
        assert_eq!(load(&store), revisions(&[("home", newest)]), "cut at {len}");
        assert_eq!(report.torn_tail, !is_whole && len != before, "cut at {len}");
        assert!(report.is_clean(), "cut at {len}: {report:?}");
        // What follows the cut is read again.
        store.commit(commit("home", newest + 1)).await.unwrap();
        drop(store);
        let (store, report) = torn.open();
        assert_eq!(load(&store), revisions(&[("home", newest + 1)]), "cut at {len}");
        assert!(report.is_clean() && !report.torn_tail, "cut at {len}: {report:?}");
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_never_brings_an_older_record_back() {
    let bench = Bench::filled(&["home", "work"], 12).await;
    for file in ["journal", "db/db"] {
        let len = fs::read(bench.path().join(file)).unwrap().len();
        for number in 0..120 {
            let at = number * len / 120;
            let damaged = bench.copy();
            flip(&damaged.path().join(file), at);
            let (store, report) = damaged.open();
            assert_eq!(load(&store), revisions(&[("home", 12), ("work", 12)]), "{file} at {at}: {report:?}");
            assert!(report.outdated.is_empty() && report.unreadable.is_empty(), "{file} at {at}: {report:?}");
            if file == "journal" {
                assert!(report.damaged_records > 0 || report.torn_tail, "{file} at {at}: {report:?}");
            }
            drop(store);
            let (store, report) = damaged.open();
            assert_eq!(load(&store), revisions(&[("home", 12), ("work", 12)]), "{file} at {at}, once more");
            assert!(report.is_clean() && !report.torn_tail, "{file} at {at}, once more: {report:?}");
        }
    }
}

#[tokio::test]
async fn an_older_record_is_reported_where_both_copies_of_the_newest_are_gone() {
    let bench = Bench::filled(&["home"], 2).await;
    let older_sled = bench.copy();
    let (store, _) = bench.open();
    let journal = bench.path().join("journal");
    let before = fs::read(&journal).unwrap().len();
    store.commit(commit("home", 3)).await.unwrap();
    store.commit(commit("home", 4)).await.unwrap();
    drop(store);
    let bytes = fs::read(&journal).unwrap();
    let marker = &bytes[..4];
    let frame_len = bytes[before + 1..].windows(4).position(|it| it == marker).unwrap() + 1;
    for at in before + frame_len..before + 2 * frame_len {
        let damaged = bench.copy();
        flip(&damaged.path().join("journal"), at);
        fs::remove_dir_all(damaged.path().join("db")).unwrap();
        copy_folder(&older_sled.path().join("db"), &damaged.path().join("db"));
        let (store, report) = damaged.open();
        assert_eq!(load(&store), revisions(&[("home", 3)]), "at {at}");
        assert_eq!(report.damaged_records, 1, "at {at}: {report:?}");
        assert!(report.is_unproven(&account("home")), "at {at}: {report:?}");
        if (at - before - frame_len) % 40 != 0 {
            continue;
        }
        // The commit after it makes the account whole again.
        store.commit(commit("home", 4)).await.unwrap();
        drop(store);
        let (store, report) = damaged.open();
        assert_eq!(load(&store), revisions(&[("home", 4)]), "at {at}");
        assert!(report.is_clean(), "at {at}: {report:?}");
    }
}

#[tokio::test]
async fn a_database_that_rolled_back_is_noticed_and_mended() {
    let bench = Bench::filled(&["home", "work"], 2).await;
    let earlier = bench.copy();
    let (store, _) = bench.open();
    store.commit(commit("home", 3)).await.unwrap();
    store.close().await.unwrap();
    fs::remove_dir_all(bench.path().join("db")).unwrap();
    copy_folder(&earlier.path().join("db"), &bench.path().join("db"));

    let (store, report) = bench.open();
    assert_eq!(report.rolled_back, [account("home")]);
    assert_eq!(store.stats().rollbacks, 1);
    assert_eq!(load(&store), revisions(&[("home", 3), ("work", 2)]));
    assert!(store.is_spent(&account("home"), fingerprint(3)).await.unwrap());
    drop(store);
    let (_store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_missing_journal_is_mended_from_sled() {
    let bench = Bench::filled(&["home", "work"], 5).await;
    fs::remove_file(bench.path().join("journal")).unwrap();
    let (store, mut report) = bench.open();
    report.mended_from_sled.sort();
    assert!(report.journal_missing && !report.created);
    assert_eq!(report.mended_from_sled, [account("home"), account("work")]);
    assert_eq!(load(&store), revisions(&[("home", 5), ("work", 5)]));
    drop(store);
    fs::remove_dir_all(bench.path().join("db")).unwrap();
    let (store, _) = bench.open();
    assert_eq!(load(&store), revisions(&[("home", 5), ("work", 5)]), "the new journal has everything");
}

#[tokio::test]
async fn a_lost_sled_is_rebuilt_with_the_spent_fingerprints_that_records_carry() {
    let bench = Bench::filled(&["home"], 3).await;
    fs::remove_dir_all(bench.path().join("db")).unwrap();
    let (store, report) = bench.open();
    assert_eq!(report.rolled_back, [account("home")]);
    for revision in 1..=3 {
        assert!(store.is_spent(&account("home"), fingerprint(revision)).await.unwrap(), "{revision}");
    }
    assert_eq!(load(&store), revisions(&[("home", 3)]));
}

#[tokio::test]
async fn what_a_kill_while_sled_opened_left_behind_does_no_harm() {
    let bench = Bench::filled(&["home"], 3).await;
    let leftover = bench.path().join("db/snap.00000000000000FF.generating");
    fs::write(&leftover, b"").unwrap();
    fs::write(bench.path().join("journal.new"), b"half").unwrap();
    let (store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
    assert!(!leftover.exists() && !bench.path().join("journal.new").exists());
    assert_eq!(load(&store), revisions(&[("home", 3)]));
}

#[tokio::test]
async fn a_database_that_does_not_open_is_set_aside_and_rebuilt() {
    let bench = Bench::filled(&["home"], 3).await;
    fs::write(bench.path().join("db/conf"), b"no configuration at all").unwrap();
    let (store, report) = bench.open();
    let aside = report.sled_set_aside.unwrap();
    assert!(aside.file_name().unwrap().to_str().unwrap().starts_with("db.damaged-"));
    assert!(aside.join("db").exists());
    assert_eq!(load(&store), revisions(&[("home", 3)]));
    assert!(store.is_spent(&account("home"), fingerprint(1)).await.unwrap());
    drop(store);
    let (_store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn compaction_keeps_the_newest_of_everything() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    store.put_note("ledger", b"kept".to_vec()).await.unwrap();
    store.commit(commit("quiet", 1)).await.unwrap();
    let mut revision = 0;
    while store.stats().compactions < 2 {
        revision += 1;
        let mut big = commit("home", revision);
        big.payload = Zeroizing::new(vec![7; 60_000]);
        store.commit(big).await.unwrap();
        assert!(revision < 100, "no compaction after {revision} commits");
    }
    store.commit(commit("home", revision + 1)).await.unwrap();
    assert!(store.stats().journal_bytes < 1024 * 1024 + 200_000);
    store.close().await.unwrap();
    assert!(fs::metadata(bench.path().join("journal")).unwrap().len() < 1024 * 1024 + 200_000);
    let (store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(load(&store), revisions(&[("home", revision + 1), ("quiet", 1)]));
    assert_eq!(store.note("ledger").unwrap(), b"kept");
    for spent in 1..=revision {
        assert!(store.is_spent(&account("home"), fingerprint(spent)).await.unwrap(), "{spent}");
    }
}

// === refusals ===

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_and_nothing_is_touched() {
    let bench = Bench::filled(&["home"], 2).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let key_file = elsewhere.path().join("key");
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
    assert_eq!(store.commit(commit("home", 2)).await, Err(gone));
    fs::rename(&elsewhere, bench.path()).unwrap();
    assert_eq!(store.commit(commit("home", 2)).await, Ok(2));
}

// === kills ===

const CHILD: &str = "LATCHKEY_TEST_STORE_OF_THE_CHILD";
const CHILD_ACCOUNTS: [&str; 3] = ["home", "work", "shed"];

/// The parent starts this same test with `CHILD` set; the child commits until it is killed and tells each commit that was
/// acknowledged.
#[test]
fn a_kill_at_any_moment_loses_no_acknowledged_commit() {
    if let Some(path) = std::env::var_os(CHILD) {
        commit_until_killed(Path::new(&path));
    }
    let bench = Bench::new();
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..40 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_kill_at_any_moment_loses_no_acknowledged_commit", "--nocapture", "--test-threads=1"])
            .env(CHILD, bench.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let n_lines = fastrand::usize(1..80);
        let killer = thread::spawn(move || {
            // A third of the kills fall while the store opens, the others among commits.
            if round % 3 == 0 {
                thread::sleep(Duration::from_micros(fastrand::u64(500..30_000)));
                child.kill().unwrap();
            }
            child
        });
        let mut child = (round % 3 != 0).then(|| killer.join().unwrap());
        let mut n_told = 0;
        for line in lines {
            let Ok(line) = line else { break };
            // The test runner writes its own words before the first one, on the same line.
            let Some((_, told_now)) = line.split_once("told ") else { continue };
            let Some((name, revision)) = told_now.split_once(' ') else { continue };
            told.insert(name.to_owned(), revision.parse().unwrap());
            n_told += 1;
            if n_told == n_lines
                && let Some(child) = &mut child
            {
                child.kill().unwrap();
            }
        }
        let is_ended_by_parent = child.is_none() || n_told >= n_lines;
        assert!(is_ended_by_parent, "round {round}: the child ended by itself after {n_told} commits");
        if let Some(mut child) = child {
            child.wait().unwrap();
        }

        // The killer of an early round holds the child; the store's lock is free once it is gone.
        let (store, report) = open_when_free(&bench.path());
        assert!(report.is_clean(), "round {round}: {report:?}");
        let loaded = load(&store);
        for name in CHILD_ACCOUNTS {
            let (told, loaded) = (told.get(name).copied().unwrap_or(0), loaded.get(name).copied().unwrap_or(0));
            assert!(loaded >= told && loaded <= told + 1, "round {round}: {name} told {told}, loaded {loaded}");
        }
        told = loaded;
    }
    assert!(told.values().sum::<u64>() > 200, "the children committed too little to show anything: {told:?}");
}

fn open_when_free(path: &Path) -> (SledStore, OpenReport) {
    for _ in 0..500 {
        match open(path) {
            Err(StoreError::Locked { .. }) => thread::sleep(Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the killed child still holds the store");
}

fn commit_until_killed(path: &Path) -> ! {
    let settings = StoreSettings { checkpoint_every: Duration::from_millis(20), ..settings(path) };
    let (store, _) = SledStore::open(settings, Clock::system()).unwrap();
    let revisions: BTreeMap<_, _> = load(&store);
    let store = Arc::new(store);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tasks = CHILD_ACCOUNTS.map(|name| {
        let store = store.clone();
        let mut revision = revisions.get(name).copied().unwrap_or(0);
        runtime.spawn(async move {
            loop {
                revision += 1;
                store.commit(commit(name, revision)).await.unwrap();
                println!("told {name} {revision}");
            }
        })
    });
    runtime.block_on(async move {
        for task in tasks {
            let _ = task.await;
        }
    });
    std::process::exit(1);
}
