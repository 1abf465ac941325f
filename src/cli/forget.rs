//! `latchkey forget` and `latchkey recall`: lay everything that is held of a login aside, and bring it back.

use std::process::ExitCode;

use clap::Args;

use crate::{account::AccountId, keeper::Command};

use super::{
    answer::{Answer, tell, text},
    seat::{self, AccountArgs, Purpose},
};

/// Lay everything that is held of a login aside; for 30 days it can be brought back
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey forget front_door
  latchkey recall front_door    brings it back

What is forgotten stays sealed in the store for 30 days, and is used for nothing. The vendor is not told: the session
lives there until it ends by itself.")]
pub(super) struct ForgetArgs {
    #[command(flatten)]
    account: AccountArgs,
}

/// Bring back what was forgotten in the last 30 days
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  latchkey recall front_door

What is held by then stays at hand, too. How the login is afterwards, `latchkey status` says.")]
pub(super) struct RecallArgs {
    #[command(flatten)]
    account: AccountArgs,
}

pub(super) async fn forget(args: ForgetArgs) -> ExitCode {
    let answer = carry_out(&args.account, |entry_id| Command::Forget { entry_id }).await;
    tell(&answer, args.account.common.json, |data| {
        let entry_id = text(data, "entry_id");
        match data["until"].as_str() {
            Some(until) => format!("{entry_id}: forgotten. Until {until} `latchkey recall {entry_id}` brings it back."),
            None => format!("{entry_id}: there was nothing to forget."),
        }
    })
}

pub(super) async fn recall(args: RecallArgs) -> ExitCode {
    let answer = carry_out(&args.account, |entry_id| Command::Recall { entry_id }).await;
    tell(&answer, args.account.common.json, |data| {
        format!("{}: brought back (generation {}).", text(data, "entry_id"), data["generation"])
    })
}

async fn carry_out(args: &AccountArgs, command: impl FnOnce(AccountId) -> Command) -> Answer {
    let settings = args.common.settings()?;
    let entry_id = seat::choose(&settings, args.account.as_deref(), "account", seat::any)?.id.clone();
    seat::ask_once(&settings, Purpose::Use, command(entry_id)).await
}
