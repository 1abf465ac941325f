//! `latchkey backup`: all logins in one sealed file.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{clock::Clock, service, store};

use super::{ConfigArgs, fail, passphrase::PassphraseArgs};

/// Save all logins to one file that a passphrase seals
///
/// Works while Latchkey runs. The file holds every token and is sealed with the passphrase alone: the key of the store is
/// not in it. Keep it where you keep passwords. Tokens change at every renewal, so a backup ages: make one now and then.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  latchkey backup logins.backup
  latchkey backup \"/mnt/nas/latchkey-$(date +%F).backup\" --passphrase-file /root/backup-passphrase
  docker compose exec latchkey latchkey backup /data/logins.backup --config /config/latchkey.toml

`latchkey restore logins.backup` brings them back.")]
pub(super) struct BackupArgs {
    /// The file to write; one that exists is refused
    file: PathBuf,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    passphrase: PassphraseArgs,

    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
}

pub(super) async fn backup(args: &BackupArgs) -> ExitCode {
    let settings = match args.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let passphrase = match args.passphrase.choose().await {
        Ok(passphrase) => passphrase,
        Err(why) => return fail(format_args!("{why}")),
    };
    let store = service::store_settings(&settings);
    match store::back_up(&store, &Clock::system(), &passphrase, &args.file, args.overwrite) {
        Ok(accounts) => {
            let names = Vec::from_iter(accounts.iter().map(ToString::to_string)).join(", ");
            let names = if names.is_empty() { "none" } else { &names };
            let _ = writeln!(io::stdout(), "{} holds the logins: {names}", args.file.display());
            ExitCode::SUCCESS
        }
        Err(error) => fail(format_args!("{error}. {}", error.mend())),
    }
}
