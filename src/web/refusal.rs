//! What the edge itself refuses, before a command comes of it.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use serde_json::json;

use super::{answer::json_response, aqara, schema::KnownError};

/// The routes whose errors have the form that their users know.
const KNOWN_FORM: &str = "/v1/admin/aqara/";

/// Why a request was not even read as a command, as one word for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    Unauthorized,
    TooManyWrongKeys,
    WrongHost,
    WrongOrigin,
    NotFound,
    MethodNotAllowed,
    NotShared,
    TimedOut,
    TooManyStreams,
}

/// A request that is refused, and the mend.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: RefusalCode,
    /// Seconds to wait.
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(code: RefusalCode) -> Self {
        Self { code, retry_after: None }
    }

    /// The answer, in the form of the routes at `path`.
    pub(super) fn respond(&self, path: &str) -> Response {
        let (status, message, hint) = self.code.words();
        let mut response = if path.starts_with(KNOWN_FORM) {
            let code = json!(self.code).as_str().unwrap_or_default().to_ascii_uppercase();
            let (error, details) = match self.code {
                RefusalCode::Unauthorized => ("Unauthorized", None),
                _ => (message, Some(hint.to_owned())),
            };
            aqara::say(status, &KnownError { error: error.to_owned(), code, details })
        } else {
            let mut error = json!({ "code": self.code, "message": message, "hint": hint });
            if let Some(seconds) = self.retry_after {
                error["retry_after"] = json!(seconds);
            }
            json_response(status, json!({ "status": "error", "error": error }).to_string().into_bytes())
        };
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl RefusalCode {
    pub const ALL: [RefusalCode; 9] = [
        Self::Unauthorized,
        Self::TooManyWrongKeys,
        Self::WrongHost,
        Self::WrongOrigin,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotShared,
        Self::TimedOut,
        Self::TooManyStreams,
    ];

    /// The HTTP status, the sentence and the mend.
    pub fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "the key is missing or wrong",
                "Send it as X-Latchkey-Key. It is web.key in the folder of the store, unless `web.key` is configured.",
            ),
            Self::TooManyWrongKeys => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong keys came from this address",
                "Wait a minute, then send the right one.",
            ),
            Self::WrongHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "Latchkey is not known by this host name",
                "Add the name to `web.allowed_hosts`, or set `web.public_url`.",
            ),
            Self::WrongOrigin => (
                StatusCode::FORBIDDEN,
                "a session serves only Latchkey's own page",
                "Send the key instead. If this is the page behind a reverse proxy, set `web.public_url` to its address.",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is nothing here", "See /openapi.json."),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "not by this method", "See /openapi.json."),
            Self::NotShared => (
                StatusCode::FORBIDDEN,
                "the access token of this account is not handed out",
                "Set `share_access_token = true` for the account, if you want that.",
            ),
            Self::TimedOut => (StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time", "Send it again."),
            Self::TooManyStreams => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many programs listen to events",
                "Close one of them, then try again.",
            ),
        }
    }
}
