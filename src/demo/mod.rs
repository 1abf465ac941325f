//! What is never in a user's build: the simulated clouds, and the embedded broker of the demo.

pub mod broker;
pub mod clouds;
