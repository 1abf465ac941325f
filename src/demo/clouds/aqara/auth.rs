//! The `config.auth.*` intents of the simulated Aqara cloud (protocol/aqara.md §5.1 to §5.4).

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    accounts::{AccountType, Accounts, AuthCode, open_id},
    envelope::Refused,
    knobs::AqaraKnobs,
    parse,
};
use crate::demo::clouds::{
    grants::{Pair, RefreshRefusal, later},
    messages::Message,
    simulation::Desk,
};

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateAccount {
    account_id: String,
    #[serde(default)]
    need_access_token: bool,
    access_token_validity: Option<String>,
}

/// What an intent brought.
pub(super) struct Done {
    pub(super) result: Value,
    pub(super) account: usize,
    pub(super) issued: Option<Pair>,
}

type Outcome = Result<Done, Refused>;

/// Sends a code to the account's owner, who reads it at `/_sim/sms`. A virtual account has no owner: its code is in the
/// answer.
pub(super) fn get_auth_code(
    accounts: &mut Accounts,
    desk: &mut Desk<'_, AqaraKnobs>,
    app: usize,
    data: &Value,
) -> Outcome {
    let asked: GetAuthCode = parse(data)?;
    let account_type = AccountType::parse(asked.account_type)?;
    let account = accounts.find(desk, app, account_type, &asked.account)?;
    let access_life = chosen_life(asked.access_token_validity.as_deref())?;
    let interval = Duration::from_secs(desk.knobs.auth_code_interval_seconds);
    if accounts.code(account).is_some_and(|it| desk.now < later(it.sent_at, interval)) {
        desk.counters.throttled += 1;
        return Err(Refused::new(817, "auth code requested too often"));
    }
    let code = format!("{:06}", fastrand::u32(..1_000_000));
    desk.counters.codes_sent += 1;
    let (to, sent_at) = (accounts.name(account), desk.now.to_string());
    desk.messages.send(Message { account, to, code: code.clone(), sent_at });
    let is_shown = desk.knobs.auth_code_in_reply || account_type == AccountType::Virtual;
    let result = if is_shown { json!({ "authCode": code }) } else { json!("") };
    accounts.send(account, AuthCode::new(code, desk.now, access_life));
    Ok(Done { result, account, issued: None })
}

/// Signs an account in by its code. Only for a project (type 1) the code alone says whose it is.
pub(super) fn get_token(accounts: &mut Accounts, desk: &mut Desk<'_, AqaraKnobs>, app: usize, data: &Value) -> Outcome {
    let asked: GetToken = parse(data)?;
    let account_type = AccountType::parse(asked.account_type)?;
    let named = match asked.account {
        Some(name) => Some(accounts.find(desk, app, account_type, &name)?),
        None if account_type == AccountType::Project => None,
        None => return Err(Refused::new(302, "account is missing")),
    };
    let account = accounts.redeem(desk, app, named, &asked.auth_code)?;
    let access_life = accounts.code(account).and_then(|it| it.access_life);
    let pair = sign_in(desk, account, access_life);
    Ok(Done { result: tokens(desk, account, &pair, false), account, issued: Some(pair) })
}

/// A new login, with the validity that was chosen.
pub(super) fn sign_in(desk: &mut Desk<'_, AqaraKnobs>, account: usize, access_life: Option<Duration>) -> Pair {
    desk.counters.logins += 1;
    desk.grants.log_in(account, access_life, desk.now, &desk.rules)
}

/// Makes a virtual account, and signs it in at once where that is wanted.
pub(super) fn create_account(
    accounts: &mut Accounts,
    desk: &mut Desk<'_, AqaraKnobs>,
    app: usize,
    data: &Value,
) -> Outcome {
    let asked: CreateAccount = parse(data)?;
    if asked.account_id.is_empty() {
        return Err(Refused::new(302, "accountId is empty"));
    }
    let access_life = chosen_life(asked.access_token_validity.as_deref())?;
    let account = accounts.create(desk, app, &asked.account_id)?;
    if !asked.need_access_token {
        return Ok(Done { result: json!({ "openId": open_id(account) }), account, issued: None });
    }
    let pair = sign_in(desk, account, access_life);
    Ok(Done { result: tokens(desk, account, &pair, false), account, issued: Some(pair) })
}

/// Spends a refresh token.
pub(super) fn refresh_token(accounts: &Accounts, desk: &mut Desk<'_, AqaraKnobs>, app: usize, data: &Value) -> Outcome {
    let asked: RefreshToken = parse(data)?;
    let keeps = desk.keeps_refresh_token;
    let is_elsewhere = desk.grants.holder(&asked.refresh_token).is_some_and(|it| !accounts.is_of(desk, it, app));
    if is_elsewhere {
        let code = desk.knobs.refresh_refusal_code.unwrap_or(2006);
        return Err(Refused::new(code, "the account is another region's or application's"));
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
    let result = tokens(desk, granted.account, &granted.pair, keeps);
    Ok(Done { result, account: granted.account, issued: Some(granted.pair) })
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

fn chosen_life(validity: Option<&str>) -> Result<Option<Duration>, Refused> {
    let parsed = validity.map(|text| parse_validity(text).ok_or(text)).transpose();
    parsed.map_err(|_| Refused::new(302, "accessTokenValidity is 1-24h, 1-30d or 1-10y"))
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
