//! What the figures run: the service as a process of its own, with a configuration and a store that were made for it.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use latchkey::{
    account::{AccountId, Extras, Fingerprint, Grant, Record, RefreshEnd, Secret},
    clock::Clock,
    store::{CHECKPOINT_EVERY, Commit, KeySource, Packed, SledStore, Store, StoreSettings, codec},
};
use tempfile::TempDir;

/// The service with everything that a test may want; what is shipped lacks the feature `demo`.
pub(crate) const WITH_DEMO: &str = env!("CARGO_BIN_EXE_latchkey");

/// What the log says when the broker has answered the subscriptions.
pub(crate) const CONNECTED: &str = "connected to the MQTT broker";

const STUCK: Duration = Duration::from_secs(600);
const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// A folder with a configuration and a store.
pub(crate) struct House {
    folder: TempDir,
    text: String,
}

/// A running service; stopped when dropped.
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
    pub(crate) started: Instant,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// Bytes.
    pub(crate) resident: u64,
    pub(crate) most_resident: u64,
    pub(crate) cpu: Duration,
    /// How often a thread of it gave up a processor and got it back later.
    pub(crate) wakeups: u64,
}

/// One account's tokens, when they were issued, and how many were spent before them.
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) access: Option<String>,
    pub(crate) refresh: String,
    pub(crate) issued_at: Timestamp,
    pub(crate) n_spent: usize,
}

impl House {
    /// A service that talks to the broker at this port. `more`: lines for `[keeper]`.
    pub(crate) fn new(mqtt_port: u16, keeper: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = folder.path().join("store");
        let text = format!(
            "[mqtt]\nhost = \"127.0.0.1\"\nport = {mqtt_port}\n[store]\npath = {store:?}\n[web]\nlisten = \"127.0.0.1:0\"\n\
             [home_assistant]\nannounce_delay = \"1s\"\n[keeper]\nmin_refresh_gap = \"0s\"\n{keeper}\n"
        );
        Self { folder, text }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Replaces a part of the configuration's text.
    pub(crate) fn alter(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{from:?} is not configured");
        self.text = self.text.replace(from, to);
    }

    pub(crate) fn add_akuvox(&mut self, id: &str, gate: &str, more: &str) {
        writeln!(self.text, "[accounts.{id}]\nvendor = \"akuvox\"\ngate = \"{gate}\"\n{more}").unwrap();
    }

    pub(crate) fn add_aqara(&mut self, id: &str, url: &str, keys: &serde_json::Value, more: &str) {
        let (app, key_id, key) = (&keys["app_id"], &keys["key_id"], &keys["app_key"]);
        writeln!(
            self.text,
            "[accounts.{id}]\nvendor = \"aqara\"\nbase_url = \"{url}\"\napp_id = {app}\nkey_id = {key_id}\napp_key = {key}\n{more}"
        )
        .unwrap();
    }

    /// Puts tokens into the store, as an earlier run would have left them.
    pub(crate) fn hold(&self, held: Vec<Held>) {
        // Some callers are in a runtime, which this is not to hold up nor to depend on.
        thread::scope(|scope| scope.spawn(|| keep(&self.store(), held)).join().unwrap());
    }

    pub(crate) fn run(&self, binary: &Path) -> Service {
        let configuration = self.folder.path().join("latchkey.toml");
        fs::write(&configuration, &self.text).unwrap();
        let log = self.folder.path().join("log");
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(configuration).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(&log).unwrap());
        for (name, _) in std::env::vars().filter(|it| it.0.starts_with("LATCHKEY") || it.0 == "RUST_LOG") {
            command.env_remove(name);
        }
        let started = Instant::now();
        Service { child: command.spawn().unwrap(), log, started }
    }

    /// Runs it until commands arrive.
    pub(crate) fn run_connected(&self, binary: &Path) -> Service {
        let service = self.run(binary);
        service.wait_for_log(CONNECTED);
        service
    }
}

fn keep(path: &Path, held: Vec<Held>) {
    let key = KeySource::File(path.join("key"));
    let settings = StoreSettings { path: path.to_owned(), key, checkpoint_every: CHECKPOINT_EVERY };
    let (store, _) = SledStore::open(settings, Clock::system()).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut under_way = VecDeque::new();
        for held in held {
            let store = store.clone();
            under_way.push_back(tokio::spawn(async move { store.commit(held.commit()).await.unwrap() }));
            if 2048 <= under_way.len() {
                under_way.pop_front().unwrap().await.unwrap();
            }
        }
        for commit in under_way {
            commit.await.unwrap();
        }
        store.close().await.unwrap();
    });
}

impl Service {
    pub(crate) fn used(&self) -> Use {
        Use::of(self.child.id())
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        let until = Instant::now() + STUCK;
        while !fs::read_to_string(&self.log).is_ok_and(|it| it.contains(text)) {
            assert!(
                Instant::now() < until,
                "it never said {text:?}; it said {}",
                fs::read_to_string(&self.log).unwrap()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn stop(mut self) {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Use {
    pub(crate) fn of(process: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = fs::read_to_string(folder.join("status")).unwrap();
        let number = |text: &str, key: &str| -> u64 {
            let line = text.lines().find(|it| it.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let stat = fs::read_to_string(folder.join("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let threads = fs::read_dir(folder.join("task")).unwrap();
        let wakeups = threads
            .filter_map(|it| fs::read_to_string(it.unwrap().path().join("status")).ok())
            .map(|it| number(&it, "voluntary_ctxt_switches:"));
        Self {
            resident: number(&status, "VmRSS:") * 1024,
            most_resident: number(&status, "VmHWM:") * 1024,
            // Linux counts in hundredths of a second.
            cpu: Duration::from_millis(ticks * 10),
            wakeups: wakeups.sum(),
        }
    }
}

impl Held {
    /// The record after many renewals, with the answer of the last one.
    fn renewed(&self, record: Record) -> Packed {
        let previous = record.current.clone().map(|it| {
            let refresh = Some(Secret::new(format!("{:032x}", fastrand::u128(..))));
            Box::new(Grant { refresh, refresh_end: Some(RefreshEnd::Spent), ..it })
        });
        let spent = (0..self.n_spent).map(|_| Fingerprint::from_bytes(fastrand::u64(..).to_be_bytes()));
        let answer = format!(
            r#"{{"err_code":"0","message":"success","datas":{{"token":"{}","refresh_token":"{}","token_valid":"604800"}}}}"#,
            self.access.as_deref().unwrap_or_default(),
            self.refresh
        );
        let record = Record {
            previous,
            generation: self.n_spent as u64,
            last_attempt_at: Some(self.issued_at),
            last_refresh_at: Some(self.issued_at),
            refresh_count: self.n_spent as u64,
            spent: spent.collect(),
            ..record
        };
        codec::encode(&record, Some(&Secret::new(answer)), true)
    }

    fn commit(&self) -> Commit {
        let grant = Grant {
            access: self.access.as_deref().map(Secret::new),
            refresh: Some(Secret::new(self.refresh.as_str())),
            extras: Extras::default(),
            issued_at: self.issued_at,
            refresh_updated_at: self.issued_at,
            access_expires_at: Some(self.issued_at + 7 * DAY),
            refresh_expires_at: None,
            generation: 1,
            proven: true,
            refresh_end: None,
        };
        // Of Aqara's tokens a store holds only the one.
        let vendor = Some(if self.access.is_some() { "akuvox" } else { "aqara" }.into());
        let account: AccountId = self.id.parse().unwrap();
        let record = Record { vendor, generation: 1, current: Some(grant), ..Record::default() };
        let record = if 0 < self.n_spent { self.renewed(record) } else { codec::encode(&record, None, true) };
        Commit { account, expected: 0, record, needs_room: false }
    }
}
