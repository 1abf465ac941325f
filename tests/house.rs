//! The invariants of ARCHITECTURE.md that a compiler does not hold: what may name what.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its sources has failed")]

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use latchkey::{
    account::{Grant, Proposal, Record, Secret},
    store::Packed,
    web::WebKey,
};
use static_assertions::assert_not_impl_any;

assert_not_impl_any!(Secret: fmt::Display, serde::Serialize, std::ops::Deref, AsRef<str>, Into<String>);
// It is compared by its digest, in constant time, or not at all.
assert_not_impl_any!(WebKey: PartialEq, AsRef<[u8]>, fmt::Debug, Clone);
assert_not_impl_any!(Grant: fmt::Display, serde::Serialize);
assert_not_impl_any!(Record: fmt::Display, serde::Serialize);
assert_not_impl_any!(Packed: fmt::Display, serde::Serialize, std::ops::Deref, AsRef<[u8]>);
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

#[test]
fn nothing_of_ours_is_unsafe_and_a_build_asks_nothing_of_a_network() {
    assert!(text_of("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
    let build = text_of("build.rs");
    assert!(!["std::net", "http:", "https:", "Tcp", "Udp"].iter().any(|it| build.contains(it)));
    let programs: Vec<&str> = build.split("Command::new(").skip(1).map(|it| it.split(')').next().unwrap()).collect();
    assert_eq!(programs, ["\"git\""]);
}

#[test]
fn every_dependency_is_one_that_was_looked_at() {
    let lock = text_of("Cargo.lock");
    let foreign: Vec<&str> = lock.split("[[package]]").filter(|it| it.contains("\nsource = ")).collect();
    assert!(100 < foreign.len());
    for package in foreign {
        assert!(package.contains("\nsource = \"registry+") && package.contains("\nchecksum = "), "{package}");
    }
    for script in ["test", ".ci/run", "Dockerfile"] {
        let text = text_of(script);
        let building = |it: &&str| {
            ["test", "build", "clippy", "doc", "install"].iter().any(|verb| it.contains(&format!("cargo {verb} ")))
        };
        for line in text.lines().filter(|it| !it.trim_start().starts_with('#')).filter(building) {
            assert!(line.contains("--locked"), "{script}: {line}");
        }
    }
}

#[test]
fn every_test_that_a_claim_names_is_there() {
    for page in ["SECURITY.md", "ARCHITECTURE.md"] {
        let text = text_of(page);
        let named = text.split('`').skip(1).step_by(2).filter(|it| it.starts_with("tests/") || it.starts_with("src/"));
        let named: Vec<&str> = named.map(|it| it.split(' ').next().unwrap()).collect();
        assert!(15 < named.len(), "{page} names {named:?}");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let missing: Vec<&str> = named.into_iter().filter(|it| !root.join(it).exists()).collect();
        assert_eq!(missing, NOTHING, "{page}");
    }
}

/// `.ci/run` warns of those that have run out.
#[test]
fn every_exception_for_a_dependency_ends_on_a_day() {
    let text = text_of("deny.toml");
    let exceptions: Vec<&str> = text.lines().filter(|it| it.contains("RUSTSEC-")).collect();
    assert!(!exceptions.is_empty());
    for exception in exceptions {
        let day = exception.split_once("; until ").and_then(|it| it.1.get(..10)).unwrap_or_default();
        assert!(day.parse::<jiff::civil::Date>().is_ok(), "{exception}");
    }
}

const NOTHING: [&str; 0] = [];
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

fn text_of(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
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
