//! The simulated clouds and an embedded broker.
