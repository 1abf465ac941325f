//! The client alone, configured as a user does it.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use latchkey::{
    account::{Class, Code, Secret},
    clock::Clock,
    config,
    demo::clouds::AqaraCloud,
    vendor::{self, Http, Spend, Toll, Vendor, VendorError},
};

use crate::bench::id;

/// Lines of the configuration.
pub(crate) struct App {
    pub(crate) base_url: String,
    pub(crate) app_id: String,
    pub(crate) key_id: String,
    pub(crate) app_key: String,
    pub(crate) more: String,
}

impl App {
    /// The application of a simulated cloud, with `more` lines for its account.
    pub(crate) fn of(cloud: &AqaraCloud, more: &str) -> Self {
        let app = cloud.credentials(0);
        Self {
            base_url: cloud.url().to_owned(),
            app_id: app.app_id,
            key_id: app.key_id,
            app_key: app.app_key,
            more: more.to_owned(),
        }
    }

    /// One that nobody checks.
    pub(crate) fn at(base_url: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            app_id: "1234567890abcdef12345678".to_owned(),
            key_id: "K.900000000000000001".to_owned(),
            app_key: "AbCdEfGhIjKlMnOpQrStUvWxYz012345".to_owned(),
            more: String::new(),
        }
    }

    pub(crate) fn connect(&self, clock: Clock) -> Arc<dyn Vendor> {
        let Self { base_url, app_id, key_id, app_key, more } = self;
        let text = format!(
            "[accounts.home]\nvendor = \"aqara\"\nbase_url = {base_url:?}\napp_id = {app_id:?}\nkey_id = {key_id:?}\n\
             app_key = {app_key:?}\n{more}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latchkey.toml");
        fs::write(&file, text).unwrap();
        let settings = config::load(Some(&file), std::iter::empty()).unwrap();
        vendor::connect(&settings.accounts[&id("home")], &Http::new(Duration::from_secs(5), clock).unwrap())
    }
}

/// The line of the account that signs in.
pub(crate) fn login_of(cloud: &AqaraCloud, account: usize) -> String {
    format!("login = {:?}", cloud.credentials(account).account)
}

/// Refreshes with an access token at hand, as nobody should, and reads what came.
pub(crate) async fn refresh(vendor: &dyn Vendor, token: &str) -> Result<(), VendorError> {
    let (refresh, access) = (Secret::new(token), Secret::new("0123456789abcdef0123456789abcdef"));
    let answer = vendor.refresh(Spend { refresh: &refresh, access: Some(&access) }).await?;
    vendor.read_refresh(&answer).map(drop)
}

/// Room for so many calls.
pub(crate) struct Room(Mutex<usize>);

impl Room {
    pub(crate) fn of(calls: usize) -> Self {
        Self(Mutex::new(calls))
    }

    pub(crate) fn left(&self) -> usize {
        *self.0.lock().unwrap()
    }
}

impl Toll for Room {
    fn take(&self) -> Result<(), VendorError> {
        let mut left = self.0.lock().unwrap();
        let wait = Some(Duration::from_secs(60));
        *left = left.checked_sub(1).ok_or(VendorError::new(Class::Throttled { retry_after: wait }, Code::Throttled))?;
        Ok(())
    }
}
