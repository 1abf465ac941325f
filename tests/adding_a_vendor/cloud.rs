//! A simulated Acme Home: what would be `src/demo/clouds/acme/`.

use std::time::Duration;

use axum::http::Method;
use jiff::SignedDuration;
use latchkey::demo::clouds::{
    Answer, Call, Desk, Reply, Request, Simulation,
    grants::{Pair, RefreshLife, RefreshRefusal, RotationRules},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) struct AcmeCloud;

/// What nobody knows about the real one. The defaults are the strictest that it may be.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct AcmeKnobs {
    /// How long after its use a refresh token is answered again.
    pub(crate) refresh_grace_seconds: u64,
}

#[derive(Serialize)]
pub(crate) struct AcmeCredentials {
    pub(crate) refresh_token: String,
}

impl Simulation for AcmeCloud {
    const VENDOR: &'static str = "acme";
    const PARTS: &'static [&'static str] = &["api"];
    const CALLS: &'static [&'static str] = &["token", "scenes", "run"];
    type Knobs = AcmeKnobs;
    type Credentials = AcmeCredentials;

    fn new(_n_accounts: usize, _n_regions: usize) -> Self {
        Self
    }

    fn rules(knobs: &AcmeKnobs) -> RotationRules {
        RotationRules {
            access_life: Duration::from_secs(24 * 3600),
            refresh_life: RefreshLife::Unlimited,
            refresh_grace: Duration::from_secs(knobs.refresh_grace_seconds),
            access_grace: Duration::ZERO,
            replay_revokes_family: true,
            wants_matching_access_token: false,
            refreshes_after_access_expiry: true,
            login_ends_the_one_before: true,
            refresh_keeps_chosen_life: false,
        }
    }

    fn clock_error(_knobs: &AcmeKnobs) -> SignedDuration {
        SignedDuration::ZERO
    }

    fn classify(request: &Request) -> Call {
        let name = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        Call { is_refresh: name == "token", is_action: name == "run", name }
    }

    fn answer(&mut self, desk: &mut Desk<'_, AcmeKnobs>, request: &Request) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if request.path == "/token" {
            return refresh(desk, body["refresh_token"].as_str().unwrap_or_default());
        }
        let token = request.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
        let answer = match desk.grants.check_access(token.unwrap_or_default(), desk.now, &desk.rules) {
            Ok(account) => act(desk, account, request, &body),
            Err(_) => refused(401, "invalid_token"),
        };
        answer.bearing("access_token", token)
    }

    fn busy(_code: Option<i64>) -> Reply {
        Reply::ok(&json!({ "error": "busy" }))
    }

    fn throttled() -> Reply {
        Reply::with_status(429, &json!({ "error": "slow_down" }))
    }

    fn credentials(&self, _knobs: &AcmeKnobs, _account: usize, pair: &Pair) -> AcmeCredentials {
        AcmeCredentials { refresh_token: pair.refresh_token.clone() }
    }

    fn extras(&self, _account: usize) -> Value {
        json!({})
    }
}

fn refresh(desk: &mut Desk<'_, AcmeKnobs>, token: &str) -> Answer {
    let answer = match desk.grants.refresh(token, None, desk.keeps_refresh_token, desk.now, &desk.rules) {
        Ok(granted) => {
            desk.counters.refreshes += 1;
            let lifetime = granted.pair.access_expires_at.duration_since(desk.now).as_secs();
            let tokens = json!({
                "access_token": granted.pair.access_token,
                "refresh_token": granted.pair.refresh_token,
                "expires_in": lifetime,
            });
            Answer::success(Reply::ok(&tokens), Some(granted.account)).issuing(&granted.pair)
        }
        Err(RefreshRefusal::Expired) => refused(400, "expired_grant"),
        Err(why) => {
            desk.counters.replays += u64::from(why == RefreshRefusal::Spent);
            refused(400, "invalid_grant")
        }
    };
    answer.bearing("refresh_token", Some(token))
}

/// What needs a live access token.
fn act(desk: &mut Desk<'_, AcmeKnobs>, account: usize, request: &Request, body: &Value) -> Answer {
    match (&request.method, request.path.as_str(), body["id"].as_str()) {
        (&Method::GET, "/scenes", _) => {
            let scenes = json!({ "scenes": [{ "id": "s-1", "name": "Good night" }] });
            Answer::success(Reply::ok(&scenes), Some(account))
        }
        (&Method::POST, "/scenes/run", Some(id @ "s-1")) => {
            *desk.counters.scene_runs.entry(id.to_owned()).or_default() += 1;
            Answer { action: Some(id.to_owned()), ..Answer::success(Reply::ok(&json!({})), Some(account)) }
        }
        (&Method::POST, "/scenes/run", _) => refused(404, "unknown_scene"),
        _ => refused(404, "unknown_path"),
    }
}

fn refused(status: u16, word: &str) -> Answer {
    Answer::refusal(Reply::with_status(status, &json!({ "error": word })), word)
}
