//! Akuvox SmartPlus: the gate renews tokens, the REST host checks them (protocol/akuvox.md).

mod answer;

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    account::{Class, Code, FreshTokens, Inventory, Secret},
    config::AkuvoxSettings,
};

use super::{
    Answer, Http, Rules, Spend, Toll, Vendor, VendorError, VendorKind,
    http::{Request, header_value},
};

/// The wire format changes with this header; each call has the one that was seen with it (protocol/akuvox.md §2).
const REFRESH_API_VERSION: &str = "6.8";
const REST_SERVER_API_VERSION: &str = "6.0";
const LOGIN_CONF_API_VERSION: &str = "6.5";

/// A lifetime that every source agrees on (protocol/akuvox.md §4).
const USUAL_LIFETIME: Duration = Duration::from_secs(604_800);

/// One login at SmartPlus.
pub struct Akuvox {
    settings: AkuvoxSettings,
    http: Http,
    host: String,
    /// Base URL of the REST host, once discovered.
    rest: OnceCell<String>,
}

impl Akuvox {
    pub fn new(settings: AkuvoxSettings, http: Http) -> Self {
        let host = settings.gate.as_url().authority().to_owned();
        Self { settings, http, host, rest: OnceCell::new() }
    }

    fn headers(&self, api_version: &'static str) -> Result<HeaderMap, VendorError> {
        let mut headers = HeaderMap::new();
        headers.insert("api-version", HeaderValue::from_static(api_version));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        headers.insert("accept-language", HeaderValue::from_static("en"));
        headers.insert("x-cloud-lang", HeaderValue::from_static("en"));
        headers.insert("user-agent", header_value(&self.settings.user_agent)?);
        Ok(headers)
    }

    /// The REST host is asked for before it is used (protocol/akuvox.md §3.1).
    async fn rest(&self) -> Result<&str, VendorError> {
        if let Some(rest) = &self.settings.rest {
            return Ok(rest.as_str());
        }
        let rest = self.rest.get_or_try_init(|| async {
            let url = format!("{}/rest_server", self.settings.gate);
            let headers = self.headers(REST_SERVER_API_VERSION)?;
            let answer = self.http.send(Request { method: Method::GET, url: &url, headers, body: None }).await?;
            answer::rest_server(&answer, self.settings.gate.as_url().scheme() == "https")
        });
        Ok(rest.await?.as_str())
    }
}

#[async_trait]
impl Vendor for Akuvox {
    fn kind(&self) -> VendorKind {
        VendorKind::Akuvox
    }

    fn rules(&self) -> Rules {
        Rules {
            usual_lifetime: USUAL_LIFETIME,
            refresh_outlives_access: None,
            refresh_needs_access: true,
            persist_access: true,
            has_scenes: false,
            has_doors: self.settings.doors,
        }
    }

    fn host(&self) -> &str {
        &self.host
    }

    async fn refresh(&self, spend: Spend<'_>) -> Result<Answer, VendorError> {
        let Some(access) = spend.access else {
            return Err(VendorError::new(Class::Target, Code::TokenRequired));
        };
        let url = format!("{}/refresh_token", self.settings.gate);
        let mut headers = self.headers(REFRESH_API_VERSION)?;
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("x-auth-token"), header_value(access.expose())?);
        let body = json!({ "refresh_token": spend.refresh.expose() }).to_string();
        self.http.send(Request { method: Method::POST, url: &url, headers, body: Some(body) }).await
    }

    fn read_refresh(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        answer::refresh(answer)
    }

    fn storable(&self, answer: &Answer) -> Option<Secret> {
        Some(answer.body.clone())
    }

    async fn check_access(&self, access: &Secret) -> Option<Result<(), VendorError>> {
        let check = async {
            let rest = self.rest().await?;
            let mut headers = self.headers(LOGIN_CONF_API_VERSION)?;
            headers.insert(HeaderName::from_static("x-auth-token"), header_value(access.expose())?);
            let token: String = form_encoded(access.expose());
            let url = format!("{rest}/login_conf?token={token}");
            let answer = self.http.send(Request { method: Method::GET, url: &url, headers, body: None }).await?;
            answer::accepted(&answer)
        };
        Some(check.await)
    }

    fn configured(&self) -> Inventory {
        Inventory::default()
    }

    async fn inventory(&self, _access: &Secret, _toll: &dyn Toll) -> Result<Inventory, VendorError> {
        Err(VendorError::not_supported())
    }

    async fn server_time(&self) -> Option<Timestamp> {
        self.http.server_time(&format!("{}/rest_server", self.settings.gate)).await
    }

    fn vendor_ahead_by(&self) -> Option<SignedDuration> {
        self.http.vendor_ahead_by()
    }
}

/// Percent-encodes everything but unreserved characters.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
