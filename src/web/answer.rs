//! A command's reply as an HTTP answer: the same document as by MQTT, and a status by class.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::value::RawValue;

use crate::{
    account::Code,
    keeper::{Reply, reply_json},
};

/// The reply document with its status.
pub(super) fn answer(reply: &Reply, transaction: Option<&RawValue>) -> Response {
    let status = reply.as_ref().map_or_else(|error| status_of(error.code), |_| StatusCode::OK);
    let mut response = json_response(status, reply_json(reply, transaction));
    if let Some(seconds) = reply.as_ref().err().and_then(|it| it.retry_after) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(super) fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The one table of which error has which status.
pub fn status_of(code: Code) -> StatusCode {
    match code {
        // The request cannot be read.
        Code::NotUtf8
        | Code::NotJson
        | Code::WrongType
        | Code::UnknownField
        | Code::MissingField
        | Code::ForbiddenCharacter => StatusCode::BAD_REQUEST,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnknownAccount | Code::UnknownScene | Code::UnknownDoor => StatusCode::NOT_FOUND,
        Code::DoorsOff => StatusCode::FORBIDDEN,
        // It can be read, and cannot be done as things are: for this account, or with what is held.
        Code::NotSupported | Code::LoginNotSet | Code::WrongCode | Code::LoginRefused | Code::TargetRefused => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::Retained
        | Code::TooLate
        | Code::NoRefreshToken
        | Code::TokenRequired
        | Code::AlreadySpent
        | Code::TokenInUse
        | Code::NotForgotten
        | Code::RefreshRefused
        | Code::RefreshTokenExpired
        | Code::ReplyLost
        | Code::SignedInElsewhere => StatusCode::CONFLICT,
        Code::TooSoon | Code::Throttled => StatusCode::TOO_MANY_REQUESTS,
        // The vendor's cloud.
        Code::Unreachable
        | Code::VendorBusy
        | Code::AccessRejected
        | Code::ConfigFault
        | Code::ClockSkew
        | Code::UnreadableAnswer => StatusCode::BAD_GATEWAY,
        Code::NoAnswer | Code::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        // This machine.
        Code::Blocked | Code::Busy | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
