//! What several test files share.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of this")]
#![allow(clippy::unwrap_used, reason = "these are tests, although not in functions that clippy knows as such")]

pub mod figures;
pub mod latchkey;
pub mod link;
pub mod mosquitto;
pub mod process;
pub mod relay;
pub mod scripted_broker;
