//! What is never in a user's build: the simulated clouds (and, beside them, the embedded broker of the demo).

pub mod clouds;
