//! What a request brings: the account and the thing in its path, and its body, within limits of size and time.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
    response::Response,
};
use hyper::body::Body as _;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::{
    account::{AccountId, Code, SecretBuffer},
    keeper::CommandError,
    mqtt::{payload, request::LONGEST_PAYLOAD},
};

use super::{
    Web,
    answer::answer,
    refusal::{Refusal, RefusalCode},
};

/// How long a body may take to arrive.
const LONGEST_ARRIVAL: Duration = Duration::from_secs(10);

/// An account that there is, and the key of a scene or door where the path has one.
pub(super) struct Place {
    pub(super) account: AccountId,
    pub(super) key: String,
}

/// A body, wiped from memory after use: it may be a token.
pub(super) struct Payload(pub(super) Zeroizing<Vec<u8>>);

impl FromRequestParts<Arc<Web>> for Place {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let segments = Path::<Vec<(String, String)>>::from_request_parts(parts, web).await;
        let mut segments = segments.map(|it| it.0).unwrap_or_default();
        let mut take = |name: &str| {
            let found = segments.iter().position(|it| it.0 == name);
            found.map(|it| segments.swap_remove(it).1)
        };
        let account = take("id").and_then(|it| it.parse().ok()).filter(|it| web.keeper.status(it).is_some());
        match account {
            Some(account) => Ok(Self { account, key: take("key").unwrap_or_default() }),
            // It is not shown: it may be a token in the wrong place.
            None => Err(answer(&Err(CommandError::new(Code::UnknownAccount, "/v1/accounts")), None)),
        }
    }
}

impl FromRequest<Arc<Web>> for Payload {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Arc<Web>) -> Result<Self, Response> {
        let path = request.uri().path().to_owned();
        match tokio::time::timeout(LONGEST_ARRIVAL, read(request.into_body())).await {
            Ok(Ok(body)) => Ok(Self(body)),
            Ok(Err(Some(code))) => Err(super::aqara::refuse_body(&path, CommandError::new(code, "the request"))),
            // It was cut off.
            Ok(Err(None)) | Err(_) => Err(Refusal::new(RefusalCode::TimedOut).respond(&path)),
        }
    }
}

async fn read(mut body: Body) -> Result<Zeroizing<Vec<u8>>, Option<Code>> {
    let limit = LONGEST_PAYLOAD;
    if limit < usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) {
        return Err(Some(Code::TooLarge));
    }
    let mut bytes = SecretBuffer::with_capacity(1024);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| None)?.into_data() else { continue };
        if limit < bytes.len() + data.len() {
            return Err(Some(Code::TooLarge));
        }
        bytes.extend(&data);
    }
    Ok(bytes.into_bytes())
}

impl Payload {
    /// The body, `{}` where there is none.
    pub(super) fn or_empty(&self) -> &[u8] {
        if self.0.trim_ascii().is_empty() { b"{}" } else { &self.0 }
    }

    /// The transaction of a command that the path says in full.
    pub(super) fn transaction(&self, verb: &str) -> Result<Option<Box<RawValue>>, CommandError> {
        let error = |code| CommandError::new(code, verb);
        let text = std::str::from_utf8(self.or_empty()).map_err(|_| error(Code::NotUtf8))?;
        let payload::Payload { transaction, fields } = payload::Payload::parse(text).map_err(error)?;
        // Its name is not shown: it may be a token in the wrong place.
        if fields.is_empty() { Ok(transaction) } else { Err(error(Code::UnknownField)) }
    }
}
