//! Programs of others that tests call for. Where one cannot be had the test says so and passes, but not with `CI=true`.
//!
//! What is written in Python is installed on demand, once for all tests, into one environment below the target folder.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of this")]
#![allow(clippy::unwrap_used, reason = "these are tests, although not in functions that clippy knows as such")]

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/requirements.txt");

/// What was found; none where `what` has to be left out for want of it.
pub fn or_skip<T>(what: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) if is_demanded() => panic!("{what}: {why}"),
        Err(why) => {
            // Not by `eprintln!`, whose words are swallowed when a test passes.
            io::stderr().write_all(format!("SKIPPED: {what}: {why}\n").as_bytes()).unwrap();
            None
        }
    }
}

/// A program of the Python environment, which is made anew where the requirements have changed.
pub fn python(program: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    // Tests run side by side, and so may whole test runs.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let (wanted, stamp) = (fs::read_to_string(REQUIREMENTS).unwrap(), folder.join("installed.txt"));
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS];
        run(Command::new(folder.join("bin/python")).args(pip))?;
        fs::write(stamp, wanted).unwrap();
    }
    Ok(folder.join("bin").join(program))
}

/// Runs a driver, a script in Python, with what it is told on its standard input; gives what it says.
pub fn drive(driver: &mut Command, told: &Value) -> Value {
    let streams = driver.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut driver = streams.spawn().unwrap();
    driver.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = driver.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{complaints}");
    serde_json::from_slice(&stdout).unwrap_or_else(|error| panic!("{error}; {complaints}"))
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let complaints = [stderr, stdout].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}: {complaints}")) }
}

#[allow(clippy::disallowed_methods, reason = "this is no setting of Latchkey")]
fn is_demanded() -> bool {
    std::env::var("CI").is_ok_and(|it| it == "true")
}
