//! The store without power: thousands of random histories, each cut at a random moment, in which nothing that was
//! acknowledged may be lost, whatever became of what was not synced.

#[allow(unreachable_pub, reason = "the tests outside have it, too")]
#[path = "../../../tests/support/figures.rs"]
mod figures;

mod disk;
mod histories;
mod remains;
mod trouble;

pub(in crate::store) use disk::{Fault, FrailDisk};
