//! No secret leaves: not by what is said, not by what is written, not by what a process shows of itself.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod canaries;
mod command_line;
mod commands;
mod configuration;
mod files;
mod process;
mod walk;
mod web;

#[path = "../support/mod.rs"]
mod support;
