//! Damage to every file at random places: an older record is never served as the newest without a word.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use latchkey::store::{OpenReport, Store, StoreError};

use super::{
    bench::{Bench, account, commit, contents, load, open},
    figures,
};

const NEWEST: u64 = 12;
const ACCOUNTS: [&str; 2] = ["home", "work"];

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Zero,
    Truncate,
    Delete,
}

#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    mended: usize,
    older_and_reported: usize,
    refused_for_the_key: usize,
}

#[tokio::test]
async fn no_damage_to_any_file_brings_an_older_record_back_without_a_report() {
    let stopped = Bench::filled(&ACCOUNTS, NEWEST).await;
    // As a kill leaves it, when nothing was checkpointed since the first commit.
    let killed = Bench::new();
    {
        let live = Bench::new();
        let (store, _) = live.open();
        for revision in 1..=NEWEST {
            for name in ACCOUNTS {
                store.commit(commit(name, revision)).await.unwrap();
            }
        }
        // Whoever was told that there is room finds sled's copy handed over, too.
        store.check_room().await.unwrap();
        super::bench::copy_folder(&live.path(), &killed.path());
    }
    let mut tally = Tally::default();
    let mut damaged = BTreeSet::new();
    let n_damages = figures::rounds("DAMAGES", 500);
    while tally.cases < n_damages {
        let origin = if tally.cases % 2 == 0 { &stopped } else { &killed };
        let bench = origin.copy();
        let files: Vec<PathBuf> = contents(&bench.path()).into_keys().filter(|it| it.is_file()).collect();
        let file = &files[tally.cases / 2 % files.len()];
        let name = file.strip_prefix(bench.path()).unwrap().to_owned();
        let damage = [Damage::Flip, Damage::Zero, Damage::Truncate, Damage::Delete][fastrand::usize(0..4)];
        let Some(place) = do_damage(file, damage) else { continue };
        tally.cases += 1;
        let case = format!("{damage:?} of {} at {place}, {}", name.display(), tally.cases % 2);
        damaged.insert(name);
        let (store, report) = match open(&bench.path()) {
            Ok(opened) => opened,
            Err(
                error @ (StoreError::KeyMissing { .. } | StoreError::KeyMalformed { .. } | StoreError::KeyWrong { .. }),
            ) => {
                assert!(file.ends_with("key"), "{case}: {error}");
                tally.refused_for_the_key += 1;
                continue;
            }
            Err(error) => panic!("{case}: {error}"),
        };
        judge(&load(&store), &report, &case, &mut tally);
        drop(store);
        let (store, report) = open(&bench.path()).unwrap();
        assert_eq!(report.damaged_records, 0, "{case}, once more: {report:?}");
        drop(store);
    }
    println!("{tally:?}; damaged: {damaged:?}");
    assert_eq!(tally.older_and_reported, 0, "one damaged file never takes the newest");
    assert!(6 <= damaged.len(), "{damaged:?}");
    figures::tell(
        n_damages,
        &format!(
            "{} times something had to be mended, {} times the start was refused for a damaged key; no older grant was served",
            tally.mended, tally.refused_for_the_key
        ),
    );
}

fn judge(loaded: &BTreeMap<String, u64>, report: &OpenReport, case: &str, tally: &mut Tally) {
    for name in ACCOUNTS {
        match loaded.get(name) {
            Some(&NEWEST) => tally.mended += usize::from(!report.is_clean()),
            Some(_) if report.is_unproven(&account(name)) => tally.older_and_reported += 1,
            None if report.unreadable.contains(&account(name)) => tally.older_and_reported += 1,
            found => panic!("{case}: {name} is at {found:?}, and the report says {report:?}"),
        }
    }
}

/// Where the damage was done; nothing where the file has nothing to damage.
fn do_damage(file: &Path, damage: Damage) -> Option<usize> {
    let mut bytes = fs::read(file).unwrap();
    let at = fastrand::usize(0..bytes.len().max(1));
    match damage {
        Damage::Delete => {
            fs::remove_file(file).unwrap();
            return Some(0);
        }
        _ if bytes.is_empty() => return None,
        Damage::Flip => bytes[at] ^= 1 << fastrand::u8(0..8),
        Damage::Zero => {
            let end = bytes.len().min(at + fastrand::usize(1..8192));
            bytes[at..end].fill(0);
        }
        Damage::Truncate => bytes.truncate(at),
    }
    fs::write(file, bytes).unwrap();
    Some(at)
}

/// The same with sled alone, to show what it is guarded against. It asserts nothing: sled may do better.
#[tokio::test]
async fn sled_alone_is_asked_for_comparison() {
    let bench = Bench::filled(&ACCOUNTS, NEWEST).await;
    let (mut older, mut refused) = (0, 0);
    for number in 0..=60 {
        let copy = bench.copy();
        if 0 < number {
            do_damage(&copy.path().join("db/db"), Damage::Flip).unwrap();
        }
        let opened = sled::Config::new().path(copy.path().join("db")).segment_size(64 * 1024).open();
        let Ok(database) = opened else {
            refused += 1;
            continue;
        };
        let is_newest = |name: &str| {
            let key = [&[1], name.as_bytes()].concat();
            let frame = database.get(key).ok().flatten();
            frame.is_some_and(|it| it[16..24] == NEWEST.to_be_bytes())
        };
        let is_older = !ACCOUNTS.iter().all(|it| is_newest(it));
        assert!(0 < number || !is_older, "undamaged, it has the newest");
        older += usize::from(is_older);
    }
    println!(
        "sled alone: of 60 flipped bits {older} silently brought older values back or none, {refused} were refused"
    );
}
