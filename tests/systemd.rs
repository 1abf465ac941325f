//! What systemd is told, by the real binary, at a socket as systemd has one; and the unit that runs it.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

    /// Everything that was said until now and not taken yet.
    fn told_until_now(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let next =
            || self.socket.try_recv(&mut bytes).ok().map(|it| String::from_utf8_lossy(&bytes[..it]).into_owned());
        std::iter::from_fn(next).collect()
    }
}

/// A store whose disk does not answer: what it opens next does not come back from the kernel, until this is dropped.
struct Hang(Child);

impl Hang {
    /// The kernel has whoever opens a file wait for the holder of a lease on it, for 45 seconds at most. A ballast that is
    /// too short is made anew whenever the store is asked for room.
    fn of(store: &Path) -> Self {
        let file = store.join("leased");
        fs::File::options().write(true).create_new(true).mode(0o600).open(&file).unwrap();
        let hold = "$SIG{IO} = sub {}; open(my $f, '<', $ARGV[0]) or die $!; fcntl($f, 1024, 0) or die $!; \
                    $| = 1; print \"held\\n\"; 1 while <STDIN>";
        let mut command = Command::new("perl");
        command.args(["-e", hold]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Self(command.spawn().expect("perl is missing: apt-get install perl-base"));
        let mut said = String::new();
        BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n", "no lease is to be had");
        fs::rename(file, store.join("ballast")).unwrap();
        holder
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_starves_while_the_store_hangs_and_is_fed_again_when_it_goes_on() {
    const HANGS: &str = "the store does not get on; systemd restarts Latchkey if that lasts";
    let mut bench = Bench::new().await;
    let systemd = Systemd::listen();
    bench.environment.push(("NOTIFY_SOCKET".to_owned(), systemd.path.display().to_string()));
    bench.environment.push(("WATCHDOG_USEC".to_owned(), "1500000".to_owned()));
    let latchkey = bench.start();
    systemd.told_of("WATCHDOG=1").await;

    let hang = Hang::of(&bench.store());
    latchkey.logged(HANGS).await;
    systemd.told_until_now();
    latchkey.logged_times(2, HANGS).await;
    let told = systemd.told_until_now();
    assert!(!told.iter().any(|it| it.contains("WATCHDOG")), "{told:?}");

    drop(hang);
    systemd.told_of("WATCHDOG=1").await;
    assert!(latchkey.stop().await.success());
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
