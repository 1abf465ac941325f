//! Mishaps that a test or a demo injects.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::simulation::{Call, Reply};

/// A mishap, and the calls that it befalls.
///
/// As JSON: `{"kind": "slow", "seconds": 12, "times": 1, "on": "refresh", "after": false}`; only `kind` is required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub kind: FaultKind,
    /// How many calls it befalls.
    #[serde(default = "once")]
    pub times: u32,
    /// How likely a call that it may befall is befallen, in 0..=1; certainly unless told.
    #[serde(default)]
    pub chance: Option<f64>,
    /// Which calls it befalls; refreshes unless told.
    #[serde(default)]
    pub on: Scope,
    /// Whether the cloud does what it was asked first. Some kinds always do or never do, whatever is said here.
    #[serde(default)]
    pub after: bool,
    /// How long `slow` waits, in real time.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// How much of its body an answer keeps that is cut or truncated, in 0..=1; half of it unless told.
    #[serde(default)]
    pub share: Option<f64>,
    /// The `Retry-After` header of `throttled_429`, in seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// The vendor's code of `vendor_busy`, if not its usual one.
    #[serde(default)]
    pub code: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The call is carried out, then the connection is closed without an answer. Only for calls that succeed.
    ReplyLostAfterRotation,
    /// The connection is closed before anything is done.
    ResetBefore,
    /// HTTP 500 with a short text.
    #[serde(rename = "http_500")]
    Http500,
    /// HTTP 502 with a page for browsers, as a proxy answers when what is behind it does not.
    #[serde(rename = "http_502")]
    Http502,
    /// HTTP 200 with a page for browsers.
    Html,
    /// A part of the JSON, as a complete HTTP answer. Only for calls that succeed.
    TruncatedJson,
    /// The head and a part of the body, then the connection is closed. Only for calls that succeed.
    CutBody,
    /// The access token in a list, the lifetime in an object. Only for calls that succeed.
    WrongTypes,
    /// The answer takes its time.
    Slow,
    /// The answer never comes.
    Hang,
    /// The answer comes letter by letter, one a second in real time.
    Drip,
    /// HTTP 307 to another origin, where nobody listens.
    Redirect,
    /// The vendor's 'too many requests', as HTTP 429.
    #[serde(rename = "throttled_429")]
    Throttled429,
    /// The vendor's 'too many requests', as HTTP 200.
    #[serde(rename = "throttled_200")]
    Throttled200,
    /// The vendor's own 'busy' or 'service error', or the failure that `code` names.
    VendorBusy,
    /// A refresh that brings a new access token only; the refresh token stays in force.
    MissingRefreshToken,
    /// The answer without the access token that was issued. Only for calls that succeed.
    MissingAccessToken,
}

/// Which calls a fault befalls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Scope {
    #[default]
    Refresh,
    /// Calls that act on the house: a scene, a door.
    Action,
    Any,
    /// One call by its name: a path at Akuvox, an intent at Aqara.
    Call(String),
}

impl Fault {
    /// Befalls the next refresh.
    pub fn new(kind: FaultKind) -> Self {
        let (times, on) = (1, Scope::Refresh);
        let (chance, seconds, share, retry_after, code) = (None, None, None, None, None);
        Self { kind, times, chance, on, after: false, seconds, share, retry_after, code }
    }

    /// Befalls the next `times` calls of `scope`.
    pub fn on(self, scope: Scope, times: u32) -> Self {
        Self { on: scope, times, ..self }
    }

    /// Lets the cloud do what it was asked first.
    pub fn after(self) -> Self {
        Self { after: true, ..self }
    }

    /// Befalls this share of all calls of `scope`, on and on.
    pub fn by_chance(self, chance: f64, scope: Scope) -> Self {
        Self { chance: Some(chance), ..self.on(scope, u32::MAX) }
    }

    /// Cuts the answer here.
    pub fn keeping(self, share: f64) -> Self {
        Self { share: Some(share), ..self }
    }

    /// Takes this long, in real time.
    pub fn lasting(self, seconds: f64) -> Self {
        Self { seconds: Some(seconds), ..self }
    }

    /// How many bytes of a body it lets through.
    pub(super) fn passes(&self, body: &str) -> usize {
        (body.len() as f64 * self.share.unwrap_or(0.5)) as usize
    }

    pub(super) fn moment(&self) -> Moment {
        match self.kind {
            FaultKind::ReplyLostAfterRotation
            | FaultKind::TruncatedJson
            | FaultKind::CutBody
            | FaultKind::Drip
            | FaultKind::WrongTypes
            | FaultKind::MissingAccessToken => Moment::After,
            FaultKind::ResetBefore | FaultKind::MissingRefreshToken => Moment::Before,
            FaultKind::Http500
            | FaultKind::Http502
            | FaultKind::Html
            | FaultKind::Slow
            | FaultKind::Hang
            | FaultKind::Redirect
            | FaultKind::Throttled429
            | FaultKind::Throttled200
            | FaultKind::VendorBusy => {
                if self.after {
                    Moment::After
                } else {
                    Moment::Before
                }
            }
        }
    }

    /// The kind as it is written in JSON.
    pub(super) fn name(&self) -> String {
        serde_json::to_value(self.kind).ok().and_then(|it| Some(it.as_str()?.to_owned())).unwrap_or_default()
    }
}

/// When a fault befalls a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

/// The faults that wait for their call, oldest first.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        if 0 < fault.times {
            self.0.push(fault);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn waiting(&self) -> &[Fault] {
        &self.0
    }

    /// Takes the oldest fault that befalls `call` at this moment.
    pub(super) fn take(&mut self, moment: Moment, call: &Call) -> Option<Fault> {
        let is_hit = |it: &Fault| it.chance.is_none_or(|chance| fastrand::f64() < chance);
        let at = self.0.iter().position(|it| it.moment() == moment && it.befalls(call) && is_hit(it))?;
        let fault = &mut self.0[at];
        // As often as can be counted means always.
        fault.times -= u32::from(fault.times != u32::MAX);
        let taken = fault.clone();
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(taken)
    }
}

/// The same answer with types that nobody documented: a parser that insists on them fails, yet nothing is lost.
pub(super) fn with_wrong_types(reply: Reply) -> Reply {
    rewritten(reply, distort)
}

/// The same answer without its access token.
pub(super) fn without_access_token(reply: Reply) -> Reply {
    rewritten(reply, drop_access_token)
}

fn rewritten(reply: Reply, rewrite: fn(&mut Value)) -> Reply {
    let body = serde_json::from_str::<Value>(&reply.body).map(|mut it| {
        rewrite(&mut it);
        it.to_string()
    });
    Reply { body: body.unwrap_or(reply.body), ..reply }
}

fn drop_access_token(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    fields.retain(|key, _| !matches!(key.as_str(), "token" | "accessToken" | "access_token"));
    fields.values_mut().for_each(drop_access_token);
}

fn distort(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    for (key, value) in fields {
        match key.as_str() {
            "token" | "accessToken" | "access_token" => *value = json!([value.take()]),
            "token_valid" | "expiresIn" | "expires_in" => *value = json!({ "seconds": value.take() }),
            _ => distort(value),
        }
    }
}

fn once() -> u32 {
    1
}

// === impl Fault ===

impl Fault {
    fn befalls(&self, call: &Call) -> bool {
        if self.kind == FaultKind::MissingRefreshToken && !call.is_refresh {
            return false;
        }
        match &self.on {
            Scope::Any => true,
            Scope::Refresh => call.is_refresh,
            Scope::Action => call.is_action,
            Scope::Call(name) => *name == call.name,
        }
    }
}

// === impl Scope ===

impl From<String> for Scope {
    fn from(text: String) -> Self {
        match text.as_str() {
            "refresh" => Self::Refresh,
            "action" => Self::Action,
            "any" => Self::Any,
            _ => Self::Call(text),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Refresh => "refresh".to_owned(),
            Scope::Action => "action".to_owned(),
            Scope::Any => "any".to_owned(),
            Scope::Call(name) => name,
        }
    }
}
