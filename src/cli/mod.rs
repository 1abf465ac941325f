//! One file a subcommand.

#[cfg(feature = "demo")]
pub mod simulate;
