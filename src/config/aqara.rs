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
    /// What kind of account `login` is.
    pub account_type: AccountType,
    /// How long the access tokens of a new login are to live.
    pub access_token_validity: Validity,
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

/// What kind of account signs in, by Aqara's own numbers (protocol/aqara.md §5.1). A virtual account, 2, has nobody who
/// could read a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountType {
    /// `0`, the default: somebody's account at Aqara, whose owner gets the code.
    Aqara,
    /// `1`: the project itself; its code alone says whose it is.
    Project,
}

/// How long an access token is to live: 1 to 24 hours (`24h`), 1 to 30 days (`7d`) or 1 to 10 years (`1y`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    count: u16,
    unit: ValidityUnit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValidityUnit {
    Hours,
    Days,
    Years,
}

/// A text that is no validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1h to 24h, 1d to 30d, or 1y to 10y")]
pub struct ValidityError;

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
    let account_type = match section.whole_number("account_type", 0..=1, 0) {
        1 => AccountType::Project,
        _ => AccountType::Aqara,
    };
    let access_token_validity = section.parsed("access_token_validity", "7d");
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
        account_type,
        access_token_validity: access_token_validity.unwrap_or(Validity::WEEK),
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

// === impl Lang, AccountType, Validity, SceneKey and SceneId ===

impl Lang {
    /// The value of the `Lang` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Lang::English => "en",
            Lang::Chinese => "zh",
        }
    }
}

impl AccountType {
    /// Aqara's number for it.
    pub fn number(self) -> u8 {
        match self {
            AccountType::Aqara => 0,
            AccountType::Project => 1,
        }
    }
}

impl Validity {
    /// What Aqara gives to whom asks for nothing else.
    const WEEK: Self = Self { count: 7, unit: ValidityUnit::Days };

    pub fn as_duration(self) -> Duration {
        let unit = match self.unit {
            ValidityUnit::Hours => DAY / 24,
            ValidityUnit::Days => DAY,
            ValidityUnit::Years => 365 * DAY,
        };
        u32::from(self.count) * unit
    }
}

impl FromStr for Validity {
    type Err = ValidityError;

    fn from_str(text: &str) -> Result<Self, ValidityError> {
        let (unit, most) = match text.chars().next_back() {
            Some('h') => (ValidityUnit::Hours, 24),
            Some('d') => (ValidityUnit::Days, 30),
            Some('y') => (ValidityUnit::Years, 10),
            _ => return Err(ValidityError),
        };
        let digits = &text[..text.len() - 1];
        let is_plain = digits.bytes().all(|it| it.is_ascii_digit()) && !digits.starts_with('0');
        let count = digits.parse().ok().filter(|it| is_plain && (1..=most).contains(it)).ok_or(ValidityError)?;
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Validity {
    /// As Aqara wants it, and as it is configured: `7d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            ValidityUnit::Hours => 'h',
            ValidityUnit::Days => 'd',
            ValidityUnit::Years => 'y',
        };
        write!(f, "{}{unit}", self.count)
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

    #[test]
    fn a_validity_is_hours_days_or_years_within_aqaras_bounds_and_is_written_as_it_was_read() {
        for (text, seconds) in [
            ("1h", 3600),
            ("24h", 86_400),
            ("1d", 86_400),
            ("7d", 604_800),
            ("30d", 2_592_000),
            ("1y", 31_536_000),
            ("10y", 315_360_000),
        ] {
            let validity: Validity = text.parse().unwrap();
            assert_eq!((validity.as_duration(), validity.to_string().as_str()), (Duration::from_secs(seconds), text));
        }
        for wrong in
            ["", "d", "0d", "07d", "31d", "25h", "11y", "7", "7m", "7D", "-1d", "+7d", " 7d", "7 d", "7ü", "7days"]
        {
            assert_eq!(wrong.parse::<Validity>(), Err(ValidityError), "{wrong}");
        }
        assert_eq!(Validity::WEEK.to_string(), "7d");
    }
}
