//! Aqara Open API v3.0: one signed endpoint, a closed set of intents (protocol/aqara.md).

mod answer;
#[cfg(test)]
mod fixtures;
mod gateway;
mod intent;
mod listing;
mod offset;
mod signature;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub use signature::sign;

use crate::{
    account::{Class, Code, FreshTokens, Inventory, Secret, Target},
    config::{AccountType, AqaraSettings, VendorSettings},
};

use super::{Answer, Budget, Http, Latency, Rules, SignIn, SignInKind, Spend, Toll, Vendor, VendorError, VendorKind};
use gateway::{Ask, Gateway};
use intent::Intent;

/// The default validity of an authorisation, and how long its refresh token outlives it (protocol/aqara.md §6).
const USUAL_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
const REFRESH_OUTLIVES_ACCESS: Duration = Duration::from_secs(30 * 24 * 3600);

/// One authorisation of an Aqara application.
pub struct Aqara {
    settings: Arc<AqaraSettings>,
    gateway: Gateway,
}

impl Aqara {
    pub fn new(settings: Arc<AqaraSettings>, http: Http) -> Self {
        Self { gateway: Gateway::new(settings.clone(), http), settings }
    }

    /// Signs in, refreshes or acts: a call that the keeper has counted.
    async fn ask(&self, intent: Intent, data: Value, access: Option<&Secret>) -> Result<Answer, VendorError> {
        self.gateway.ask(Ask { intent, data, access, toll: None }).await
    }

    fn read_tokens(answer: &Answer, intent: Intent) -> Result<FreshTokens, VendorError> {
        answer::tokens(answer, intent)
            .map(|fresh| FreshTokens { refresh_outlives_access: Some(REFRESH_OUTLIVES_ACCESS), ..fresh })
    }
}

#[async_trait]
impl Vendor for Aqara {
    fn kind(&self) -> VendorKind {
        VendorKind::Aqara
    }

    fn serves(&self, settings: &VendorSettings) -> bool {
        matches!(settings, VendorSettings::Aqara(it) if *it == self.settings)
    }

    fn rules(&self) -> Rules {
        Rules {
            // Tokens that a user brings may be others than those of a login from here.
            usual_lifetime: USUAL_LIFETIME.min(self.settings.access_token_validity.as_duration()),
            refresh_outlives_access: Some(REFRESH_OUTLIVES_ACCESS),
            refresh_needs_access: false,
            persist_access: false,
            has_scenes: true,
            has_doors: false,
        }
    }

    fn host(&self) -> &str {
        self.settings.base_url.as_url().authority()
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
        self.ask(Intent::Refresh, data, None).await
    }

    fn read_refresh(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        Self::read_tokens(answer, Intent::Refresh)
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

    async fn inventory(&self, access: &Secret, toll: &dyn Toll) -> Result<Inventory, VendorError> {
        let scenes = listing::scenes(&self.gateway, access, toll).await?;
        Ok(Inventory { doors: Vec::new(), scenes })
    }

    async fn trigger_scene(&self, access: &Secret, scene_id: &str) -> Result<(), VendorError> {
        let intent = Intent::RunScene;
        let answer = self.ask(intent, json!({ "sceneId": scene_id }), Some(access)).await?;
        answer::result(&answer, intent).map(drop)
    }

    async fn request_code(&self) -> Result<(), VendorError> {
        let intent = Intent::RequestCode;
        let account = self.settings.login.as_ref().ok_or_else(nobody)?;
        let data = json!({
            "account": account.expose(),
            "accountType": self.settings.account_type.number(),
            "accessTokenValidity": self.settings.access_token_validity.to_string(),
        });
        let answer = self.ask(intent, data, None).await?;
        // It may bear the code, which is for whom it was sent to.
        answer::result(&answer, intent).map(drop)
    }

    async fn login(&self, with: SignIn<'_>) -> Result<Answer, VendorError> {
        let SignIn::Code(code) = with else { return Err(VendorError::not_supported()) };
        let mut data = json!({ "authCode": code.expose(), "accountType": self.settings.account_type.number() });
        if self.settings.account_type != AccountType::Project {
            data["account"] = json!(self.settings.login.as_ref().ok_or_else(nobody)?.expose());
        }
        self.ask(Intent::Login, data, None).await
    }

    fn read_login(&self, answer: &Answer, _by: SignInKind) -> Result<FreshTokens, VendorError> {
        Self::read_tokens(answer, Intent::Login)
    }

    async fn server_time(&self) -> Option<Timestamp> {
        self.gateway.server_time().await
    }

    fn take_unbilled(&self) -> u32 {
        self.gateway.take_unbilled()
    }

    fn vendor_ahead_by(&self) -> Option<SignedDuration> {
        self.gateway.vendor_ahead_by()
    }

    fn latencies(&self) -> Vec<Latency> {
        self.gateway.latencies()
    }
}

/// The account that would sign in is not configured.
fn nobody() -> VendorError {
    VendorError::new(Class::Target, Code::LoginNotSet)
}

/// Reads an answer as that to every call; gives what is wrong with it.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_all(answer: &Answer) -> Vec<VendorError> {
    let _ = answer::without_access_token(answer);
    let read = [
        Aqara::read_tokens(answer, Intent::Refresh).err(),
        Aqara::read_tokens(answer, Intent::Login).err(),
        answer::result(answer, Intent::RequestCode).err(),
        answer::result(answer, Intent::RunScene).err(),
        listing::read(answer, Intent::ListPositions).err(),
        listing::read(answer, Intent::ListScenes).err(),
    ];
    read.into_iter().flatten().collect()
}
