//! The invariants of ARCHITECTURE.md that a compiler does not hold: what may name what.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its sources has failed")]

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use latchkey::account::{Grant, Proposal, Record, Secret};
use static_assertions::assert_not_impl_any;

assert_not_impl_any!(Secret: fmt::Display, serde::Serialize, std::ops::Deref, AsRef<str>, Into<String>);
assert_not_impl_any!(Grant: fmt::Display, serde::Serialize);
assert_not_impl_any!(Record: fmt::Display, serde::Serialize);
assert_not_impl_any!(Proposal: fmt::Display, serde::Serialize);

#[test]
fn the_domain_does_no_io_and_asks_no_clock() {
    let io = [
        "std::fs",
        "std::net",
        "std::io",
        "std::env",
        "std::thread",
        "tokio",
        ".await;",
        ".await?",
        "async fn",
        "tracing::",
    ];
    assert_eq!(naming(&io, |path| path.starts_with("account")), NOWHERE);
}

#[test]
fn the_domain_knows_nothing_above_it() {
    let above = ["crate::clock", "crate::config", "crate::store", "crate::vendor", "crate::keeper", "crate::mqtt"];
    assert_eq!(naming(&above, |path| path.starts_with("account")), NOWHERE);
}

#[test]
fn only_mqtt_names_rumqttc() {
    assert_eq!(naming(&["rumqttc::"], |path| !path.starts_with("mqtt")), NOWHERE);
}

#[test]
fn only_the_store_names_sled() {
    assert_eq!(naming(&["sled::"], |path| !path.starts_with("store")), NOWHERE);
}

#[test]
fn only_vendors_name_reqwest() {
    assert_eq!(naming(&["reqwest::"], |path| !path.starts_with("vendor")), NOWHERE);
}

#[test]
fn only_the_web_its_client_and_the_demo_name_axum_and_hyper() {
    let serves = |path: &Path| path.starts_with("web") || path.starts_with("demo");
    assert_eq!(naming(&["axum::"], |path| !serves(path)), NOWHERE);
    let asks = |path: &Path| path == Path::new("cli/plain_http.rs");
    assert_eq!(naming(&["hyper::", "hyper_util::"], |path| !serves(path) && !asks(path)), NOWHERE);
}

#[test]
fn only_the_clock_asks_for_the_time() {
    let asking = ["Timestamp::now(", "Instant::now(", "SystemTime::now("];
    assert_eq!(naming(&asking, |path| path != Path::new("clock.rs")), NOWHERE);
}

#[test]
fn only_the_keeper_commits_to_the_store() {
    let is_elsewhere = |path: &Path| !path.starts_with("store") && path != Path::new("keeper/keeping.rs");
    assert_eq!(naming(&["store.commit("], is_elsewhere), NOWHERE);
}

#[test]
fn an_edge_never_calls_a_vendor() {
    // `check` asks the clouds for the time, which spends nothing.
    let is_edge = |path: &Path| {
        ["mqtt", "homeassistant", "web", "cli"].iter().any(|it| path.starts_with(it)) && !path.ends_with("cli/check.rs")
    };
    let calling = ["dyn Vendor", "vendor::connect", "vendor::Akuvox", "vendor::Aqara", "vendor::Http"];
    assert_eq!(naming(&calling, is_edge), NOWHERE);
}

#[test]
fn nothing_that_ships_needs_the_demo() {
    let is_shipped = |path: &Path| {
        !path.starts_with("demo") && !path.starts_with("cli/demo.rs") && !path.starts_with("cli/simulate.rs")
    };
    assert_eq!(naming(&["crate::demo"], is_shipped), NOWHERE);
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<PathBuf> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert_eq!(silent, Vec::<PathBuf>::new());
}

const NOWHERE: Vec<String> = Vec::new();

/// Lines of code outside of comments and tests that hold one of `words`, in the files that `is_meant`.
fn naming(words: &[&str], is_meant: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| is_meant(path)) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if words.iter().any(|it| line.contains(it)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

/// All source files, by their path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(30 < files.len(), "the sources were not found");
    files
}
