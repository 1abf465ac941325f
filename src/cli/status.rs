//! `latchkey status`: how every account is, from what is stored; no vendor is called.

use std::process::ExitCode;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::clock::Clock;

use super::{
    answer::{Answer, tell, text},
    seat::{self, AccountArgs, Purpose, Seat},
    table::Table,
    terminal::{Paint, Tone},
};

/// Show how every account is; calls no cloud and spends no token
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey status
  latchkey status home
  latchkey status --json | jq -r '.data.accounts[] | select(.problem == \"ON\") | .entry_id'

It ends with 0 whatever the accounts are like: `problem` in the JSON says whether somebody has to do something.
Colours are for terminals, and off where NO_COLOR is set.")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    account: AccountArgs,
}

pub(super) async fn status(args: StatusArgs) -> ExitCode {
    let answer = look(&args.account).await;
    tell(&answer, args.account.common.json, |data| render(data, Clock::system().now(), Paint::for_stdout()))
}

async fn look(args: &AccountArgs) -> Answer {
    let settings = args.common.settings()?;
    let only = match &args.account {
        Some(given) => Some(seat::choose(&settings, Some(given), "account", seat::any)?.id.as_str()),
        None => None,
    };
    let seat = Seat::take(&settings, Purpose::Use)?;
    let answer = seat.accounts().await;
    seat.leave().await;
    let mut data = answer?;
    if let (Some(only), Some(accounts)) = (only, data["accounts"].as_array_mut()) {
        accounts.retain(|it| it["entry_id"] == only);
    }
    Ok(json!({ "accounts": data["accounts"] }))
}

fn render(data: &Value, now: Timestamp, paint: Paint) -> String {
    let accounts: &[Value] = data["accounts"].as_array().map_or(&[], Vec::as_slice);
    let mut table = Table::new(&["ACCOUNT", "VENDOR", "CONDITION", "TOKEN ENDS", "RENEWED", "NEXT RENEWAL"]);
    for account in accounts {
        let time = |key: &str| (Tone::Plain, ago_or_ahead(account[key].as_str(), now));
        let condition = text(account, "condition");
        table.row(vec![
            (Tone::Plain, text(account, "entry_id").to_owned()),
            (Tone::Faint, text(account, "vendor").to_owned()),
            (tone_of(account), condition.replace('_', " ")),
            time("access_token_expires_at"),
            time("last_refresh_at"),
            time("next_refresh_at"),
        ]);
    }
    let mut said = table.render(paint);
    said.push('\n');
    for account in accounts {
        said.push_str(
            &paint.paint(tone_of(account), format_args!("{}: {}", text(account, "entry_id"), words(account))),
        );
        said.push('\n');
    }
    said
}

fn tone_of(account: &Value) -> Tone {
    match (text(account, "condition"), text(account, "problem")) {
        (_, "ON") => Tone::Bad,
        ("ok", _) => Tone::Good,
        _ => Tone::Odd,
    }
}

/// How the account is, and what to do where somebody has to do something.
fn words(account: &Value) -> String {
    let id = text(account, "entry_id");
    let again = match text(account, "vendor") {
        "aqara" => {
            format!("`latchkey login {id}`, or `latchkey tokens set {id}` with a refresh token from the console")
        }
        _ => format!("`latchkey login {id}`, or `latchkey tokens set {id}`"),
    };
    let said = match text(account, "condition") {
        "missing" => format!("No tokens are held. Sign in with {again}."),
        "ok" => "The login is well.".to_owned(),
        "expiring" => "The token still works, and its renewal is due.".to_owned(),
        "expired" => {
            format!("The token has ended, and could not be renewed yet; `latchkey refresh {id}` tries it now.")
        }
        "in_doubt" => "The reply to a renewal was lost; it is tried again, and nothing was thrown away.".to_owned(),
        "reauth_required" => format!("The vendor does not accept the login any more. Sign in with {again}."),
        "config_fault" => {
            "The vendor refuses the application's keys or the region; mend the configuration. The tokens are untouched."
                .to_owned()
        }
        "blocked" => "This machine's disk or clock stands in the way; the log says which.".to_owned(),
        other => format!("Its condition is {other}."),
    };
    match account["last_error"].as_str().filter(|_| account["condition"] != "ok") {
        Some(code) => format!("{said} (last error: {code})"),
        None => said,
    }
}

/// `in 5 days`, `2 h ago`; `-` where there is no time.
fn ago_or_ahead(time: Option<&str>, now: Timestamp) -> String {
    let Some(time) = time.and_then(|it| it.parse::<Timestamp>().ok()) else { return "-".to_owned() };
    let ahead = time.duration_since(now);
    if ahead.abs() < SignedDuration::from_secs(1) {
        return "now".to_owned();
    }
    let span = span(ahead.abs().as_secs());
    if ahead.is_negative() { format!("{span} ago") } else { format!("in {span}") }
}

/// The largest unit that fits twice, so that nothing is far off.
fn span(seconds: i64) -> String {
    let units = [(86_400, "days"), (3600, "h"), (60, "min")];
    match units.into_iter().find(|it| 2 * it.0 <= seconds) {
        Some((unit, name)) => format!("{} {name}", (seconds + unit / 2) / unit),
        None => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_now_on_in_the_unit_that_fits() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let told = |time: &str| ago_or_ahead(Some(time), now);
        assert_eq!(told("2026-11-28T10:00:00+00:00"), "in 6 days");
        assert_eq!(told("2026-11-22T08:00:00+00:00"), "2 h ago");
        assert_eq!(told("2026-11-22T08:40:00+00:00"), "80 min ago");
        assert_eq!(told("2026-11-22T10:01:30+00:00"), "in 90 s");
        assert_eq!(told("2026-11-22T10:00:00+00:00"), "now");
        assert_eq!(ago_or_ahead(None, now), "-");
    }
}
