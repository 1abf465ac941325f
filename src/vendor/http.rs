//! The HTTP client for token endpoints: nothing is followed, repeated or reused behind our back.
//!
//! crates.md §4.1 measured why: a redirect re-sent a refresh token to another origin, and a reused idle connection
//! made unsent requests look ambiguous.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Client, Method, Response,
    header::{HeaderMap, HeaderValue},
};
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::{
    account::{Class, Code, Secret, SecretBuffer},
    clock::Clock,
};

use super::{
    Latency, VendorError,
    json::completed,
    latency::Latencies,
    skew::{FarOff, Skew},
};

/// No answer of a token endpoint is near this long; a list of devices may take a part of it.
const LONGEST_BODY: usize = 256 * 1024;
/// Most answers are not longer, in bytes.
const USUAL_BODY: usize = 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client with every guard on, and what it met.
pub struct Http {
    shared: Arc<Shared>,
    /// Nothing until something was answered: most of very many accounts are at rest.
    met: OnceLock<Box<Met>>,
}

/// What is one for all accounts.
struct Shared {
    client: Client,
    clock: Clock,
    far_off: FarOff,
}

/// What an account's own calls met.
#[derive(Default)]
struct Met {
    skew: Skew,
    latencies: Latencies,
}

/// An answer that is not an HTML page and has an HTTP status of success, or one that says that we are at fault: some
/// backends put their own envelope under those. It may be cut short; then it does not parse.
#[derive(Clone, Debug)]
pub struct Answer {
    /// UTF-8; what was not is replaced.
    pub body: Secret,
    /// Where it was no success: 400 to 499.
    pub http_status: Option<u16>,
    /// How far the vendor's `Date` header is ahead of our clock.
    pub vendor_ahead_by: Option<SignedDuration>,
    /// How long the vendor asks to be left alone; vendors say so beside an envelope, too.
    pub retry_after: Option<Duration>,
}

/// A request to be sent once.
pub struct Request<'a> {
    /// What is asked, as the vendor names it, by which the time that it takes is counted.
    pub call: &'static str,
    pub method: Method,
    pub url: &'a str,
    pub headers: HeaderMap,
    pub body: Option<String>,
}

impl Http {
    /// `total`: the time a call may take from connect to the last byte.
    pub fn new(total: Duration, clock: Clock) -> Result<Self, String> {
        // Another part of the process may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(total)
            // Shorter than the whole, so that a host that does not answer at all is told from a lost reply.
            .connect_timeout(CONNECT_TIMEOUT.min(total / 2))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| error.without_url().to_string())?;
        let shared = Arc::new(Shared { client, clock, far_off: FarOff::default() });
        Ok(Self { shared, met: OnceLock::new() })
    }

    /// The same client for another account: it remembers by itself what its vendor's clock reads, and how long that takes
    /// to answer.
    pub(super) fn apart(&self) -> Self {
        Self { shared: self.shared.clone(), met: OnceLock::new() }
    }

    /// Sends a request and takes what is answered.
    ///
    /// Errors: `Transient` where it certainly did not arrive or the status says that nothing was done, `Throttled` on
    /// 429, `Ambiguous` for everything else that is not a vendor's own answer.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, VendorError> {
        let (call, begun) = (request.call, self.clock().monotonic());
        let answer = self.exchange(request).await;
        self.met().latencies.note(call, self.clock().monotonic().saturating_sub(begun));
        answer
    }

    async fn exchange(&self, request: Request<'_>) -> Result<Answer, VendorError> {
        let mut builder = self.client().request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut response = builder.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                VendorError::new(Class::Transient, Code::Unreachable)
            } else {
                VendorError::new(Class::Ambiguous, Code::NoAnswer)
            }
        })?;
        let status = response.status().as_u16();
        let vendor_time = date(response.headers());
        self.note_skew(&response, vendor_time);
        let retry_after = retry_after(response.headers(), vendor_time);
        if status == 429 {
            return Err(VendorError::new(Class::Throttled { retry_after }, Code::Throttled).with_status(status));
        }
        let http_status = response.status().is_client_error().then_some(status);
        if !response.status().is_success() && http_status.is_none() {
            return Err(VendorError::new(Class::Ambiguous, Code::VendorBusy).with_status(status));
        }
        let mut body = SecretBuffer::with_capacity(USUAL_BODY);
        loop {
            let chunk = response.chunk().await;
            match chunk {
                Ok(Some(chunk)) if body.len() + chunk.len() <= LONGEST_BODY => body.extend(&chunk),
                Ok(None) => break,
                // What came of a cut answer is kept: it may hold the only copy of a token.
                Err(_) if !body.is_empty() => break,
                Ok(Some(_)) | Err(_) => return Err(VendorError::new(Class::Ambiguous, Code::NoAnswer)),
            }
        }
        let body = Zeroizing::new(String::from_utf8_lossy(&body).into_owned());
        let body = body.trim_start_matches('\u{feff}');
        // By what it is and not by its declared type: careless backends call their JSON text/html.
        if body.trim_start().starts_with('<') {
            return Err(VendorError::new(Class::Ambiguous, Code::VendorBusy).with_status(status));
        }
        let vendor_ahead_by = vendor_time.map(|it| it.duration_since(self.clock().now()));
        Ok(Answer { body: Secret::new(body), http_status, vendor_ahead_by, retry_after })
    }

    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The `Date` header of whatever `url` answers.
    pub async fn server_time(&self, url: &str) -> Option<Timestamp> {
        let response = self.client().get(url).send().await.ok()?;
        let vendor_time = date(response.headers());
        self.note_skew(&response, vendor_time);
        vendor_time
    }

    /// How far the clock of whoever answered last was ahead of ours.
    pub(super) fn vendor_ahead_by(&self) -> Option<SignedDuration> {
        self.met.get()?.skew.last()
    }

    /// How long this account's calls took.
    pub(super) fn latencies(&self) -> Vec<Latency> {
        self.met.get().map(|it| it.latencies.read()).unwrap_or_default()
    }

    fn note_skew(&self, response: &Response, vendor_time: Option<Timestamp>) {
        if let Some(vendor_time) = vendor_time {
            let host = response.url().host_str().unwrap_or_default();
            let ahead_by = vendor_time.duration_since(self.clock().now());
            self.shared.far_off.note(host, ahead_by);
            self.met().skew.note(ahead_by);
        }
    }

    fn met(&self) -> &Met {
        self.met.get_or_init(Box::default)
    }
}

impl Answer {
    /// A body alone, as it was kept.
    pub fn of(body: Secret) -> Self {
        Self { body, http_status: None, vendor_ahead_by: None, retry_after: None }
    }

    /// The same of an answer that was cut short, as far as it goes: a token that is whole there is good. None where the
    /// answer is whole, is no success, or holds nothing.
    pub fn completed(&self) -> Option<Answer> {
        let is_cut = self.http_status.is_none() && serde_json::from_str::<IgnoredAny>(self.body.expose()).is_err();
        let body = completed(self.body.expose()).filter(|_| is_cut)?;
        Some(Answer { body: Secret::new(body), ..self.clone() })
    }

    /// It is not the vendor's own envelope, so nobody knows what was done.
    pub(super) fn unusable(&self) -> VendorError {
        match self.http_status {
            Some(status) => VendorError::new(Class::Ambiguous, Code::VendorBusy).with_status(status),
            None => VendorError::new(Class::Ambiguous, Code::UnreadableAnswer),
        }
    }
}

/// A value that cannot go into a header means that the configuration is wrong, and nothing was sent.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, VendorError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| VendorError::new(Class::ConfigFault, Code::ConfigFault))?;
    value.set_sensitive(true);
    Ok(value)
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get("date")?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// Seconds, or a date to be read against the vendor's own clock; never more than a day.
fn retry_after(headers: &HeaderMap, vendor_time: Option<Timestamp>) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim().to_owned();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let wait = http_date(&text)?.duration_since(vendor_time?);
            u64::try_from(wait.as_secs()).ok()?
        }
    };
    Some(Duration::from_secs(seconds.min(24 * 3600)))
}
