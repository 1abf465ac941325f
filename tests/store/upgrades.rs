//! What earlier versions wrote is read by this one, and what a later one wrote is left alone.
//!
//! `tests/fixtures/store/v1` was written by the first version, with invented content, and `v2` by the first whose records do
//! not name what was spent a second time. A new fixture is written beside them where the format changes: `WRITE_STORE_FIXTURE=<folder> cargo test --test store the_fixture`.

use std::{collections::BTreeMap, fs, path::Path};

use latchkey::{
    account::{Record, Secret},
    store::{Commit, SledStore, Store, StoreError, codec},
};

use super::{
    bench::{Bench, account, contents, copy_folder, open, set_mode},
    records,
};

const TOKEN: &str = "an invented token";
const NOTE: &[u8] = br#"{"invented":"note"}"#;

#[tokio::test]
async fn the_fixture_can_be_written_again() {
    let Some(to) = std::env::var_os("WRITE_STORE_FIXTURE") else { return };
    let bench = Bench::new();
    let (store, _) = bench.open();
    let first = Record { spent: [records::fingerprint(1)].into(), ..Record::default() };
    for (revision, record) in [(1, first), (2, records::everything())] {
        commit_record(&store, "front_door", revision, &record).await;
    }
    commit_record(&store, "home", 1, &records::plain()).await;
    store.put_note("ledger", NOTE.to_vec()).await.unwrap();
    let fingerprint = store.fingerprint_key().of(&Secret::new(TOKEN));
    store.close().await.unwrap();
    drop(store);
    for needless in ["ballast", "lock"] {
        fs::remove_file(bench.path().join(needless)).unwrap();
    }
    copy_folder(&bench.path(), Path::new(&to));
    fs::write(Path::new(&to).join("fingerprint"), format!("{fingerprint}\n")).unwrap();
}

#[tokio::test]
async fn a_store_of_any_version_opens_with_all_that_was_in_it() {
    for (version, spent) in [("v1", &[1, 2][..]), ("v2", &[1, 22, 23])] {
        for lost in [None, Some("identity"), Some("db"), Some("journal")] {
            opens_with_all_that_was_in_it(version, spent, lost).await;
        }
    }
}

async fn opens_with_all_that_was_in_it(version: &str, spent: &[u64], lost: Option<&str>) {
    let bench = bench_of(version);
    if let Some(lost) = lost {
        let path = bench.path().join(lost);
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    let (store, report) = bench.open();
    assert!(report.is_clean() || lost.is_some(), "{report:?}");
    let mut found = BTreeMap::new();
    for entry in store.load() {
        let record = codec::decode(&entry.record, entry.revision).unwrap();
        found.insert(entry.account.to_string(), record);
    }
    let front_door = Record { revision: 2, ..records::everything() };
    let home = Record { revision: 1, ..records::plain() };
    let expected = [("front_door".to_owned(), front_door), ("home".to_owned(), home)];
    assert_eq!(found, BTreeMap::from(expected), "{version} without {lost:?}");
    assert_eq!(store.note("ledger").as_deref(), Some(NOTE));
    for number in spent {
        let is_spent = store.is_spent(&[account("front_door")], records::fingerprint(*number)).await.unwrap();
        assert!(is_spent, "{number}, {version} without {lost:?}");
    }
    let fingerprint = fs::read_to_string(fixture(version).join("fingerprint")).unwrap();
    assert_eq!(store.fingerprint_key().of(&Secret::new(TOKEN)).to_string(), fingerprint.trim());
    commit_record(&store, "home", 2, &records::plain()).await;
}

#[tokio::test]
async fn a_later_format_in_any_file_is_refused_with_the_mend_and_nothing_is_touched() {
    for (file, nth) in [("identity", 0), ("journal", 0), ("journal", 2)] {
        let bench = bench_of("v1");
        // It is there after every start; what is looked at is what the refusal does.
        let (store, _) = bench.open();
        store.close().await.unwrap();
        drop(store);
        let path = bench.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let marker = bytes[..4].to_vec();
        let (at, _) = bytes.windows(4).enumerate().filter(|(_, it)| *it == marker).nth(nth).unwrap();
        make_later(&mut bytes[at..]);
        fs::write(&path, bytes).unwrap();
        let before = contents(&bench.path());
        let refused = open(&bench.path()).err().unwrap();
        assert_eq!(refused, StoreError::NewerFormat { version: 9 }, "{file}");
        assert!(refused.mend().contains("Run the Latchkey that wrote it"), "{}", refused.mend());
        assert!(contents(&bench.path()) == before, "something was touched for {file}");
    }
}

/// Gives a frame a later version, with the checksum that all versions share.
fn make_later(frame: &mut [u8]) {
    let name_len = usize::from(frame[6]);
    frame[4] = 9;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..28]);
    hasher.update(&frame[32..32 + name_len]);
    let crc = hasher.finalize();
    frame[28..32].copy_from_slice(&crc.to_be_bytes());
}

async fn commit_record(store: &SledStore, name: &str, revision: u64, record: &Record) {
    let commit = Commit {
        account: account(name),
        expected: revision - 1,
        record: codec::encode(record, Some(&Secret::new("{\"raw\":1}")), true),
        needs_room: false,
    };
    store.commit(commit).await.unwrap();
}

fn fixture(version: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store").join(version)
}

/// A copy that is as private as the store wants it; a checkout is not.
fn bench_of(version: &str) -> Bench {
    let bench = Bench::new();
    copy_folder(&fixture(version), &bench.path());
    set_mode(&bench.path(), 0o700);
    for path in contents(&bench.path()).keys() {
        set_mode(path, if path.is_dir() { 0o700 } else { 0o600 });
    }
    bench
}
