//! The binary itself, run as a user runs it: a configuration file, a real Mosquitto, simulated clouds, and somebody who
//! listens to everything at the broker.
#![cfg(feature = "demo")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use latchkey::{
    account::Secret,
    clock::Clock,
    demo::clouds::{AkuvoxCloud, AqaraCloud},
    mqtt::{Inbound, Link, LinkEvent, LinkSettings, Outgoing, Qos, Subscription},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

use super::{link, mosquitto::Mosquitto, scripted_broker::PATIENCE};

/// What the log says when the broker has answered the subscriptions: from then on commands arrive.
pub const CONNECTED: &str = "connected to the MQTT broker";

/// The mark of the commands by which the test itself waits.
const ROUND: &str = "a round of the test";

/// A broker, two clouds, and the configuration of an account at each: `front_door` (Akuvox) and `home` (Aqara, with the
/// scene `tv_warning`).
pub struct Bench {
    pub mosquitto: Mosquitto,
    pub akuvox: AkuvoxCloud,
    pub aqara: AqaraCloud,
    pub folder: TempDir,
    /// Lines of the configuration: before the first table, and of these tables.
    pub top: String,
    pub mqtt: String,
    pub keeper: String,
    pub web: String,
    pub front_door: String,
    /// Whole tables, at the end.
    pub more: String,
    pub environment: Vec<(String, String)>,
}

/// A running `latchkey`. Killed when dropped.
pub struct Latchkey {
    /// None when its end was awaited.
    child: Option<Child>,
    pid: u32,
    log: watch::Receiver<String>,
}

/// Somebody else at the broker, who hears everything.
pub struct Client {
    pub link: Link,
    seen: watch::Receiver<Vec<Inbound>>,
    port: u16,
    user: Option<(&'static str, &'static str)>,
    /// What `latchkey` is called in topics.
    pub base: String,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(
            Mosquitto::start(),
            AkuvoxCloud::start_default().await.unwrap(),
            AqaraCloud::start_default().await.unwrap(),
        )
    }

    pub fn with(mosquitto: Mosquitto, akuvox: AkuvoxCloud, aqara: AqaraCloud) -> Self {
        Self {
            mosquitto,
            akuvox,
            aqara,
            folder: tempfile::tempdir().unwrap(),
            top: String::new(),
            mqtt: String::new(),
            keeper: "min_refresh_gap = \"0s\"\nbackoff_first = \"50ms\"\nbackoff_longest = \"1s\"\n".to_owned(),
            web: String::new(),
            front_door: String::new(),
            more: String::new(),
            environment: Vec::new(),
        }
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Writes the configuration file as it is to be now.
    pub fn configuration(&self) -> PathBuf {
        let aqara = self.aqara.credentials(0);
        let text = format!(
            "{top}\n[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\n{mqtt}\n[store]\npath = {store:?}\n\n[keeper]\n{keeper}\n\
             [web]\nlisten = \"127.0.0.1:0\"\n{web}\n\
             [accounts.front_door]\nvendor = \"akuvox\"\ngate = \"{gate}\"\n{front_door}\n\
             [accounts.home]\nvendor = \"aqara\"\nbase_url = \"{base_url}\"\n\
             app_id = {app_id:?}\nkey_id = {key_id:?}\napp_key = {app_key:?}\n\n\
             [accounts.home.scenes]\ntv_warning = {scene:?}\n{more}",
            top = self.top,
            port = self.mosquitto.port,
            mqtt = self.mqtt,
            store = self.store(),
            keeper = self.keeper,
            gate = self.akuvox.url(),
            web = self.web,
            front_door = self.front_door,
            base_url = self.aqara.url(),
            app_id = aqara.app_id,
            key_id = aqara.key_id,
            app_key = aqara.app_key,
            scene = aqara.scenes["TV warning"],
            more = self.more,
        );
        let file = self.folder.path().join("latchkey.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// `latchkey` with a subcommand that takes `--config`.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = latchkey(&[subcommand]);
        command.arg("--config").arg(self.configuration()).envs(self.environment.iter().cloned());
        command
    }

    /// Starts the service, and waits for nothing.
    pub fn start(&self) -> Latchkey {
        Latchkey::start(self.command("run"))
    }

    /// Starts the service and waits until commands arrive.
    pub async fn run(&self) -> Latchkey {
        let latchkey = self.start();
        latchkey.logged(CONNECTED).await;
        latchkey
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.mosquitto.port).await
    }

    /// What a user gives once, after signing in.
    pub fn front_door_tokens(&self) -> String {
        let credentials = self.akuvox.credentials(0);
        json!({ "token": credentials.token, "refresh_token": credentials.refresh_token }).to_string()
    }

    pub fn home_tokens(&self) -> String {
        json!({ "refresh_token": self.aqara.credentials(0).refresh_token }).to_string()
    }

    /// Both accounts get their first tokens, and what they can act on is listed.
    pub async fn sign_in(&self, client: &Client) {
        for (account, tokens) in [("front_door", self.front_door_tokens()), ("home", self.home_tokens())] {
            let topic = format!("{}/{account}/update_tokens", client.base);
            let reply = client.request(&topic, tokens.as_bytes()).await;
            assert_eq!(reply["data"]["outcome"], "proved", "{reply}");
        }
        // Else it is listed in the background, at a time of its own.
        for (command, payload) in [("front_door/open_door", "nowhere"), ("home/list_scenes", "{}")] {
            client.request(&format!("{}/{command}", client.base), payload.as_bytes()).await;
        }
    }

    /// How many calls both clouds got.
    pub fn n_calls(&self) -> u64 {
        self.akuvox.counters().calls + self.aqara.counters().calls
    }
}

/// The binary, with nothing of this test's environment that it would listen to. `LATCHKEY_BIN` may name another one, of
/// a build for users for example.
pub fn latchkey(arguments: &[&str]) -> Command {
    let built = || env!("CARGO_BIN_EXE_latchkey").into();
    let mut command = Command::new(std::env::var_os("LATCHKEY_BIN").unwrap_or_else(built));
    let foreign = std::env::vars().map(|it| it.0).filter(|it| it.starts_with("LATCHKEY") || it == "RUST_LOG");
    for name in foreign {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end, without holding up the simulated clouds.
pub async fn output(mut command: Command) -> Output {
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
    timeout(PATIENCE, ended).await.expect("the command does not end").unwrap()
}

impl Latchkey {
    /// Runs `command`, and remembers what it says on stderr and stdout.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = watch::channel(String::new());
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        remember(stdout, sender.clone());
        remember(stderr, sender);
        Self { pid: child.id(), child: Some(child), log }
    }

    /// Everything that it has said so far.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until it has said `text`.
    pub async fn logged(&self, text: &str) {
        self.logged_times(1, text).await;
    }

    /// Waits until it has said `text` so many times.
    pub async fn logged_times(&self, times: usize, text: &str) {
        let mut log = self.log.clone();
        let is_said = log.wait_for(|it| times <= it.matches(text).count());
        let outcome = timeout(PATIENCE, is_said).await.map(|it| it.is_ok());
        assert_eq!(outcome, Ok(true), "it did not say {text:?} {times} times; it said: {}", self.log());
    }

    /// Has it read its configuration again, and waits until it says that it has.
    pub async fn reload(&self) {
        const DONE: &str = "the configuration was read again";
        let times = self.log().matches(DONE).count();
        self.signal("HUP");
        self.logged_times(times + 1, DONE).await;
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by its name: TERM, INT, KILL, STOP, CONT.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.pid.to_string()]).status().unwrap();
        assert!(status.success(), "it has ended already; it said: {}", self.log());
    }

    /// Waits for its end, and until all that it said has been read.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("its end was awaited before");
        let mut ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        match timeout(PATIENCE, &mut ended).await {
            Ok(status) => {
                // The threads that read hold the senders until nobody can write any more.
                let mut log = self.log.clone();
                let is_read = timeout(PATIENCE, log.wait_for(|_| false)).await.is_ok();
                assert!(is_read, "a process that it started still holds its output; it said: {}", self.log());
                status.unwrap()
            }
            Err(_) => {
                self.signal("KILL");
                let _ = ended.await;
                panic!("it does not end; it said: {}", self.log());
            }
        }
    }

    /// Stops it as a service manager does.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Stops it as a power cut does, as far as its own doing goes.
    pub async fn kill(mut self) {
        self.signal("KILL");
        self.ended().await;
    }
}

impl Drop for Latchkey {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn remember(stream: impl std::io::Read + Send + 'static, log: watch::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            log.send_modify(|it| {
                it.push_str(&String::from_utf8_lossy(&line));
                it.push('\n');
            });
        }
    });
}

impl Client {
    /// Connects and subscribes to everything.
    pub async fn connect(port: u16) -> Self {
        Self::connect_as(port, None).await
    }

    /// As [`Client::connect`], with a user name and a password.
    pub async fn connect_as(port: u16, user: Option<(&'static str, &'static str)>) -> Self {
        let settings = LinkSettings {
            credentials: user.map(|(name, password)| (name.to_owned(), Secret::new(password))),
            client_id: format!("test-{:016x}", fastrand::u64(..)),
            session_expiry: Duration::ZERO,
            subscriptions: vec![Subscription { no_local: false, ..Subscription::new("#", Qos::AtLeastOnce) }],
            will: None,
            ..link::settings(port)
        };
        let (link, mut events, _) = Link::start(settings, Clock::system()).unwrap();
        link::connected(&mut events).await;
        let (sender, seen) = watch::channel(Vec::new());
        let reader = link.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let LinkEvent::Message(message) = event else { continue };
                if let Some(token) = message.ack {
                    reader.ack(token);
                }
                sender.send_modify(|it| it.push(message));
            }
        });
        Self { link, seen, port, user, base: "latchkey".to_owned() }
    }

    /// What is retained at the broker, by topic.
    pub async fn retained(&self) -> BTreeMap<String, String> {
        let other = Self::connect_as(self.port, self.user).await;
        other.link.publish(Outgoing::passing("test/marker", "that was all"));
        other.heard(0, "the marker", |it| it.topic == "test/marker").await;
        let seen = other.since(0).into_iter().filter(|it| it.retain && !it.payload.is_empty());
        let retained = seen.map(|it| (it.topic.clone(), text(&it))).collect();
        other.link.stop(Vec::new()).await;
        retained
    }

    /// How many messages were heard until now: where to look from later.
    pub fn mark(&self) -> usize {
        self.seen.borrow().len()
    }

    pub fn since(&self, mark: usize) -> Vec<Inbound> {
        self.seen.borrow()[mark..].to_vec()
    }

    /// Waits for a message that is wanted, the first since `mark`.
    pub async fn heard(&self, mark: usize, what: &str, wanted: impl Fn(&Inbound) -> bool) -> Inbound {
        self.heard_times(1, mark, what, wanted).await.remove(0)
    }

    /// Waits until so many messages since `mark` are as wanted.
    pub async fn heard_times(
        &self,
        times: usize,
        mark: usize,
        what: &str,
        wanted: impl Fn(&Inbound) -> bool,
    ) -> Vec<Inbound> {
        let mut seen = self.seen.clone();
        let found = seen.wait_for(|it| times <= it[mark..].iter().filter(|it| wanted(it)).count());
        match timeout(PATIENCE, found).await {
            Ok(seen) => seen.unwrap()[mark..].iter().filter(|it| wanted(it)).cloned().collect(),
            Err(_) => panic!("{what} did not come {times} times; what came: {:#?}", self.told_since(mark)),
        }
    }

    /// Waits until the newest state document of an account is as wanted.
    pub async fn state(&self, account: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let topic = format!("{}/{account}/state", self.base);
        let newest = |seen: &[Inbound]| {
            let message = seen.iter().rev().find(|it| it.topic == topic)?;
            serde_json::from_slice::<Value>(&message.payload).ok()
        };
        let mut seen = self.seen.clone();
        let found = seen.wait_for(|it| newest(it).is_some_and(|it| wanted(&it)));
        match timeout(PATIENCE, found).await {
            Ok(seen) => newest(&seen.unwrap()).unwrap(),
            Err(_) => panic!("the state is not as wanted: {:?}", newest(&self.seen.borrow())),
        }
    }

    /// Publishes with `mosquitto_pub`, as a user does. `arguments` are more of its own.
    pub fn mosquitto_pub(&self, topic: &str, payload: &[u8], arguments: &[&str]) {
        let mut child = Command::new("mosquitto_pub")
            .args(["-V", "5", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", topic])
            .arg(if payload.is_empty() { "-n" } else { "-s" })
            .args(arguments)
            .args(self.user.map(|(name, password)| ["-u", name, "-P", password]).iter().flatten())
            .stdin(Stdio::piped())
            .spawn()
            .expect("mosquitto_pub is missing; `./test` installs it");
        child.stdin.take().unwrap().write_all(payload).unwrap();
        assert!(child.wait().unwrap().success(), "mosquitto_pub failed");
    }

    /// Sends a command and takes its one reply. Panics where a second one comes.
    pub async fn request(&self, topic: &str, payload: &[u8]) -> Value {
        self.request_with(topic, payload, &["-q", "1"]).await.1
    }

    /// As [`Client::request`], with more arguments for `mosquitto_pub`; gives the message of the reply, too.
    pub async fn request_with(&self, topic: &str, payload: &[u8], arguments: &[&str]) -> (Inbound, Value) {
        let mark = self.mark();
        self.mosquitto_pub(topic, payload, arguments);
        let replies = self.replies(mark, topic).await;
        assert_eq!(replies.len(), 1, "one command, one reply; not {replies:?}");
        let reply = replies.into_iter().next().unwrap();
        let value = serde_json::from_slice(&reply.payload).unwrap();
        (reply, value)
    }

    /// The replies to a command on `topic`: waits for the first, and for a round of another command after it.
    pub async fn replies(&self, mark: usize, topic: &str) -> Vec<Inbound> {
        let response = response_topic(topic);
        self.heard(mark, &response, |it| it.topic == response).await;
        self.round().await;
        self.since(mark).into_iter().filter(|it| it.topic == response && !text(it).contains(ROUND)).collect()
    }

    /// One command there and its reply back: what Latchkey had said before has been heard.
    pub async fn round(&self) {
        let mark = self.mark();
        let transaction = format!("{ROUND} {mark} {:x}", fastrand::u64(..));
        let request = json!({ "entry_id": "home", "transaction": transaction }).to_string();
        self.link.publish(Outgoing::passing(format!("{}/bridge/request/status", self.base), request));
        let is_answer = |it: &Inbound| it.topic.ends_with("/response/status") && text(it).contains(&transaction);
        self.heard(mark, "the reply to `status`", is_answer).await;
    }

    fn told_since(&self, mark: usize) -> Vec<String> {
        self.since(mark).iter().map(|it| format!("{} {}", it.topic, text(it))).collect()
    }
}

/// The payload as text.
pub fn text(message: &Inbound) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

/// Where the answer to a command goes.
pub fn response_topic(topic: &str) -> String {
    if let Some((account, _)) = topic.split_once("/scene/") {
        return format!("{account}/response/trigger_scene");
    }
    if let Some((account, _)) = topic.split_once("/door/") {
        return format!("{account}/response/open_door");
    }
    if topic.contains("/bridge/request/") {
        return topic.replacen("/request/", "/response/", 1);
    }
    let (account, verb) = topic.rsplit_once('/').unwrap();
    format!("{account}/response/{verb}")
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    entries.flat_map(|it| if it.is_dir() { files_below(&it) } else { vec![it] }).collect()
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
