//! `latchkey login`: signs in by a code that the vendor sends, or by a password.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::Value;

use crate::{
    account::{AccountId, Credential, Secret},
    config::{AccountSettings, VendorSettings},
    keeper::Command,
};

use super::{
    answer::{Answer, Trouble, tell, text},
    seat::{self, AccountArgs, Purpose, Seat},
    terminal,
};

/// How often a code may be mistyped before the guide gives up.
const TRIES: usize = 3;

/// Sign in, guided: by a code that the vendor sends, or by a password
///
/// On a terminal it asks for what is needed. From a script, ask for the code first and hand it over when it has come.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey login front_door                        asks for the code on the terminal
  latchkey login front_door --request-code         only has the code sent ...
  echo 123456 | latchkey login front_door          ... and this hands it over
  latchkey login front_door --password             asks for the password on the terminal
  latchkey login front_door --password-file - < password.txt

Who signs in stands in the configuration: `dial_code` and `phone`, or `user` for Akuvox; `login` for Aqara. An Akuvox
login throws out whoever uses the same login, so give Latchkey one of its own.")]
pub(super) struct LoginArgs {
    #[command(flatten)]
    account: AccountArgs,

    /// Only have the code sent; at most once a minute and five times a day
    #[arg(long, conflicts_with_all = ["password", "password_file"])]
    request_code: bool,

    /// Sign in by the password, which is asked for on the terminal
    #[arg(long, conflicts_with = "password_file")]
    password: bool,

    /// Sign in by the password in this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Keep the password, sealed, so that Latchkey may sign in again by itself, once a day at most
    #[arg(long)]
    keep_password: bool,
}

pub(super) async fn login(args: LoginArgs) -> ExitCode {
    let answer = carry_out(&args).await;
    tell(&answer, args.account.common.json, |data| words(data, args.request_code))
}

fn words(data: &Value, is_request: bool) -> String {
    let entry_id = text(data, "entry_id");
    if is_request {
        return format!("{entry_id}: the code is on its way. Hand it over with `latchkey login {entry_id}`.");
    }
    let lasts = match data["has_refresh_token"].as_bool() {
        Some(false) => " The vendor gave no refresh token, so it lasts as long as its access token.",
        _ => "",
    };
    format!("{entry_id}: signed in (generation {}).{lasts}", data["generation"])
}

async fn carry_out(args: &LoginArgs) -> Answer {
    let settings = args.account.common.settings()?;
    let account = seat::choose(&settings, args.account.account.as_deref(), "account", seat::any)?;
    let entry_id = account.id.clone();
    if args.request_code {
        return seat::ask_once(&settings, Purpose::Fill, Command::RequestLoginCode { entry_id }).await;
    }
    if let Some(password) = password(args, account).await? {
        let credential = Credential::Password { password, keep: args.keep_password };
        return seat::ask_once(&settings, Purpose::Fill, Command::Login { entry_id, credential }).await;
    }
    if args.keep_password {
        let hint = "Add --password or --password-file.";
        return Err(Trouble::usage("there is no password to keep in a login by code", hint));
    }
    if !terminal::is_attended() {
        let code = terminal::read_all(None)?;
        let credential = Credential::Code(code_of(code.expose())?);
        return seat::ask_once(&settings, Purpose::Fill, Command::Login { entry_id, credential }).await;
    }
    let seat = Seat::take(&settings, Purpose::Fill)?;
    let answer = guide(&seat, &entry_id).await;
    seat.leave().await;
    answer
}

/// Has a code sent, and asks for it until it is right.
async fn guide(seat: &Seat, entry_id: &AccountId) -> Answer {
    match seat.ask(Command::RequestLoginCode { entry_id: entry_id.clone() }).await {
        Ok(_) => say("A code is on its way to the configured phone or address."),
        // The one that was sent a moment ago may still be good.
        Err(trouble) if trouble.code == "too_soon" => {
            say(&format!("No new code was asked for: {trouble}. {} One that came before still serves.", trouble.hint));
        }
        Err(trouble) => return Err(trouble),
    }
    let mut tries = 0;
    loop {
        let line = terminal::ask("Code (empty to give up): ").await?;
        if line.is_empty() {
            return Err(Trouble::new("given_up", "not signed in", "Nothing was changed."));
        }
        tries += 1;
        let credential = Credential::Code(code_of(&line)?);
        match seat.ask(Command::Login { entry_id: entry_id.clone(), credential }).await {
            Err(trouble) if trouble.code == "wrong_code" && tries < TRIES => say(&format!("{trouble}.")),
            answer => return answer,
        }
    }
}

/// The password, where the login is by one.
async fn password(args: &LoginArgs, account: &AccountSettings) -> Result<Option<Secret>, Trouble> {
    if let Some(file) = &args.password_file {
        let given = terminal::read_all((file != Path::new("-")).then_some(file))?;
        let line = given.expose().strip_suffix('\n').unwrap_or(given.expose());
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.contains(char::is_control) {
            return Err(Trouble::usage("there is no password in it", "Put it alone on one line."));
        }
        return Ok(Some(Secret::new(line)));
    }
    let is_the_only_way = match &account.vendor {
        VendorSettings::Akuvox(akuvox) => akuvox.phone.is_none() && akuvox.user.is_some(),
        VendorSettings::Aqara(_) => false,
    };
    let is_wanted = args.password || (is_the_only_way && terminal::is_attended());
    if !is_wanted {
        return Ok(None);
    }
    if !terminal::is_attended() {
        let hint = "Give it with `--password-file FILE`, or `--password-file -` for standard input.";
        return Err(Trouble::usage("there is no terminal to ask for the password", hint));
    }
    let password = terminal::ask_secret("Password (it is not shown): ").await?;
    password.map(Some).ok_or_else(|| Trouble::new("given_up", "not signed in", "Nothing was changed."))
}

fn code_of(text: &str) -> Result<Secret, Trouble> {
    let code = text.trim();
    if code.is_empty() || 32 < code.len() || code.contains(char::is_control) {
        let hint = "Hand over the code alone, as in `echo 123456 | latchkey login`; `--request-code` has one sent.";
        return Err(Trouble::usage("standard input holds no code", hint));
    }
    Ok(Secret::new(code))
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
