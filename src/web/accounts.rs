//! `/v1/accounts`: everything that an account can be asked, as by MQTT.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json, value::RawValue};

use crate::{
    account::{AccountId, Code, shown_time},
    keeper::{Command, CommandError, Reply},
    mqtt::{
        request::{Request, Target},
        topics::Verb,
    },
};

use super::{
    LoginBy, Web,
    answer::{answer, json_response},
    guard::Admission,
    refusal::{Refusal, RefusalCode},
    schema::{
        AccessToken, Accounts, CodeRequested, Credentials, Doors, Forgotten, LoggedIn, NoArguments, OkReply, Opened,
        Recalled, Refreshed, Scenes, StatusOf, Tokens, Triggered, Updated,
    },
    take::{Payload, Place},
};

/// All accounts, and how each is
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", responses((status = 200, body = OkReply<Accounts>)))]
pub(super) async fn list(State(web): State<Arc<Web>>) -> Response {
    let accounts: Vec<Value> = web
        .keeper
        .cards()
        .iter()
        .filter_map(|card| {
            let mut account = json!(web.keeper.status(&card.id)?);
            account["entry_id"] = json!(card.id);
            account["vendor"] = json!(card.vendor);
            account["name"] = json!(card.name);
            account["logs_in_by"] = json!(LoginBy::all_of(card));
            account["advice"] = json!(web.advice(&card.id));
            Some(account)
        })
        .collect();
    ok(json!({ "accounts": accounts }))
}

/// How one account is
#[utoipa::path(
    get, path = "/v1/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    responses((status = 200, body = OkReply<StatusOf>))
)]
pub(super) async fn status(State(web): State<Arc<Web>>, place: Place) -> Response {
    carry_out(&web, Command::Status { entry_id: place.account }, None).await
}

/// Give tokens; they are proved by a renewal unless told otherwise, and the old ones stay if the vendor refuses them
#[utoipa::path(
    put, path = "/v1/accounts/{id}/tokens", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    request_body = Tokens,
    responses((status = 200, body = OkReply<Updated>))
)]
pub(super) async fn update_tokens(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    read_and_carry_out(&web, Verb::UpdateTokens, place.account, &payload.0).await
}

/// Renew now; at most once a minute
#[utoipa::path(
    post, path = "/v1/accounts/{id}/refresh", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    request_body = Option<NoArguments>,
    responses((status = 200, body = OkReply<Refreshed>))
)]
pub(super) async fn refresh(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    read_and_carry_out(&web, Verb::RefreshTokens, place.account, payload.or_empty()).await
}

/// List the scenes; asks the vendor
#[utoipa::path(
    get, path = "/v1/accounts/{id}/scenes", tag = "house",
    params(("id" = String, Path, description = "The account's entry_id")),
    responses((status = 200, body = OkReply<Scenes>))
)]
pub(super) async fn scenes(State(web): State<Arc<Web>>, place: Place) -> Response {
    carry_out(&web, Command::ListScenes { entry_id: place.account }, None).await
}

/// Run a scene, at most once
#[utoipa::path(
    post, path = "/v1/accounts/{id}/scenes/{key}/trigger", tag = "house",
    params(
        ("id" = String, Path, description = "The account's entry_id"),
        ("key" = String, Path, description = "The scene: its configured name or the vendor's id"),
    ),
    request_body = Option<NoArguments>,
    responses((status = 200, body = OkReply<Triggered>))
)]
pub(super) async fn trigger(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    let command = Command::TriggerScene { entry_id: place.account, scene: place.key };
    carry_out_plain(&web, command, "trigger_scene", &payload).await
}

/// List the doors, as far as they are known; asks nobody
#[utoipa::path(
    get, path = "/v1/accounts/{id}/doors", tag = "house",
    params(("id" = String, Path, description = "The account's entry_id")),
    responses((status = 200, body = OkReply<Doors>))
)]
pub(super) async fn doors(State(web): State<Arc<Web>>, place: Place) -> Response {
    let inventory = web.keeper.inventory(&place.account).unwrap_or_default();
    ok(json!({ "entry_id": place.account, "doors": inventory.doors }))
}

/// Open a door, at most once
#[utoipa::path(
    post, path = "/v1/accounts/{id}/doors/{key}/open", tag = "house",
    params(
        ("id" = String, Path, description = "The account's entry_id"),
        ("key" = String, Path, description = "The door: its key, or the vendor's id"),
    ),
    request_body = Option<NoArguments>,
    responses((status = 200, body = OkReply<Opened>))
)]
pub(super) async fn open(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    let command = Command::OpenDoor { entry_id: place.account, door: place.key };
    carry_out_plain(&web, command, "open_door", &payload).await
}

/// Have the vendor send a login code; at most once a minute and five times a day
#[utoipa::path(
    post, path = "/v1/accounts/{id}/login-code", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    request_body = Option<NoArguments>,
    responses((status = 200, body = OkReply<CodeRequested>))
)]
pub(super) async fn login_code(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    read_and_carry_out(&web, Verb::RequestLoginCode, place.account, payload.or_empty()).await
}

/// Sign in by the code that was sent, or by a password
#[utoipa::path(
    post, path = "/v1/accounts/{id}/login", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    request_body = Credentials,
    responses((status = 200, body = OkReply<LoggedIn>))
)]
pub(super) async fn login(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    read_and_carry_out(&web, Verb::Login, place.account, &payload.0).await
}

/// A live access token, for a program that never refreshes itself
///
/// Off unless the account says `share_access_token = true`, and for the key only. The token is renewed first where it ended or is about to.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/access-token", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    responses((status = 200, body = OkReply<AccessToken>))
)]
pub(super) async fn access_token(
    State(web): State<Arc<Web>>,
    Extension(admission): Extension<Admission>,
    place: Place,
) -> Response {
    // A page never gets a token.
    if admission != Admission::Key {
        return Refusal::new(RefusalCode::Unauthorized).respond("");
    }
    if !web.keeper.card(&place.account).is_some_and(|it| it.shares_access_token) {
        return Refusal::new(RefusalCode::NotShared).respond("");
    }
    match web.keeper.live_access(&place.account).await {
        // The one place where a token leaves.
        Ok(live) => ok(json!({
            "entry_id": place.account,
            "access_token": live.access.expose(),
            "expires_at": live.expires_at.map(shown_time),
            "generation": live.generation,
        })),
        Err(error) => answer(&Err(error), None),
    }
}

/// Lay everything that is held aside, sealed; it can be brought back for 30 days
#[utoipa::path(
    post, path = "/v1/accounts/{id}/forget", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    request_body = Option<NoArguments>,
    responses((status = 200, body = OkReply<Forgotten>))
)]
pub(super) async fn forget(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    carry_out_plain(&web, Command::Forget { entry_id: place.account }, "forget", &payload).await
}

/// Bring back what was forgotten last
#[utoipa::path(
    post, path = "/v1/accounts/{id}/recall", tag = "accounts",
    params(("id" = String, Path, description = "The account's entry_id")),
    request_body = Option<NoArguments>,
    responses((status = 200, body = OkReply<Recalled>))
)]
pub(super) async fn recall(State(web): State<Arc<Web>>, place: Place, payload: Payload) -> Response {
    carry_out_plain(&web, Command::Recall { entry_id: place.account }, "recall", &payload).await
}

/// Reads a payload as MQTT's, and carries out what it says.
async fn read_and_carry_out(web: &Web, verb: Verb, account: AccountId, body: &[u8]) -> Response {
    let Request { transaction, command, .. } = Request::parse(verb, Target::Account(account), body);
    match command {
        Ok(command) => carry_out(web, command, transaction.as_deref()).await,
        Err(error) => answer(&Err(error), transaction.as_deref()),
    }
}

/// Carries out what the path says in full.
async fn carry_out_plain(web: &Web, command: Command, verb: &str, payload: &Payload) -> Response {
    match payload.transaction(verb) {
        Ok(transaction) => carry_out(web, command, transaction.as_deref()).await,
        Err(error) => answer(&Err(error), None),
    }
}

async fn carry_out(web: &Web, command: Command, transaction: Option<&RawValue>) -> Response {
    answer(&ask(web, command).await, transaction)
}

/// A client that goes away cancels nothing: the keeper carries commands out in tasks of its own.
pub(super) async fn ask(web: &Web, command: Command) -> Reply {
    let whom = command.entry_id().clone();
    let reply = web.keeper.submit(command).reply.await;
    let reply = reply.unwrap_or_else(|_| Err(CommandError::new(Code::Internal, whom)));
    reply.inspect_err(|error| tracing::warn!(code = %error.code, "not done: {error}. {}", error.hint))
}

pub(super) fn ok(data: Value) -> Response {
    json_response(StatusCode::OK, json!({ "status": "ok", "data": data }).to_string().into_bytes())
}
