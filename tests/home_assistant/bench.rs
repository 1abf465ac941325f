//! Simulated clouds, the program `latchkey run` over them, and a Home Assistant that has taken up the package.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use latchkey::{
    account::slug,
    demo::clouds::{AkuvoxCloud, AqaraCloud, Options, akuvox::devices, aqara::scenes},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::api::{HomeAssistant, is_about_deletion};

/// There is one Home Assistant, so there is one test at a time. Whether it has taken up the package.
static TURN: Mutex<bool> = Mutex::const_new(false);

/// Automations of the blueprints, which count what they do, and the notifications that are seen.
const TRIAL: &str = include_str!("trial.yaml");

pub(crate) struct Bench {
    pub(crate) ha: HomeAssistant,
    pub(crate) akuvox: AkuvoxCloud,
    pub(crate) aqara: AqaraCloud,
    folder: TempDir,
    latchkey: Option<Running>,
    /// Of another instance at the same broker.
    cabin: Option<Running>,
    _turn: MutexGuard<'static, bool>,
}

impl Bench {
    /// Whether there is a Home Assistant, which is told if not.
    pub(crate) fn is_there() -> bool {
        let missing: Vec<&str> = ["HA_URL", "HA_TOKEN", "HA_CONFIG", "MQTT_HOST", "MQTT_PORT"]
            .into_iter()
            .filter(|it| variable(it).is_none())
            .collect();
        if !missing.is_empty() {
            assert!(variable("LATCHKEY_DEMAND_HA").is_none(), "a Home Assistant is demanded, and {missing:?} not set");
            tell(&format!("SKIPPED, there is no Home Assistant: {} not set", missing.join(", ")));
        }
        missing.is_empty()
    }

    /// None where there is no Home Assistant.
    pub(crate) async fn set_up() -> Option<Self> {
        if !Self::is_there() {
            return None;
        }
        let mut turn = TURN.lock().await;
        let ha = HomeAssistant::new(variable("HA_URL")?, variable("HA_TOKEN")?);
        if !*turn {
            restart(&ha).await;
            *turn = true;
        }
        let free = (Ipv4Addr::LOCALHOST, 0).into();
        let akuvox = AkuvoxCloud::start(free, Options::default()).await.unwrap();
        let aqara = AqaraCloud::start(free, Options { n_accounts: 2, ..Options::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bench = Self { ha, akuvox, aqara, folder, latchkey: None, cabin: None, _turn: turn };
        fs::write(bench.configuration_file(), bench.configuration(0)).unwrap();
        Some(bench)
    }

    /// Starts `latchkey run`, as a user has it: a program of its own.
    pub(crate) fn start_latchkey(&mut self) {
        self.latchkey = Some(self.run(&self.configuration_file()));
    }

    /// Starts another Latchkey at the same broker, which differs by its instance's name alone, and by its store.
    pub(crate) fn start_cabin(&mut self) {
        let store = format!("{:?}", self.folder.path().join("store"));
        let text = self.configuration(1).replace(&store, &format!("{:?}", self.folder.path().join("cabin")));
        let file = self.folder.path().join("cabin.toml");
        fs::write(&file, format!("instance = \"cabin\"\n{text}")).unwrap();
        self.cabin = Some(self.run(&file));
    }

    fn run(&self, configuration: &Path) -> Running {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("latchkey.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.arg("run").arg("--config").arg(configuration).stderr(log);
        Running(command.spawn().unwrap())
    }

    /// Stops Latchkey, changes its configuration, and starts it again.
    pub(crate) async fn reconfigure(&mut self, change: impl Fn(String) -> String) {
        if self.latchkey.is_some() {
            self.stop_latchkey().await;
        }
        fs::write(self.configuration_file(), change(self.configuration(0))).unwrap();
        self.start_latchkey();
    }

    /// Starts it and hands in both accounts' tokens, as a user does once.
    pub(crate) async fn start_with_tokens(&mut self) {
        self.start_latchkey();
        for account in ["front_door", "home"] {
            self.ha.until_state(&format!("sensor.latchkey_{account}_condition"), "missing").await;
        }
        self.hand_in_tokens().await;
        for account in ["front_door", "home"] {
            self.ha.until_state(&format!("sensor.latchkey_{account}_condition"), "ok").await;
        }
    }

    pub(crate) async fn hand_in_tokens(&self) {
        let (akuvox, aqara) = (self.akuvox.credentials(0), self.aqara.credentials(0));
        for arguments in [
            json!({ "entry_id": "front_door", "token": akuvox.token, "refresh_token": akuvox.refresh_token }),
            json!({ "entry_id": "home", "refresh_token": aqara.refresh_token }),
        ] {
            let answer = self.ha.script("latchkey_update_tokens", arguments).await;
            assert_eq!(answer["data"]["outcome"], "proved", "{answer}\n{}", self.log());
        }
    }

    /// Tells Latchkey to stop, and waits until it has.
    pub(crate) async fn stop_latchkey(&mut self) {
        let running = self.latchkey.take().unwrap();
        self.stop(running).await;
    }

    pub(crate) async fn stop_cabin(&mut self) {
        let running = self.cabin.take().unwrap();
        self.stop(running).await;
    }

    async fn stop(&self, mut running: Running) {
        signal("TERM", &running.0.id().to_string());
        let stopped = tokio::task::spawn_blocking(move || running.0.wait().unwrap());
        let status = tokio::time::timeout(Duration::from_secs(60), stopped).await.unwrap().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    pub(crate) fn kill_latchkey(&mut self) {
        drop(self.latchkey.take().unwrap());
    }

    pub(crate) async fn restart_home_assistant(&self) {
        restart(&self.ha).await;
    }

    /// Has whoever runs the broker restart it, and waits until Home Assistant has noticed. With `forgets` it is killed
    /// before and its database deleted, as if it had none.
    pub(crate) async fn restart_broker(&self, forgets: bool) {
        let runner = variable("HA_RUN_PID").unwrap();
        if forgets {
            let brokers = children_called(&runner, "mosquitto");
            assert_eq!(brokers.len(), 1, "the broker is a child of {runner}");
            signal("KILL", &brokers[0]);
            let _ = fs::remove_file(Path::new(&variable("HA_CONFIG").unwrap()).join("../broker/mosquitto.db"));
        }
        signal("USR2", &runner);
        self.ha.until_state("binary_sensor.latchkey_bridge_connection", "unavailable").await;
    }

    /// Whether the broker can be restarted, which is told if not.
    pub(crate) fn can_restart_broker() -> bool {
        let can = variable("HA_RUN_PID").is_some();
        if !can {
            assert!(variable("LATCHKEY_DEMAND_HA").is_none(), "HA_RUN_PID is not set");
            tell("SKIPPED, the broker is not restarted: HA_RUN_PID is not set");
        }
        can
    }

    /// Waits until Latchkey's log says something.
    pub(crate) async fn until_logged(&self, words: &str) {
        let is_said = async {
            while !self.log().contains(words) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_said).await.expect("the log says it");
    }

    /// Waits until something is retained on a topic.
    pub(crate) async fn until_retained(&self, topic: &str) {
        let is_there = async {
            while self.retained(topic).is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_there).await.expect("it is announced there");
    }

    /// Clears what is retained below a topic.
    pub(crate) async fn forget_retained(&self, beginning: &str) {
        for topic in self.retained(beginning) {
            let nothing = json!({ "topic": topic, "payload": "", "retain": true });
            self.ha.act("mqtt.publish", nothing).await;
        }
    }

    /// The topics with a retained message whose name has this beginning.
    pub(crate) fn retained(&self, beginning: &str) -> BTreeSet<String> {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", &variable("MQTT_HOST").unwrap(), "-p", &variable("MQTT_PORT").unwrap()]);
        if let (Some(user), Some(password)) = (variable("MQTT_USER"), variable("MQTT_PASSWORD")) {
            command.args(["-u", &user, "-P", &password]);
        }
        let output = command.args(["-t", "#", "-W", "1", "--retained-only", "-F", "%t"]).output().unwrap();
        let topics = String::from_utf8(output.stdout).unwrap();
        topics.lines().filter(|it| it.starts_with(beginning)).map(str::to_owned).collect()
    }

    /// The entities of Latchkey's devices that are there, whatever their state.
    pub(crate) async fn announced(&self) -> BTreeSet<String> {
        let states = self.ha.states().await;
        let ids = states.iter().map(|it| it["entity_id"].as_str().unwrap());
        let is_of_package = |id: &str| id.starts_with("script.") || id == "sensor.latchkey_last_answer";
        ids.filter(|it| it.contains("latchkey") && !is_of_package(it)).map(str::to_owned).collect()
    }

    /// The same, when what was found at the clouds is there too.
    pub(crate) async fn everything_announced(&self) -> BTreeSet<String> {
        let found = scenes_found().into_iter().chain(["button.latchkey_front_door_open_0c1105000001_0".to_owned()]);
        for entity in found {
            self.ha.until(&entity, "there", |it| it["state"] != "unavailable").await;
        }
        self.announced().await
    }

    /// Waits until nothing needs attention, and sets what was counted to 0.
    pub(crate) async fn forget_notifications(&self) {
        let is_idle = |it: &serde_json::Value| it["attributes"]["current"] == 0;
        for account in ["front_door", "home"] {
            self.ha.until_state(&format!("binary_sensor.latchkey_{account}_needs_attention"), "off").await;
        }
        self.ha.until("automation.trial_attention", "idle", is_idle).await;
        for counter in ["needed", "well", "shown", "taken_back"] {
            self.ha.act("counter.reset", json!({ "entity_id": format!("counter.trial_{counter}") })).await;
        }
    }

    /// Stops everything, and looks for complaints in Home Assistant's log.
    pub(crate) async fn finish(mut self) {
        if self.latchkey.is_some() {
            self.stop_latchkey().await;
        }
        if self.cabin.is_some() {
            self.stop_cabin().await;
        }
        let Some(log) = variable("HA_LOG") else {
            tell("HA_LOG is not set: Home Assistant's log was not looked at");
            return;
        };
        let log = fs::read_to_string(log).unwrap();
        let is_complaint = |line: &&str| {
            let level = line.split_whitespace().nth(2).unwrap_or_default();
            let words = ["mqtt", "latchkey", "trial", "template", "script", "automation", "blueprint"];
            // What it says of a broker that this test stops.
            let is_ours = [
                "Disconnected from MQTT server",
                "Failed to connect to MQTT server",
                "Error returned from MQTT server",
            ];
            let is_of_broker = is_ours.iter().any(|it| line.contains(it));
            let is_severe = ["WARNING", "ERROR", "CRITICAL"].contains(&level);
            is_severe
                && !is_of_broker
                && !is_about_deletion(line)
                && words.iter().any(|it| line.to_lowercase().contains(it))
        };
        let complaints: Vec<&str> = log.lines().filter(is_complaint).collect();
        assert!(complaints.is_empty(), "Home Assistant complains:\n{}", complaints.join("\n"));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("latchkey.log")).unwrap_or_default()
    }

    fn configuration_file(&self) -> PathBuf {
        self.folder.path().join("latchkey.toml")
    }

    /// Accounts and scenes as `config/latchkey.toml` and the dashboard call them, with one of the Aqara cloud's logins.
    fn configuration(&self, login: usize) -> String {
        let store = self.folder.path().join("store");
        let (host, port) = (variable("MQTT_HOST").unwrap(), variable("MQTT_PORT").unwrap());
        let user = variable("MQTT_USER").map(|it| format!("username = {it:?}\n")).unwrap_or_default();
        let password = variable("MQTT_PASSWORD").map(|it| format!("password = {it:?}\n")).unwrap_or_default();
        let (akuvox, aqara) = (self.akuvox.credentials(0), self.aqara.credentials(login));
        let door = |location: &str| {
            let device = devices(0).into_iter().find(|it| it.location == location).unwrap();
            format!("{}/{}", device.mac, device.relays[0].id)
        };
        let scene = |name: &str| &aqara.scenes[name];
        format!(
            "[mqtt]\nhost = {host:?}\nport = {port}\n{user}{password}\n\
             [store]\npath = {store:?}\n\n[web]\nlisten = \"127.0.0.1:0\"\n\n\
             [keeper]\nmin_refresh_gap = \"0s\"\n\n\
             [home_assistant]\nannounce_delay = \"1s\"\n\n\
             [accounts.front_door]\nvendor = \"akuvox\"\nname = \"Front door\"\ngate = {:?}\n\
             doors = true\ndial_code = {:?}\nphone = {:?}\n\
             [accounts.front_door.door_names]\ngarage = {:?}\n\n\
             [accounts.home]\nvendor = \"aqara\"\nname = \"Home\"\nbase_url = {:?}\n\
             app_id = {:?}\nkey_id = {:?}\napp_key = {:?}\nlogin = {:?}\n\n\
             [accounts.home.scenes]\ntv_pin_entry = {:?}\ntv_warning = {:?}\ntv_power_off = {:?}\n",
            self.akuvox.url(),
            akuvox.dial_code,
            akuvox.phone_number,
            door("Garage"),
            self.aqara.url(),
            aqara.app_id,
            aqara.key_id,
            aqara.app_key,
            aqara.account,
            scene("TV PIN entry"),
            scene("TV warning"),
            scene("TV power off"),
        )
    }
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), process]).status().unwrap().success());
}

/// The process ids of a process's children with this name, as Linux tells them.
fn children_called(process: &str, name: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    let is_called = |it: &&str| fs::read_to_string(format!("/proc/{it}/comm")).is_ok_and(|comm| comm.trim() == name);
    children.split_whitespace().filter(is_called).map(str::to_owned).collect()
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The scenes of the Aqara account that are not configured.
pub(crate) fn scenes_found() -> Vec<String> {
    let is_configured = |name: &str| ["TV PIN entry", "TV warning", "TV power off"].contains(&name);
    let found = scenes(0).into_iter().filter(|it| !is_configured(it.name));
    found.map(|it| format!("scene.latchkey_home_{}", slug(&it.id))).collect()
}

/// A file that users copy into their Home Assistant.
pub(crate) fn package_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ha-discovery").join(name)
}

/// Says something even though tests are silent when they pass.
pub(crate) fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "home_assistant: {what}");
}

/// Restarts Home Assistant with the package in place, which whoever runs it may have taken out again.
async fn restart(ha: &HomeAssistant) {
    take_up_package(Path::new(&variable("HA_CONFIG").unwrap()));
    ha.restart().await;
    // It says by MQTT that it was born when it has come to rest, which whoever started it may wait for as well.
    ha.until_state("counter.trial_births", "1").await;
    ha.until_state("script.latchkey_update_tokens", "off").await;
}

/// What the README tells users to do: the files in their places, and one line in `configuration.yaml`.
fn take_up_package(config: &Path) {
    let blueprints = config.join("blueprints/automation/latchkey");
    let packages = config.join("packages");
    fs::create_dir_all(&blueprints).unwrap();
    fs::create_dir_all(&packages).unwrap();
    fs::copy(package_file("package.yaml"), packages.join("latchkey.yaml")).unwrap();
    for name in ["needs_attention.yaml", "refresh_token_ages.yaml"] {
        let blueprint = package_file("blueprints/automation/latchkey").join(name);
        fs::copy(blueprint, blueprints.join(name)).unwrap();
    }
    fs::write(packages.join("latchkey_trial.yaml"), TRIAL).unwrap();
    fs::copy(package_file("dashboard.yaml"), config.join("latchkey-dashboard.yaml")).unwrap();

    let file = config.join("configuration.yaml");
    let text = fs::read_to_string(&file).unwrap();
    if !text.contains("packages:") {
        let line = "homeassistant:\n  packages: !include_dir_named packages\n";
        let text = if text.contains("homeassistant:\n") {
            text.replacen("homeassistant:\n", line, 1)
        } else {
            format!("{text}\n{line}")
        };
        fs::write(&file, text).unwrap();
    }
}

/// A variable of the environment that is not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|it| !it.is_empty())
}
