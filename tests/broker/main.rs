//! Brokers that fail, and others at the broker who mean harm or come in crowds: Latchkey goes on, and does what it is
//! asked once.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

#[path = "../support/mod.rs"]
mod support;

mod access_list;
mod crowd;
mod faults;
mod flapping;
mod hostile;
mod late;
