//! `latchkey rotate-key`: another key for the store.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{
    clock::Clock,
    service,
    store::{self, Rotated},
};

use super::{ConfigArgs, fail};

/// Make a new key and seal the whole store with it
///
/// Stop Latchkey first. It may be cut off at any moment: one of the two keys opens everything, and the next start or the
/// next `rotate-key` finishes. Whoever copied the store and the old key can still read that copy: refresh each account
/// afterwards, which makes the tokens in it worthless.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  latchkey rotate-key                          # a new key in place of the one in store.key_file
  latchkey rotate-key --to /etc/latchkey/key   # where the key is given by the environment, systemd or Docker

With --to, give Latchkey the key in that file before you start it again: store.key_file, LATCHKEY__STORE__KEY, or the
credential latchkey-store-key.")]
pub(super) struct RotateKeyArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Seal with the key in this file, which is made where there is none
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn rotate_key(args: &RotateKeyArgs) -> ExitCode {
    let settings = match args.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match store::rotate_key(&service::store_settings(&settings), args.to.as_deref(), &Clock::system()) {
        Ok(rotated) => {
            let _ = tell(&rotated, args.to.is_some());
            ExitCode::SUCCESS
        }
        Err(error) => fail(format_args!("{error}. {}", error.mend())),
    }
}

fn tell(rotated: &Rotated, is_elsewhere: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "The store is sealed with the new key in {}.", rotated.key_file.display())?;
    if is_elsewhere {
        writeln!(out, "Give Latchkey that key before you start it: it no longer opens with the old one.")?;
    }
    for path in &rotated.still_old {
        writeln!(out, "{} is still sealed with the old key; delete it when you need it no more.", path.display())?;
    }
    Ok(())
}
