//! Latchkey keeps vendor-cloud logins alive and shows them in Home Assistant.
//!
//! A way through the house, downhill from the edges to the domain:
//!
//! - [`cli`]: one file a subcommand; `main.rs` only parses and calls one of them.
//! - [`systemd`]: what systemd is told, where it listens.
//! - [`service`]: the parts below put together, and taken apart in the right order.
//! - [`mqtt`]: the connection, the topics, commands in and replies out. Only here is rumqttc known.
//! - [`homeassistant`]: discovery payloads and state documents. Knows topics, no MQTT client.
//! - [`web`]: the admin API by HTTP, events, health and metrics. Only here are axum and hyper known.
//! - [`alert`]: one message when an account needs somebody, and one when it is well again.
//! - [`keeper`]: who renews and when: schedule, single flight, attempt before call, back-off. The heart.
//! - [`vendor`]: the seam to the clouds, one folder a vendor. Only here is reqwest known.
//! - [`store`]: the journal, sled beside it, sealing. Only here is sled known.
//! - [`account`]: the domain: ids, secrets, grants, conditions, the state machine. No IO and no clock of its own.
//! - [`config`]: what a user may set, read and validated before anything starts.
//! - [`clock`]: the one place that asks for the time.
//! - `parallel`: work that all processors share at the start.
//! - `demo` (feature `demo`): the simulated clouds and an embedded broker.
//! - `fuzz` (feature `fuzzing`): every reader of foreign bytes, for property tests.
//!
//! ARCHITECTURE.md draws the map and names the invariants with the check that holds each one.

pub mod account;
pub mod alert;
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
pub mod homeassistant;
pub mod keeper;
pub mod mqtt;
mod parallel;
pub mod service;
pub mod store;
pub mod systemd;
pub mod vendor;
pub mod web;
