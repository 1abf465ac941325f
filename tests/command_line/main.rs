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

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command to its end, with `input` at its standard input.
async fn output_with(mut command: Command, input: &str) -> Output {
    let input = input.to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // One that does not want its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    tokio::time::timeout(support::scripted_broker::PATIENCE, ended).await.expect("the command does not end").unwrap()
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
