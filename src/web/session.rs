//! Sessions of the page: whoever has shown the key once gets a cookie, which serves until its end in the key's place.
//!
//! The cookie names no path, so a browser sends it back below `…/v1/` alone, behind whatever prefix a reverse proxy puts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::Clock;

use super::{
    Web,
    accounts::ok,
    guard::Admission,
    origin::is_by_https,
    refusal::{Refusal, RefusalCode},
    schema::{LetIn, LetInBy, OkReply, SignedIn, SignedOut},
};

/// After this a browser shows the key again, however busy it was.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// One that is not used for so long has ended.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// Browsers that are signed in at a time; one more ends the session that was used least lately.
const MOST_SESSIONS: usize = 64;

pub(super) struct Sessions {
    /// By the digest of their ids: what is in memory opens nothing.
    open: Mutex<HashMap<[u8; 32], Session>>,
    /// Browsers send cookies to all ports of a host, so that of each Latchkey there has a name of its own.
    cookie: String,
    clock: Clock,
}

/// By monotonic time.
struct Session {
    begun: Duration,
    used: Duration,
}

/// By what this request was let in
#[utoipa::path(get, path = "/v1/session", tag = "latchkey", responses((status = 200, body = OkReply<LetIn>)))]
pub(super) async fn look(Extension(admission): Extension<Admission>) -> Response {
    let by = match admission {
        Admission::Session => LetInBy::Session,
        Admission::Ingress => LetInBy::Ingress,
        Admission::Key | Admission::Open => LetInBy::Key,
    };
    ok(json!(LetIn { by }))
}

/// Sign a browser in: the key is in the header, and a cookie serves instead of it afterwards
#[utoipa::path(
    post, path = "/v1/session", tag = "latchkey",
    responses((status = 200, body = OkReply<SignedIn>))
)]
pub(super) async fn sign_in(
    State(web): State<Arc<Web>>,
    Extension(admission): Extension<Admission>,
    headers: HeaderMap,
) -> Response {
    let Some(id) = Some(admission).filter(|it| *it == Admission::Key).and_then(|_| web.sessions.open()) else {
        return Refusal::new(RefusalCode::Unauthorized).respond("");
    };
    let ends_at = web.clock.now() + LONGEST;
    let cookie = web.sessions.cookie(&id, LONGEST, is_by_https(&headers));
    let shown = ends_at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    with_cookie(ok(json!({ "ends_at": shown })), &cookie)
}

/// Sign a browser out
#[utoipa::path(delete, path = "/v1/session", tag = "latchkey", responses((status = 200, body = OkReply<SignedOut>)))]
pub(super) async fn sign_out(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let had_session = web.sessions.end(&headers);
    let cookie = web.sessions.cookie("", Duration::ZERO, is_by_https(&headers));
    with_cookie(ok(json!({ "had_session": had_session })), &cookie)
}

impl Sessions {
    /// `port`: where Latchkey listens.
    pub(super) fn new(port: u16, clock: Clock) -> Self {
        Self { open: Mutex::default(), cookie: format!("latchkey_{port}"), clock }
    }

    /// Whether the cookie of a request is that of a session that has not ended.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let now = self.clock.monotonic();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, it| now.saturating_sub(it.used) < IDLE && now.saturating_sub(it.begun) < LONGEST);
        let session = self.shown(headers).find(|it| open.contains_key(it));
        session.and_then(|it| open.get_mut(&it)).map(|it| it.used = now).is_some()
    }

    /// A new session's id: 256 bits that nobody can guess. None where the machine gives no random bytes.
    fn open(&self) -> Option<Zeroizing<String>> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).ok()?;
        let id = Zeroizing::new(hex::encode(*bytes));
        let now = self.clock.monotonic();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == MOST_SESSIONS
            && let Some(oldest) = open.iter().min_by_key(|it| it.1.used).map(|it| *it.0)
        {
            open.remove(&oldest);
        }
        open.insert(digest(id.as_bytes()), Session { begun: now, used: now });
        Some(id)
    }

    fn end(&self, headers: &HeaderMap) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.shown(headers).filter(|it| open.remove(it).is_some()).count() != 0
    }

    /// The digests of what a request shows under our cookie's name.
    fn shown(&self, headers: &HeaderMap) -> impl Iterator<Item = [u8; 32]> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let pairs = lines.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
        pairs.filter(|it| it.0 == self.cookie).map(|it| digest(it.1.as_bytes()))
    }

    fn cookie(&self, id: &str, lives: Duration, is_by_https: bool) -> Zeroizing<String> {
        let secure = if is_by_https { "; Secure" } else { "" };
        let (name, seconds) = (&self.cookie, lives.as_secs());
        Zeroizing::new(format!("{name}={id}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"))
    }
}

fn digest(id: &[u8]) -> [u8; 32] {
    Sha256::digest(id).into()
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn showing(id: &str) -> HeaderMap {
        let line = format!("other=1; latchkey_8780={id}");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&line).unwrap())])
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_after_a_week_in_any_case() {
        let (clock, hand) = Clock::paused(Timestamp::UNIX_EPOCH);
        let sessions = Sessions::new(8780, clock);
        let id = sessions.open().unwrap();
        for _ in 0..13 {
            assert!(sessions.admits(&showing(&id)));
            hand.advance(IDLE / 2);
        }
        assert!(sessions.admits(&showing(&id)));
        hand.advance(IDLE / 2);
        assert!(!sessions.admits(&showing(&id)), "a week is over");
        let id = sessions.open().unwrap();
        hand.advance(IDLE);
        assert!(!sessions.admits(&showing(&id)), "it was not used");
    }

    #[test]
    fn sessions_are_bounded_and_an_empty_cookie_is_none() {
        let sessions = Sessions::new(8780, Clock::paused(Timestamp::UNIX_EPOCH).0);
        let ids: Vec<_> = (0..=MOST_SESSIONS).map(|_| sessions.open().unwrap()).collect();
        assert_eq!(ids.iter().filter(|it| sessions.admits(&showing(it))).count(), MOST_SESSIONS);
        assert!(!sessions.admits(&showing("")) && !sessions.admits(&HeaderMap::new()));
        assert!(sessions.end(&showing(&ids[MOST_SESSIONS])) && !sessions.admits(&showing(&ids[MOST_SESSIONS])));
    }
}
