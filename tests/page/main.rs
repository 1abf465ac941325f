//! The page of the demo in a real Chromium, driven as a person would, and judged by axe.
//!
//! The driver is installed on demand, below the target folder; Chromium is Debian's (`apt-get install chromium`). Where
//! one of them cannot be had the test says so and passes, but not with `CI=true`.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/requirements.txt");
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/drive.py");
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// `latchkey demo`, which ends with the test.
struct Demo {
    child: Child,
    ready: Value,
}

#[test]
fn a_person_signs_in_renews_acts_mends_forgets_and_undoes_on_the_page() {
    let (python, chromium) = match installed() {
        Ok(installed) => installed,
        Err(why) if is_demanded() => panic!("the page cannot be driven: {why}"),
        Err(why) => {
            // Not by `eprintln!`, whose words are swallowed when a test passes.
            writeln!(io::stderr(), "SKIPPED: the page was not driven: {why}").unwrap();
            return;
        }
    };
    let demo = Demo::start();
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-shots");
    fs::create_dir_all(&shots).unwrap();
    let mut told = demo.ready.clone();
    told["chromium"] = json!(chromium);
    told["shots"] = json!(shots);
    let seen = drive(&python, &told);

    assert_eq!(seen["violations"], json!([]), "axe");
    assert_eq!(seen["complaints"], json!([]), "the console");
    assert_eq!(seen["foreign"], json!([]), "the page asked others");
    assert_eq!(seen["foreign_behind_a_proxy"], json!([]), "the page left its path");
    assert_eq!(seen["secrets"], 0, "a secret is on the page");
    assert_eq!(seen["overflows"], false, "a phone has to scroll sideways");
    assert_eq!(seen["keyboard"].as_array().unwrap()[..2], ["Skip to the accounts", "Sign out"]);
    let explained = "Request a login code, and give the code that arrives as Login code.";
    assert!(seen["dead"].as_str().unwrap().contains(explained), "{}", seen["dead"]);
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .args(["demo", "--json", "--token-lifetime", "1h"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, ready }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // By a signal it tidies its folder up.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Runs the driver, with what it is told on its standard input.
fn drive(python: &Path, told: &Value) -> Value {
    let mut driver = Command::new(python)
        .arg(DRIVER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    driver.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = driver.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{complaints}");
    serde_json::from_slice(&stdout).unwrap_or_else(|err| panic!("{err}; {complaints}"))
}

/// The interpreter of an environment with the driver in it, made anew where the requirements have changed; and Chromium.
fn installed() -> Result<(PathBuf, &'static str), String> {
    let is_there = |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|it| it.status.success());
    let chromium = NAMES.iter().find(is_there).ok_or("Chromium is missing: apt-get install chromium")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    let python = folder.join("bin/python");
    let (wanted, stamp) = (fs::read_to_string(REQUIREMENTS).unwrap(), folder.join("installed.txt"));
    if fs::read_to_string(&stamp).is_ok_and(|it| it == wanted) && python.exists() {
        return Ok((python, chromium));
    }
    let _ = fs::remove_dir_all(&folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS]))?;
    fs::write(stamp, wanted).map_err(|err| err.to_string())?;
    Ok((python, chromium))
}

fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|err| format!("{command:?}: {err}"))?;
    let complaints = [stderr, stdout].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}: {complaints}")) }
}

#[allow(clippy::disallowed_methods, reason = "this is no setting of Latchkey")]
fn is_demanded() -> bool {
    std::env::var("CI").is_ok_and(|it| it == "true")
}
