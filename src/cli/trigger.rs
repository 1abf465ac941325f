//! `latchkey trigger`: runs an Aqara scene.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    config::{AccountSettings, VendorSettings},
    keeper::Command,
};

use super::{
    answer::{Answer, tell, text},
    one_shot,
    seat::{self, Common, Purpose},
};

/// Short names that a remote control's buttons have, and the scenes they stand for.
const ALIASES: [(&str, &str); 3] = [("pin", "tv_pin_entry"), ("warn", "tv_warning"), ("off", "tv_power_off")];

/// Run an Aqara scene, at most once
#[derive(Args, Clone, Debug)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  latchkey trigger aqara_home tv_pin_entry
  latchkey trigger pin          where there is only one Aqara account
  latchkey trigger home AL.832619739930738688

`pin`, `warn` and `off` stand for tv_pin_entry, tv_warning and tv_power_off, unless the account has a scene of that name.

Without a store, for a single shot with a refresh token in a file of its own:
  latchkey trigger --config aqara.toml --refresh-token-file token.txt home warn
The token is spent, so its successor is written back to token.txt before it is used. Should this be killed at the wrong
moment, the successor is in token.txt.latchkey, and the next run goes on from there.")]
pub(super) struct TriggerArgs {
    /// The account's id; not needed where there is only one Aqara account
    account: Option<String>,

    /// The scene: its configured name, its id, or a name that only one scene has; `latchkey scenes` lists them
    scene: String,

    /// Use the refresh token in this file, and no store; the successor is written back to it
    #[arg(long, value_name = "FILE")]
    refresh_token_file: Option<PathBuf>,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn trigger(args: TriggerArgs) -> ExitCode {
    let answer = carry_out(&args).await;
    tell(&answer, args.common.json, |data| format!("{}: {} was run.", text(data, "entry_id"), text(data, "scene")))
}

async fn carry_out(args: &TriggerArgs) -> Answer {
    let settings = args.common.settings()?;
    let account = seat::choose(&settings, args.account.as_deref(), "Aqara account", seat::is_aqara)?;
    let (entry_id, scene) = (account.id.clone(), meant(account, &args.scene).to_owned());
    let command = Command::TriggerScene { entry_id: entry_id.clone(), scene };
    match &args.refresh_token_file {
        Some(file) => one_shot::ask(&settings, &entry_id, file, command).await,
        None => seat::ask_once(&settings, Purpose::Use, command).await,
    }
}

/// The scene that a short name stands for, where the account has no scene of that very name.
fn meant<'a>(account: &AccountSettings, scene: &'a str) -> &'a str {
    let VendorSettings::Aqara(aqara) = &account.vendor else { return scene };
    let is_named = |name: &str| aqara.scenes.keys().any(|it| it.as_str() == name);
    let alias = ALIASES.into_iter().find(|it| it.0 == scene && !is_named(scene));
    alias.map_or(scene, |it| it.1)
}
