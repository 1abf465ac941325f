//! A simulated Akuvox SmartPlus cloud (protocol/akuvox.md): the gate, the REST host, the web host and the backend host,
//! on listeners of their own.
//!
//! - gate: `GET /rest_server`, `POST /refresh_token`, `GET /sms_login`, `GET /login`, `POST|GET /servers_list`.
//! - rest: `POST /send_mobile_checkcode`, `GET /login_conf`, `GET|POST /userconf`, `POST /opendoor`.
//! - web: below `/web-server/v3/app/{community|single}/`, `GET tempKey/getPersonalTempKeyList`,
//!   `POST tempKey/addPersonalTempKey`, `POST tempKey/delPersonalTempKey` and `GET log/getDoorLog`.
//! - backend: below `/web-server/v4/smartplus/{community|single}/`, `GET log/member/getDoorLog` and
//!   `GET log/member/getCallLog`, whose list is always empty.
//!
//! `/rest_server` names the REST host as `host:port` without a scheme. Without TLS, a client that reached the gate by
//! `http://` takes `http://` for it too, or [`AkuvoxKnobs::rest_server_with_scheme`] is turned on.

mod checks;
mod door_log;
mod envelope;
mod family;
mod home;
mod knobs;
mod refresh;
mod resident;
mod rest;
mod servers;
mod shapes;
mod sms;
mod temp_keys;
mod tokens;
mod web;

use std::iter;

use axum::http::Method;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::{Value, json};

pub use home::{Device, RTSP_PASSWORD, Relay, SIP_PASSWORD, devices};
pub use knobs::AkuvoxKnobs;
pub use resident::{Resident, resident, veil_login, veil_password, veil_phone};
pub use shapes::{AccountType, DateFormat, LogAnswer, RefreshAnswer, ServersListTokens, TokenValid, WrongTypeAnswer};

use super::{
    cloud::Cloud,
    grants::{Pair, RotationRules},
    simulation::{Answer, Call, Desk, Reply, Request, Simulation},
};
use sms::SmsCode;
use web::Household;

/// The behaviour behind [`AkuvoxCloud`](super::AkuvoxCloud).
pub struct Akuvox {
    /// The newest code of each account.
    codes: Vec<Option<SmsCode>>,
    /// One for each account.
    households: Vec<Household>,
}

/// What a client of one account is configured with.
#[derive(Clone, Serialize)]
pub struct AkuvoxCredentials {
    pub token: String,
    pub refresh_token: String,
    /// Issued at login only, never by a refresh, and without an end.
    pub auth_token: String,
    /// The live token's end, RFC 3339 in UTC, by the cloud's clock.
    pub expires_at: String,
    /// The owner's, without the dial code.
    pub phone_number: String,
    pub dial_code: String,
    /// The family member's.
    pub login: String,
    pub password: String,
}

impl Cloud<Akuvox> {
    /// The REST host of the first region.
    pub fn rest_url(&self) -> String {
        self.url_of(0, "rest")
    }

    /// The web host of the first region.
    pub fn web_url(&self) -> String {
        self.url_of(0, "web")
    }

    /// The backend host of the first region.
    pub fn backend_url(&self) -> String {
        self.url_of(0, "backend")
    }
}

impl Simulation for Akuvox {
    const VENDOR: &'static str = "akuvox";
    const PARTS: &'static [&'static str] = &["gate", "rest", "web", "backend"];
    const CALLS: &'static [&'static str] = &[
        "rest_server",
        "refresh_token",
        "sms_login",
        "login",
        "servers_list",
        "send_mobile_checkcode",
        "login_conf",
        "userconf",
        "opendoor",
        "getPersonalTempKeyList",
        "addPersonalTempKey",
        "delPersonalTempKey",
        "getDoorLog",
        "getCallLog",
    ];
    type Knobs = AkuvoxKnobs;
    type Credentials = AkuvoxCredentials;

    fn new(n_accounts: usize, _n_regions: usize) -> Self {
        Self {
            codes: iter::repeat_with(|| None).take(n_accounts).collect(),
            households: iter::repeat_with(Household::new).take(n_accounts).collect(),
        }
    }

    fn rules(knobs: &AkuvoxKnobs) -> RotationRules {
        knobs.rules()
    }

    fn clock_error(knobs: &AkuvoxKnobs) -> SignedDuration {
        SignedDuration::from_secs(knobs.clock_ahead_seconds)
    }

    fn classify(request: &Request) -> Call {
        let name = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        Call { is_refresh: name == "refresh_token", is_action: name == "opendoor", name }
    }

    fn answer(&mut self, desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
        let mut answer = None;
        if request.is_at("gate") {
            answer = self.gate(desk, request);
        }
        if answer.is_none() && request.is_at("rest") {
            answer = self.rest(desk, request);
        }
        if answer.is_none() {
            answer = web::answer(&mut self.households, desk, request);
        }
        answer.unwrap_or_else(|| {
            let body = json!({ "result": -1, "err_code": "-1", "message": "request is invalid" });
            Answer::refusal(Reply::with_status(404, &body), "no such call at this listener")
        })
    }

    fn busy(code: Option<i64>) -> Reply {
        let code = code.unwrap_or(500).to_string();
        Reply::ok(&json!({ "err_code": code, "message": "server is busy" }))
    }

    fn throttled() -> Reply {
        Reply::with_status(429, &json!({ "error_msg": "Requesting too frequently" }))
    }

    fn credentials(&self, _knobs: &AkuvoxKnobs, account: usize, pair: &Pair) -> AkuvoxCredentials {
        let Resident { phone_number, dial_code, login, password, auth_token } = resident(account);
        AkuvoxCredentials {
            token: pair.access_token.clone(),
            refresh_token: pair.refresh_token.clone(),
            auth_token,
            expires_at: pair.access_expires_at.to_string(),
            phone_number,
            dial_code: dial_code.to_owned(),
            login,
            password,
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

impl Akuvox {
    fn gate(&mut self, desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Option<Answer> {
        Some(match (&request.method, request.path.as_str()) {
            (&Method::GET, "/rest_server") => servers::discover(desk, request),
            (&Method::POST, "/refresh_token") => refresh::refresh(desk, request),
            (&Method::GET, "/sms_login") => sms::log_in(&mut self.codes, desk, request),
            (&Method::GET, "/login") => family::log_in(self.codes.len(), desk, request),
            (&Method::POST | &Method::GET, "/servers_list") => servers::list(desk, request),
            (&Method::POST, "/send_mobile_checkcode") if desk.knobs.gate_sends_codes => {
                sms::send(&mut self.codes, desk, request)
            }
            _ => return None,
        })
    }

    fn rest(&mut self, desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Option<Answer> {
        Some(match (&request.method, request.path.as_str()) {
            (&Method::POST, "/send_mobile_checkcode") => sms::send(&mut self.codes, desk, request),
            (&Method::GET, "/login_conf") => rest::check_login(desk, request),
            (&Method::GET | &Method::POST, "/userconf") => rest::user_configuration(desk, request),
            (&Method::POST, "/opendoor") => rest::open_door(&mut self.households, desk, request),
            _ => return None,
        })
    }
}
