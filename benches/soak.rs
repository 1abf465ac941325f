//! A soak: refreshes, commands, reconnects and page views at far more than a hundred times their usual rate, against the
//! binary itself with a real Mosquitto and simulated clouds, while its memory, disk, file descriptors, threads and tasks
//! are watched. It fails where one of them keeps growing, or where a command is left without an answer.
//!
//!     cargo bench --features demo --bench soak -- --minutes 30
//!
//! Without `--minutes` it takes half a minute, which is what the tests run.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test of its own")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use latchkey::{
    clock::Clock,
    demo::clouds::{AkuvoxCloud, AqaraCloud, Options, akuvox::AkuvoxKnobs},
    mqtt::{LinkEvent, LinkSettings, Outgoing, Qos, Subscription},
};
use serde_json::{Value, json};
use support::{
    latchkey::{Bench, CONNECTED, Latchkey, files_below},
    link::{self, connected},
    mosquitto::Mosquitto,
    relay::Relay,
    scripted_broker::PATIENCE,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, sleep, timeout},
};

const KEY: &str = "the-key-of-the-soak";
/// Accounts at Akuvox beside the one that every bench has.
const MORE_ACCOUNTS: usize = 9;
/// A command each 50 ms; a usual house has some hundred a day.
const COMMAND_EVERY: Duration = Duration::from_millis(50);
/// A usual broker restarts less than once a day.
const RECONNECT_EVERY: Duration = Duration::from_secs(5);
/// Akuvox accounts are refreshed every six days.
const REFRESH_EVERY: &str = "3s";
const USUAL_REFRESH_SECONDS: f64 = 518_400.0;

#[tokio::main]
async fn main() {
    let run = Run::of(std::env::args());
    let soak = Soak::start().await;
    let samples = soak.run(run).await;
    let counts = soak.stop().await;
    print_table(&samples, &counts, run);
    assert_eq!(counts.double_spends, 0);
    assert_eq!(counts.forgotten, 0, "commands were never answered");
    assert_steady(&samples, &counts);
}

#[derive(Clone, Copy)]
struct Run {
    length: Duration,
    sample_every: Duration,
}

impl Run {
    fn of(arguments: impl Iterator<Item = String>) -> Self {
        let arguments: Vec<String> = arguments.collect();
        let minutes = arguments.iter().position(|it| it == "--minutes").and_then(|it| arguments.get(it + 1));
        let minutes = minutes.map_or(0.5, |it| it.parse().expect("--minutes takes a number"));
        let length = Duration::from_secs_f64(minutes * 60.0);
        Self { length, sample_every: (length / 60).clamp(Duration::from_millis(500), Duration::from_secs(15)) }
    }
}

/// Everything that runs.
struct Soak {
    bench: Bench,
    relay: Relay,
    latchkey: Latchkey,
    web: String,
    talk: Arc<Talk>,
}

/// What was said to Latchkey and what it answered.
#[derive(Default)]
struct Talk {
    sent: AtomicU64,
    /// Commands at QoS 1 that wait for their answer, by their transaction.
    open: Mutex<BTreeMap<u64, String>>,
    answers: AtomicU64,
    events: AtomicU64,
    views: AtomicU64,
}

/// What Latchkey takes at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    resident_kib: u64,
    disk_kib: u64,
    files: u64,
    threads: u64,
    tasks: u64,
}

/// What was done in all.
struct Counts {
    commands: u64,
    answers: u64,
    events: u64,
    views: u64,
    refreshes: u64,
    reconnects: u64,
    double_spends: u64,
    forgotten: usize,
}

impl Soak {
    async fn start() -> Self {
        let address = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let knobs = AkuvoxKnobs::default();
        let akuvox = Options { n_accounts: 1 + MORE_ACCOUNTS, knobs, ..Options::default() };
        let akuvox = AkuvoxCloud::start(address, akuvox).await.unwrap();
        let mut bench = Bench::with(Mosquitto::start(), akuvox, AqaraCloud::start_default().await.unwrap());
        let pace =
            format!("refresh_every = \"{REFRESH_EVERY}\"\nsafety_margin = \"0s\"\njitter = \"0s\"\ndoors = true\n");
        for number in 1..=MORE_ACCOUNTS {
            let gate = bench.akuvox.url();
            bench.more += &format!("\n[accounts.door_{number}]\nvendor = \"akuvox\"\ngate = {gate:?}\n{pace}");
        }
        bench.front_door = pace;
        bench.web = format!("key = {KEY:?}\n");
        let relay = Relay::to(bench.mosquitto.port).await;
        bench.environment.push(("LATCHKEY__MQTT__PORT".to_owned(), relay.port.to_string()));
        let latchkey = bench.run().await;
        latchkey.logged("listens on http://").await;
        let log = latchkey.log();
        let web = log.split_once("listens on http://").unwrap().1.lines().next().unwrap().to_owned();
        let soak = Self { bench, relay, latchkey, web, talk: Arc::default() };
        soak.sign_in().await;
        soak
    }

    async fn sign_in(&self) {
        let client = self.bench.client().await;
        self.bench.sign_in(&client).await;
        for number in 1..=MORE_ACCOUNTS {
            let held = self.bench.akuvox.credentials(number);
            let tokens = json!({ "token": held.token, "refresh_token": held.refresh_token }).to_string();
            let reply = client.request(&format!("latchkey/door_{number}/update_tokens"), tokens.as_bytes()).await;
            assert_eq!(reply["data"]["outcome"], "proved", "{reply}");
        }
        client.link.stop(Vec::new()).await;
    }

    async fn run(&self, run: Run) -> Vec<Sample> {
        let clock = Clock::system();
        let start = clock.monotonic();
        let passed = || clock.monotonic() - start;
        let work = async {
            tokio::join!(self.talk(), self.listen(), self.cut(), self.look_at_the_page());
        };
        let mut samples = Vec::new();
        let watch = async {
            let mut ticks = interval(run.sample_every);
            while passed() < run.length {
                ticks.tick().await;
                samples.push(self.sample(passed()).await);
            }
        };
        tokio::select! {
            () = work => {}
            () = watch => {}
        }
        samples
    }

    /// Every kind of command, good and bad, one after the other.
    async fn talk(&self) {
        let settings = LinkSettings {
            client_id: "soak-asking".to_owned(),
            subscriptions: Vec::new(),
            will: None,
            ..link::settings(self.bench.mosquitto.port)
        };
        let (asking, _events, _task) = link::start(settings);
        let spent = self.bench.front_door_tokens();
        let mut ticks = interval(COMMAND_EVERY);
        for number in 0u64.. {
            ticks.tick().await;
            let account = match number % 11 {
                // Its own old tokens.
                _ if number / 11 % 8 == 6 => "front_door".to_owned(),
                0 => "home".to_owned(),
                1 => "front_door".to_owned(),
                number => format!("door_{}", number - 1),
            };
            let (verb, more): (_, Value) = match number / 11 % 8 {
                0 | 1 => ("status", json!({})),
                2 | 3 => ("refresh_tokens", json!({})),
                4 => ("open_door", json!({ "door": "Gate" })),
                5 => ("trigger_scene", json!({ "scene": "tv_warning" })),
                6 => ("update_tokens", serde_json::from_str(&spent).unwrap()),
                _ => ("list_scenes", json!({ "bogus": "x".repeat(20_000) })),
            };
            let mut request = json!({ "transaction": number });
            request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            // What acts on the house is not queued for those who are away, so it may go unanswered.
            let is_certain = !matches!(verb, "open_door" | "trigger_scene");
            if is_certain {
                self.talk.open.lock().unwrap().insert(number, format!("{account}/{verb}"));
            }
            let topic = format!("latchkey/{account}/{verb}");
            asking.publish(Outgoing::passing(topic, request.to_string()));
            self.talk.sent.fetch_add(1, Relaxed);
        }
    }

    async fn listen(&self) {
        let settings = LinkSettings {
            client_id: "soak-listening".to_owned(),
            subscriptions: vec![Subscription::new("latchkey/#", Qos::AtLeastOnce)],
            will: None,
            ..link::settings(self.bench.mosquitto.port)
        };
        let (listening, mut events, _task) = link::start(settings);
        connected(&mut events).await;
        while let Some(event) = events.next().await {
            let LinkEvent::Message(message) = event else { continue };
            message.ack.into_iter().for_each(|it| listening.ack(it));
            if message.topic.contains("/response/") {
                self.talk.answers.fetch_add(1, Relaxed);
                let reply: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                if let Some(number) = reply["transaction"].as_u64() {
                    self.talk.open.lock().unwrap().remove(&number);
                }
            } else if message.topic.ends_with("/event") {
                self.talk.events.fetch_add(1, Relaxed);
            }
        }
    }

    async fn cut(&self) {
        loop {
            sleep(RECONNECT_EVERY).await;
            self.relay.cut();
        }
    }

    /// Pages, figures, listeners to events that leave, and somebody without a key.
    async fn look_at_the_page(&self) {
        let mut ticks = interval(Duration::from_millis(250));
        let with_key = format!("X-Latchkey-Key: {KEY}\r\n");
        for number in 0u64.. {
            ticks.tick().await;
            let (path, key) = match number % 6 {
                0 => ("/v1/accounts", with_key.as_str()),
                1 => ("/", ""),
                2 => ("/healthz", ""),
                3 => ("/v1/events", with_key.as_str()),
                4 => ("/metrics", with_key.as_str()),
                _ => ("/v1/accounts/home", with_key.as_str()),
            };
            let answer = self.get(path, key, path == "/v1/events").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer:.100}");
            self.talk.views.fetch_add(1, Relaxed);
        }
    }

    /// The answer to GET; with `leaves` what has come of it after a moment.
    async fn get(&self, path: &str, headers: &str, leaves: bool) -> String {
        let mut stream = TcpStream::connect(&self.web).await.unwrap();
        let host = &self.web;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        if leaves {
            answer.resize(1024, 0);
            let length = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
            answer.truncate(length);
        } else {
            timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn sample(&self, at: Duration) -> Sample {
        let process = format!("/proc/{}", self.latchkey.pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|it| it.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let metrics = self.get("/metrics", &format!("X-Latchkey-Key: {KEY}\r\n"), false).await;
        let tasks = metrics.lines().find_map(|it| it.strip_prefix("latchkey_tasks ")).unwrap();
        // A file may go while we look.
        let length = |it: &std::path::PathBuf| fs::metadata(it).map_or(0, |it| it.len());
        Sample {
            at,
            resident_kib: of("VmRSS:"),
            disk_kib: files_below(&self.bench.store()).iter().map(length).sum::<u64>() / 1024,
            files: fs::read_dir(format!("{process}/fd")).unwrap().count().try_into().unwrap(),
            threads: of("Threads:"),
            tasks: tasks.parse().unwrap(),
        }
    }

    /// Waits for the last answers, and ends everything.
    async fn stop(self) -> Counts {
        let client = self.bench.client().await;
        // The last cut may be a moment ago.
        client.round().await;
        let (talk, counters) = (&self.talk, (self.bench.akuvox.counters(), self.bench.aqara.counters()));
        let counts = Counts {
            commands: talk.sent.load(Relaxed),
            answers: talk.answers.load(Relaxed),
            events: talk.events.load(Relaxed),
            views: talk.views.load(Relaxed),
            refreshes: counters.0.refreshes + counters.1.refreshes,
            reconnects: self.latchkey.log().matches(CONNECTED).count() as u64 - 1,
            double_spends: counters.0.replays + counters.1.replays,
            forgotten: 0,
        };
        assert!(self.latchkey.stop().await.success());
        let open = self.talk.open.lock().unwrap().clone();
        // Those that were on their way when it ended.
        let newest = open.keys().next_back().copied().unwrap_or_default();
        let forgotten: Vec<_> = open.iter().filter(|it| it.0 + 400 < newest).collect();
        println!("never answered: {forgotten:?}");
        Counts { forgotten: forgotten.len(), ..counts }
    }
}

fn print_table(samples: &[Sample], counts: &Counts, run: Run) {
    let seconds = run.length.as_secs_f64();
    println!("\n{:>9} {:>10} {:>9} {:>6} {:>8} {:>6}", "time", "memory KiB", "disk KiB", "files", "threads", "tasks");
    for sample in samples.iter().step_by(samples.len().div_ceil(20)).chain(samples.last()) {
        let Sample { at, resident_kib, disk_kib, files, threads, tasks } = sample;
        println!("{:>7.0} s {resident_kib:>10} {disk_kib:>9} {files:>6} {threads:>8} {tasks:>6}", at.as_secs_f64());
    }
    let Counts { commands, answers, events, views, refreshes, reconnects, double_spends, .. } = counts;
    let per_account = seconds * (1 + MORE_ACCOUNTS) as f64 / USUAL_REFRESH_SECONDS;
    println!(
        "\n{commands} commands, {answers} answers, {events} events, {views} page views, {reconnects} reconnects,\n\
         {refreshes} refreshes ({:.0} times the usual rate), {double_spends} double spends, in {seconds:.0} s",
        *refreshes as f64 / per_account
    );
}

/// What the last third takes is what the second third took, but for what a busy moment may take more.
fn assert_steady(samples: &[Sample], counts: &Counts) {
    let third = samples.len() / 3;
    let most = |range: Range<usize>, of: fn(&Sample) -> u64| samples[range].iter().map(of).max().unwrap_or_default();
    let compare = |what: &str, slack: u64, of: fn(&Sample) -> u64| {
        let (before, after) = (most(third..2 * third, of), most(2 * third..samples.len(), of));
        println!("{what}: at most {before} in the second third, {after} in the last");
        assert!(after <= before + slack, "{what} keep growing");
    };
    compare("memory KiB", 3 * 1024, |it| it.resident_kib);
    // The fingerprint of each token that was spent is kept for good, for which sled takes 2 KiB or so.
    compare("disk KiB", 3 * 1024 + counts.refreshes / 3 * 4, |it| it.disk_kib);
    compare("files", 10, |it| it.files);
    compare("threads", 10, |it| it.threads);
    compare("tasks", 40, |it| it.tasks);
}
