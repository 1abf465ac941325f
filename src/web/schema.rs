//! What requests and answers look like, for the OpenAPI document. The answers themselves are the keeper's replies.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    account::{AccessTokenStatus, Code, Status, Target, UpdateOutcome},
    vendor::VendorKind,
};

use super::{LoginBy, refusal::RefusalCode};

/// It was done.
#[derive(Serialize, ToSchema)]
pub struct OkReply<T> {
    pub status: OkWord,
    pub data: T,
    /// That of the request.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<serde_json::Value>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OkWord {
    Ok,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErrorWord {
    Error,
}

/// It was not done, and why.
#[derive(Serialize, ToSchema)]
pub struct ErrorReply {
    pub status: ErrorWord,
    pub error: ErrorDetail,
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<serde_json::Value>,
}

#[derive(Serialize, ToSchema)]
pub struct ErrorDetail {
    pub code: ErrorCode,
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Seconds to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum ErrorCode {
    Command(Code),
    Refusal(RefusalCode),
}

/// Errors of the two routes below `/v1/admin/aqara`.
#[derive(Serialize, ToSchema)]
pub struct KnownError {
    pub error: String,
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

// === Requests ===

/// Nothing, or an object with a `transaction` that the answer repeats.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {
    #[schema(value_type = Option<serde_json::Value>)]
    pub transaction: Option<serde_json::Value>,
}

/// `token` or `refresh_token` or both.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// The access token.
    #[schema(pattern = "^[!-~]*$")]
    pub token: Option<String>,
    #[schema(pattern = "^[!-~]*$")]
    pub refresh_token: Option<String>,
    /// Akuvox's third token.
    #[schema(pattern = "^[!-~]*$")]
    pub auth_token: Option<String>,
    /// When the vendor issued them; then they are taken without being proved.
    #[schema(format = DateTime)]
    pub issued_at: Option<String>,
    /// Whether to prove them at once by a renewal; true unless said.
    pub prove: Option<bool>,
    /// If given, the account of the path.
    pub entry_id: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    pub transaction: Option<serde_json::Value>,
}

/// `code` alone, or `password`, with `keep` where Latchkey may sign in again by itself.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub code: Option<String>,
    pub password: Option<String>,
    pub keep: Option<bool>,
    #[schema(value_type = Option<serde_json::Value>)]
    pub transaction: Option<serde_json::Value>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    #[schema(min_length = 1, pattern = "^[!-~]+$")]
    pub refresh_token: String,
}

// === What was done ===

#[derive(Serialize, ToSchema)]
pub struct Accounts {
    pub accounts: Vec<Account>,
}

#[derive(Serialize, ToSchema)]
pub struct Account {
    pub entry_id: String,
    pub vendor: VendorKind,
    #[schema(required)]
    pub name: Option<String>,
    /// The ways to sign in that are set up.
    pub logs_in_by: Vec<LoginBy>,
    /// Why somebody is needed, and what to do.
    #[schema(required)]
    pub advice: Option<String>,
    #[serde(flatten)]
    pub status: Status,
}

#[derive(Serialize, ToSchema)]
pub struct StatusOf {
    pub entry_id: String,
    #[serde(flatten)]
    pub status: Status,
}

#[derive(Serialize, ToSchema)]
pub struct Updated {
    pub entry_id: String,
    pub outcome: UpdateOutcome,
    pub generation: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Refreshed {
    pub entry_id: String,
    pub generation: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Scenes {
    pub entry_id: String,
    pub scenes: Vec<Target>,
}

#[derive(Serialize, ToSchema)]
pub struct Triggered {
    pub entry_id: String,
    pub scene: String,
}

#[derive(Serialize, ToSchema)]
pub struct Doors {
    pub entry_id: String,
    pub doors: Vec<Target>,
}

#[derive(Serialize, ToSchema)]
pub struct Opened {
    pub entry_id: String,
    pub door: String,
}

#[derive(Serialize, ToSchema)]
pub struct CodeRequested {
    pub entry_id: String,
}

#[derive(Serialize, ToSchema)]
pub struct LoggedIn {
    pub entry_id: String,
    pub generation: u64,
    /// Without one the login lasts as long as its access token.
    pub has_refresh_token: bool,
}

#[derive(Serialize, ToSchema)]
pub struct AccessToken {
    pub entry_id: String,
    pub access_token: String,
    #[schema(required, format = DateTime)]
    pub expires_at: Option<String>,
    pub generation: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Forgotten {
    pub entry_id: String,
    /// Until when it can be brought back.
    #[schema(required, format = DateTime)]
    pub until: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Recalled {
    pub entry_id: String,
    pub generation: u64,
}

#[derive(Serialize, ToSchema)]
pub struct LetIn {
    pub by: LetInBy,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetInBy {
    Key,
    /// The page's cookie.
    Session,
    /// Home Assistant, whose users are let in as the add-on is set up.
    Ingress,
}

#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    /// When the cookie ends at the latest.
    #[schema(format = DateTime)]
    pub ends_at: String,
}

#[derive(Serialize, ToSchema)]
pub struct SignedOut {
    /// Whether there was a session to end.
    pub had_session: bool,
}

/// How Latchkey itself is.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    pub store: StoreWord,
    pub broker: BrokerWord,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreWord {
    Open,
    /// Its disk takes nothing: see the log.
    Blocked,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BrokerWord {
    Connected,
    Disconnected,
}

// === The two routes that other programs know ===

#[derive(Serialize, ToSchema)]
pub struct RefreshTokenUpdated {
    pub message: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum TokenStatus {
    Configured {
        configured: bool,
        #[schema(required, format = DateTime)]
        refresh_token_updated_at: Option<String>,
        access_token_status: AccessTokenStatus,
        /// Only of a valid token.
        #[serde(skip_serializing_if = "Option::is_none")]
        access_token_expires_in_seconds: Option<i64>,
    },
    NotConfigured {
        configured: bool,
        message: String,
    },
}
