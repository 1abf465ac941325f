//! `[accounts.<id>.api_versions]`: the `api-version` header of each Akuvox call (protocol/akuvox.md §2).

use std::borrow::Cow;

use super::section::Section;

/// The `api-version` of each call. It changes the wire format, so the defaults are what was seen with each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersions {
    pub rest_server: Cow<'static, str>,
    pub sms_login: Cow<'static, str>,
    pub login: Cow<'static, str>,
    /// None: 6.6 where the body has an auth token, else 6.8.
    pub servers_list: Option<String>,
    pub userconf: Cow<'static, str>,
    pub login_conf: Cow<'static, str>,
    pub opendoor: Cow<'static, str>,
    pub refresh_token: Cow<'static, str>,
}

impl Default for ApiVersions {
    fn default() -> Self {
        Self {
            rest_server: "6.0".into(),
            sms_login: "6.6".into(),
            login: "7.33".into(),
            servers_list: None,
            userconf: "6.5".into(),
            login_conf: "6.5".into(),
            opendoor: "4.3".into(),
            refresh_token: "6.8".into(),
        }
    }
}

pub(super) fn read(mut section: Section<'_>) -> ApiVersions {
    let mut read = |key: &str, default: &str| section.parsed_by(key, default, version);
    let defaults = ApiVersions::default();
    let versions = ApiVersions {
        rest_server: read("rest_server", &defaults.rest_server).map_or(defaults.rest_server, Cow::Owned),
        sms_login: read("sms_login", &defaults.sms_login).map_or(defaults.sms_login, Cow::Owned),
        login: read("login", &defaults.login).map_or(defaults.login, Cow::Owned),
        servers_list: read("servers_list", "6.8"),
        userconf: read("userconf", &defaults.userconf).map_or(defaults.userconf, Cow::Owned),
        login_conf: read("login_conf", &defaults.login_conf).map_or(defaults.login_conf, Cow::Owned),
        opendoor: read("opendoor", &defaults.opendoor).map_or(defaults.opendoor, Cow::Owned),
        refresh_token: read("refresh_token", &defaults.refresh_token).map_or(defaults.refresh_token, Cow::Owned),
    };
    section.finish();
    versions
}

fn version(text: &str) -> Result<String, String> {
    let is_version =
        text.len() <= 16 && text.split('.').all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
    is_version.then(|| text.to_owned()).ok_or_else(|| "expected a version such as 6.8".to_owned())
}
