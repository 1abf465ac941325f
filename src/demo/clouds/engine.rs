//! What runs behind a cloud's listener: one call through faults, simulation and log.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Query, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    control,
    counters::Counters,
    drip::Drip,
    fault::{self, Fault, FaultKind, Faults, Moment},
    grants::GrantBook,
    journal::{IssuedPair, Journal, LogEntry, short_hash},
    listener::Connection,
    messages::Messages,
    places::Addresses,
    simulation::{Answer, Call, Desk, Reply, Request, Simulation},
};
use crate::clock::{Clock, Hand};

/// What no vendor's parser should take for an answer.
const PAGE: &str = "<!doctype html><title>Please wait</title><h1>Back in a moment</h1>";

/// Another origin, which is nobody's: the port is that of the service `discard`.
const ELSEWHERE: &str = "http://127.0.0.1:9/elsewhere";

/// A cloud without its listeners.
pub(super) struct Engine<S: Simulation> {
    /// Never held across an await, so it need not be an asynchronous lock.
    core: Mutex<Core<S>>,
    changed: watch::Sender<()>,
    pub(super) clock: Clock,
    pub(super) hand: Hand,
    pub(super) stop: CancellationToken,
    pub(super) addresses: Addresses,
}

/// All that changes.
pub(super) struct Core<S: Simulation> {
    pub(super) simulation: S,
    pub(super) knobs: S::Knobs,
    pub(super) grants: GrantBook,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) counters: Counters,
    pub(super) messages: Messages,
}

/// How a call ends for the client.
enum Ending {
    Reply(Reply),
    Page(StatusCode, &'static str, &'static str),
    Redirect(&'static str),
    Drip(Reply),
    Cut,
    /// After so many bytes of it.
    CutInBody(Reply, usize),
    Never,
}

impl<S: Simulation> Engine<S> {
    pub(super) fn new(core: Core<S>, clock: Clock, hand: Hand, addresses: Addresses) -> Self {
        let changed = watch::channel(()).0;
        Self { core: Mutex::new(core), changed, clock, hand, stop: CancellationToken::new(), addresses }
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core<S>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the vendor believes the time to be.
    pub(super) fn now(&self, core: &Core<S>) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(S::clock_error(&core.knobs)).unwrap_or(now)
    }

    /// Changes something and wakes those who wait for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Core<S>) -> T) -> T {
        let changed = change(&mut self.core());
        self.changed.send_replace(());
        changed
    }

    /// Waits until the counters satisfy `wanted`, and returns them.
    pub(super) async fn wait_for(&self, mut wanted: impl FnMut(&Counters) -> bool) -> Counters {
        let mut changed = self.changed.subscribe();
        loop {
            let counters = self.core().counters.clone();
            if wanted(&counters) {
                return counters;
            }
            if changed.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Everything that the listener serves.
    pub(super) fn router(self: Arc<Self>) -> Router {
        // A nested router answers without the slash only.
        let control = Router::new().nest("/_sim", control::router()).route("/_sim/", get(control::describe::<S>));
        control.fallback(serve::<S>).with_state(self)
    }
}

/// A call in a task of its own: a vendor carries out what it has read, even if the client hangs up meanwhile.
async fn serve<S: Simulation>(
    State(engine): State<Arc<Engine<S>>>,
    ConnectInfo(Connection { cut, entrance }): ConnectInfo<Connection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = Query::<HashMap<String, String>>::try_from_uri(&uri).map(|it| it.0).unwrap_or_default();
    let raw_query = uri.query().unwrap_or_default().to_owned();
    let request = Request { entrance, method, path: uri.path().to_owned(), query, raw_query, headers, body };
    let stop = engine.stop.clone();
    let handling = engine.clone();
    let handled = tokio::spawn(async move { handling.handle(&request).await });
    let ending = tokio::select! {
        ending = handled => ending.unwrap_or(Ending::Cut),
        () = stop.cancelled() => Ending::Cut,
    };
    let mut response = match ending {
        Ending::Reply(reply) => respond(reply),
        Ending::Page(status, content_type, text) => {
            (status, [(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Ending::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Ending::Drip(reply) => {
            let length = reply.body.len();
            let mut response = respond(Reply { body: String::new(), ..reply.clone() });
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Body::new(Drip::of(reply.body));
            response
        }
        Ending::CutInBody(reply, n_bytes) => {
            cut.in_body(n_bytes);
            respond(reply)
        }
        Ending::Cut => {
            cut.now();
            StatusCode::OK.into_response()
        }
        Ending::Never => {
            stop.cancelled().await;
            cut.now();
            StatusCode::OK.into_response()
        }
    };
    // By this, clients find out how far their own clock is off.
    let date = engine.now(&engine.core()).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    response.headers_mut().extend(HeaderValue::from_str(&date).ok().map(|it| (header::DATE, it)));
    response
}

// === impl Engine ===

impl<S: Simulation> Engine<S> {
    async fn handle(&self, request: &Request) -> Ending {
        let call = S::classify(request);
        let before = self.change(|core| {
            core.counters.calls += 1;
            *core.counters.calls_by_name.entry(call.name.clone()).or_default() += 1;
            let fault = core.faults.take(Moment::Before, &call)?;
            core.counters.faults += 1;
            Some(fault)
        });
        let mut keeps_refresh_token = false;
        match before {
            Some(Fault { kind: FaultKind::MissingRefreshToken, .. }) => keeps_refresh_token = true,
            Some(fault @ Fault { kind: FaultKind::Slow, .. }) => pause(&fault).await,
            Some(fault) => {
                let outcome = format!("fault {}, before anything was done", fault.name());
                self.change(|core| self.log(core, request, &call, &outcome, None));
                return act_out::<S>(&fault, None);
            }
            None => {}
        }

        let (reply, is_withheld, after) = self.change(|core| {
            let answer = self.carry_out(core, request, keeps_refresh_token);
            let after = if answer.is_success { core.faults.take(Moment::After, &call) } else { None };
            let outcome = match &after {
                None => answer.outcome.clone(),
                Some(fault) => format!("{}, then fault {}", answer.outcome, fault.name()),
            };
            core.counters.faults += u64::from(after.is_some());
            self.log(core, request, &call, &outcome, Some(&answer));
            (answer.reply, answer.is_withheld, after)
        });
        if is_withheld {
            return Ending::Never;
        }
        let Some(fault) = after else { return Ending::Reply(reply) };
        if fault.kind == FaultKind::Slow {
            pause(&fault).await;
        }
        act_out::<S>(&fault, Some(reply))
    }

    fn carry_out(&self, core: &mut Core<S>, request: &Request, keeps_refresh_token: bool) -> Answer {
        let now = self.now(core);
        let Core { simulation, knobs, grants, counters, messages, .. } = core;
        let mut desk = Desk {
            knobs,
            rules: S::rules(knobs),
            grants,
            counters,
            messages,
            now,
            monotonic: self.clock.monotonic(),
            region: request.entrance.region,
            n_regions: self.addresses.n_regions(),
            addresses: &self.addresses,
            reached_by: request.header("host"),
            keeps_refresh_token,
        };
        let answer = simulation.answer(&mut desk, request);
        core.counters.refusals += u64::from(!answer.is_success);
        answer
    }

    /// Without an answer where a fault came before one.
    fn log(&self, core: &mut Core<S>, request: &Request, call: &Call, outcome: &str, answer: Option<&Answer>) {
        let hash = |(role, secret): &(&'static str, String)| (*role, short_hash(secret));
        let at = self.now(core).to_string();
        core.journal.write(LogEntry {
            number: 0,
            at,
            region: request.entrance.region,
            part: request.entrance.part,
            method: request.method.to_string(),
            path: request.path.clone(),
            call: call.name.clone(),
            account: answer.and_then(|it| it.account),
            outcome: outcome.to_owned(),
            headers: request.headers.keys().map(|it| it.to_string()).collect(),
            secrets: answer.map(|it| it.secrets.iter().map(hash).collect()).unwrap_or_default(),
            issued: answer
                .and_then(|it| it.issued.as_ref())
                .map(|it| IssuedPair::of(&it.access_token, &it.refresh_token)),
            action: answer.and_then(|it| it.action.clone()),
        });
    }
}

/// What the client gets to see of a fault; `reply` is there if the call was carried out.
fn act_out<S: Simulation>(fault: &Fault, reply: Option<Reply>) -> Ending {
    match (fault.kind, reply) {
        (FaultKind::Http500, _) => {
            Ending::Page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "Internal Server Error")
        }
        (FaultKind::Http502, _) => Ending::Page(StatusCode::BAD_GATEWAY, "text/html", PAGE),
        (FaultKind::Html, _) => Ending::Page(StatusCode::OK, "text/html", PAGE),
        (FaultKind::Hang, _) => Ending::Never,
        (FaultKind::Redirect, _) => Ending::Redirect(ELSEWHERE),
        (FaultKind::Throttled429, _) => Ending::Reply(Reply { retry_after: fault.retry_after, ..S::throttled() }),
        (FaultKind::Throttled200, _) => Ending::Reply(Reply { status: 200, ..S::throttled() }),
        (FaultKind::VendorBusy, _) => Ending::Reply(S::busy(fault.code)),
        (FaultKind::ReplyLostAfterRotation | FaultKind::ResetBefore, _) | (_, None) => Ending::Cut,
        (FaultKind::TruncatedJson, Some(reply)) => {
            let part = reply.body.floor_char_boundary(fault.passes(&reply.body));
            Ending::Reply(Reply { body: reply.body[..part].to_owned(), ..reply })
        }
        (FaultKind::CutBody, Some(reply)) => {
            let n_bytes = fault.passes(&reply.body);
            Ending::CutInBody(reply, n_bytes)
        }
        (FaultKind::Drip, Some(reply)) => Ending::Drip(reply),
        (FaultKind::WrongTypes, Some(reply)) => Ending::Reply(fault::with_wrong_types(reply)),
        (FaultKind::MissingAccessToken, Some(reply)) => Ending::Reply(fault::without_access_token(reply)),
        (FaultKind::Slow | FaultKind::MissingRefreshToken, Some(reply)) => Ending::Reply(reply),
    }
}

/// Waits in real time, as the client's own timeouts do.
async fn pause(fault: &Fault) {
    let seconds = fault.seconds.unwrap_or(15.0);
    tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).await;
}

fn respond(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], reply.body).into_response();
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
