//! The seam: what a vendor's simulation implements, and what it is handed.

use std::{collections::HashMap, time::Duration};

use axum::{
    body::Bytes,
    extract::Query,
    http::{HeaderMap, Method, Uri},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    counters::Counters,
    grants::{GrantBook, Pair, RotationRules},
    messages::Messages,
    places::{Addresses, Entrance},
};

/// How one vendor behaves. Everything around it (listener, faults, log, control API) is shared.
pub trait Simulation: Send + Sized + 'static {
    /// The vendor's name, as accounts are configured with.
    const VENDOR: &'static str;
    /// The parts that listen apart, at least one; the first is the one that clients are configured with.
    const PARTS: &'static [&'static str];
    /// The names that a fault's `on` may bear, beside `refresh`, `action` and `any`.
    const CALLS: &'static [&'static str];
    /// The switches for what is not known about the vendor.
    type Knobs: Clone + Default + Serialize + DeserializeOwned + Send + 'static;
    /// What a client of one account needs to be configured with.
    type Credentials: Serialize;

    /// Account `n` lives in region `n % n_regions`.
    fn new(n_accounts: usize, n_regions: usize) -> Self;

    fn rules(knobs: &Self::Knobs) -> RotationRules;

    /// How far the vendor's clock is ahead of the right time.
    fn clock_error(knobs: &Self::Knobs) -> SignedDuration;

    /// How long the access tokens live that were handed out by hand: at the start and by `/_sim/seed`. None: as any.
    fn console_life(_knobs: &Self::Knobs) -> Option<Duration> {
        None
    }

    /// What kind of call this is, before it is carried out.
    fn classify(request: &Request) -> Call;

    /// Carries out a call.
    fn answer(&mut self, desk: &mut Desk<'_, Self::Knobs>, request: &Request) -> Answer;

    /// The vendor's own 'busy' or 'service error', or whatever failure `code` is.
    fn busy(code: Option<i64>) -> Reply;

    /// The vendor's own 'too many requests', as HTTP 429.
    fn throttled() -> Reply;

    fn credentials(&self, knobs: &Self::Knobs, account: usize, pair: &Pair) -> Self::Credentials;

    /// What else the control API shows of an account: codes sent, doors, scenes.
    fn extras(&self, account: usize) -> serde_json::Value;
}

/// A call that arrived.
pub struct Request {
    pub entrance: Entrance,
    pub method: Method,
    pub path: String,
    pub query: HashMap<String, String>,
    /// The query as it was sent, without the question mark.
    pub raw_query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What kind of call it is.
#[derive(Clone, Debug)]
pub struct Call {
    /// The path's last part at Akuvox, the intent at Aqara.
    pub name: String,
    pub is_refresh: bool,
    /// Whether it acts on the house.
    pub is_action: bool,
}

/// What a simulation works with while it answers one call.
pub struct Desk<'a, K> {
    pub knobs: &'a K,
    pub rules: RotationRules,
    pub grants: &'a mut GrantBook,
    pub counters: &'a mut Counters,
    pub messages: &'a mut Messages,
    pub now: Timestamp,
    /// Time since the cloud's clock was made; never goes back.
    pub monotonic: Duration,
    /// The region whose listener the call came by.
    pub region: usize,
    pub n_regions: usize,
    pub(super) addresses: &'a Addresses,
    /// The call's `Host`.
    pub(super) reached_by: Option<&'a str>,
    /// An injected fault: this refresh brings an access token only.
    pub keeps_refresh_token: bool,
}

/// An answer, and what the log is to say of it.
pub struct Answer {
    pub reply: Reply,
    /// `ok`, or why not.
    pub outcome: String,
    pub is_success: bool,
    pub account: Option<usize>,
    /// Secrets that the call bore, by role. The log hashes them.
    pub secrets: Vec<(&'static str, String)>,
    /// The pair that it hands out whole. The log hashes it.
    pub issued: Option<Pair>,
    pub action: Option<String>,
    /// Whether it never reaches the client.
    pub is_withheld: bool,
}

/// A JSON answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
    pub body: String,
}

impl<K> Desk<'_, K> {
    /// Where a part of the same region listens, as `host:port`.
    pub fn address_of(&self, part: &str) -> String {
        self.addresses.beside(self.reached_by, self.region, part)
    }

    /// Whether the account lives in the region whose listener the call came by.
    pub fn is_at_home(&self, account: usize) -> bool {
        account % self.n_regions == self.region
    }
}

impl Request {
    /// Whether the listener that it came by serves this part.
    pub fn is_at(&self, part: &str) -> bool {
        self.entrance.part.is_none_or(|it| it == part)
    }

    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as a form, which has the grammar of a query.
    pub fn form(&self) -> HashMap<String, String> {
        let Ok(uri) = format!("/?{}", String::from_utf8_lossy(&self.body)).parse::<Uri>() else {
            return HashMap::new();
        };
        Query::try_from_uri(&uri).map(|it| it.0).unwrap_or_default()
    }

    /// Whether the body is declared as this media type, whatever its parameters.
    pub fn has_content_type(&self, media_type: &str) -> bool {
        let declared = self.header("content-type").and_then(|it| it.split(';').next());
        declared.is_some_and(|it| it.trim().eq_ignore_ascii_case(media_type))
    }
}

impl Reply {
    /// HTTP 200, as both vendors answer even when they refuse.
    pub fn ok(body: &serde_json::Value) -> Self {
        Self::with_status(200, body)
    }

    pub fn with_status(status: u16, body: &serde_json::Value) -> Self {
        Self { status, retry_after: None, body: body.to_string() }
    }
}

impl Answer {
    pub fn success(reply: Reply, account: Option<usize>) -> Self {
        Self { is_success: true, account, ..Self::refusal(reply, "ok") }
    }

    pub fn refusal(reply: Reply, outcome: impl Into<String>) -> Self {
        let outcome = outcome.into();
        Self {
            reply,
            outcome,
            is_success: false,
            account: None,
            secrets: Vec::new(),
            issued: None,
            action: None,
            is_withheld: false,
        }
    }

    /// Notes a secret that the call bore.
    pub fn bearing(mut self, role: &'static str, secret: Option<&str>) -> Self {
        self.secrets.extend(secret.map(|it| (role, it.to_owned())));
        self
    }

    /// Notes the pair that it hands out whole.
    pub fn issuing(self, pair: &Pair) -> Self {
        Self { issued: Some(pair.clone()), ..self }
    }
}
