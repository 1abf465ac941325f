//! What systemd is told, by the real binary, at a socket as systemd has one; and the unit that runs it.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use support::{
    latchkey::{Bench, CONNECTED},
    scripted_broker::PATIENCE,
};
use tempfile::TempDir;
use tokio::{net::UnixDatagram, time::timeout};

/// The end of the socket at which systemd listens.
struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl Systemd {
    fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        Self { socket: UnixDatagram::bind(&path).unwrap(), path, _folder: folder }
    }

    /// The next message.
    async fn told(&self) -> String {
        let mut bytes = [0; 4096];
        let length = timeout(PATIENCE, self.socket.recv(&mut bytes)).await.expect("systemd is told nothing").unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next message that holds `text`; others are passed over.
    async fn told_of(&self, text: &str) -> String {
        loop {
            let message = self.told().await;
            if message.contains(text) {
                return message;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_of_start_state_reload_and_stop_and_the_watchdog_is_fed() {
    let mut bench = Bench::new().await;
    let systemd = Systemd::listen();
    bench.environment.push(("NOTIFY_SOCKET".to_owned(), systemd.path.display().to_string()));
    bench.environment.push(("WATCHDOG_USEC".to_owned(), "1500000".to_owned()));
    let mut latchkey = bench.start();
    let ready = systemd.told().await;
    assert!(ready.starts_with("READY=1\nSTATUS=0 of 2 accounts are well, front_door, home "), "{ready}");

    latchkey.logged(CONNECTED).await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    systemd.told_of("STATUS=2 of 2 accounts are well; connected to the broker").await;
    systemd.told_of("WATCHDOG=1").await;

    latchkey.signal("HUP");
    let reloading = systemd.told_of("RELOADING=1").await;
    let began: u64 = reloading.lines().find_map(|it| it.strip_prefix("MONOTONIC_USEC=")).unwrap().parse().unwrap();
    assert!(0 < began);
    systemd.told_of("READY=1").await;

    bench.mosquitto.kill();
    systemd.told_of("STATUS=2 of 2 accounts are well; the broker is not reached").await;
    latchkey.signal("TERM");
    systemd.told_of("STOPPING=1").await;
    assert_eq!(latchkey.ended().await.code(), Some(0));
}

/// systemd's own judgement of the unit that is shipped.
#[test]
fn the_unit_is_valid_and_what_it_runs_is_confined() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(env::var_os("CI").is_none(), "systemd-analyze is missing: apt-get install systemd");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("latchkey.service");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/latchkey.service");
    // Where it is not installed there is nothing to run.
    let text = fs::read_to_string(shipped).unwrap().replace("/usr/bin/latchkey", env!("CARGO_BIN_EXE_latchkey"));
    fs::write(&unit, text).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let about_ours: Vec<&str> = said.lines().filter(|it| it.contains("latchkey.service")).collect();
    assert!(about_ours.is_empty(), "{about_ours:?}");
    // In tenths: exposure up to 2.0.
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(&unit)
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}
