//! `latchkey trigger --refresh-token-file`: one scene without a store, and no token is lost on the way.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use latchkey::demo::clouds::{Fault, FaultKind, Scope};

use crate::{
    command, run, run_json,
    support::latchkey::{Bench, Latchkey},
};

struct OneShot {
    bench: Bench,
    file: PathBuf,
}

impl OneShot {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let file = bench.folder.path().join("token.txt");
        fs::write(&file, format!("{}\n", bench.aqara.credentials(0).refresh_token)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        Self { bench, file }
    }

    fn arguments(&self) -> [&str; 5] {
        ["trigger", "--refresh-token-file", self.file.to_str().unwrap(), "home", "warn"]
    }

    fn beside(&self) -> PathBuf {
        self.bench.folder.path().join("token.txt.latchkey")
    }

    fn token(&self) -> String {
        fs::read_to_string(&self.file).unwrap().trim().to_owned()
    }

    fn n_runs(&self) -> u64 {
        self.bench.aqara.counters().scene_runs.values().sum()
    }

    /// The file has the token that the cloud takes next, and nothing else is left.
    fn assert_is_well(&self) {
        assert_eq!(self.token(), self.bench.aqara.credentials(0).refresh_token);
        assert_eq!(fs::metadata(&self.file).unwrap().mode() & 0o777, 0o600);
        assert!(!self.beside().exists());
        assert!(!self.bench.store().exists(), "the store of the configuration was touched");
    }
}

#[tokio::test]
async fn the_successor_is_written_back_and_nothing_else_is_left() {
    let shot = OneShot::new().await;
    let first = shot.token();
    for n_runs in 1..=2 {
        let (code, said, complaints) = run(&shot.bench, &shot.arguments(), "").await;
        assert_eq!((code, said.as_str(), complaints.as_str()), (0, "home: tv_warning was run.\n", ""));
        assert_eq!(shot.n_runs(), n_runs);
        shot.assert_is_well();
    }
    assert_ne!(shot.token(), first);
    let counters = shot.bench.aqara.counters();
    assert_eq!((counters.refreshes, counters.replays), (2, 0));
}

#[tokio::test]
async fn a_kill_while_the_token_is_spent_loses_nothing() {
    let shot = OneShot::new().await;
    // The answer to the scene takes so long that the token is certainly spent by then, and written.
    shot.bench.aqara.inject(Fault::new(FaultKind::Slow).after().lasting(30.0).on(Scope::Action, 1));
    let running = Latchkey::start(command(&shot.bench, &shot.arguments()));
    shot.bench.aqara.wait_for(|it| it.scene_runs.values().sum::<u64>() == 1).await;
    running.kill().await;
    assert_eq!(shot.token(), shot.bench.aqara.credentials(0).refresh_token, "it was used before it was in the file");
    let (code, said, complaints) = run(&shot.bench, &shot.arguments(), "").await;
    assert_eq!((code, said.as_str()), (0, "home: tv_warning was run.\n"), "{complaints}");
    shot.assert_is_well();
    assert_eq!(shot.bench.aqara.counters().replays, 0);
}

#[tokio::test]
async fn a_file_that_was_not_written_any_more_is_brought_up_to_date_by_the_next_run() {
    let shot = OneShot::new().await;
    let spent = fs::read(&shot.file).unwrap();
    shot.bench.aqara.inject(Fault::new(FaultKind::Slow).after().lasting(30.0).on(Scope::Action, 1));
    let running = Latchkey::start(command(&shot.bench, &shot.arguments()));
    shot.bench.aqara.wait_for(|it| it.scene_runs.values().sum::<u64>() == 1).await;
    running.kill().await;
    // As if the kill had come between the store and the file.
    fs::write(&shot.file, spent).unwrap();
    let (code, _, complaints) = run(&shot.bench, &shot.arguments(), "").await;
    assert_eq!(code, 0, "{complaints}");
    shot.assert_is_well();
    assert_eq!(shot.bench.aqara.counters().replays, 0);
}

#[tokio::test]
async fn a_lost_reply_is_told_and_what_is_known_stays_beside_the_file() {
    let shot = OneShot::new().await;
    let before = shot.token();
    shot.bench.aqara.inject(Fault { times: u32::MAX, ..Fault::new(FaultKind::Hang) });
    let mut bench = shot.bench;
    bench.keeper.push_str("call_timeout = \"1s\"\n");
    let shot = OneShot { bench, ..shot };
    let (code, reply) = run_json(&shot.bench, &shot.arguments(), "").await;
    assert_eq!((code, &reply["status"]), (1, &"error".into()), "{reply}");
    assert!(reply["error"]["hint"].as_str().unwrap().contains("token.txt.latchkey; run this again"), "{reply}");
    assert_eq!((shot.token(), shot.n_runs()), (before, 0));
    assert!(shot.beside().exists());
    shot.bench.aqara.clear_faults();
    // The retry of what is in doubt comes slowly; then it goes on from what is known.
    while run(&shot.bench, &shot.arguments(), "").await.0 != 0 {}
    shot.assert_is_well();
}

#[tokio::test]
async fn a_refused_or_missing_token_is_told_and_nothing_is_left() {
    let shot = OneShot::new().await;
    fs::write(&shot.file, "nobody-knows-it\n").unwrap();
    let (code, _, complaints) = run(&shot.bench, &shot.arguments(), "").await;
    assert!(code == 1 && complaints.contains("does not accept the refresh token"), "{complaints}");
    assert!(!complaints.contains("nobody-knows-it") && !shot.beside().exists(), "{complaints}");
    fs::write(&shot.file, "\n").unwrap();
    let (code, _, complaints) = run(&shot.bench, &shot.arguments(), "").await;
    assert!(code == 64 && complaints.contains("holds no refresh token. Put the refresh token alone"), "{complaints}");
    fs::remove_file(&shot.file).unwrap();
    let (code, _, complaints) = run(&shot.bench, &shot.arguments(), "").await;
    assert!(code == 1 && complaints.contains("cannot read") && !shot.beside().exists(), "{complaints}");
}
