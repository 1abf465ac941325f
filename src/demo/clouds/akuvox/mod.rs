//! A simulated Akuvox SmartPlus cloud: the gate and the REST host on one listener (protocol/akuvox.md §1 to §4).
//!
//! Calls: `GET /rest_server`, `POST /refresh_token`, `GET /login_conf`, `GET|POST /userconf`, `POST /opendoor`.
//! `/rest_server` names this same listener, as `host:port` without a scheme; a client that reached the gate by `http://`
//! takes `http://` for it too, or [`AkuvoxKnobs::rest_server_with_scheme`] is turned on.

mod checks;
mod home;
mod knobs;
mod refresh;
mod rest;

use axum::http::Method;
use serde::Serialize;
use serde_json::{Value, json};

pub use home::{Device, Relay, devices};
pub use knobs::{AkuvoxKnobs, RefreshAnswer, TokenValid};

use super::{
    grants::{Pair, RotationRules},
    simulation::{Answer, Call, Desk, Reply, Request, Simulation},
};

/// The behaviour behind [`AkuvoxCloud`](super::AkuvoxCloud).
pub struct Akuvox;

/// What a client of one account is configured with.
#[derive(Clone, Serialize)]
pub struct AkuvoxCredentials {
    pub token: String,
    pub refresh_token: String,
    /// Issued at login only, never by a refresh, and without an end.
    pub auth_token: String,
    /// The live token's end, RFC 3339 in UTC, by the cloud's clock.
    pub expires_at: String,
}

impl Simulation for Akuvox {
    const VENDOR: &'static str = "akuvox";
    const CALLS: &'static [&'static str] = &["rest_server", "refresh_token", "login_conf", "userconf", "opendoor"];
    type Knobs = AkuvoxKnobs;
    type Credentials = AkuvoxCredentials;

    fn new(_n_accounts: usize) -> Self {
        Self
    }

    fn rules(knobs: &AkuvoxKnobs) -> RotationRules {
        knobs.rules()
    }

    fn classify(request: &Request) -> Call {
        let name = request.path.trim_start_matches('/').to_owned();
        Call { is_refresh: name == "refresh_token", is_action: name == "opendoor", name }
    }

    fn answer(&mut self, desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/rest_server") => rest::discover(desk, request),
            (&Method::POST, "/refresh_token") => refresh::refresh(desk, request),
            (&Method::GET, "/login_conf") => rest::check_login(desk, request),
            (&Method::GET | &Method::POST, "/userconf") => rest::user_configuration(desk, request),
            (&Method::POST, "/opendoor") => rest::open_door(desk, request),
            _ => {
                let body = json!({ "result": -1, "err_code": "-1", "message": "request is invalid" });
                Answer::refusal(Reply::with_status(404, &body), "no such call")
            }
        }
    }

    fn busy(code: Option<i64>) -> Reply {
        let code = code.unwrap_or(500).to_string();
        Reply::ok(&json!({ "err_code": code, "message": "server is busy" }))
    }

    fn throttled() -> Reply {
        Reply::with_status(429, &json!({ "error_msg": "Requesting too frequently" }))
    }

    fn credentials(&self, account: usize, pair: &Pair) -> AkuvoxCredentials {
        AkuvoxCredentials {
            token: pair.access_token.clone(),
            refresh_token: pair.refresh_token.clone(),
            auth_token: format!("simulated-auth-token-{account:08}"),
            expires_at: pair.access_expires_at.to_string(),
        }
    }

    fn extras(&self, account: usize) -> Value {
        let doors = devices(account).into_iter().flat_map(|device| {
            let Device { mac, relays, .. } = device;
            relays.into_iter().map(move |it| json!({ "mac": mac, "relay": it.id, "name": it.door_name }))
        });
        json!({ "doors": doors.collect::<Value>() })
    }
}
