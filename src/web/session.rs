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
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{account::shown_time, clock::Clock};

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
    open: Mutex<HashMap<SessionKey, Session>>,
    /// Browsers send cookies to all ports of a host, so that of each Latchkey there has a name of its own.
    cookie: String,
    clock: Clock,
}

/// By monotonic time.
struct Session {
    begun: Duration,
    used: Duration,
    /// Cancelled when it is gone: whoever listens by it hears no more.
    ended: CancellationToken,
}

/// Which session a request showed: the digest of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey([u8; 32]);

/// By what this request was let in
#[utoipa::path(get, path = "/v1/session", tag = "latchkey", responses((status = 200, body = OkReply<LetIn>)))]
pub(super) async fn look(Extension(admission): Extension<Admission>) -> Response {
    let by = match admission {
        Admission::Session(_) => LetInBy::Session,
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
    with_cookie(ok(json!({ "ends_at": shown_time(ends_at) })), &cookie)
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

    /// The session whose cookie a request shows, unless it has ended. From now on it was used.
    pub(super) fn shown(&self, headers: &HeaderMap) -> Option<SessionKey> {
        self.cookies(headers).find(|it| self.listen(*it).is_some())
    }

    /// What is cancelled when a session is signed out; none where it has ended. From now on it was used.
    pub(super) fn listen(&self, key: SessionKey) -> Option<CancellationToken> {
        let now = self.clock.monotonic();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, it| now.saturating_sub(it.used) < IDLE && now.saturating_sub(it.begun) < LONGEST);
        let session = open.get_mut(&key)?;
        session.used = now;
        Some(session.ended.clone())
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
        open.insert(SessionKey::of(&id), Session { begun: now, used: now, ended: CancellationToken::new() });
        Some(id)
    }

    fn end(&self, headers: &HeaderMap) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.cookies(headers).filter(|it| open.remove(it).is_some()).count() != 0
    }

    /// What a request shows under our cookie's name.
    fn cookies(&self, headers: &HeaderMap) -> impl Iterator<Item = SessionKey> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let pairs = lines.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
        pairs.filter(|it| it.0 == self.cookie).map(|it| SessionKey::of(it.1))
    }

    fn cookie(&self, id: &str, lives: Duration, is_by_https: bool) -> Zeroizing<String> {
        let secure = if is_by_https { "; Secure" } else { "" };
        let (name, seconds) = (&self.cookie, lives.as_secs());
        Zeroizing::new(format!("{name}={id}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"))
    }
}

impl SessionKey {
    fn of(id: &str) -> Self {
        Self(Sha256::digest(id).into())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.ended.cancel();
    }
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
            assert!(sessions.shown(&showing(&id)).is_some());
            hand.advance(IDLE / 2);
        }
        assert!(sessions.shown(&showing(&id)).is_some());
        hand.advance(IDLE / 2);
        assert!(sessions.shown(&showing(&id)).is_none(), "a week is over");
        let id = sessions.open().unwrap();
        hand.advance(IDLE);
        assert!(sessions.shown(&showing(&id)).is_none(), "it was not used");
    }

    #[test]
    fn sessions_are_bounded_and_an_empty_cookie_is_none() {
        let sessions = Sessions::new(8780, Clock::paused(Timestamp::UNIX_EPOCH).0);
        let ids: Vec<_> = (0..=MOST_SESSIONS).map(|_| sessions.open().unwrap()).collect();
        assert_eq!(ids.iter().filter(|it| sessions.shown(&showing(it)).is_some()).count(), MOST_SESSIONS);
        assert!(sessions.shown(&showing("")).is_none() && sessions.shown(&HeaderMap::new()).is_none());
        let last = showing(&ids[MOST_SESSIONS]);
        assert!(sessions.end(&last) && sessions.shown(&last).is_none());
    }

    #[test]
    fn whoever_listens_hears_that_a_session_was_signed_out_or_gave_way() {
        let (clock, hand) = Clock::paused(Timestamp::UNIX_EPOCH);
        let sessions = Sessions::new(8780, clock);
        let listen = |id: &str| sessions.shown(&showing(id)).and_then(|it| sessions.listen(it)).unwrap();
        let (first, second) = (sessions.open().unwrap(), sessions.open().unwrap());
        let (hears_first, hears_second) = (listen(&first), listen(&second));
        assert!(sessions.end(&showing(&second)));
        assert!(hears_second.is_cancelled() && !hears_first.is_cancelled());
        hand.advance(Duration::from_secs(1));
        for _ in 0..MOST_SESSIONS {
            sessions.open().unwrap();
        }
        assert!(hears_first.is_cancelled());
    }
}
