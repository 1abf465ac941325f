//! The store keeps what it acknowledged: through restarts, kills, damaged files, rollbacks, a lost half, moves to another
//! machine and later versions.

#![allow(clippy::unwrap_used, reason = "helpers of tests stop the test by panicking")]
#![allow(clippy::print_stdout, reason = "a child process tells its parent what was acknowledged")]

#[allow(unreachable_pub, reason = "other tests have it deeper down")]
#[path = "../support/figures.rs"]
mod figures;

mod backups;
mod bench;
mod commits;
mod damage;
mod keys;
mod kills;
mod mending;
mod records;
mod refusals;
mod upgrades;
