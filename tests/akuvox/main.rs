//! Akuvox, whole: logins, doors, hosts and secrets against the simulated cloud, and what went wrong in other clients.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bench;
mod doors;
mod hosts;
mod logins;
mod recorder;
mod regressions;
mod secrecy;
