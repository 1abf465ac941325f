//! The OAuth endpoints beside the API, as far as Aqara's own SDK for Python needs them (protocol/aqara.md §1): forms
//! without a signature, and a flat answer in snake case.

use std::collections::HashMap;

use md5::{Digest, Md5};
use serde_json::json;

use super::{
    accounts::{AccountType, Accounts, AuthCode, open_id},
    auth::{self, Done},
    envelope::Refused,
    gateway::App,
    knobs::AqaraKnobs,
};
use crate::demo::clouds::simulation::Desk;

pub(super) const AUTHORIZE: &str = "/v3.0/open/authorize";
pub(super) const ACCESS_TOKEN: &str = "/v3.0/open/access_token";

pub(super) type Form = HashMap<String, String>;

/// Answers a code to somebody who knows the account's password.
pub(super) fn authorize(
    accounts: &mut Accounts,
    desk: &Desk<'_, AqaraKnobs>,
    app: usize,
    form: &Form,
) -> Result<Done, Refused> {
    if field(form, "response_type")? != "code" {
        return Err(Refused::new(302, "response_type is code"));
    }
    let account = accounts.find(desk, app, AccountType::Resident, field(form, "account")?)?;
    let password = hex::encode(Md5::digest(password(account)));
    if !field(form, "passwordExt")?.eq_ignore_ascii_case(&password) {
        return Err(Refused::new(810, "wrong password"));
    }
    let code: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
    accounts.send(account, AuthCode::new(code.clone(), desk.now, None));
    Ok(Done { result: json!({ "code": code, "state": form.get("state") }), account, issued: None })
}

/// Signs in by a code. The result is all of the body.
pub(super) fn access_token(
    accounts: &mut Accounts,
    desk: &mut Desk<'_, AqaraKnobs>,
    (number, app): (usize, &App),
    form: &Form,
) -> Result<Done, Refused> {
    if field(form, "client_secret")? != app.app_key {
        return Err(Refused::new(2002, "client_secret is not the AppKey"));
    }
    if field(form, "grant_type")? != "authorization_code" {
        return Err(Refused::new(302, "grant_type is authorization_code"));
    }
    let account = accounts.redeem(desk, number, None, field(form, "code")?)?;
    let pair = auth::sign_in(desk, account, None);
    let result = json!({
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "openId": open_id(account),
        "state": form.get("state"),
        "token_type": "bearer",
        "expires_in": pair.access_expires_at.duration_since(desk.now).as_secs(),
    });
    Ok(Done { result, account, issued: Some(pair) })
}

/// What an account's owner signs in with at these endpoints.
pub(super) fn password(account: usize) -> String {
    format!("simulated-password-{account}")
}

pub(super) fn field<'a>(form: &'a Form, name: &str) -> Result<&'a str, Refused> {
    form.get(name).map(String::as_str).ok_or_else(|| Refused::new(302, format!("{name} is missing")))
}
