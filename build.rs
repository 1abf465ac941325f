//! Stamps the build with its time, since no clock that reads an earlier one can be right, and with what it was built from.

use std::{
    env,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-env-changed=LATCHKEY_COMMIT");
    println!("cargo:rerun-if-changed=Cargo.toml");
    println!("cargo:rustc-env=LATCHKEY_BUILT_AT={}", built_at());
    println!("cargo:rustc-env=LATCHKEY_BUILD={}, {}", commit(), features());
}

#[allow(clippy::disallowed_methods, reason = "a build has no clock but the machine's")]
fn built_at() -> u64 {
    let given = variable("SOURCE_DATE_EPOCH").and_then(|it| it.parse().ok());
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()))
}

/// `commit 1f4dcc9...`, from `LATCHKEY_COMMIT` or from git, where there is one. A debug build asks no git: it would be made
/// anew after every commit.
fn commit() -> String {
    if let Some(given) = variable("LATCHKEY_COMMIT").filter(|it| it.bytes().all(|it| it.is_ascii_alphanumeric())) {
        return format!("commit {given}");
    }
    if variable("PROFILE").as_deref() != Some("release") {
        return "development build".to_owned();
    }
    // Sources that were unpacked inside of somebody else's repository are not of its commit.
    let here = variable("CARGO_MANIFEST_DIR").unwrap_or_default();
    let is_ours = |it: &String| Path::new(it).canonicalize().ok() == Path::new(&here).canonicalize().ok();
    if git(&["rev-parse", "--show-toplevel"]).filter(is_ours).is_none() {
        return "commit unknown".to_owned();
    }
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]).filter(|it| Path::new(it).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
        .map_or_else(|| "commit unknown".to_owned(), |commit| format!("commit {commit}"))
}

fn features() -> &'static str {
    if variable("CARGO_FEATURE_DEMO").is_some() { "with demo" } else { "without demo" }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|it| it.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[allow(clippy::disallowed_methods, reason = "a build has no settings but the environment")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|it| !it.is_empty())
}
