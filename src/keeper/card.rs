//! What edges are to know of an account's configuration. No secret is in it.

use crate::{
    account::AccountId,
    config::{AccountSettings, VendorSettings},
    vendor::{self, VendorKind},
};

/// An account as it is configured, as far as it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub id: AccountId,
    /// What the user calls it.
    pub name: Option<String>,
    pub vendor: VendorKind,
    /// Whether doors are opened by MQTT.
    pub opens_doors: bool,
    /// Whether somebody is configured who gets login codes.
    pub logs_in_by_code: bool,
    /// Whether a user is configured who signs in with a password.
    pub logs_in_by_password: bool,
    /// Whether the admin API hands out the access token.
    pub shares_access_token: bool,
}

impl Card {
    pub fn of(settings: &AccountSettings) -> Self {
        let (opens_doors, logs_in_by_code, logs_in_by_password) = match &settings.vendor {
            VendorSettings::Akuvox(akuvox) => (akuvox.doors, akuvox.phone.is_some(), akuvox.user.is_some()),
            VendorSettings::Aqara(aqara) => (false, aqara.login.is_some(), false),
        };
        Self {
            id: settings.id.clone(),
            name: settings.name.clone(),
            vendor: vendor::kind(settings),
            opens_doors,
            logs_in_by_code,
            logs_in_by_password,
            shares_access_token: settings.share_access_token,
        }
    }
}
