//! The control API of a simulated cloud, below `/_sim/`. It speaks JSON and refuses what it does not know with a 400.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    cloud::What,
    engine::Engine,
    fault::{Fault, Scope},
    phone::PhoneAct,
    simulation::Simulation,
};

/// Why a request was refused: a sentence for the caller.
struct BadRequest(String);

type Answer = Result<Json<Value>, BadRequest>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    #[serde(default)]
    account: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    what: What,
    #[serde(default)]
    account: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phone {
    does: PhoneAct,
    #[serde(default)]
    account: usize,
}

pub(super) fn router<S: Simulation>() -> Router<Arc<Engine<S>>> {
    Router::new()
        .route("/", get(describe::<S>))
        .route("/advance", post(advance::<S>))
        .route("/fault", post(inject::<S>).delete(clear_faults::<S>))
        .route("/revoke", post(revoke::<S>))
        .route("/seed", post(sign_in::<S>))
        .route("/phone", post(phone::<S>))
        .route("/sms", get(messages::<S>))
        .route("/knobs", get(knobs::<S>).post(turn_knobs::<S>))
        .route("/log", get(log::<S>))
        .route("/counters", get(counters::<S>))
        .route("/state", get(state::<S>))
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({ "error": "GET /_sim/ lists what there is" }))))
}

pub(super) async fn describe<S: Simulation>(State(engine): State<Arc<Engine<S>>>) -> Json<Value> {
    Json(json!({
        "what": format!("a simulated {} cloud; its tokens open nothing", S::VENDOR),
        "vendor": S::VENDOR,
        "now": engine.clock.now().to_string(),
        "listeners": listeners(&engine),
        "calls": S::CALLS,
        "control": {
            "POST /_sim/advance": "{\"seconds\": 604800}: lets time pass",
            "POST /_sim/fault": "{\"kind\", \"times\": 1, \"on\": \"refresh\" | \"action\" | \"any\" | a call, \"after\": false, \
                                 \"seconds\" for slow, \"retry_after\" for throttled_429}",
            "DELETE /_sim/fault": "forgets the faults that have not happened yet",
            "POST /_sim/revoke": "{\"what\": \"access\" | \"grant\", \"account\": 0}",
            "POST /_sim/seed": "{\"account\": 0}: a new login; answers the fresh pair, the old one is dead",
            "POST /_sim/phone": "{\"does\": \"refresh\" | \"sign_in\" | \"push\", \"account\": 0}: the vendor's app on a phone \
                                 acts by itself, so that other holders of the pair have a dead one; push answers the new pair",
            "GET /_sim/sms": "the codes that were sent to residents",
            "GET /_sim/knobs": "the switches",
            "POST /_sim/knobs": "turns those that are named",
            "GET /_sim/log": "the newest 10,000 calls; secrets as the first 8 hex digits of their SHA-256",
            "GET /_sim/counters": "what was counted since the start",
            "GET /_sim/state": "the accounts with their live tokens, the faults that wait, the time",
        },
    }))
}

async fn advance<S: Simulation>(State(engine): State<Arc<Engine<S>>>, body: Bytes) -> Answer {
    let Advance { seconds } = parse(&body)?;
    let by = Duration::try_from_secs_f64(seconds).map_err(|err| BadRequest(err.to_string()))?;
    // The hand itself would panic beyond the calendar.
    let year = Duration::from_secs(366 * 86_400);
    if engine.clock.now().checked_add(by.saturating_add(year)).is_err() {
        return Err(BadRequest(format!("the calendar ends at {}", Timestamp::MAX)));
    }
    engine.hand.advance(by);
    Ok(Json(json!({ "now": engine.clock.now().to_string() })))
}

async fn inject<S: Simulation>(State(engine): State<Arc<Engine<S>>>, body: Bytes) -> Answer {
    let fault: Fault = parse(&body)?;
    if let Scope::Call(name) = &fault.on
        && !S::CALLS.contains(&name.as_str())
    {
        return Err(BadRequest(format!("`on` is refresh, action, any, or one of {:?}", S::CALLS)));
    }
    if fault.seconds.is_some_and(|it| Duration::try_from_secs_f64(it).is_err()) {
        return Err(BadRequest("`seconds` is a span of time, 0 or more".to_owned()));
    }
    Ok(Json(engine.change(|core| {
        core.faults.inject(fault);
        json!({ "waiting": core.faults.waiting() })
    })))
}

async fn clear_faults<S: Simulation>(State(engine): State<Arc<Engine<S>>>) -> Json<Value> {
    engine.change(|core| core.faults.clear());
    Json(json!({ "waiting": [] }))
}

async fn revoke<S: Simulation>(State(engine): State<Arc<Engine<S>>>, body: Bytes) -> Answer {
    let Revoke { what, account } = parse(&body)?;
    check_account(&engine, account)?;
    engine.revoke(account, what);
    Ok(Json(json!(engine.account(account))))
}

async fn sign_in<S: Simulation>(State(engine): State<Arc<Engine<S>>>, body: Bytes) -> Answer {
    let SignIn { account } = parse(&body)?;
    check_account(&engine, account)?;
    Ok(Json(json!(engine.sign_in(account))))
}

async fn phone<S: Simulation>(State(engine): State<Arc<Engine<S>>>, body: Bytes) -> Answer {
    let Phone { does, account } = parse(&body)?;
    check_account(&engine, account)?;
    let held = engine
        .phone(account, does)
        .map_err(|_| BadRequest("the phone's own session has ended; let it sign in".to_owned()))?;
    Ok(Json(match does {
        PhoneAct::Push => json!(held),
        PhoneAct::Refresh | PhoneAct::SignIn => json!({ "generation": engine.account(account).generation }),
    }))
}

async fn messages<S: Simulation>(State(engine): State<Arc<Engine<S>>>) -> Json<Value> {
    Json(json!({ "messages": engine.core().messages.read() }))
}

async fn knobs<S: Simulation>(State(engine): State<Arc<Engine<S>>>) -> Json<Value> {
    Json(json!(engine.core().knobs))
}

async fn turn_knobs<S: Simulation>(State(engine): State<Arc<Engine<S>>>, body: Bytes) -> Answer {
    let patch: Map<String, Value> = parse(&body)?;
    engine.change(|core| {
        let Value::Object(mut knobs) = json!(core.knobs) else { unreachable!("switches are an object") };
        knobs.extend(patch);
        core.knobs = serde_json::from_value(Value::Object(knobs.clone())).map_err(|err| BadRequest(err.to_string()))?;
        Ok(Json(Value::Object(knobs)))
    })
}

async fn log<S: Simulation>(State(engine): State<Arc<Engine<S>>>) -> Json<Value> {
    let entries = engine.core().journal.read();
    Json(json!({ "entries": entries }))
}

async fn counters<S: Simulation>(State(engine): State<Arc<Engine<S>>>) -> Json<Value> {
    Json(json!(engine.core().counters))
}

async fn state<S: Simulation>(State(engine): State<Arc<Engine<S>>>) -> Json<Value> {
    let accounts: Vec<_> = engine.core().grants.accounts().collect();
    let accounts: Vec<_> = accounts.into_iter().map(|account| engine.account(account)).collect();
    let now = engine.clock.now().to_string();
    Json(json!({ "now": now, "accounts": accounts, "faults": engine.core().faults.waiting() }))
}

/// One object a region, with the address of each part.
fn listeners<S: Simulation>(engine: &Engine<S>) -> Value {
    let of_region =
        |region| S::PARTS.iter().map(|it| (*it, engine.addresses.url(region, it))).collect::<BTreeMap<_, _>>();
    (0..engine.addresses.n_regions()).map(|region| json!(of_region(region))).collect()
}

fn check_account<S: Simulation>(engine: &Engine<S>, account: usize) -> Result<(), BadRequest> {
    let known: Vec<_> = engine.core().grants.accounts().collect();
    if known.contains(&account) {
        return Ok(());
    }
    Err(BadRequest(format!("there is no account {account}; there are {known:?}")))
}

/// No body counts as an empty object.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, BadRequest> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|err| BadRequest(err.to_string()))
}

impl IntoResponse for BadRequest {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": self.0 }))).into_response()
    }
}
