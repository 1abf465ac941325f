//! The domain's promises: what a refresh, an update and a crash may do to what is known of an account.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bench;
mod clocks;
mod properties;
mod refresh;
mod update;
