//! The one endpoint: a signed request, sent once, and once or twice more only where it was refused at the door.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use jiff::SignedDuration;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

use super::{answer, intent::Intent, offset::Offset, signature::sign};
use crate::{
    account::{Class, Code, Secret},
    config::AqaraSettings,
    vendor::{
        Answer, Http, Latency, Toll, VendorError,
        http::{Request, header_value},
    },
};

const PATH: &str = "/v3.0/open/api";

/// How often a request that was refused for its time or as a damaged packet is sent anew (protocol/aqara.md §7).
const SENT_ANEW: usize = 2;

/// An application's way to its cloud.
pub(super) struct Gateway {
    settings: Arc<AqaraSettings>,
    http: Http,
    offset: Offset,
    unbilled: AtomicU32,
}

/// One question.
pub(super) struct Ask<'a> {
    pub(super) intent: Intent,
    pub(super) data: Value,
    /// Not sent with an authorisation intent.
    pub(super) access: Option<&'a Secret>,
    /// Taken before each time that it is sent; none where the caller has.
    pub(super) toll: Option<&'a dyn Toll>,
}

impl Gateway {
    pub(super) fn new(settings: Arc<AqaraSettings>, http: Http) -> Self {
        Self { settings, http, offset: Offset::default(), unbilled: AtomicU32::new(0) }
    }

    /// Sends a request and takes its answer, unread.
    ///
    /// What is refused for its time is sent anew with the vendor's time, what is refused as a damaged packet with a new
    /// nonce: such a refusal says that nothing was done. Nothing else is ever repeated.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, VendorError> {
        let body = json!({ "intent": ask.intent.name(), "data": ask.data }).to_string();
        let access = ask.access.filter(|_| !ask.intent.is_auth());
        let mut ahead = self.offset.known();
        let mut left = SENT_ANEW;
        loop {
            if let Some(toll) = ask.toll {
                toll.take()?;
            }
            let answer = self.send(ask.intent.name(), body.clone(), access, ahead).await?;
            match answer::code(&answer) {
                Some(101..=103) if 0 < left => {}
                Some(105) if 0 < left => ahead = answer.vendor_ahead_by.unwrap_or_default(),
                Some(105) => {
                    self.offset.forget();
                    return Ok(answer);
                }
                _ => {
                    self.offset.served(ahead, answer.vendor_ahead_by, self.settings.base_url.as_url().authority());
                    return Ok(answer);
                }
            }
            left -= 1;
            if ask.toll.is_none() {
                self.unbilled.fetch_add(1, Relaxed);
            }
        }
    }

    /// How many sendings since it was last asked no toll was taken for.
    pub(super) fn take_unbilled(&self) -> u32 {
        self.unbilled.swap(0, Relaxed)
    }

    /// The vendor's time, by the `Date` of whatever it answers.
    pub(super) async fn server_time(&self) -> Option<jiff::Timestamp> {
        self.http.server_time(self.settings.base_url.as_str()).await
    }

    /// How far the vendor's clock is ahead of ours, by its last answer.
    pub(super) fn vendor_ahead_by(&self) -> Option<SignedDuration> {
        self.http.vendor_ahead_by()
    }

    /// How long this account's calls took.
    pub(super) fn latencies(&self) -> Vec<Latency> {
        self.http.latencies()
    }

    async fn send(
        &self,
        call: &'static str,
        body: String,
        access: Option<&Secret>,
        ahead: SignedDuration,
    ) -> Result<Answer, VendorError> {
        let AqaraSettings { app_id, key_id, app_key, .. } = &*self.settings;
        let nonce = nonce()?;
        let now = self.http.clock().now();
        let time = now.checked_add(ahead).unwrap_or(now).as_millisecond().to_string();
        let sign = sign(access.map(Secret::expose), app_id, key_id, &nonce, &time, app_key);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("appid", header_value(app_id)?);
        headers.insert("keyid", header_value(key_id)?);
        headers.insert("nonce", header_value(&nonce)?);
        headers.insert("time", header_value(&time)?);
        headers.insert("sign", header_value(&sign)?);
        headers.insert("lang", header_value(self.settings.lang.as_str())?);
        if let Some(access) = access {
            headers.insert("accesstoken", header_value(access.expose())?);
        }
        let url = format!("{}{PATH}", self.settings.base_url);
        self.http.send(Request { call, method: Method::POST, url: &url, headers, body: Some(body) }).await
    }
}

/// 32 hexadecimal digits, new for every request.
fn nonce() -> Result<String, VendorError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| VendorError::new(Class::Transient, Code::Internal))?;
    Ok(hex::encode(bytes))
}
