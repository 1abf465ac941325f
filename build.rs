//! Stamps the build with its time: no clock that reads an earlier one can be right.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=Cargo.toml");
    println!("cargo:rustc-env=LATCHKEY_BUILT_AT={}", built_at());
}

#[allow(clippy::disallowed_methods, reason = "a build has no clock but the machine's")]
fn built_at() -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|it| it.parse().ok());
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()))
}
