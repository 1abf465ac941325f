//! Whatever comes from elsewhere, in whatever shape: nothing panics, takes memory without bound, or shows what it was
//! given. Each reader gets some inputs in every run of the tests; `LATCHKEY_FUZZ_INPUTS=100000` gives it more.
#![cfg(all(feature = "demo", feature = "fuzzing"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests, helpers included, and print figures")]

mod http;
mod inputs;
mod readers;

#[path = "../web/bench.rs"]
#[allow(dead_code, reason = "more of it is used where it is from")]
mod bench;

/// How many inputs a reader gets beside its corpus.
fn n_inputs(usual: u32) -> u32 {
    #[allow(clippy::disallowed_methods, reason = "this is no setting of Latchkey's")]
    let given = std::env::var("LATCHKEY_FUZZ_INPUTS").ok();
    given.map_or(usual, |it| it.parse().expect("LATCHKEY_FUZZ_INPUTS is a number"))
}
