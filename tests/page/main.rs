//! The page of the demo in a real Chromium, driven as a person would, and judged by axe.
//!
//! Chromium is Debian's (`apt-get install chromium`).
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[allow(dead_code, reason = "another test's, of which this uses a part")]
#[path = "../web/bench.rs"]
mod bench;
#[path = "../support/tools.rs"]
mod tools;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use bench::{House, Plan};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/drive.py");
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// `latchkey demo`, which ends with the test.
struct Demo {
    child: Child,
    ready: Value,
}

#[test]
fn a_person_signs_in_renews_acts_mends_forgets_and_undoes_on_the_page() {
    let Some(driver) = Driver::find() else { return };
    let demo = Demo::start();
    let seen = driver.drive(demo.ready.clone());

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

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_at_home_assistant_finds_the_page_in_its_panel() {
    let Some(driver) = tokio::task::spawn_blocking(Driver::find).await.unwrap() else { return };
    let house = House::of(Plan { web: "ingress_from = \"127.0.0.2\"", ..Plan::default() }).await;
    house.sign_in().await;
    let told = json!({ "web": format!("http://{}/", house.address), "supervisor": "127.0.0.2" });
    let seen = tokio::task::spawn_blocking(move || driver.drive(told)).await.unwrap();
    assert_eq!(seen, json!({ "acted": true }));
    assert_eq!(house.aqara.counters().scene_runs.values().sum::<u64>(), 1);
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

/// What drives a browser.
struct Driver {
    python: PathBuf,
    chromium: &'static str,
}

impl Driver {
    fn find() -> Option<Self> {
        let is_there = |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|it| it.status.success());
        let chromium = NAMES.iter().find(is_there).ok_or("Chromium is missing: apt-get install chromium".to_owned());
        let found = chromium.and_then(|chromium| Ok(Self { python: tools::python("python")?, chromium }));
        tools::or_skip("the page was not driven", found)
    }

    fn drive(&self, mut told: Value) -> Value {
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-shots");
        fs::create_dir_all(&shots).unwrap();
        told["chromium"] = json!(self.chromium);
        told["shots"] = json!(shots);
        tools::drive(Command::new(&self.python).arg(DRIVER), &told)
    }
}
