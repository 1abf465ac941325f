//! `kill -9` at any moment, of a store at work and of one that opens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use latchkey::{
    clock::Clock,
    store::{OpenReport, SledStore, Store, StoreError, StoreSettings, rotate_key},
};

use super::bench::{Bench, account, commit, copy_folder, fingerprint, flip, load, open, settings};
use super::figures;

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
    let (mut n_acknowledged, n_rounds) = (0, figures::rounds("STORE_KILLS", 40));
    for round in 0..n_rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kills::a_kill_at_any_moment_loses_no_acknowledged_commit",
                "--nocapture",
                "--test-threads=1",
            ])
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
            n_acknowledged += 1;
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
    assert!(5 * n_rounds < n_acknowledged, "the children committed too little to show anything: {told:?}");
    figures::tell(n_rounds, &format!("{n_acknowledged} commits were acknowledged and are there"));
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

const OPENER: &str = "LATCHKEY_TEST_STORE_TO_OPEN";
const WAYS: usize = 5;

/// The child of this test opens the store, says so before and after, and waits for its end.
#[tokio::test]
async fn a_kill_while_the_store_opens_never_keeps_it_from_opening_again() {
    if let Some(path) = std::env::var_os(OPENER) {
        println!("told opening");
        let (_store, _) = open(Path::new(&path)).unwrap();
        println!("told open");
        thread::sleep(Duration::from_secs(60));
        std::process::exit(1);
    }
    let bench = Bench::filled(&["home", "work"], 3).await;
    let mut earlier = bench.copy();
    let n_kills = figures::rounds("OPEN_KILLS", 200);
    let (mut newest, mut n_while_opening, mut round) = (3, 0, 0);
    let mut longest = Duration::from_millis(30);
    while n_while_opening < n_kills {
        round += 1;
        assert!(round < 20 * n_kills, "the kills never come while it opens: {n_while_opening} of {round}");
        // There is always something to mend, so that opening writes as well as reads.
        let expect_mended = disturb(&bench, &earlier, round);
        let mut child = child(OPENER, &bench.path(), "a_kill_while_the_store_opens_never_keeps_it_from_opening_again");
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(told.any(|it| it.contains("told opening")));
        thread::sleep(longest.mul_f64(fastrand::f64()));
        child.kill().unwrap();
        child.wait().unwrap();
        if told.any(|it| it.contains("told open")) {
            longest = longest.mul_f64(0.97).max(Duration::from_millis(2));
        } else {
            n_while_opening += 1;
            longest = longest.mul_f64(1.01);
        }

        let (store, report) = open_when_free(&bench.path());
        let place = format!("round {round}, way {}: {report:?}", round % WAYS);
        assert!(report.outdated.is_empty() && report.unreadable.is_empty(), "{place}");
        assert!(!report.fingerprint_key_lost && (expect_mended || report.is_clean()), "{place}");
        let expected = [("home", newest), ("work", newest)].map(|(name, revision)| (name.to_owned(), revision));
        assert_eq!(load(&store), BTreeMap::from(expected), "{place}");
        assert!(store.is_spent(&[account("home")], fingerprint(newest)).await.unwrap(), "{place}");
        if round % 7 == 0 {
            store.close().await.unwrap();
            drop(store);
            earlier = bench.copy();
            let (store, _) = bench.open();
            newest += 1;
            for name in ["home", "work"] {
                store.commit(commit(name, newest)).await.unwrap();
            }
        }
    }
    figures::tell(n_while_opening, "it opened again each time, most often with something to mend");
}

/// Makes work for the next opening; whether the report may say so.
fn disturb(bench: &Bench, earlier: &Bench, round: usize) -> bool {
    let (journal, db) = (bench.path().join("journal"), bench.path().join("db"));
    match round % WAYS {
        0 => {
            fs::remove_dir_all(&db).unwrap();
            copy_folder(&earlier.path().join("db"), &db);
        }
        1 => fs::remove_dir_all(&db).unwrap(),
        2 => flip(&journal, fs::metadata(&journal).unwrap().len() as usize / 2),
        3 => fs::write(db.join("snap.00000000000000FF.generating"), b"half").unwrap(),
        _ => return false,
    }
    true
}

fn child(variable: &str, path: &Path, test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("kills::{test}"), "--nocapture", "--test-threads=1"])
        .env(variable, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

const ROTATOR: &str = "LATCHKEY_TEST_STORE_TO_ROTATE";

/// The child changes the key again and again until it is killed.
#[tokio::test]
async fn a_kill_while_the_key_is_changed_leaves_one_that_opens_everything() {
    if let Some(path) = std::env::var_os(ROTATOR) {
        println!("told rotating");
        loop {
            rotate_key(&settings(Path::new(&path)), None, &Clock::system()).unwrap();
        }
    }
    let bench = Bench::filled(&["home", "work"], 3).await;
    let mut newest = 3;
    let mut keys = BTreeSet::new();
    // About as long as three changes take on this machine.
    let mut longest = Duration::from_millis(60);
    let n_rounds = figures::rounds("KEY_KILLS", 60);
    for round in 0..n_rounds {
        let mut child =
            child(ROTATOR, &bench.path(), "a_kill_while_the_key_is_changed_leaves_one_that_opens_everything");
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(told.any(|it| it.contains("told rotating")));
        thread::sleep(longest.mul_f64(fastrand::f64()));
        child.kill().unwrap();
        child.wait().unwrap();
        let (store, report) = open_when_free(&bench.path());
        assert!(report.is_clean(), "round {round}: {report:?}");
        let expected = [("home", newest), ("work", newest)].map(|(name, revision)| (name.to_owned(), revision));
        assert_eq!(load(&store), BTreeMap::from(expected), "round {round}");
        for revision in 1..=newest {
            assert!(store.is_spent(&[account("home")], fingerprint(revision)).await.unwrap(), "round {round}");
        }
        newest += 1;
        for name in ["home", "work"] {
            store.commit(commit(name, newest)).await.unwrap();
        }
        let is_changed = keys.insert(fs::read(bench.path().join("key")).unwrap());
        longest = longest.mul_f64(if is_changed { 0.9 } else { 1.3 });
    }
    assert!(n_rounds / 6 < keys.len(), "the key hardly ever changed: {}", keys.len());
    figures::tell(n_rounds, &format!("one key opened everything each time; {} keys in all", keys.len()));
}
