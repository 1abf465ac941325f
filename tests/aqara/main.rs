//! Aqara's client against the simulated cloud, and against a stand-in that answers what no faithful cloud would.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "../keeper/bench.rs"]
#[allow(dead_code, reason = "the keeper's own tests use the rest")]
mod bench;
mod clocks;
#[path = "../keeper/doubles.rs"]
#[allow(dead_code, reason = "the keeper's own tests use the rest")]
mod doubles;
mod listing;
mod logins;
mod regressions;
mod secrecy;
mod stand_in;
mod vendor;
