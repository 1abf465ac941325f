//! Aqara Open API v3.0: one signed endpoint, a closed set of intents (protocol/aqara.md).

mod answer;
mod signature;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

pub use signature::sign;

use crate::{
    account::{Class, Code, FreshTokens, Inventory, Secret, Target},
    config::AqaraSettings,
};

use super::{
    Answer, Budget, Http, Rules, Spend, Toll, Vendor, VendorError, VendorKind,
    http::{Request, header_value},
};

const PATH: &str = "/v3.0/open/api";

/// The default validity of an authorisation, and how long its refresh token outlives it (protocol/aqara.md §6).
const USUAL_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
const REFRESH_OUTLIVES_ACCESS: Duration = Duration::from_secs(30 * 24 * 3600);

/// One authorisation of an Aqara application.
pub struct Aqara {
    settings: AqaraSettings,
    http: Http,
    host: String,
}

impl Aqara {
    pub fn new(settings: AqaraSettings, http: Http) -> Self {
        let host = settings.base_url.as_url().authority().to_owned();
        Self { settings, http, host }
    }

    /// Sends one intent. Authorisation intents go without an access token (protocol/aqara.md §3).
    async fn call(&self, intent: &str, data: Value, access: Option<&Secret>) -> Result<Answer, VendorError> {
        let nonce = nonce()?;
        let time = self.http.clock().now().as_millisecond().to_string();
        let sign = sign(
            access.map(Secret::expose),
            &self.settings.app_id,
            &self.settings.key_id,
            &nonce,
            &time,
            &self.settings.app_key,
        );
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("appid", header_value(&self.settings.app_id)?);
        headers.insert("keyid", header_value(&self.settings.key_id)?);
        headers.insert("nonce", header_value(&nonce)?);
        headers.insert("time", header_value(&time)?);
        headers.insert("sign", header_value(&sign)?);
        headers.insert("lang", header_value(self.settings.lang.as_str())?);
        if let Some(access) = access {
            headers.insert("accesstoken", header_value(access.expose())?);
        }
        let url = format!("{}{PATH}", self.settings.base_url);
        let body = json!({ "intent": intent, "data": data }).to_string();
        self.http.send(Request { method: Method::POST, url: &url, headers, body: Some(body) }).await
    }
}

#[async_trait]
impl Vendor for Aqara {
    fn kind(&self) -> VendorKind {
        VendorKind::Aqara
    }

    fn rules(&self) -> Rules {
        Rules {
            usual_lifetime: USUAL_LIFETIME,
            refresh_outlives_access: Some(REFRESH_OUTLIVES_ACCESS),
            refresh_needs_access: false,
            persist_access: false,
            has_scenes: true,
            has_doors: false,
        }
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn budget(&self) -> Option<Budget> {
        Some(Budget {
            key: format!("aqara {}", self.settings.app_id),
            calls: 300,
            per: Duration::from_secs(300),
            kept_for_refreshes: 30,
            per_month: 100_000,
            in_all: 2_000_000,
        })
    }

    async fn refresh(&self, spend: Spend<'_>) -> Result<Answer, VendorError> {
        let data = json!({ "refreshToken": spend.refresh.expose() });
        self.call("config.auth.refreshToken", data, None).await
    }

    fn read_refresh(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        answer::refresh(answer)
            .map(|fresh| FreshTokens { refresh_outlives_access: Some(REFRESH_OUTLIVES_ACCESS), ..fresh })
    }

    fn storable(&self, answer: &Answer) -> Option<Secret> {
        answer::without_access_token(answer)
    }

    async fn check_access(&self, _access: &Secret) -> Option<Result<(), VendorError>> {
        None
    }

    fn configured(&self) -> Inventory {
        let scenes = self.settings.scenes.iter().map(|(key, id)| Target::configured(key.as_str(), id.as_str()));
        Inventory { doors: Vec::new(), scenes: scenes.collect() }
    }

    async fn inventory(&self, _access: &Secret, _toll: &dyn Toll) -> Result<Inventory, VendorError> {
        Err(VendorError::not_supported())
    }

    async fn trigger_scene(&self, access: &Secret, scene_id: &str) -> Result<(), VendorError> {
        let answer = self.call("config.scene.run", json!({ "sceneId": scene_id }), Some(access)).await?;
        answer::done(&answer)
    }

    async fn server_time(&self) -> Option<Timestamp> {
        self.http.server_time(self.settings.base_url.as_str()).await
    }
}

/// 32 hexadecimal digits, new for every request.
fn nonce() -> Result<String, VendorError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| VendorError::new(Class::Transient, Code::Internal))?;
    Ok(hex::encode(bytes))
}
