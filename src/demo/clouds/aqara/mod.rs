//! A simulated Aqara Open API v3.0: `POST /v3.0/open/api` (protocol/aqara.md).
//!
//! Intents: `config.auth.getAuthCode`, `config.auth.getToken`, `config.auth.refreshToken`, `config.auth.createAccount`,
//! `config.scene.run`, `query.position.info`, `query.scene.listByPositionId`; any other is answered like one that is not
//! open to the application (403). The accounts of an application share what it may call;
//! [`AqaraKnobs::apps_per_region`] says how many applications a region's accounts are dealt out to.
//!
//! Beside it `POST /v3.0/open/authorize` and `POST /v3.0/open/access_token`, by which Aqara's SDK for Python signs in.

mod accounts;
mod auth;
mod envelope;
mod gateway;
mod home;
mod knobs;
mod oauth;
mod quota;
mod sign;

use std::{collections::BTreeMap, iter, time::Duration};

use axum::http::Method;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use home::{Scene, scenes};
pub use knobs::{AccessRefusalCode, AqaraKnobs, DetailKey};

use super::{
    grants::{Pair, RotationRules},
    simulation::{Answer, Call, Desk, Reply, Request, Simulation},
};
use accounts::{Accounts, open_id};
use auth::Done;
use envelope::Refused;
use gateway::{App, Gateway, Region};

const PATH: &str = "/v3.0/open/api";

/// The behaviour behind [`AqaraCloud`](super::AqaraCloud).
pub struct Aqara {
    regions: Vec<Region>,
    accounts: Accounts,
    n_requests: u64,
}

/// What a client of one account is configured with.
#[derive(Clone, Serialize)]
pub struct AqaraCredentials {
    pub app_id: String,
    pub key_id: String,
    pub app_key: String,
    /// The name that the account signs in with.
    pub account: String,
    /// For the OAuth endpoints only.
    pub password: String,
    pub open_id: String,
    pub access_token: String,
    pub refresh_token: String,
    /// The live access token's end, RFC 3339 in UTC, by the cloud's clock.
    pub expires_at: String,
    /// Scene ids by name.
    pub scenes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Body {
    intent: String,
    #[serde(default)]
    data: Value,
}

impl Simulation for Aqara {
    const VENDOR: &'static str = "aqara";
    const PARTS: &'static [&'static str] = &["api"];
    const CALLS: &'static [&'static str] = &[
        "authorize",
        "access_token",
        "config.auth.getAuthCode",
        "config.auth.getToken",
        "config.auth.refreshToken",
        "config.auth.createAccount",
        "config.scene.run",
        "query.position.info",
        "query.scene.listByPositionId",
    ];
    type Knobs = AqaraKnobs;
    type Credentials = AqaraCredentials;

    fn new(n_accounts: usize, n_regions: usize) -> Self {
        let regions = iter::repeat_with(Region::new).take(n_regions).collect();
        Self { regions, accounts: Accounts::new(n_accounts, n_regions), n_requests: 0 }
    }

    fn rules(knobs: &AqaraKnobs) -> RotationRules {
        knobs.rules()
    }

    fn console_life(knobs: &AqaraKnobs) -> Option<Duration> {
        knobs.console_token_lifetime_seconds.map(Duration::from_secs)
    }

    fn clock_error(knobs: &AqaraKnobs) -> SignedDuration {
        SignedDuration::from_secs(knobs.clock_ahead_seconds)
    }

    fn classify(request: &Request) -> Call {
        let intent = serde_json::from_slice::<Body>(&request.body).map(|it| it.intent);
        let path = || request.path.rsplit('/').next().unwrap_or_default().to_owned();
        let name = intent.unwrap_or_else(|_| path());
        Call { is_refresh: name == "config.auth.refreshToken", is_action: name == "config.scene.run", name }
    }

    fn answer(&mut self, desk: &mut Desk<'_, AqaraKnobs>, request: &Request) -> Answer {
        self.n_requests += 1;
        let request_id = format!("2085.{}.{}", self.n_requests, desk.now.as_millisecond());
        if matches!(request.path.as_str(), oauth::AUTHORIZE | oauth::ACCESS_TOKEN) {
            return self.answer_oauth(desk, request, &request_id);
        }
        let body = serde_json::from_slice::<Body>(&request.body);
        let outcome = self.carry_out(desk, request, body.as_ref().ok());
        let mut answer = envelope::answer(desk.knobs, request, &request_id, outcome);
        if request.path != PATH {
            answer.reply.status = 404;
        }
        let data = body.ok().map(|it| it.data).unwrap_or_default();
        answer.action = data["sceneId"].as_str().map(str::to_owned);
        answer
            .bearing("access_token", gateway::access_token(request))
            .bearing("refresh_token", data["refreshToken"].as_str())
    }

    fn busy(code: Option<i64>) -> Reply {
        envelope::injected(200, code.unwrap_or(104))
    }

    fn throttled() -> Reply {
        envelope::injected(429, 429)
    }

    fn credentials(&self, knobs: &AqaraKnobs, account: usize, pair: &Pair) -> AqaraCredentials {
        let app = self.app(knobs, account);
        AqaraCredentials {
            app_id: app.app_id.clone(),
            key_id: app.key_id.clone(),
            app_key: app.app_key.clone(),
            account: self.accounts.name(account),
            password: oauth::password(account),
            open_id: open_id(account),
            access_token: pair.access_token.clone(),
            refresh_token: pair.refresh_token.clone(),
            expires_at: pair.access_expires_at.to_string(),
            scenes: scenes(account).into_iter().map(|it| (it.name.to_owned(), it.id)).collect(),
        }
    }

    fn extras(&self, account: usize) -> Value {
        let scenes = scenes(account).into_iter();
        json!({
            "account": self.accounts.name(account),
            "auth_code": self.accounts.code(account).map(|it| it.code.as_str()),
            "scenes": scenes.map(|it| json!({ "id": it.id, "name": it.name })).collect::<Value>(),
        })
    }
}

impl Aqara {
    /// The application of an account.
    fn app(&self, knobs: &AqaraKnobs, account: usize) -> &App {
        self.regions[account % self.regions.len()].app(self.accounts.app_of(knobs, account))
    }

    fn carry_out(
        &mut self,
        desk: &mut Desk<'_, AqaraKnobs>,
        request: &Request,
        body: Option<&Body>,
    ) -> Result<Done, Refused> {
        if request.path != PATH {
            return Err(Refused::new(301, "no such path"));
        }
        if request.method != Method::POST {
            return Err(Refused::new(304, "only POST is supported"));
        }
        let app = self.regions[desk.region].admit(desk, request)?;
        let Some(Body { intent, data }) = body else {
            return Err(Refused::new(302, "the body is not {\"intent\", \"data\"}"));
        };
        let accounts = &mut self.accounts;
        if !intent.starts_with("config.auth.") {
            let account = gateway::authorise(accounts, desk, app, request)?;
            let result = match intent.as_str() {
                "config.scene.run" => home::run_scene(desk, account, data),
                "query.position.info" => home::list_positions(account, data),
                "query.scene.listByPositionId" => home::list_scenes(desk, account, data),
                _ => Err(not_open()),
            };
            return Ok(Done { result: result?, account, issued: None });
        }
        if desk.knobs.auth_intents_reject_stale_token && gateway::access_token(request).is_some() {
            gateway::authorise(accounts, desk, app, request)?;
        }
        match intent.as_str() {
            "config.auth.getAuthCode" => auth::get_auth_code(accounts, desk, app, data),
            "config.auth.getToken" => auth::get_token(accounts, desk, app, data),
            "config.auth.refreshToken" => auth::refresh_token(accounts, desk, app, data),
            "config.auth.createAccount" => auth::create_account(accounts, desk, app, data),
            _ => Err(not_open()),
        }
    }

    /// Flat where it succeeds with a token, in the envelope otherwise.
    fn answer_oauth(&mut self, desk: &mut Desk<'_, AqaraKnobs>, request: &Request, request_id: &str) -> Answer {
        let form = request.form();
        let is_token = request.path == oauth::ACCESS_TOKEN;
        let answer = match self.carry_out_oauth(desk, request, &form) {
            Ok(Done { result, account, issued: Some(pair) }) if is_token => {
                Answer::success(Reply::ok(&result), Some(account)).issuing(&pair)
            }
            outcome => envelope::answer(desk.knobs, request, request_id, outcome),
        };
        answer
            .bearing("password", form.get("passwordExt").map(String::as_str))
            .bearing("auth_code", form.get("code").map(String::as_str))
    }

    fn carry_out_oauth(
        &mut self,
        desk: &mut Desk<'_, AqaraKnobs>,
        request: &Request,
        form: &oauth::Form,
    ) -> Result<Done, Refused> {
        if request.method != Method::POST {
            return Err(Refused::new(304, "only POST is supported"));
        }
        if !request.has_content_type("application/x-www-form-urlencoded") {
            return Err(Refused::new(305, "Content-Type is not application/x-www-form-urlencoded"));
        }
        let client = self.regions[desk.region].of_client(oauth::field(form, "client_id")?);
        let Some((number, Gateway { app, quota, .. })) = client else {
            return Err(Refused::new(desk.knobs.wrong_app_code, "client_id illegal"));
        };
        quota.count(desk)?;
        if request.path == oauth::ACCESS_TOKEN {
            oauth::access_token(&mut self.accounts, desk, (number, app), form)
        } else {
            oauth::authorize(&mut self.accounts, desk, number, form)
        }
    }
}

fn not_open() -> Refused {
    Refused::new(403, "intent is not open to this application")
}

/// Reads an intent's data; what it lacks, or has of the wrong type, is a parameter error.
fn parse<T: DeserializeOwned>(data: &Value) -> Result<T, Refused> {
    // Only the caller reads serde's words, since they may quote what was sent.
    T::deserialize(data).map_err(|err| Refused {
        detail: err.to_string(),
        ..Refused::new(302, "a parameter is missing or of the wrong type")
    })
}
