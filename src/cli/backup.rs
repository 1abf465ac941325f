//! `latchkey backup`: all logins in one sealed file.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use crate::{clock::Clock, service, store};

use super::{
    answer::{Answer, tell, text},
    passphrase::PassphraseArgs,
    seat::Common,
    terminal,
};

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
    passphrase: PassphraseArgs,

    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn backup(args: BackupArgs) -> ExitCode {
    let answer = carry_out(&args).await;
    tell(&answer, args.common.json, |data| {
        let names: Vec<&str> = data["accounts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("{} holds the logins: {names}", text(data, "file"))
    })
}

/// `{"file", "accounts": ["<entry_id>"]}`.
async fn carry_out(args: &BackupArgs) -> Answer {
    let store = service::store_settings(&args.common.settings()?);
    let passphrase = args.passphrase.choose().await?;
    let (file, overwrite) = (args.file.clone(), args.overwrite);
    let back_up = move || store::back_up(&store, &Clock::system(), &passphrase, &file, overwrite);
    let accounts = terminal::patiently_blocking("sealing the backup", back_up).await?;
    Ok(json!({ "file": args.file, "accounts": accounts }))
}
