//! `latchkey refresh`: renews an account's tokens now.

use std::process::ExitCode;

use clap::Args;

use crate::keeper::Command;

use super::{
    answer::{Answer, tell, text},
    seat::{self, AccountArgs, Purpose},
};

/// Renew an account's tokens now; at most once a minute
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey refresh front_door
  latchkey refresh              where there is only one account

Nothing is lost if it fails: the tokens there are stay. Without a service that runs, the renewal is done here.")]
pub(super) struct RefreshArgs {
    #[command(flatten)]
    account: AccountArgs,
}

pub(super) async fn refresh(args: RefreshArgs) -> ExitCode {
    let answer = carry_out(&args.account).await;
    tell(&answer, args.account.common.json, |data| {
        format!("{}: the tokens are renewed (generation {}).", text(data, "entry_id"), data["generation"])
    })
}

async fn carry_out(args: &AccountArgs) -> Answer {
    let settings = args.common.settings()?;
    let entry_id = seat::choose(&settings, args.account.as_deref(), "account", seat::any)?.id.clone();
    seat::ask_once(&settings, Purpose::Use, Command::RefreshTokens { entry_id }).await
}
