//! `latchkey tokens set`: hands new tokens over, which are proved before they take the place of the old ones.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    account::{AccountId, Proposal, ProposedTokens, Secret},
    config::Settings,
    keeper::Command,
    mqtt::{
        request::{Request, Target},
        topics::Verb,
    },
};

use super::{
    answer::{Answer, Trouble, tell, text},
    seat::{self, AccountArgs, Purpose},
    terminal,
};

/// Hand over tokens that you have from elsewhere
#[derive(Args, Clone, Debug)]
pub(super) struct TokensArgs {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum TokensCommand {
    Set(SetArgs),
}

/// Give an account new tokens, by standard input or asked for on the terminal
///
/// They are proved at once by a renewal. If the vendor refuses them, the old ones stay.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey tokens set home                         asks for them, and does not show them
  latchkey tokens set home < tokens.json
  pass show aqara | jq -R '{refresh_token: .}' | latchkey tokens set home

where tokens.json holds {\"token\": \"...\", \"refresh_token\": \"...\"}, one of the two or both, and perhaps \"auth_token\",
\"issued_at\" and \"prove\". Aqara needs the refresh token alone, Akuvox both. Tokens are never taken from the command line,
where everybody on this machine could read them.")]
struct SetArgs {
    #[command(flatten)]
    account: AccountArgs,

    /// Take them on trust: they are not spent for a proof, and the next renewal shows whether they are good
    #[arg(long)]
    no_prove: bool,
}

pub(super) async fn tokens(args: TokensArgs) -> ExitCode {
    let TokensCommand::Set(args) = args.command;
    let answer = set(&args).await;
    tell(&answer, args.account.common.json, |data| updated(data).to_owned())
}

async fn set(args: &SetArgs) -> Answer {
    let settings = args.account.common.settings()?;
    let account = seat::choose(&settings, args.account.account.as_deref(), "account", seat::any)?;
    let mut proposal = if terminal::is_attended() { ask(seat::is_akuvox(account)).await? } else { read(&account.id)? };
    proposal.prove &= !args.no_prove;
    propose(&settings, account.id.clone(), proposal).await
}

/// Proposes tokens to whoever keeps the account (rule: what is proposed overwrites nothing).
pub(super) async fn propose(settings: &Settings, entry_id: AccountId, proposal: Proposal) -> Answer {
    seat::ask_once(settings, Purpose::Fill, Command::UpdateTokens { entry_id, proposal }).await
}

/// What became of proposed tokens, for people.
pub(super) fn updated(data: &Value) -> String {
    let entry_id = text(data, "entry_id");
    let said = match text(data, "outcome") {
        "proved" => "the tokens are good, and were renewed once.",
        "adopted" => "the tokens are taken, unproved.",
        "unchanged" => "these are the tokens that are held already.",
        "pending" => "the tokens are kept; the cloud could not be asked about them yet. `latchkey run` tries again.",
        other => return format!("{entry_id}: {other}."),
    };
    format!("{entry_id}: {said}")
}

/// As by MQTT: the same fields, the same errors.
fn read(entry_id: &AccountId) -> Result<Proposal, Trouble> {
    let text = terminal::read_all(None)?;
    if text.expose().trim().is_empty() {
        let shape = json!({ "token": "...", "refresh_token": "..." });
        return Err(Trouble::usage("no tokens came by standard input", format!("Send JSON: {shape}, one or both.")));
    }
    let target = Target::Account(entry_id.clone());
    match Request::parse(Verb::UpdateTokens, target, text.expose().as_bytes()).command? {
        Command::UpdateTokens { proposal, .. } => Ok(proposal),
        _ => Err(Trouble::new("internal", "the tokens were read as another command", "")),
    }
}

async fn ask(needs_access: bool) -> Result<Proposal, Trouble> {
    let plain = |secret: Option<Secret>| match secret {
        Some(secret) if !secret.expose().bytes().all(|it| it.is_ascii_graphic()) => Err(Trouble::new(
            "forbidden_character",
            "a token has a character that tokens do not have",
            "Paste it again.",
        )),
        secret => Ok(secret),
    };
    let access =
        if needs_access { plain(terminal::ask_secret("Access token (it is not shown): ").await?)? } else { None };
    let refresh = plain(terminal::ask_secret("Refresh token (it is not shown): ").await?)?;
    let tokens = match (access, refresh) {
        (Some(access), Some(refresh)) => ProposedTokens::Both { access, refresh },
        (Some(access), None) => ProposedTokens::Access(access),
        (None, Some(refresh)) => ProposedTokens::Refresh(refresh),
        (None, None) => return Err(Trouble::new("given_up", "no tokens were given", "Nothing was changed.")),
    };
    Ok(Proposal { tokens, auth_token: None, issued_at: None, prove: true })
}
