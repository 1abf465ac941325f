//! Two routes that other programs know: the Aqara refresh token, in and how it is. Answers and errors are theirs to the
//! letter (protocol/aqara.md §8).

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    account::{AccessTokenStatus, AccountId, Code, Status, UpdateOutcome},
    keeper::{Command, CommandError, ReplyData},
    mqtt::{
        request::{Request, Target},
        topics::Verb,
    },
    vendor::VendorKind,
};

use super::{
    Web,
    accounts::ask,
    answer::{answer, json_response, status_of},
    schema::{KnownError, RefreshToken, RefreshTokenUpdated, TokenStatus},
    take::Payload,
};

const UPDATED: &str = "Refresh token updated successfully";
const NOT_CONFIGURED: &str = "No refresh token configured. Use POST /v1/admin/aqara/refresh-token to add one.";
/// An access token this near its end is renewed before it is used, so it does not count as valid.
const BUFFER: Duration = Duration::from_secs(300);

/// Give an Aqara account its refresh token
///
/// It is proved by a renewal. 200 also where the cloud could not be asked yet: then the token is stored and tried later.
#[utoipa::path(
    post, path = "/v1/admin/aqara/refresh-token", tag = "aqara",
    params(("entry_id" = Option<String>, Query, description = "The account, where there are several of Aqara")),
    request_body = RefreshToken,
    responses((status = 200, body = RefreshTokenUpdated))
)]
pub(super) async fn update_refresh_token(State(web): State<Arc<Web>>, uri: Uri, payload: Payload) -> Response {
    let entry_id = match aqara_account(&web, &uri) {
        Ok(entry_id) => entry_id,
        Err(astray) => return astray.respond(),
    };
    let command = Request::parse(Verb::UpdateTokens, Target::Account(entry_id.clone()), &payload.0).command;
    let command = match command {
        Ok(Command::UpdateTokens { proposal, .. }) if proposal.tokens.refresh().is_none() => {
            return invalid("refresh_token is required");
        }
        Ok(command) => command,
        Err(error) if error.code == Code::MissingField => return invalid("refresh_token is required"),
        Err(error) => return failed(&error),
    };
    match ask(&web, command).await {
        Ok(data) => {
            let is_pending = matches!(data, ReplyData::Updated { outcome: UpdateOutcome::Pending, .. });
            let status = web.keeper.status(&entry_id).filter(|_| !is_pending);
            let updated_at = status.and_then(|it| it.refresh_token_updated_at).unwrap_or_else(|| web.clock.now());
            say(StatusCode::OK, &RefreshTokenUpdated { message: UPDATED.to_owned(), updated_at: utc(updated_at) })
        }
        Err(error) => failed(&error),
    }
}

/// How an Aqara account's tokens are
#[utoipa::path(
    get, path = "/v1/admin/aqara/token-status", tag = "aqara",
    params(("entry_id" = Option<String>, Query, description = "The account, where there are several of Aqara")),
    responses((status = 200, body = TokenStatus))
)]
pub(super) async fn token_status(State(web): State<Arc<Web>>, uri: Uri) -> Response {
    let status = match aqara_account(&web, &uri) {
        Ok(entry_id) => web.keeper.status(&entry_id),
        Err(astray) => return astray.respond(),
    };
    let body = match status.filter(|it| it.configured) {
        None => TokenStatus::NotConfigured { configured: false, message: NOT_CONFIGURED.to_owned() },
        Some(status) => configured(&status, web.clock.now()),
    };
    say(StatusCode::OK, &body)
}

fn configured(status: &Status, now: Timestamp) -> TokenStatus {
    let seconds_left = seconds_left(status, now);
    let access_token_status = match status.access_token_status {
        AccessTokenStatus::Valid if seconds_left.is_none() => AccessTokenStatus::Expired,
        as_it_is => as_it_is,
    };
    TokenStatus::Configured {
        configured: true,
        refresh_token_updated_at: status.refresh_token_updated_at.map(utc),
        access_token_status,
        access_token_expires_in_seconds: seconds_left.filter(|_| access_token_status == AccessTokenStatus::Valid),
    }
}

/// How long the access token is used: until five minutes before its end, a quarter of its life where that is shorter.
fn seconds_left(status: &Status, now: Timestamp) -> Option<i64> {
    let end = status.access_token_expires_at?;
    let life = status.last_refresh_at.and_then(|it| Duration::try_from(end.duration_since(it)).ok());
    let buffer = life.map_or(BUFFER, |it| BUFFER.min(it / 4));
    let seconds = end.duration_since(now).as_secs() - i64::try_from(buffer.as_secs()).unwrap_or(0);
    (0 < seconds).then_some(seconds)
}

/// The account that is meant: the one that `entry_id` names, or the only one of Aqara.
fn aqara_account(web: &Web, uri: &Uri) -> Result<AccountId, Astray> {
    let cards = web.keeper.cards();
    let mut accounts = cards.iter().filter(|it| it.vendor == VendorKind::Aqara).map(|it| &it.id);
    let query = uri.query().unwrap_or_default();
    let named = url::form_urlencoded::parse(query.as_bytes()).find(|it| it.0 == "entry_id").map(|it| it.1);
    match named {
        Some(named) => accounts.find(|it| it.as_str() == named).cloned().ok_or(Astray::Unknown),
        None => match (accounts.next(), accounts.next()) {
            (Some(only), None) => Ok(only.clone()),
            (Some(_), Some(_)) => Err(Astray::Several),
            (None, _) => Err(Astray::None),
        },
    }
}

/// Why no account is meant.
#[derive(Clone, Copy)]
enum Astray {
    Unknown,
    Several,
    None,
}

impl Astray {
    fn respond(self) -> Response {
        let unknown = |details| known_error(StatusCode::NOT_FOUND, "Unknown account", "UNKNOWN_ACCOUNT", details);
        match self {
            Self::Unknown => unknown("entry_id names no account of Aqara"),
            Self::Several => invalid("there are several Aqara accounts: add ?entry_id= with the one you mean"),
            Self::None => unknown("add an account with vendor = \"aqara\" to the configuration"),
        }
    }
}

/// A body that could not be taken, in the form of the route.
pub(super) fn refuse_body(path: &str, error: CommandError) -> Response {
    if path.starts_with("/v1/admin/aqara/") { failed(&error) } else { answer(&Err(error), None) }
}

fn failed(error: &CommandError) -> Response {
    let status = status_of(error.code);
    if status == StatusCode::BAD_REQUEST {
        return invalid(&error.message);
    }
    let code = match error.code {
        Code::Internal => "INTERNAL_ERROR".to_owned(),
        code => code.to_string().to_ascii_uppercase(),
    };
    let mut response = known_error(status, &error.message, &code, &error.hint);
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn invalid(details: &str) -> Response {
    known_error(StatusCode::BAD_REQUEST, "Invalid request body", "INVALID_REQUEST", details)
}

fn known_error(status: StatusCode, error: &str, code: &str, details: &str) -> Response {
    say(status, &KnownError { error: error.to_owned(), code: code.to_owned(), details: Some(details.to_owned()) })
}

/// An answer in the order of these routes' documentation, too.
pub(super) fn say(status: StatusCode, body: &impl Serialize) -> Response {
    json_response(status, serde_json::to_vec(body).unwrap_or_default())
}

/// As these routes write times: `2025-12-11T18:30:00Z`.
fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
