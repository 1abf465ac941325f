//! Every file and folder that Latchkey makes is for its owner alone, with whatever mask it is started.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use latchkey::demo::clouds::{Fault, FaultKind};

use crate::support::latchkey::{Bench, CONNECTED, Latchkey, output};

/// A command of a bench, with this mask instead of the test's.
fn masked(mask: &str, command: &Command) -> Command {
    let mut masked = Command::new("sh");
    masked.args(["-c", &format!("umask {mask}; exec \"$0\" \"$@\"")]).arg(command.get_program());
    masked.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => masked.env(name, value),
            None => masked.env_remove(name),
        };
    }
    masked
}

async fn run(mask: &str, bench: &Bench, arguments: &[&str]) {
    let mut command = bench.command(arguments[0]);
    command.args(&arguments[1..]);
    let output = output(masked(mask, &command)).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Everything at and below a path.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        found.extend(fs::read_dir(path).unwrap().flat_map(|it| all_below(&it.unwrap().path())));
    }
    found
}

#[track_caller]
fn assert_private(path: &Path, when: &str) {
    for path in all_below(path) {
        // sled's threads remove files of their own.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.mode() & 0o777, wanted, "{} {when}", path.display());
    }
}

/// The start of the name of something in the store.
fn is_there(bench: &Bench, start: &str) -> bool {
    let entries = fs::read_dir(bench.store()).unwrap();
    entries.map(|it| it.unwrap().file_name()).any(|it| it.to_string_lossy().starts_with(start))
}

async fn everything_is_private(mask: &str) {
    let mut bench = Bench::new().await;
    let client = bench.client().await;
    let latchkey = Latchkey::start(masked(mask, &bench.command("run")));
    latchkey.logged(CONNECTED).await;
    bench.sign_in(&client).await;
    assert_private(&bench.store(), "while it runs");
    latchkey.kill().await;

    // What is damaged is set aside.
    let journal = bench.store().join("journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[60] ^= 1;
    fs::write(&journal, bytes).unwrap();
    for name in ["conf", "db"] {
        fs::write(bench.store().join("db").join(name), "no database").unwrap();
    }
    let latchkey = Latchkey::start(masked(mask, &bench.command("run")));
    latchkey.logged(CONNECTED).await;
    assert!(latchkey.stop().await.success());
    assert!(is_there(&bench, "journal.damaged-") && is_there(&bench, "db.damaged-"));

    let file = |name: &str| bench.folder.path().join(name);
    let (backup, key, passphrase, token) = (file("backup"), file("key"), file("passphrase"), file("token.txt"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    fs::write(&passphrase, "a few words that nobody guesses").unwrap();
    run(mask, &bench, &["backup", &text(&backup), "--passphrase-file", &text(&passphrase)]).await;
    fs::set_permissions(&backup, fs::Permissions::from_mode(0o644)).unwrap();
    run(mask, &bench, &["backup", &text(&backup), "--overwrite", "--passphrase-file", &text(&passphrase)]).await;
    run(mask, &bench, &["rotate-key"]).await;
    run(mask, &bench, &["restore", &text(&backup), "--set-aside", "--passphrase-file", &text(&passphrase)]).await;
    assert!(is_there(&bench, "before-restore-"));
    run(mask, &bench, &["rotate-key", "--to", &text(&key)]).await;
    assert!(is_there(&bench, "web.key") && is_there(&bench, "lock") && is_there(&bench, "ballast"));

    // A command without a store leaves one where no answer came.
    bench.aqara.inject(Fault { times: u32::MAX, ..Fault::new(FaultKind::Hang) });
    bench.keeper.push_str("call_timeout = \"1s\"\n");
    fs::write(&token, bench.aqara.sign_in(0).refresh_token).unwrap();
    let mut command = bench.command("trigger");
    command.args(["--refresh-token-file", &text(&token), "home", "tv_warning"]);
    assert!(!output(masked(mask, &command)).await.status.success());
    let beside = file("token.txt.latchkey");
    assert!(beside.join("journal").exists());
    for path in [bench.store(), backup, key, beside] {
        assert_private(&path, "in the end");
    }
}

#[tokio::test]
async fn every_file_is_for_its_owner_alone_where_the_mask_hides_nothing() {
    everything_is_private("000").await;
}

#[tokio::test]
async fn every_file_is_as_it_should_be_where_the_mask_hides_all_from_others() {
    everything_is_private("077").await;
}

/// Everything that has a secret in it is either refused when others can read it, or is made private again.
#[tokio::test]
async fn what_others_can_read_does_not_stay_so() {
    let bench = Bench::new().await;
    let client = bench.client().await;
    let latchkey = bench.run().await;
    bench.sign_in(&client).await;
    assert!(latchkey.stop().await.success());
    // Neither has anything in it.
    let is_empty = |it: &Path| it.ends_with("lock") || it.ends_with("ballast");
    for path in all_below(&bench.store()).into_iter().filter(|it| !is_empty(it)) {
        let right = fs::metadata(&path).unwrap().mode() & 0o777;
        fs::set_permissions(&path, fs::Permissions::from_mode(right | 0o044)).unwrap();
        let mut latchkey = bench.start();
        if path.parent().unwrap().ends_with("db") || path.ends_with("db") {
            latchkey.logged(CONNECTED).await;
            // One that sled has replaced meanwhile is a new one.
            let mode = fs::metadata(&path).map_or(right, |it| it.mode() & 0o777);
            assert_eq!(mode, right, "{} stays as it was", path.display());
            assert!(latchkey.stop().await.success());
        } else {
            assert_eq!(latchkey.ended().await.code(), Some(1), "{} is taken", path.display());
            assert!(latchkey.log().contains("chmod"), "{}", latchkey.log());
            fs::set_permissions(&path, fs::Permissions::from_mode(right)).unwrap();
        }
    }
}
