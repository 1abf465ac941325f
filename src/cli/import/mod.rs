//! `latchkey import`: takes logins over from elsewhere, by proposing their tokens as anybody would.

mod akuvox_storage;
mod aqara_config;
mod aqara_table;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    account::{AccountId, Proposal, ProposedTokens, Secret},
    config::{AccountSettings, Settings},
};

use super::{
    answer::{Answer, Trouble, tell},
    seat::{self, Common},
    terminal, tokens,
};

use aqara_config::AqaraConfig;

/// What every SQLite database starts with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Take logins over from the Akuvox integration or an earlier Aqara system
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey import /config/.storage/local_akuvox_storage
  latchkey import metron.db                        its table aqara_tokens
  latchkey import config.json                      says what to add to the configuration
  latchkey import config.json metron.db --account home

It finds out by itself what each file is: the Akuvox integration's storage in Home Assistant (token, refresh_token,
last_token_refresh), the SQLite database of the earlier Aqara system, or its config.json (aqara with app_id, app_key,
key_id, base_url, scenes). The files are only read. The tokens are proved by a renewal, so stop the other system first:
from then on its copy of them is dead.")]
pub(super) struct ImportArgs {
    /// The files to take over from
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The account that gets the tokens; not needed where only one fits
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,

    /// Take the tokens on trust: they are not spent for a proof, and the next renewal shows whether they are good
    #[arg(long)]
    no_prove: bool,

    #[command(flatten)]
    common: Common,
}

/// What a file holds.
enum Found {
    Tokens(FoundTokens),
    Configuration(AqaraConfig),
}

struct FoundTokens {
    is_akuvox: bool,
    tokens: ProposedTokens,
    auth_token: Option<Secret>,
    /// When they were last renewed, where that is told as a date.
    renewed_at: Option<Timestamp>,
    /// A table for the configuration, up to what has to be filled in by hand.
    section: String,
}

pub(super) async fn import(args: ImportArgs) -> ExitCode {
    let answer = carry_out(&args).await;
    tell(&answer, args.common.json, words)
}

async fn carry_out(args: &ImportArgs) -> Answer {
    let found = args.files.iter().map(|it| Ok((it.as_path(), read(it)?))).collect::<Result<Vec<_>, Trouble>>()?;
    let settings = args.common.settings();
    let mut report = Vec::new();
    for (file, found) in &found {
        let said = describe(file, found);
        if !args.common.json {
            // At once, since it is worth knowing even where the rest fails.
            let _ = writeln!(io::stdout(), "{said}");
        }
        report.push(json!({ "file": file, "says": said }));
    }
    let configuration = found.iter().find_map(|(_, it)| match it {
        Found::Configuration(config) => config.missing_in(settings.as_ref().ok(), args.account.as_deref()),
        Found::Tokens(_) => None,
    });
    let mut updated = Vec::new();
    for (file, found) in found {
        let Found::Tokens(found) = found else { continue };
        let section = configuration.clone().filter(|_| !found.is_akuvox).unwrap_or_else(|| found.section.clone());
        let (settings, account) = place(args, &settings, &found, &section)?;
        let answer = tokens::propose(settings, account, found.proposal(args.no_prove)).await;
        updated.push(answer.map_err(|it| Trouble { message: format!("{}: {it}", file.display()), ..it })?);
    }
    Ok(json!({ "found": report, "updated": updated, "configuration": configuration }))
}

/// The account that the tokens belong to. Where the configuration has none, the error says what to add.
fn place<'a>(
    args: &ImportArgs,
    settings: &'a Result<Settings, Trouble>,
    found: &FoundTokens,
    section: &str,
) -> Result<(&'a Settings, AccountId), Trouble> {
    let (what, fits): (_, fn(&AccountSettings) -> bool) =
        if found.is_akuvox { ("Akuvox account", seat::is_akuvox) } else { ("Aqara account", seat::is_aqara) };
    let addition = |why: &Trouble| {
        let hint = format!("Add this to the configuration, then import again:\n\n{section}");
        Trouble::new("configuration", format!("nothing was imported: {why}"), hint)
    };
    let settings = settings.as_ref().map_err(addition)?;
    // Tokens of both vendors may come at once; `--account` is then meant for those that it fits.
    let given = args.account.as_deref().filter(|_| args.files.len() == 1 || !settings.accounts.values().any(fits));
    let given = given.or_else(|| {
        let named = settings.accounts.values().find(|it| Some(it.id.as_str()) == args.account.as_deref());
        named.filter(|it| fits(it)).map(|it| it.id.as_str())
    });
    if given.is_none() && !settings.accounts.values().any(fits) {
        return Err(addition(&Trouble::usage(format!("no {what} is configured"), "")));
    }
    let account = seat::choose(settings, given, what, fits)?;
    if !fits(account) {
        return Err(Trouble::usage(format!("{} is no {what}", account.id), "Name one that the tokens are of."));
    }
    Ok((settings, account.id.clone()))
}

fn read(file: &Path) -> Result<Found, Trouble> {
    let mut start = [0; SQLITE.len()];
    let mut opened = File::open(file).map_err(|error| Trouble::io(&format!("read {}", file.display()), &error))?;
    if opened.read_exact(&mut start).is_ok() && start == SQLITE {
        return aqara_table::read(file).map(Found::Tokens);
    }
    let text = terminal::read_all(Some(file))?;
    let unknown = || {
        let hint = "Give the storage file of the Akuvox integration, the database of the earlier Aqara system, or its \
                    config.json.";
        Trouble::usage(format!("{} holds nothing that can be taken over", file.display()), hint)
    };
    let document: Value = serde_json::from_str(text.expose()).map_err(|_| unknown())?;
    if document["aqara"].is_object() {
        return Ok(Found::Configuration(AqaraConfig::of(&document["aqara"])));
    }
    akuvox_storage::of(&document).map(Found::Tokens).ok_or_else(unknown)
}

/// What is said of a file.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_as_text(file: &Path) -> Vec<String> {
    match read(file) {
        Ok(Found::Configuration(config)) => {
            config.missing_in(None, None).into_iter().chain([config.describe()]).collect()
        }
        Ok(found) => vec![describe(file, &found)],
        Err(trouble) => vec![format!("{trouble}. {}", trouble.hint)],
    }
}

/// What was found, in one or more sentences; a token is told of, and never shown.
fn describe(file: &Path, found: &Found) -> String {
    let file = file.display();
    let found = match found {
        Found::Configuration(config) => return format!("{file}: {}", config.describe()),
        Found::Tokens(found) => found,
    };
    let tokens = match &found.tokens {
        ProposedTokens::Access(_) => "an access token without a refresh token",
        ProposedTokens::Refresh(_) => "a refresh token",
        ProposedTokens::Both { .. } => "an access token and a refresh token",
    };
    let vendor = if found.is_akuvox { "Akuvox" } else { "Aqara" };
    let when = found.renewed_at.map_or_else(
        || "when they were last renewed is not told".to_owned(),
        |it| format!("last renewed {}", it.strftime("%Y-%m-%d %H:%M UTC")),
    );
    format!("{file}: {tokens} of {vendor}, {when}.")
}

fn words(data: &Value) -> String {
    let mut said: Vec<String> = data["updated"].as_array().into_iter().flatten().map(tokens::updated).collect();
    if !said.is_empty() {
        said.push("Remove the other system now: its copy of these tokens is of no use any more.".to_owned());
    }
    if let Some(section) = data["configuration"].as_str() {
        said.push(format!("Add this to the configuration:\n\n{section}"));
    }
    said.join("\n")
}

impl FoundTokens {
    fn proposal(self, is_trusted: bool) -> Proposal {
        // A time that lies ahead was written by a clock that was wrong; the keeper judges that.
        let issued_at = self.renewed_at.filter(|_| is_trusted);
        Proposal { tokens: self.tokens, auth_token: self.auth_token, issued_at, prove: !is_trusted }
    }
}

/// A text that can be a token.
fn token(text: &str) -> Option<Secret> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|it| it.is_ascii_graphic())).then(|| Secret::new(text))
}

/// A text of TOML. What a terminal may take for something else than a letter is shown by its number.
fn quoted(text: &str) -> String {
    let written = text.chars().map(|it| match it {
        '"' | '\\' => format!("\\{it}"),
        ' '..='~' => it.to_string(),
        _ if it.is_alphanumeric() => it.to_string(),
        _ => format!("\\U{:08X}", u32::from(it)),
    });
    format!("\"{}\"", written.collect::<String>())
}
