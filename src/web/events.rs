//! `/v1/events`: what changes and happens, as server-sent events.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{Receiver, error::RecvError},
        mpsc::{self, Sender},
    },
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{account::AccountId, keeper::Notice};

use super::{
    Web,
    guard::Admission,
    recent,
    refusal::{Refusal, RefusalCode},
    session::SessionKey,
};

/// Programs and pages that listen at a time.
pub(super) const MOST_STREAMS: usize = 32;
/// After so much silence a line says that we are here; states that time alone changes are looked at then, too.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that may wait for a slow reader; what is beyond is made up for by the states.
const ROOM: usize = 64;

/// What changes and happens, live
///
/// On connecting, every account's state comes first (`event: state`) and then what it can act on (`event: inventory`), so
/// that nothing is missed by reconnecting; then, once, what happened lately (`event: past`, with `events`). Then `state`
/// with each change, `event` for what happened, `inventory` when doors or scenes may be others, and `accounts` (with
/// `entry_ids`) when others are kept than before or some are configured otherwise; `data` is JSON with `entry_id`, as by
/// MQTT, and with `advice` where somebody is needed.
#[utoipa::path(
    get, path = "/v1/events", tag = "latchkey",
    responses((status = 200, body = String, content_type = "text/event-stream"))
)]
pub(super) async fn events(State(web): State<Arc<Web>>, Extension(admission): Extension<Admission>) -> Response {
    let Ok(place) = web.streams.clone().try_acquire_owned() else {
        return Refusal { retry_after: Some(60), ..Refusal::new(RefusalCode::TooManyStreams) }.respond("");
    };
    let session = match admission {
        Admission::Session(key) => Some(key),
        Admission::Open | Admission::Key | Admission::Ingress => None,
    };
    let (lines, received) = mpsc::channel(ROOM);
    let notices = web.keeper.subscribe();
    let stream = Stream { notices, web, session, lines, told: BTreeMap::new(), _place: place };
    tokio::spawn(stream.run());
    let mut response = Response::new(Body::new(Lines(received)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Reverse proxies are not to collect it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One who listens. Its task ends when it goes away, when its session does, and when Latchkey stops.
struct Stream {
    web: Arc<Web>,
    /// By which it was let in, if it was by one.
    session: Option<SessionKey>,
    notices: Receiver<Notice>,
    lines: Sender<Bytes>,
    /// The states that were told last, so that only news is.
    told: BTreeMap<AccountId, String>,
    _place: OwnedSemaphorePermit,
}

/// It has gone away, or is no longer welcome.
struct Gone;

impl Stream {
    async fn run(mut self) {
        let stop = self.web.stop.clone();
        let signed_out = match self.session {
            Some(key) => self.web.sessions.listen(key),
            None => Some(CancellationToken::new()),
        };
        // It may have been signed out in this very moment.
        let Some(signed_out) = signed_out else { return };
        tokio::select! {
            _ = self.tell_all() => {}
            () = stop.cancelled() => {}
            () = signed_out.cancelled() => {}
        }
    }

    async fn tell_all(&mut self) -> Result<(), Gone> {
        self.tell_states().await?;
        for account in self.accounts() {
            self.tell_inventory(&account).await?;
        }
        self.tell("past", &json!({ "events": self.web.recent.read() }).to_string()).await?;
        loop {
            // As long as somebody listens a session is in use, and after a week it ends all the same.
            if self.session.is_some_and(|it| self.web.sessions.listen(it).is_none()) {
                return Err(Gone);
            }
            let lines = self.lines.clone();
            let notice = tokio::select! {
                notice = timeout(HEARTBEAT, self.notices.recv()) => notice,
                () = lines.closed() => return Err(Gone),
            };
            match notice {
                Err(_) => {
                    self.say(Bytes::from_static(b": here\n\n")).await?;
                    self.tell_states().await?;
                }
                Ok(Ok(Notice::Changed(account))) => self.tell_state(&account).await?,
                Ok(Ok(Notice::Happened(account, event))) => {
                    self.tell_state(&account).await?;
                    let data = recent::told(&account, &event, self.web.clock.now());
                    self.tell("event", &data.to_string()).await?;
                }
                Ok(Ok(Notice::Inventory(account))) => self.tell_inventory(&account).await?,
                Ok(Ok(Notice::Accounts)) => self.tell_accounts().await?,
                // It read too slowly: the states make up for what was missed.
                Ok(Err(RecvError::Lagged(_))) => self.tell_accounts().await?,
                Ok(Err(RecvError::Closed)) => return Ok(()),
            }
        }
    }

    /// Which accounts there are now, and how they are.
    async fn tell_accounts(&mut self) -> Result<(), Gone> {
        let accounts = self.accounts();
        self.told.retain(|id, _| accounts.contains(id));
        self.tell("accounts", &json!({ "entry_ids": accounts }).to_string()).await?;
        self.tell_states().await
    }

    async fn tell_states(&mut self) -> Result<(), Gone> {
        for account in self.accounts() {
            self.tell_state(&account).await?;
        }
        Ok(())
    }

    async fn tell_state(&mut self, account: &AccountId) -> Result<(), Gone> {
        let Some(status) = self.web.keeper.status(account) else { return Ok(()) };
        let mut data: Value = json!(status);
        data["entry_id"] = json!(account);
        data["advice"] = json!(self.web.advice(account));
        let data = data.to_string();
        if self.told.get(account) == Some(&data) {
            return Ok(());
        }
        self.tell("state", &data).await?;
        self.told.insert(account.clone(), data);
        Ok(())
    }

    async fn tell_inventory(&self, account: &AccountId) -> Result<(), Gone> {
        let mut data = json!(self.web.keeper.inventory(account).unwrap_or_default());
        data["entry_id"] = json!(account);
        self.tell("inventory", &data.to_string()).await
    }

    fn accounts(&self) -> Vec<AccountId> {
        self.web.keeper.cards().iter().map(|it| it.id.clone()).collect()
    }

    async fn tell(&self, event: &str, data: &str) -> Result<(), Gone> {
        self.say(Bytes::from(format!("event: {event}\ndata: {data}\n\n"))).await
    }

    async fn say(&self, lines: Bytes) -> Result<(), Gone> {
        self.lines.send(lines).await.map_err(|_| Gone)
    }
}

/// The body of the answer.
struct Lines(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|lines| lines.map(|it| Ok(Frame::data(it))))
    }
}
