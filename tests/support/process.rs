//! A command run to its end, as a shell would.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use tokio::{task::spawn_blocking, time::timeout};

use super::scripted_broker::PATIENCE;

/// Runs a command with `input` at its standard input.
pub async fn output_with(mut command: Command, input: &str) -> Output {
    let input = input.to_owned();
    let ended = spawn_blocking(move || {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // One that does not want its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    timeout(PATIENCE, ended).await.expect("the command does not end").unwrap()
}
