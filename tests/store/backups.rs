//! A store is carried to another place.

use std::{fs, path::PathBuf};

use latchkey::{
    account::{RECENT_SPENT, Record, Secret},
    clock::Clock,
    store::{
        ArchiveError, BackupError, Commit, KeySource, Restored, SledStore, Store, StoreError, StoreSettings, back_up,
        codec, restore,
    },
};

use super::{
    bench::{Bench, account, contents, set_mode, settings},
    records,
};

fn passphrase() -> Secret {
    Secret::new("a few words that nobody guesses")
}

async fn commit_record(store: &SledStore, name: &str, revision: u64, record: &Record) {
    let record = codec::encode(record, None, true);
    store.commit(Commit { account: account(name), expected: revision - 1, record, needs_room: false }).await.unwrap();
}

/// A store with a full record and a plain one, still open.
async fn filled() -> (Bench, SledStore) {
    let bench = Bench::new();
    let (store, _) = bench.open();
    for revision in 1..=3 {
        let record = Record { spent: [records::fingerprint(revision)].into(), ..records::everything() };
        commit_record(&store, "front_door", revision, &record).await;
    }
    commit_record(&store, "home", 1, &records::plain()).await;
    store.put_note("ledger", b"{\"a\":\"note\"}".to_vec()).await.unwrap();
    (bench, store)
}

fn back_up_to(bench: &Bench, name: &str) -> Result<PathBuf, BackupError> {
    let to = bench.0.path().join(name);
    back_up(&settings(&bench.path()), &Clock::system(), &passphrase(), &to, false).map(|_| to)
}

fn restore_to(bench: &Bench, from: &std::path::Path, set_aside: bool) -> Result<Restored, BackupError> {
    restore(&settings(&bench.path()), &Clock::system(), &passphrase(), from, set_aside)
}

#[tokio::test]
async fn a_backup_made_beside_a_running_store_comes_back_whole_under_another_key_and_unproven() {
    let (bench, store) = filled().await;
    let file = back_up_to(&bench, "backup").unwrap();
    let fingerprint = store.fingerprint_key().of(&Secret::new("a token"));
    // It goes on as if nothing had happened.
    commit_record(&store, "home", 2, &records::plain()).await;

    let other = Bench::new();
    let restored = restore_to(&other, &file, false).unwrap();
    assert_eq!(restored.accounts.iter().map(|it| it.0.to_string()).collect::<Vec<_>>(), ["front_door", "home"]);
    assert_eq!(restored.set_aside, None);
    assert_ne!(fs::read(other.path().join("key")).unwrap(), fs::read(bench.path().join("key")).unwrap());
    let (store, report) = other.open();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(store.fingerprint_key().of(&Secret::new("a token")), fingerprint);
    assert_eq!(store.note("ledger").unwrap(), b"{\"a\":\"note\"}");
    let mut entries = store.load();
    entries.sort_by(|one, two| one.account.cmp(&two.account));
    let found = entries.iter().map(|it| codec::decode(&it.record, it.revision).unwrap()).collect::<Vec<_>>();
    let mut expected = [
        Record { revision: 3, unproven: true, ..records::everything() },
        Record { revision: 1, unproven: true, ..records::plain() },
    ];
    expected[0].forgotten[0].record.unproven = true;
    // What earlier records remembered comes before what the newest one does.
    expected[0].spent = [2, 1, 3].map(records::fingerprint).into();
    assert_eq!(found, expected);
    for revision in 1..=3 {
        let is_spent = store.is_spent(&[account("front_door")], records::fingerprint(revision)).await.unwrap();
        assert!(is_spent, "{revision}");
    }
    commit_record(&store, "home", 2, &records::plain()).await;
}

#[tokio::test]
async fn what_a_record_remembers_to_be_spent_is_the_same_when_it_comes_back() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    let mut record = records::plain();
    for revision in 1..=100 {
        record.spent.push_back(records::fingerprint(revision));
        if RECENT_SPENT < record.spent.len() {
            record.spent.pop_front();
        }
        commit_record(&store, "home", revision, &record).await;
    }
    let file = back_up_to(&bench, "backup").unwrap();
    let other = Bench::new();
    assert_eq!(restore_to(&other, &file, false).unwrap().accounts[0].1.spent, record.spent);
    let (store, _) = other.open();
    let [entry] = &store.load()[..] else { panic!("there is one account") };
    let found = codec::decode(&entry.record, entry.revision).unwrap();
    assert_eq!(found.spent, record.spent);
    assert!(store.is_spent(std::slice::from_ref(&entry.account), records::fingerprint(1)).await.unwrap());
}

#[tokio::test]
async fn a_backup_holds_no_token_in_the_clear_and_no_key_and_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (bench, store) = filled().await;
    drop(store);
    let file = back_up_to(&bench, "backup").unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    let key = fs::read(bench.path().join("key")).unwrap();
    let raw_key = hex::decode(&key[..64]).unwrap();
    for canary in [&b"invented"[..], b"front_door", &key[..64], &raw_key] {
        assert!(!bytes.windows(canary.len()).any(|it| it == canary));
    }
}

#[tokio::test]
async fn a_backup_does_not_write_over_another_unless_told_to() {
    let (bench, _store) = filled().await;
    let file = back_up_to(&bench, "backup").unwrap();
    let before = fs::read(&file).unwrap();
    assert!(matches!(back_up_to(&bench, "backup"), Err(BackupError::Exists { .. })));
    assert!(fs::read(&file).unwrap() == before);
    let accounts = back_up(&settings(&bench.path()), &Clock::system(), &passphrase(), &file, true).unwrap();
    assert_eq!(accounts, [account("front_door"), account("home")]);
    assert!(fs::read(&file).unwrap() != before);
}

#[tokio::test]
async fn a_restore_never_takes_the_place_of_a_store_that_is_not_set_aside() {
    let (bench, store) = filled().await;
    let file = back_up_to(&bench, "backup").unwrap();
    let locked = restore_to(&bench, &file, true);
    assert!(matches!(locked, Err(BackupError::Store(StoreError::Locked { .. }))), "{locked:?}");
    commit_record(&store, "home", 2, &records::plain()).await;
    store.close().await.unwrap();
    drop(store);
    let before = contents(&bench.path());
    let refused = restore_to(&bench, &file, false).unwrap_err();
    assert!(matches!(refused, BackupError::Store(StoreError::StoreExists { .. })), "{refused}");
    assert!(refused.mend().contains("--set-aside"));
    assert!(contents(&bench.path()) == before);

    let restored = restore_to(&bench, &file, true).unwrap();
    let aside = restored.set_aside.unwrap();
    let (store, report) = bench.open();
    assert!(report.is_clean(), "{report:?}");
    assert!(store.load().iter().any(|it| it.account == account("home") && it.revision == 1));
    drop(store);
    // What was set aside is a store like any other.
    let key = KeySource::File(bench.path().join("key"));
    set_mode(&aside, 0o700);
    let (store, report) = SledStore::open(StoreSettings { key, ..settings(&aside) }, Clock::system()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(store.load().iter().any(|it| it.account == account("home") && it.revision == 2));
}

#[tokio::test]
async fn a_lost_key_costs_no_more_than_what_came_after_the_backup() {
    let (bench, store) = filled().await;
    let file = back_up_to(&bench, "backup").unwrap();
    drop(store);
    fs::remove_file(bench.path().join("key")).unwrap();
    restore_to(&bench, &file, true).unwrap();
    assert_eq!(bench.open().0.load().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_restored_touches_nothing() {
    let (bench, store) = filled().await;
    drop(store);
    let file = back_up_to(&bench, "backup").unwrap();
    let other = Bench::new();
    let wrong = restore(&settings(&other.path()), &Clock::system(), &Secret::new("another"), &file, false);
    assert!(matches!(wrong, Err(BackupError::Archive { trouble: ArchiveError::Sealed, .. })), "{wrong:?}");
    let foreign = restore_to(&other, &bench.path().join("journal"), false);
    assert!(matches!(foreign, Err(BackupError::Archive { trouble: ArchiveError::Foreign, .. })), "{foreign:?}");
    let mut cut = fs::read(&file).unwrap();
    cut.pop();
    let cut_file = bench.0.path().join("cut");
    fs::write(&cut_file, cut).unwrap();
    assert!(restore_to(&other, &cut_file, false).is_err());
    let gone = restore_to(&other, &bench.0.path().join("nowhere"), false);
    assert!(matches!(gone, Err(BackupError::File { doing: "read", .. })), "{gone:?}");
    assert!(!other.path().exists());
    let nothing = back_up(&settings(&other.path()), &Clock::system(), &passphrase(), &other.0.path().join("b"), false);
    assert!(matches!(nothing, Err(BackupError::Store(StoreError::NoStore { .. }))), "{nothing:?}");
    assert!(!other.path().exists());
}
