//! `latchkey restore`: the logins of a backup, in a store of this machine's own.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{clock::Clock, config::Settings, service, store, store::Restored};

use super::{ConfigArgs, fail, passphrase::PassphraseArgs};

/// Bring the logins of a backup back
///
/// Stop Latchkey first. The store is made where store.path says and sealed with the key of this machine; one that is there
/// already is refused. Tokens may have been renewed since the backup was made, so each login is tried once when Latchkey
/// starts: `condition` then tells which live, and the others want you to sign in.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  latchkey restore logins.backup
  latchkey restore logins.backup --set-aside --passphrase-file /root/backup-passphrase
  latchkey run                       # tries each login once

With --set-aside the store that is there moves to `before-restore-<seconds>` in its own folder; nothing is deleted.")]
pub(super) struct RestoreArgs {
    /// The file that `latchkey backup` wrote
    file: PathBuf,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    passphrase: PassphraseArgs,

    /// Set the store that is there aside, and take its place
    #[arg(long)]
    set_aside: bool,
}

pub(super) async fn restore(args: &RestoreArgs) -> ExitCode {
    let settings = match args.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let passphrase = match args.passphrase.give().await {
        Ok(passphrase) => passphrase,
        Err(why) => return fail(format_args!("{why}")),
    };
    let store = service::store_settings(&settings);
    match store::restore(&store, &Clock::system(), &passphrase, &args.file, args.set_aside) {
        Ok(restored) => {
            let _ = tell(&restored, &settings);
            ExitCode::SUCCESS
        }
        Err(error) => fail(format_args!("{error}. {}", error.mend())),
    }
}

fn tell(restored: &Restored, settings: &Settings) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Restored from a backup made at {}:", restored.made_at)?;
    let width = restored.accounts.iter().map(|(id, _)| id.as_str().len()).max().unwrap_or(0);
    for (id, record) in &restored.accounts {
        let tokens = match (&record.current, record.last_refresh_at) {
            (None, _) => "no tokens".to_owned(),
            (Some(grant), None) => format!("generation {}, never renewed", grant.generation),
            (Some(grant), Some(at)) => format!("generation {}, last renewed at {at}", grant.generation),
        };
        let stray = if settings.accounts.contains_key(id) { "" } else { " (not in the configuration: add it)" };
        writeln!(out, "  {:width$}  {tokens}{stray}", id.as_str())?;
    }
    if let Some(aside) = &restored.set_aside {
        writeln!(out, "The store that was there is kept in {}.", aside.display())?;
    }
    writeln!(out, "Start Latchkey: it tries each login once, and `condition` tells which live.")
}
