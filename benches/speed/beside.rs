//! Home Assistant's way of refreshing tokens, beside Latchkey's, against the same cloud in the same run.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::sleep};

use crate::{
    Form,
    cloud::Clouds,
    mosquitto::Mosquitto,
    rig::{Use, WITH_DEMO},
    row::{Row, megabytes, milliseconds, quantile},
    storm,
    talker::Talker,
};

const AIOHTTP: &str = "aiohttp==3.14.0";

pub(crate) fn beside(form: Form) -> Vec<Row> {
    let n_accounts = form.of(1000, 100);
    let (mut python, helper) = helper(n_accounts, form);
    let ours = latchkey(n_accounts, form);
    let megabytes_of = megabytes(Use::of(python.child.id()).resident);
    python.child.kill().unwrap();
    python.child.wait().unwrap();
    let line = |who: &str, it: &Measured| {
        Row::plain(
            format!("{who}: {n_accounts} logins renewed, {} at a time; one alone", storm::AT_ONCE),
            format!("{:.0}/s; median {}; {:.1} MB resident", it.per_second, milliseconds(it.alone), it.megabytes),
        )
    };
    let helper = Measured { megabytes: megabytes_of, ..helper };
    vec![
        line("Latchkey, command to reply by MQTT", &ours),
        line("Home Assistant's way, in Python, called directly", &helper),
    ]
}

struct Measured {
    per_second: f64,
    alone: Duration,
    megabytes: f64,
}

/// The driver of oauth2_helper.py.
struct Helper {
    child: Child,
    wishes: ChildStdin,
    answers: BufReader<ChildStdout>,
}

fn helper(n_accounts: usize, form: Form) -> (Helper, Measured) {
    let clouds = Clouds::start(n_accounts);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut python = Helper::start(&clouds, n_accounts, folder.path());
    let all: Vec<usize> = (0..n_accounts).collect();
    let alone = python.measure(&[0], form.of(300, 20));
    let mut alone: Vec<Duration> = alone["latencies"].as_array().unwrap().iter().map(seconds).collect();
    let together = seconds(&python.measure(&all, 1)["seconds"]);
    let per_second = n_accounts as f64 / together.as_secs_f64();
    (python, Measured { per_second, alone: quantile(&mut alone, 0.5), megabytes: 0.0 })
}

fn latchkey(n_accounts: usize, form: Form) -> Measured {
    Runtime::new().unwrap().block_on(async {
        let (mosquitto, clouds) = (Mosquitto::start(), Clouds::start(n_accounts + 1));
        let lead = Duration::from_secs(form.of(15, 8) as u64);
        let (house, due_at) = storm::due_together(&mosquitto, &clouds, n_accounts, lead, storm::AT_ONCE);
        let service = house.run_connected(Path::new(WITH_DEMO));
        let mut talker = Talker::connect(mosquitto.port, &["latchkey/calm/response/refresh_tokens"]).await;
        let mut alone = Vec::new();
        for _ in 0..form.of(300, 20) {
            alone.push(talker.ask("latchkey/calm/refresh_tokens", "{}").await.0);
        }
        let before = clouds.refreshes().await;
        let wanted = before + n_accounts as u64;
        sleep(due_at.saturating_duration_since(std::time::Instant::now())).await;
        let began = std::time::Instant::now();
        while clouds.refreshes().await < wanted {
            sleep(Duration::from_millis(20)).await;
        }
        let per_second = n_accounts as f64 / began.elapsed().as_secs_f64();
        let resident = megabytes(service.used().resident);
        service.stop();
        Measured { per_second, alone: quantile(&mut alone, 0.5), megabytes: resident }
    })
}

impl Helper {
    fn start(clouds: &Clouds, n_accounts: usize, folder: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/speed/oauth2_helper.py");
        let mut command = Command::new(python());
        let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (wishes, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut helper = Self { child, wishes, answers };
        let login = |number| {
            let held = clouds.account("akuvox", number);
            json!({ "token": held["token"], "refresh_token": held["refresh_token"] })
        };
        helper.say(&json!({
            "url": format!("{}/refresh_token", clouds.gate()),
            "at_once": storm::AT_ONCE,
            "path": folder.join("entries.json"),
            "logins": (0..n_accounts).map(login).collect::<Vec<_>>(),
        }));
        helper
    }

    fn measure(&mut self, accounts: &[usize], rounds: usize) -> Value {
        self.say(&json!({ "accounts": accounts, "rounds": rounds }));
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the Python driver failed; it said why")
    }

    fn say(&mut self, wish: &Value) {
        writeln!(self.wishes, "{wish}").unwrap();
    }
}

fn seconds(number: &Value) -> Duration {
    Duration::from_secs_f64(number.as_f64().unwrap())
}

/// A Python with aiohttp: that of `LATCHKEY_BENCH_PYTHON`, else one of our own.
fn python() -> PathBuf {
    if let Some(given) = env::var_os("LATCHKEY_BENCH_PYTHON") {
        return given.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aiohttp");
    let python = folder.join("bin/python");
    if !python.exists() {
        let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?} failed");
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", AIOHTTP]));
    }
    python
}
