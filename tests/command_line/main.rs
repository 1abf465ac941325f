//! The command line, as a person and as a script use it.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod alone;
mod beside;
mod check;
mod demo;
mod diagnostics;
mod health;
mod import;
mod one_shot;
mod prompts;
mod usage;

#[path = "../support/mod.rs"]
mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::process::output_with;

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A subcommand with its arguments, over the configuration of the bench.
fn command(bench: &support::latchkey::Bench, arguments: &[&str]) -> Command {
    let mut command = support::latchkey::latchkey(arguments);
    command.arg("--config").arg(bench.configuration()).envs(bench.environment.iter().cloned());
    command
}

/// Runs a subcommand, and gives its exit code and what it said on stdout and stderr.
async fn run(bench: &support::latchkey::Bench, arguments: &[&str], input: &str) -> (i32, String, String) {
    let output = output_with(command(bench, arguments), input).await;
    (output.status.code().unwrap(), stdout(&output), stderr(&output))
}

/// As [`run`], with `--json`: the exit code and the reply document, which is all that is said.
async fn run_json(bench: &support::latchkey::Bench, arguments: &[&str], input: &str) -> (i32, Value) {
    let (code, said, complaints) = run(bench, &[arguments, &["--json"]].concat(), input).await;
    assert_eq!((said.lines().count(), complaints.as_str()), (1, ""), "{arguments:?}: {said}");
    (code, serde_json::from_str(&said).unwrap())
}
