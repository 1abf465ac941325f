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
    page,
    refusal::{Refusal, RefusalCode},
    server::Peer,
    session::SessionKey,
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

/// The path below which Home Assistant shows us. Its ingress sets it on every request.
const INGRESS_PATH: HeaderName = HeaderName::from_static("x-ingress-path");

/// By what a request was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It asks for what everybody may have.
    Open,
    Key,
    /// The page's cookie.
    Session(SessionKey),
    /// Home Assistant's ingress, which lets its own users through.
    Ingress,
}

pub(super) async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match web.admit(&request) {
        Ok(admission) => answered_in_time(next, request, admission).await,
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

async fn answered_in_time(next: Next, mut request: Request, admission: Admission) -> Response {
    request.extensions_mut().insert(admission);
    let answered = tokio::time::timeout(LONGEST_ANSWER, next.run(request)).await;
    answered.unwrap_or_else(|_| answer(&Err(CommandError::new(Code::OutcomeUnknown, "latchkey")), None))
}

pub(super) async fn not_found(uri: Uri) -> Response {
    Refusal::new(RefusalCode::NotFound).respond(uri.path())
}

impl Web {
    fn admit(&self, request: &Request) -> Result<Admission, Refusal> {
        let (headers, peer) = (request.headers(), request.extensions().get::<Peer>());
        let is_by_ingress = peer.is_some_and(|it| self.is_ingress(it, headers));
        // The ingress hands on what its browser asked for, which is Home Assistant by whatever name.
        if !is_by_ingress && !self.is_host_ours(request.uri(), headers) {
            return Err(Refusal::new(RefusalCode::WrongHost));
        }
        if self.is_open(request.uri().path()) {
            return Ok(if is_by_ingress { Admission::Ingress } else { Admission::Open });
        }
        let Shown::Key(shown) = Shown::of(headers) else {
            return self.admit_page(request, is_by_ingress);
        };
        let Some(Peer(peer)) = peer else {
            return Err(Refusal::new(RefusalCode::Unauthorized));
        };
        match self.attempts.judge(peer.ip(), || self.key.admits(&shown)) {
            Verdict::Right => Ok(Admission::Key),
            Verdict::Wrong => {
                warn!(address = %peer.ip(), "a request to the admin API came with a wrong key");
                Err(Refusal::new(RefusalCode::Unauthorized))
            }
            Verdict::TooMany(seconds) => {
                Err(Refusal { retry_after: Some(seconds), ..Refusal::new(RefusalCode::TooManyWrongKeys) })
            }
        }
    }

    /// Without a key it may be our page: with the cookie of a session, or shown by Home Assistant.
    fn admit_page(&self, request: &Request, is_by_ingress: bool) -> Result<Admission, Refusal> {
        let admission = if is_by_ingress {
            Admission::Ingress
        } else {
            let session = self.sessions.shown(request.headers());
            session.map(Admission::Session).ok_or(Refusal::new(RefusalCode::Unauthorized))?
        };
        if !self.public_origin.is_our_page(request.method(), request.headers()) {
            return Err(Refusal::new(RefusalCode::WrongOrigin));
        }
        Ok(admission)
    }

    /// Whether a request came by Home Assistant's ingress: anybody can say so, but only the supervisor has its address.
    fn is_ingress(&self, Peer(peer): &Peer, headers: &HeaderMap) -> bool {
        self.ingress_from == Some(peer.ip().to_canonical()) && headers.contains_key(INGRESS_PATH)
    }

    /// What answers without a key.
    fn is_open(&self, path: &str) -> bool {
        matches!(path, "/healthz" | "/readyz") || page::is_page(path) || (path == "/metrics" && self.metrics_public)
    }

    fn is_host_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else { return false };
        let is_ours = |it: &str| self.hosts.admits(it);
        host.to_str().is_ok_and(is_ours) && uri.authority().is_none_or(|it| is_ours(it.as_str()))
    }
}
