//! What a user may set, read and validated before anything starts.
use crate::account::{AccountId, AmbiguousPolicy, Secret};
use std::{collections::BTreeMap, fmt, time::Duration};
#[derive(Clone, Debug)]
pub struct BaseUrl(String);
impl BaseUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn host(&self) -> &str {
        &self.0
    }
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https")
    }
}
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
#[derive(Clone, Debug)]
pub struct AccountSettings {
    pub id: AccountId,
    pub name: Option<String>,
    pub vendor: VendorSettings,
    pub refresh_every: Option<Duration>,
    pub safety_margin: Duration,
    pub jitter: Duration,
    pub ambiguous: AmbiguousPolicy,
    pub min_refresh_gap: Duration,
}
#[derive(Clone, Debug)]
pub enum VendorSettings {
    Akuvox(AkuvoxSettings),
    Aqara(AqaraSettings),
}
#[derive(Clone, Debug)]
pub struct AkuvoxSettings {
    pub gate: BaseUrl,
    pub rest: Option<BaseUrl>,
    pub user_agent: String,
    pub doors: bool,
}
#[derive(Clone, Debug)]
pub struct AqaraSettings {
    pub base_url: BaseUrl,
    pub app_id: String,
    pub key_id: String,
    pub app_key: Secret,
    pub lang: String,
    pub scenes: BTreeMap<String, String>,
}
