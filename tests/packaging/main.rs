//! What is shipped to run elsewhere, tried as far as it goes without an engine: the container, its composition, the add-on.
//!
//! It needs bubblewrap (`apt-get install bubblewrap`).
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod add_on;
mod container;
mod lint;
mod sandbox;

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tools.rs"]
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use support::scripted_broker::PATIENCE;

const GLANCE: Duration = Duration::from_millis(20);

/// A file of the repository.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(shipped(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Looks again and again until there is something to see.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / GLANCE.as_millis() {
        if let Some(seen) = look() {
            return seen;
        }
        thread::sleep(GLANCE);
    }
    panic!("{what} did not come");
}
