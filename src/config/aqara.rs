//! What only an Aqara account has. Facts: protocol/aqara.md §1, §2 and §5.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use super::{accounts::Rhythm, instance::is_slug, section::Section, url::BaseUrl};
use crate::account::Secret;

const DAY: Duration = Duration::from_secs(86_400);

/// Aqara says when a token ends, 7 days by default; the refresh token ends 30 days later.
pub(super) const RHYTHM: Rhythm = Rhythm {
    refresh_every: None,
    refresh_every_example: Duration::from_secs(6 * 86_400),
    refresh_every_longest: Duration::from_secs(30 * 86_400),
    safety_margin: Duration::from_secs(300),
    safety_margin_longest: DAY,
    jitter: Duration::from_secs(30),
};

/// The clouds by the names that people use for them.
const REGIONS: &[(&str, &str)] = &[
    ("eu", "https://open-ger.aqara.com"),
    ("ger", "https://open-ger.aqara.com"),
    ("us", "https://open-usa.aqara.com"),
    ("usa", "https://open-usa.aqara.com"),
    ("cn", "https://open-cn.aqara.com"),
    ("kr", "https://open-kr.aqara.com"),
    ("ru", "https://open-ru.aqara.com"),
    ("sg", "https://open-sg.aqara.com"),
];

/// What only an Aqara account has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AqaraSettings {
    /// The cloud, without the path of its API: `https://open-ger.aqara.com`.
    pub base_url: BaseUrl,
    pub app_id: String,
    /// The whole of it, `K.` included: it is sent and signed as it stands.
    pub key_id: String,
    pub app_key: Secret,
    /// The language of the cloud's messages.
    pub lang: Lang,
    /// The e-mail address or phone number that gets a login code, if that is wanted. It is personal, so it is kept like
    /// a secret.
    pub login: Option<Secret>,
    /// Scenes to show in Home Assistant, by names of the user's choice.
    pub scenes: BTreeMap<SceneKey, SceneId>,
}

/// The language of the cloud's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// `en`, the default.
    English,
    /// `zh`.
    Chinese,
}

/// The user's name of a scene: 1 to 64 characters of `[a-z0-9_]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SceneKey(Box<str>);

/// The vendor's id of a scene: `AL.832619739930738688`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SceneId(Box<str>);

/// A text that is no scene's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scene's name is 1 to 64 characters of a-z, 0-9 and _")]
pub struct SceneKeyError;

/// A text that is no scene's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scene's id is 1 to 128 letters, digits, dots, dashes and underscores")]
pub struct SceneIdError;

pub(super) fn read(section: &mut Section<'_>) -> Option<AqaraSettings> {
    let base_url = read_base_url(section);
    let app_id = section.required_by("app_id", "4e693d54d75db580a56d1263", header_value);
    let key_id = section.required_by("key_id", "K.900000000000000001", header_value);
    let app_key = section.required_secret("app_key");
    let lang = section.choice("lang", &[("en", Lang::English), ("zh", Lang::Chinese)]);
    let login = section.secret("login");
    let scenes = section.named("scenes", "AL.832619739930738688");
    section.report_obsolete(
        "access_token",
        "it is no longer used",
        "remove it; Latchkey gets access tokens by itself, once it was given the refresh token with `latchkey tokens set`",
    );
    Some(AqaraSettings {
        base_url: base_url?,
        app_id: app_id?,
        key_id: key_id?,
        app_key: app_key?,
        lang: lang.unwrap_or(Lang::English),
        login,
        scenes: scenes.into_iter().collect(),
    })
}

/// The cloud, given by its region or by its address.
fn read_base_url(section: &mut Section<'_>) -> Option<BaseUrl> {
    match (section.has("region"), section.has("base_url")) {
        (true, true) => section.report_conflict("region", "base_url", "keep one of them"),
        (false, false) => {
            let mend = section.addition("region", "\"eu\"");
            section.report_missing("region", "the region of the app key (eu, us, cn, kr, ru or sg)", mend);
        }
        (true, false) | (false, true) => {}
    }
    let by_region = section.choice("region", REGIONS).map(|it| it.parse().expect("the regions are addresses"));
    by_region.or(section.parsed("base_url", "https://open-ger.aqara.com"))
}

/// A text that can be sent as a header and signed as it stands.
fn header_value(text: &str) -> Result<String, String> {
    let is_header_value = text.len() <= 128 && text.bytes().all(|it| it.is_ascii_graphic());
    is_header_value.then(|| text.to_owned()).ok_or_else(|| "expected plain ASCII without blanks".to_owned())
}

// === impl Lang, SceneKey and SceneId ===

impl Lang {
    /// The value of the `Lang` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Lang::English => "en",
            Lang::Chinese => "zh",
        }
    }
}

impl SceneKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SceneKey {
    type Err = SceneKeyError;

    fn from_str(text: &str) -> Result<Self, SceneKeyError> {
        if is_slug(text, 64) { Ok(Self(text.into())) } else { Err(SceneKeyError) }
    }
}

impl fmt::Display for SceneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SceneId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SceneId {
    type Err = SceneIdError;

    fn from_str(text: &str) -> Result<Self, SceneIdError> {
        let is_id = (1..=128).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_'));
        if is_id { Ok(Self(text.into())) } else { Err(SceneIdError) }
    }
}

impl fmt::Display for SceneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_is_an_address() {
        for (name, url) in REGIONS {
            assert!(url.parse::<BaseUrl>().is_ok(), "{name}");
        }
    }
}
