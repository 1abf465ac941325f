//! `latchkey completions`: what a shell needs to complete the command line.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use super::commands;

/// Print the completions for a shell
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey completions bash > ~/.local/share/bash-completion/completions/latchkey
  latchkey completions fish > ~/.config/fish/completions/latchkey.fish
  latchkey completions zsh > \"${fpath[1]}/_latchkey\"")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,

    /// Print them within one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut commands(), "latchkey", &mut script);
    if args.json {
        let data = json!({ "shell": args.shell.to_string(), "script": String::from_utf8_lossy(&script) });
        script = format!("{}\n", json!({ "status": "ok", "data": data })).into_bytes();
    }
    // A reader that has gone has read enough.
    let _ = io::stdout().write_all(&script);
    ExitCode::SUCCESS
}
