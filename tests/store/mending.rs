//! What one copy lost the other has: torn tails, flipped bytes, rollbacks, a lost half.

use std::fs;

use latchkey::store::{Packed, Store};

use super::bench::{Bench, account, commit, copy_folder, fingerprint, flip, load, revisions};

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
    assert!(store.is_spent(&[account("home")], fingerprint(3)).await.unwrap());
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
        assert!(store.is_spent(&[account("home")], fingerprint(revision)).await.unwrap(), "{revision}");
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
    assert!(store.is_spent(&[account("home")], fingerprint(1)).await.unwrap());
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
        big.record = Packed::new(&[fingerprint(revision)], &[7; 60_000]).unwrap();
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
        assert!(store.is_spent(&[account("home")], fingerprint(spent)).await.unwrap(), "{spent}");
    }
}
