//! What a trial of reliability has to show, in a line that `cargo bench-reliability` makes a table of.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

/// How often something is to be done: as the environment says, or as often as every run of the tests does it.
pub fn rounds(variable: &str, usually: usize) -> usize {
    std::env::var_os(variable).map_or(usually, |it| it.to_str().and_then(|it| it.parse().ok()).expect("a number"))
}

/// Says that all `rounds` were survived, and what else there is to say. Where something is lost it is never said: the
/// test's assertions stop it before.
pub fn tell(rounds: usize, remark: &str) {
    println!("figures: {rounds} | {remark}");
}
