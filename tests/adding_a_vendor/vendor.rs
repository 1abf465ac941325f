//! Acme Home at work: what would be `src/vendor/acme.rs`.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use latchkey::{
    account::{Class, Code, FreshTokens, Inventory, Secret, Target},
    vendor::{Answer, Http, Request, Rules, Spend, Toll, Vendor, VendorError, VendorKind},
};
use serde_json::{Value, json};

/// One login at Acme Home.
pub(crate) struct Acme {
    /// `https://api.acme.example`, and what comes before its paths.
    base_url: String,
    http: Http,
}

impl Acme {
    pub(crate) fn new(base_url: impl Into<String>, http: Http) -> Self {
        Self { base_url: base_url.into(), http }
    }

    /// `call`: what is asked, by which the time that it takes is counted.
    async fn ask(
        &self,
        call: &'static str,
        method: Method,
        access: Option<&Secret>,
        body: &Value,
    ) -> Result<Answer, VendorError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(access) = access {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access.expose()))
                .map_err(|_| VendorError::new(Class::ConfigFault, Code::ConfigFault))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let url = format!("{}/{call}", self.base_url);
        self.http.send(Request { call, method, url: &url, headers, body: Some(body.to_string()) }).await
    }
}

#[async_trait]
impl Vendor for Acme {
    fn kind(&self) -> VendorKind {
        // `VendorKind::Acme`, were there such a cloud.
        VendorKind::Aqara
    }

    fn rules(&self) -> Rules {
        Rules {
            usual_lifetime: Duration::from_secs(24 * 3600),
            refresh_outlives_access: None,
            refresh_needs_access: false,
            persist_access: true,
            has_scenes: true,
            has_doors: false,
        }
    }

    fn host(&self) -> &str {
        &self.base_url
    }

    async fn refresh(&self, spend: Spend<'_>) -> Result<Answer, VendorError> {
        self.ask("token", Method::POST, None, &json!({ "refresh_token": spend.refresh.expose() })).await
    }

    fn read_refresh(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        let tokens = result(answer)?;
        let (access, refresh) = (token(&tokens["access_token"])?, token(&tokens["refresh_token"])?);
        if access.is_none() && refresh.is_none() {
            return Err(unreadable());
        }
        // Without a lifetime that can be read the expiry is unknown, and the tokens are as good as any.
        let access_lifetime = tokens["expires_in"].as_u64().filter(|it| 0 < *it).map(Duration::from_secs);
        Ok(FreshTokens { access, refresh, access_lifetime, ..FreshTokens::default() })
    }

    fn storable(&self, answer: &Answer) -> Option<Secret> {
        Some(answer.body.clone())
    }

    async fn check_access(&self, _access: &Secret) -> Option<Result<(), VendorError>> {
        None
    }

    fn configured(&self) -> Inventory {
        Inventory::default()
    }

    async fn inventory(&self, access: &Secret, toll: &dyn Toll) -> Result<Inventory, VendorError> {
        toll.take()?;
        let listed = result(&self.ask("scenes", Method::GET, Some(access), &Value::Null).await?)?;
        let scenes = listed["scenes"].as_array().into_iter().flatten();
        let scenes = scenes.filter_map(|it| Some(Target::discovered(it["id"].as_str()?, it["name"].as_str()?)));
        Ok(Inventory { doors: Vec::new(), scenes: scenes.collect() })
    }

    async fn trigger_scene(&self, access: &Secret, scene_id: &str) -> Result<(), VendorError> {
        let answer = self.ask("scenes/run", Method::POST, Some(access), &json!({ "id": scene_id })).await?;
        result(&answer).map(drop)
    }

    async fn server_time(&self) -> Option<Timestamp> {
        self.http.server_time(&self.base_url).await
    }
}

/// What was asked for, or what the refusal means: by the cloud's own word, never by its sentence.
fn result(answer: &Answer) -> Result<Value, VendorError> {
    let document: Value = serde_json::from_str(answer.body.expose()).unwrap_or_default();
    let (class, code) = match document["error"].as_str() {
        None if document.is_object() => return Ok(document),
        // It is not the cloud's own answer, so what was asked may have been done or not.
        None => return Err(VendorError::new(Class::Ambiguous, Code::UnreadableAnswer)),
        Some("invalid_grant") => (Class::GrantDead { expired: false }, Code::RefreshRefused),
        Some("expired_grant") => (Class::GrantDead { expired: true }, Code::RefreshTokenExpired),
        Some("invalid_token") => (Class::AccessRejected, Code::AccessRejected),
        Some("unknown_scene") => (Class::Target, Code::TargetRefused),
        Some("busy") => (Class::Ambiguous, Code::VendorBusy),
        // Nothing is thrown away for a word that nobody has met: it counts only when it lasts.
        Some(_) => (Class::Refused, Code::RefreshRefused),
    };
    Err(VendorError::new(class, code).with_vendor_code(document["error"].as_str().unwrap_or_default()))
}

/// One of the wrong type is not an absent one: the answer was not understood, and is kept.
fn token(value: &Value) -> Result<Option<Secret>, VendorError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.bytes().all(|it| it.is_ascii_graphic()) => {
            Ok(Some(text).filter(|it| !it.is_empty()).map(|it| Secret::new(it.as_str())))
        }
        _ => Err(unreadable()),
    }
}

fn unreadable() -> VendorError {
    VendorError::new(Class::Protocol, Code::UnreadableAnswer)
}
