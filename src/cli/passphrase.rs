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

use super::terminal;

/// A backup may lie where others can copy it and try for years.
const SHORTEST: usize = 12;
/// No passphrase is longer; what is, is another file.
const LONGEST: u64 = 4096;
const NONE: &str = "there is no passphrase. Give it in a file with --passphrase-file, or on standard input.";

#[derive(Args, Clone, Debug)]
pub(super) struct PassphraseArgs {
    /// A file whose first line is the passphrase; `-` is standard input. Without it, the terminal asks
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase for a new backup: long enough, and where a person types it, typed twice.
    pub(super) async fn choose(&self) -> Result<Secret, String> {
        let (passphrase, is_typed) = self.read("Passphrase for the backup: ").await?;
        if passphrase.expose().chars().count() < SHORTEST {
            return Err(format!(
                "the passphrase is too short. Take {SHORTEST} characters or more: a few words do well."
            ));
        }
        if is_typed && ask("The same once more: ").await? != passphrase {
            return Err("the two passphrases differ. Type the same one twice.".to_owned());
        }
        Ok(passphrase)
    }

    /// The passphrase of a backup that exists.
    pub(super) async fn give(&self) -> Result<Secret, String> {
        Ok(self.read("Passphrase of the backup: ").await?.0)
    }

    /// The passphrase, and whether a person typed it.
    async fn read(&self, prompt: &str) -> Result<(Secret, bool), String> {
        match &self.passphrase_file {
            Some(path) if path != Path::new("-") => {
                let file = fs::File::open(path).map_err(|error| {
                    format!("{} cannot be read: {error}. Name a file that holds the passphrase.", path.display())
                })?;
                Ok((first_line(file)?, false))
            }
            None if io::stdin().is_terminal() => Ok((ask(prompt).await?, true)),
            _ => Ok((first_line(io::stdin())?, false)),
        }
    }
}

fn first_line(mut from: impl Read) -> Result<Secret, String> {
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    from.by_ref()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| format!("the passphrase cannot be read: {error}. Give one line of plain text."))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(NONE.to_owned());
    }
    Ok(Secret::new(line))
}

async fn ask(prompt: &str) -> Result<Secret, String> {
    match terminal::ask_secret(prompt).await {
        Ok(passphrase) => passphrase.ok_or_else(|| NONE.to_owned()),
        Err(trouble) => Err(format!("{trouble}. Use --passphrase-file.")),
    }
}
