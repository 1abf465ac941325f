//! The passphrase of a backup: from a file, from standard input, or asked for at the terminal. Never an argument, which
//! everybody on the machine could read.

use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use crate::account::Secret;

use super::{answer::Trouble, terminal};

/// A backup may lie where others can copy it and try for years.
const SHORTEST: usize = 12;
/// No passphrase is longer; what is, is another file.
const LONGEST: u64 = 4096;

#[derive(Args, Clone, Debug)]
pub(super) struct PassphraseArgs {
    /// A file whose first line is the passphrase; `-` is standard input. Without it, the terminal asks
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase for a new backup: long enough, and where a person types it, typed twice.
    pub(super) async fn choose(&self) -> Result<Secret, Trouble> {
        let (passphrase, is_typed) = self.read("Passphrase for the backup: ").await?;
        if passphrase.expose().chars().count() < SHORTEST {
            let hint = format!("Take {SHORTEST} characters or more: a few words do well.");
            return Err(trouble("the passphrase is too short", hint));
        }
        if is_typed && ask("The same once more: ").await? != passphrase {
            return Err(trouble("the two passphrases differ", "Type the same one twice."));
        }
        Ok(passphrase)
    }

    /// The passphrase of a backup that exists.
    pub(super) async fn give(&self) -> Result<Secret, Trouble> {
        Ok(self.read("Passphrase of the backup: ").await?.0)
    }

    /// The passphrase, and whether a person typed it.
    async fn read(&self, prompt: &str) -> Result<(Secret, bool), Trouble> {
        match &self.passphrase_file {
            Some(path) if path != Path::new("-") => {
                let file = fs::File::open(path).map_err(|error| {
                    let message = format!("{} cannot be read: {error}", path.display());
                    trouble(message, "Name a file that holds the passphrase.")
                })?;
                Ok((first_line(file)?, false))
            }
            None if io::stdin().is_terminal() => Ok((ask(prompt).await?, true)),
            _ => Ok((first_line(io::stdin())?, false)),
        }
    }
}

fn first_line(mut from: impl Read) -> Result<Secret, Trouble> {
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    from.by_ref()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| trouble(format!("the passphrase cannot be read: {error}"), "Give one line of plain text."))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(none());
    }
    Ok(Secret::new(line))
}

async fn ask(prompt: &str) -> Result<Secret, Trouble> {
    let passphrase = terminal::ask_secret(prompt).await;
    let passphrase = passphrase.map_err(|it| Trouble { hint: "Use --passphrase-file.".to_owned(), ..it })?;
    passphrase.ok_or_else(none)
}

fn none() -> Trouble {
    trouble("there is no passphrase", "Give it in a file with --passphrase-file, or on standard input.")
}

fn trouble(message: impl Into<String>, hint: impl Into<String>) -> Trouble {
    Trouble::new("passphrase", message, hint)
}
