//! The admin API, asked over real connections: what it does, whom it refuses, and what it says of itself.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod accounts;
mod aqara;
mod bench;
mod curl;
mod events;
mod guard;
mod ingress;
mod openapi;
mod own;
mod page;
#[path = "../support/tools.rs"]
mod tools;
