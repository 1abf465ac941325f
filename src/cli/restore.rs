//! `latchkey restore`: the logins of a backup, in a store of this machine's own.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    account::{AccountId, Record, shown_time},
    clock::Clock,
    config::Settings,
    service, store,
};

use super::{
    answer::{Answer, tell, text},
    passphrase::PassphraseArgs,
    seat::Common,
    terminal,
};

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
    passphrase: PassphraseArgs,

    /// Set the store that is there aside, and take its place
    #[arg(long)]
    set_aside: bool,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn restore(args: RestoreArgs) -> ExitCode {
    let answer = carry_out(&args).await;
    tell(&answer, args.common.json, words)
}

/// `{"made_at", "accounts": [{"entry_id", "generation", "last_refresh_at", "configured"}], "set_aside"}`; what there is
/// not is null.
async fn carry_out(args: &RestoreArgs) -> Answer {
    let settings = args.common.settings()?;
    let store = service::store_settings(&settings);
    let passphrase = args.passphrase.give().await?;
    let (file, set_aside) = (args.file.clone(), args.set_aside);
    let restore = move || store::restore(&store, &Clock::system(), &passphrase, &file, set_aside);
    let restored = terminal::patiently_blocking("opening the backup", restore).await?;
    let accounts: Vec<Value> = restored.accounts.iter().map(|(id, record)| account(id, record, &settings)).collect();
    Ok(json!({ "made_at": shown_time(restored.made_at), "accounts": accounts, "set_aside": restored.set_aside }))
}

fn account(id: &AccountId, record: &Record, settings: &Settings) -> Value {
    json!({
        "entry_id": id,
        "generation": record.current.as_ref().map(|it| it.generation),
        "last_refresh_at": record.last_refresh_at.map(shown_time),
        "configured": settings.accounts.contains_key(id),
    })
}

fn words(data: &Value) -> String {
    let mut said = vec![format!("Restored from a backup made at {}:", text(data, "made_at"))];
    let accounts = || data["accounts"].as_array().into_iter().flatten();
    let width = accounts().map(|it| text(it, "entry_id").len()).max().unwrap_or(0);
    for account in accounts() {
        let tokens = match (account["generation"].as_u64(), account["last_refresh_at"].as_str()) {
            (None, _) => "no tokens".to_owned(),
            (Some(generation), None) => format!("generation {generation}, never renewed"),
            (Some(generation), Some(at)) => format!("generation {generation}, last renewed at {at}"),
        };
        let stray = if account["configured"] == true { "" } else { " (not in the configuration: add it)" };
        said.push(format!("  {:width$}  {tokens}{stray}", text(account, "entry_id")));
    }
    if let Some(aside) = data["set_aside"].as_str() {
        said.push(format!("The store that was there is kept in {aside}."));
    }
    said.push("Start Latchkey: it tries each login once, and `condition` tells which live.".to_owned());
    said.join("\n")
}
