//! The `config.auth.*` intents of the simulated Aqara cloud (protocol/aqara.md §5.1 to §5.3).

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{envelope::Refused, knobs::AqaraKnobs, parse};
use crate::demo::clouds::{
    grants::{Pair, RefreshRefusal, later},
    messages::Message,
    simulation::Desk,
};

/// How long an auth code lives.
const CODE_LIFE: Duration = Duration::from_secs(600);

/// The account type of a whole project; 0 is an account at Aqara, 2 a virtual one.
const PROJECT: u8 = 1;

/// An auth code on its way to an account's owner.
pub(super) struct AuthCode {
    pub(super) code: String,
    sent_at: Timestamp,
    /// What the login will choose, if it chooses.
    access_life: Option<Duration>,
    is_used: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetAuthCode {
    account: String,
    account_type: u8,
    access_token_validity: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetToken {
    auth_code: String,
    account: Option<String>,
    account_type: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshToken {
    refresh_token: String,
}

impl AuthCode {
    pub(super) fn new(code: String, sent_at: Timestamp, access_life: Option<Duration>) -> Self {
        Self { code, sent_at, access_life, is_used: false }
    }
}

type Outcome = Result<(Value, Option<usize>), Refused>;

/// Sends a code to the account's owner, who reads it at `/_sim/sms`. `codes` has one place for each account.
pub(super) fn get_auth_code(codes: &mut [Option<AuthCode>], desk: &mut Desk<'_, AqaraKnobs>, data: &Value) -> Outcome {
    let asked: GetAuthCode = parse(data)?;
    check_type(asked.account_type)?;
    let account = find_account(codes.len(), desk, &asked.account)?;
    let access_life = match &asked.access_token_validity {
        None => None,
        Some(text) => {
            let life = parse_validity(text);
            Some(life.ok_or_else(|| Refused::new(302, "accessTokenValidity is 1-24h, 1-30d or 1-10y"))?)
        }
    };
    let interval = Duration::from_secs(desk.knobs.auth_code_interval_seconds);
    if codes[account].as_ref().is_some_and(|it| desk.now < later(it.sent_at, interval)) {
        desk.counters.throttled += 1;
        return Err(Refused::new(817, "auth code requested too often"));
    }
    let code = format!("{:06}", fastrand::u32(..1_000_000));
    desk.counters.codes_sent += 1;
    let (to, sent_at) = (account_name(account), desk.now.to_string());
    desk.messages.send(Message { account, to, code: code.clone(), sent_at });
    let result = if desk.knobs.auth_code_in_reply { json!({ "authCode": code }) } else { json!("") };
    codes[account] = Some(AuthCode::new(code, desk.now, access_life));
    Ok((result, Some(account)))
}

/// Signs an account in by its code. Only for a project (type 1) the code alone says whose it is.
pub(super) fn get_token(codes: &mut [Option<AuthCode>], desk: &mut Desk<'_, AqaraKnobs>, data: &Value) -> Outcome {
    let asked: GetToken = parse(data)?;
    check_type(asked.account_type)?;
    let named = match asked.account {
        Some(name) => Some(find_account(codes.len(), desk, &name)?),
        None if asked.account_type == PROJECT => None,
        None => return Err(Refused::new(302, "account is missing")),
    };
    let account = redeem(codes, desk, named, &asked.auth_code)?;
    let pair = sign_in(codes, desk, account);
    Ok((tokens(desk, account, &pair, false), Some(account)))
}

/// The account of a code, which works once and for ten minutes; of the account that is named, or of any.
pub(super) fn redeem(
    codes: &mut [Option<AuthCode>],
    desk: &Desk<'_, AqaraKnobs>,
    named: Option<usize>,
    code: &str,
) -> Result<usize, Refused> {
    let wrong = || Refused::new(desk.knobs.wrong_auth_code_code, "auth code incorrect");
    let is_meant = |(account, sent): (usize, &Option<AuthCode>)| {
        named.is_none_or(|it| it == account) && sent.as_ref().is_some_and(|it| it.code == code)
    };
    let account = codes.iter().enumerate().position(is_meant).ok_or_else(wrong)?;
    let sent = codes[account].as_mut().ok_or_else(wrong)?;
    if sent.is_used || later(sent.sent_at, CODE_LIFE) <= desk.now {
        let code = desk.knobs.ended_auth_code_code.unwrap_or(desk.knobs.wrong_auth_code_code);
        return Err(Refused::new(code, "auth code was used or has expired"));
    }
    sent.is_used = true;
    Ok(account)
}

/// A new login, with the validity that was chosen with its code.
pub(super) fn sign_in(codes: &[Option<AuthCode>], desk: &mut Desk<'_, AqaraKnobs>, account: usize) -> Pair {
    let access_life = codes[account].as_ref().and_then(|it| it.access_life);
    desk.counters.logins += 1;
    desk.grants.log_in(account, access_life, desk.now, &desk.rules)
}

/// Spends a refresh token.
pub(super) fn refresh_token(desk: &mut Desk<'_, AqaraKnobs>, data: &Value) -> Outcome {
    let asked: RefreshToken = parse(data)?;
    let keeps = desk.keeps_refresh_token;
    let is_elsewhere = desk.grants.holder(&asked.refresh_token).is_some_and(|it| !desk.is_at_home(it));
    if is_elsewhere {
        let code = desk.knobs.refresh_refusal_code.unwrap_or(2006);
        return Err(Refused::new(code, "the account lives in another region"));
    }
    let granted = desk.grants.refresh(&asked.refresh_token, None, keeps, desk.now, &desk.rules).map_err(|refused| {
        desk.counters.replays += u64::from(refused == RefreshRefusal::Spent);
        let (code, reason) = match refused {
            RefreshRefusal::Unknown => (2006, "refresh token unknown"),
            RefreshRefusal::Spent => (2006, "refresh token was used before"),
            RefreshRefusal::Revoked => (2006, "grant was revoked"),
            RefreshRefusal::Expired => (2007, "refresh token expired"),
            // Aqara's refresh takes no access token, so its rules never lead here.
            RefreshRefusal::WrongAccessToken | RefreshRefusal::AccessTokenEnded => (2004, "access token incorrect"),
        };
        Refused::new(desk.knobs.refresh_refusal_code.unwrap_or(code), reason)
    })?;
    if granted.is_repeated {
        desk.counters.grace_answers += 1;
    } else {
        desk.counters.refreshes += 1;
    }
    Ok((tokens(desk, granted.account, &granted.pair, keeps), Some(granted.account)))
}

/// The name that an account signs in with.
pub(super) fn account_name(account: usize) -> String {
    format!("resident{account}@example.com")
}

pub(super) fn open_id(account: usize) -> String {
    format!("{:032}", 500_000_000_000_000_usize + account)
}

/// The account with this name, if it lives in the call's region.
pub(super) fn find_account(n_accounts: usize, desk: &Desk<'_, AqaraKnobs>, name: &str) -> Result<usize, Refused> {
    let known = (0..n_accounts).find(|it| account_name(*it) == name && desk.is_at_home(*it));
    known.ok_or_else(|| Refused::new(801, "account is not registered"))
}

fn check_type(account_type: u8) -> Result<(), Refused> {
    if 2 < account_type { Err(Refused::new(302, "accountType is 0, 1 or 2")) } else { Ok(()) }
}

fn tokens(desk: &Desk<'_, AqaraKnobs>, account: usize, pair: &Pair, keeps_refresh_token: bool) -> Value {
    let left = pair.access_expires_at.duration_since(desk.now).as_secs();
    let expires_in = if desk.knobs.expires_in_as_number { json!(left) } else { json!(left.to_string()) };
    let mut tokens = json!({
        "expiresIn": expires_in,
        "openId": open_id(account),
        "accessToken": pair.access_token,
    });
    if !keeps_refresh_token {
        tokens["refreshToken"] = json!(pair.refresh_token);
    }
    tokens
}

/// 1 to 24 hours, 1 to 30 days or 1 to 10 years, as `7d`.
fn parse_validity(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let n_units: u64 = text[..unit_at].parse().ok()?;
    let (most, seconds) = match unit {
        'h' => (24, 3600),
        'd' => (30, 86_400),
        'y' => (10, 365 * 86_400),
        _ => return None,
    };
    (1..=most).contains(&n_units).then(|| Duration::from_secs(n_units * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validity_is_hours_days_or_years_within_their_bounds() {
        assert_eq!(parse_validity("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(parse_validity("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_validity("10y"), Some(Duration::from_secs(315_360_000)));
        for wrong in ["", "d", "0d", "31d", "25h", "11y", "7", "7m", "-1d", "7ü"] {
            assert_eq!(parse_validity(wrong), None, "{wrong}");
        }
    }
}
