//! The domain's promises: what a refresh, an update and a crash may do to what is known of an account.

mod bench;
mod clocks;
mod properties;
mod refresh;
mod update;
