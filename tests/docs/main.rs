//! The documentation is right: its links lead somewhere, its references say what the code knows, its examples work.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod alert_rules;
mod blocks;
mod examples;
mod links;
mod page;
mod reference;
mod shell;

#[path = "../support/mod.rs"]
mod support;
