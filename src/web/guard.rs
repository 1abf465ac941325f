//! What every request passes: the host it names, the key it bears, the time it may take; and what every answer says.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::Response,
};
use tracing::warn;

use crate::{account::Code, keeper::CommandError};

use super::{
    Web,
    answer::answer,
    attempts::Verdict,
    key::Shown,
    refusal::{Refusal, RefusalCode},
    server::Peer,
};

/// No command takes longer unless a disk hangs; the command itself goes on.
const LONGEST_ANSWER: Duration = Duration::from_secs(120);

/// On every answer: nothing of it is to be kept, guessed at, or shown inside another page.
const SEALS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

pub(super) async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match web.admit(&request) {
        Ok(()) => match tokio::time::timeout(LONGEST_ANSWER, next.run(request)).await {
            Ok(response) => response,
            Err(_) => answer(&Err(CommandError::new(Code::OutcomeUnknown, "latchkey")), None),
        },
        Err(refusal) => refusal.respond(&path),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = response.headers_mut().remove(header::ALLOW);
        response = Refusal::new(RefusalCode::MethodNotAllowed).respond(&path);
        response.headers_mut().extend(allowed.map(|it| (header::ALLOW, it)));
    }
    for (name, value) in SEALS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

pub(super) async fn not_found(uri: Uri) -> Response {
    Refusal::new(RefusalCode::NotFound).respond(uri.path())
}

impl Web {
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        if !self.is_host_ours(request.uri(), request.headers()) {
            return Err(Refusal::new(RefusalCode::WrongHost));
        }
        if self.is_open(request.uri().path()) {
            return Ok(());
        }
        let Shown::Key(shown) = Shown::of(request.headers()) else {
            return Err(Refusal::new(RefusalCode::Unauthorized));
        };
        let Some(Peer(peer)) = request.extensions().get() else {
            return Err(Refusal::new(RefusalCode::Unauthorized));
        };
        match self.attempts.judge(peer.ip(), || self.key.admits(&shown)) {
            Verdict::Right => Ok(()),
            Verdict::Wrong => {
                warn!(address = %peer.ip(), "a request to the admin API came with a wrong key");
                Err(Refusal::new(RefusalCode::Unauthorized))
            }
            Verdict::TooMany(seconds) => {
                Err(Refusal { retry_after: Some(seconds), ..Refusal::new(RefusalCode::TooManyWrongKeys) })
            }
        }
    }

    /// What answers without a key.
    fn is_open(&self, path: &str) -> bool {
        matches!(path, "/healthz" | "/readyz") || (path == "/metrics" && self.metrics_public)
    }

    fn is_host_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else { return false };
        let is_ours = |it: &str| self.hosts.admits(it);
        host.to_str().is_ok_and(is_ours) && uri.authority().is_none_or(|it| is_ours(it.as_str()))
    }
}
