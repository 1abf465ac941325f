//! The keeper against the simulated clouds, on one clock that the tests move, with the real store.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, reason = "other tests use more of it, deeper down")]
#[path = "../support/figures.rs"]
mod figures;

mod answers;
mod bench;
mod clocks;
mod disk;
mod doors;
mod doubles;
mod flights;
mod forgetting;
mod inventory;
mod logins;
mod lost_replies;
mod premises;
mod quotas;
mod refusals;
mod reload;
mod restarts;
mod scenes;
mod schedule;
mod secrecy;
mod storms;
mod twins;
mod unreachable;
mod updates;
mod vendors;
