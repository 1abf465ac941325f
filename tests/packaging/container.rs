//! The composition without an engine: the script that makes its passwords, Mosquitto with its configuration and access
//! list, and Latchkey; each as docker-compose.yml and the Dockerfile have it run.

use std::{
    fs::{self, Permissions},
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output},
};

use tempfile::TempDir;

use crate::{
    read,
    sandbox::{self, Sandbox, is_root},
    shipped,
    support::latchkey::{CONNECTED, Latchkey, output},
    tools::or_skip,
    wait_for,
};

const LATCHKEY: u32 = 65532;
const MOSQUITTO: u32 = 1883;

/// The volumes of the composition and the files that are mounted.
struct Composition {
    folder: TempDir,
    port: u16,
    page: u16,
}

/// A process that ends with the test.
struct Ended(Child);

#[tokio::test]
async fn the_composition_starts_with_passwords_of_its_own_is_healthy_and_stops_when_told() {
    let Some(()) = or_skip("the composition", sandbox::can_be_had()) else { return };
    let composition = Composition::new();
    composition.make_passwords();
    let passwords = composition.passwords();
    let mosquitto = composition.mosquitto();
    let container = composition.latchkey("service");
    let mut latchkey = Latchkey::start(container.command(&["run"]));
    latchkey.logged(CONNECTED).await;

    let pid = container.process();
    assert_sealed(pid);
    for (arguments, says) in [(&["health"][..], "alive\n"), (&["health", "--ready"], "ready\n")] {
        let beside = composition.latchkey("beside");
        let Output { status, stdout, stderr } = output(beside.command(arguments)).await;
        let (said, complaint) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success() && said == says, "{arguments:?}: {said}{complaint}");
    }

    assert_eq!(
        composition.hears(Some(&passwords["at the broker"]), "latchkey/bridge/state").await,
        Ok("online".into())
    );
    for nobody in [None, Some("guessed")] {
        assert!(composition.hears(nobody, "latchkey/bridge/state").await.is_err(), "{nobody:?} came in");
    }

    assert!(Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap().success());
    assert!(latchkey.ended().await.success(), "{}", latchkey.log());
    assert_eq!(
        composition.hears(Some(&passwords["at the broker"]), "latchkey/bridge/state").await,
        Ok("offline".into())
    );

    // What `up` does the next time.
    composition.make_passwords();
    assert_eq!(composition.passwords(), passwords);
    let latchkey = Latchkey::start(container.command(&["run"]));
    latchkey.logged(CONNECTED).await;
    drop(mosquitto);
}

#[test]
fn what_the_passwords_are_made_of_is_closed_to_everybody_but_its_reader() {
    let composition = Composition::new();
    composition.make_passwords();
    for (file, owner) in [
        ("people/homeassistant", 0),
        ("latchkey/mqtt_password", LATCHKEY),
        ("latchkey/web_key", LATCHKEY),
        ("mosquitto/passwords", MOSQUITTO),
    ] {
        let path = composition.secret(file);
        let (metadata, text) = (fs::metadata(&path).unwrap(), fs::read_to_string(&path).unwrap());
        assert_eq!(metadata.mode() & 0o337, 0, "{file} may be read or changed by others");
        assert!(!is_root() || metadata.uid() == owner, "{file} is not its reader's");
        let is_secret = text.len() == 48 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let is_hashed = text.lines().count() == 2 && text.lines().all(|it| it.contains(":$"));
        assert!(is_secret || is_hashed, "{file}: {} characters", text.len());
    }
    // One that was removed is made anew, and the others stay.
    let before = composition.passwords();
    fs::remove_file(composition.secret("people/homeassistant")).unwrap();
    composition.make_passwords();
    let after = composition.passwords();
    assert_ne!(after["at the broker"], before["at the broker"]);
    assert_eq!(after["Latchkey's page"], before["Latchkey's page"]);
}

impl Composition {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let composition = Self { folder, port: free_port(), page: free_port() };
        for volume in ["secrets/people", "secrets/latchkey", "secrets/mosquitto", "mosquitto-data", "data"] {
            fs::create_dir_all(composition.path(volume)).unwrap();
        }
        let conf = read("config/mosquitto.conf");
        let listener = format!("listener {} 127.0.0.1\n", composition.port);
        assert!(conf.contains("listener 1883\n"), "the port is not where the test looks for it");
        fs::write(composition.path("mosquitto.conf"), conf.replace("listener 1883\n", &listener)).unwrap();
        fs::copy(shipped("config/mosquitto.acl"), composition.path("mosquitto.acl")).unwrap();
        fs::write(
            composition.path("latchkey.toml"),
            format!(
                "[mqtt]\nport = {}\n[accounts.front_door]\nvendor = \"akuvox\"\ncountry = \"SE\"\n",
                composition.port
            ),
        )
        .unwrap();
        composition
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.path("secrets").join(name)
    }

    /// The service `passwords`: as root it has the one capability that docker-compose.yml leaves it, else each file goes
    /// to whoever runs this test.
    fn script(&self, what: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.env("SECRETS", self.path("secrets"));
        if is_root() {
            command.args(["--inh-caps=-all", "--bounding-set=-all,+chown", "--no-new-privs"]);
        } else {
            let (user, group) = sandbox::me();
            let me = format!("{user}:{group}");
            command.args(["--no-new-privs"]).env("LATCHKEY_OWNER", &me).env("MOSQUITTO_OWNER", &me);
        }
        command.arg("sh").arg(shipped("config/passwords")).arg(what);
        command
    }

    fn make_passwords(&self) {
        let Output { status, stdout, stderr } = self.script("make").output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        assert!(stdout.is_empty() && stderr.is_empty(), "it says something that a log would keep");
    }

    /// What `show` says, by what it is for.
    fn passwords(&self) -> std::collections::BTreeMap<String, String> {
        let said = String::from_utf8(self.script("show").output().unwrap().stdout).unwrap();
        let read = |line: &str| {
            let (what, rest) = line.split_once(':').unwrap();
            (what.to_owned(), rest.split(' ').next_back().unwrap().to_owned())
        };
        said.lines().map(read).collect()
    }

    fn mosquitto(&self) -> Ended {
        let mut sandbox = Sandbox::of(Path::new("/usr/sbin/mosquitto"), MOSQUITTO, self.path("mosquitto.json"));
        sandbox.read_only(&self.path("mosquitto.conf"), "/mosquitto/config/mosquitto.conf");
        sandbox.read_only(&self.path("mosquitto.acl"), "/mosquitto/config/mosquitto.acl");
        sandbox.read_only(&self.secret("mosquitto"), "/mosquitto/secrets");
        sandbox.volume(&self.path("mosquitto-data"), "/mosquitto/data");
        let mut mosquitto = Ended(sandbox.command(&["-c", "/mosquitto/config/mosquitto.conf"]).spawn().unwrap());
        wait_for("Mosquitto", || {
            assert!(mosquitto.0.try_wait().unwrap().is_none(), "Mosquitto does not start");
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
        mosquitto
    }

    /// Latchkey as the image has it, with the environment of Dockerfile and docker-compose.yml.
    fn latchkey(&self, which: &str) -> Sandbox {
        let program = self.path("latchkey");
        if !program.exists() {
            // Where it was built nobody else may be let in.
            fs::copy(binary(), &program).unwrap();
        }
        let mut sandbox = Sandbox::of(&program, LATCHKEY, self.path(&format!("{which}.json")));
        sandbox.read_only(&self.path("latchkey.toml"), "/config/latchkey.toml");
        sandbox.read_only(&self.secret("latchkey"), "/secrets");
        sandbox.volume(&self.path("data"), "/data");
        for (name, value) in image_environment().into_iter().chain(service_environment()) {
            sandbox.environment(&name, &value.replace("0.0.0.0:8780", &format!("127.0.0.1:{}", self.page)));
        }
        // There is no network of containers here.
        sandbox.environment("LATCHKEY__MQTT__HOST", "127.0.0.1");
        sandbox
    }

    /// The first message on a topic that Home Assistant's user, or nobody, hears.
    async fn hears(&self, password: Option<&str>, topic: &str) -> Result<String, String> {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", topic, "-C", "1", "-W", "60"]);
        command.args(password.map(|it| ["-u", "homeassistant", "-P", it]).iter().flatten());
        let Output { status, stdout, stderr } = output(command).await;
        let text = |it: Vec<u8>| String::from_utf8(it).unwrap().trim().to_owned();
        if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It has no capability and no way to one, and cannot write to its root.
fn assert_sealed(pid: u32) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = |key: &str| status.lines().find_map(|it| it.strip_prefix(key)).map(str::trim).unwrap_or_default();
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(value("NoNewPrivs:"), "1");
    assert!(!is_root() || value("Uid:").split_whitespace().all(|it| it == LATCHKEY.to_string()), "{}", value("Uid:"));
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let root = mounts.lines().find(|it| it.split(' ').nth(4) == Some("/")).unwrap();
    assert!(root.split(' ').nth(5).unwrap().split(',').any(|it| it == "ro"), "{root}");
}

/// What runs: the binary of this build, or the one that is about to be shipped.
#[allow(clippy::disallowed_methods, reason = "this is no setting of Latchkey")]
fn binary() -> PathBuf {
    std::env::var_os("LATCHKEY_SHIPPED").map_or_else(|| env!("CARGO_BIN_EXE_latchkey").into(), PathBuf::from)
}

/// `ENV` of the Dockerfile.
fn image_environment() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let words = text.lines().filter(|it| !it.starts_with('#')).flat_map(str::split_whitespace);
    let variables = words.filter_map(|it| it.split_once('=')).filter(|(name, _)| is_setting(name));
    let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(variables.iter().any(|it| it.0 == "LATCHKEY__STORE__PATH"), "{variables:?}");
    variables
}

/// `environment` of Latchkey in docker-compose.yml.
fn service_environment() -> Vec<(String, String)> {
    let text = read("docker-compose.yml");
    let pairs = text.lines().filter_map(|it| it.trim().split_once(": ")).filter(|(name, _)| is_setting(name));
    let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(pairs.iter().any(|it| it.0 == "LATCHKEY__MQTT__PASSWORD_FILE"), "{pairs:?}");
    pairs
}

fn is_setting(name: &str) -> bool {
    name.starts_with("LATCHKEY__") || name == "LATCHKEY_CONFIG"
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
