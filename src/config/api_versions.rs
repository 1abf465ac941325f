//! `[accounts.<id>.api_versions]`: the `api-version` header of each Akuvox call (protocol/akuvox.md §2).

use super::section::Section;

/// The `api-version` of each call. It changes the wire format, so the defaults are what was seen with each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersions {
    pub rest_server: String,
    pub sms_login: String,
    pub login: String,
    /// None: 6.6 where the body has an auth token, else 6.8.
    pub servers_list: Option<String>,
    pub userconf: String,
    pub login_conf: String,
    pub opendoor: String,
    pub refresh_token: String,
}

impl Default for ApiVersions {
    fn default() -> Self {
        Self {
            rest_server: "6.0".to_owned(),
            sms_login: "6.6".to_owned(),
            login: "7.33".to_owned(),
            servers_list: None,
            userconf: "6.5".to_owned(),
            login_conf: "6.5".to_owned(),
            opendoor: "4.3".to_owned(),
            refresh_token: "6.8".to_owned(),
        }
    }
}

pub(super) fn read(mut section: Section<'_>) -> ApiVersions {
    let mut read = |key: &str, default: &str| section.parsed_by(key, default, version);
    let defaults = ApiVersions::default();
    let versions = ApiVersions {
        rest_server: read("rest_server", &defaults.rest_server).unwrap_or(defaults.rest_server),
        sms_login: read("sms_login", &defaults.sms_login).unwrap_or(defaults.sms_login),
        login: read("login", &defaults.login).unwrap_or(defaults.login),
        servers_list: read("servers_list", "6.8"),
        userconf: read("userconf", &defaults.userconf).unwrap_or(defaults.userconf),
        login_conf: read("login_conf", &defaults.login_conf).unwrap_or(defaults.login_conf),
        opendoor: read("opendoor", &defaults.opendoor).unwrap_or(defaults.opendoor),
        refresh_token: read("refresh_token", &defaults.refresh_token).unwrap_or(defaults.refresh_token),
    };
    section.finish();
    versions
}

fn version(text: &str) -> Result<String, String> {
    let is_version =
        text.len() <= 16 && text.split('.').all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
    is_version.then(|| text.to_owned()).ok_or_else(|| "expected a version such as 6.8".to_owned())
}
