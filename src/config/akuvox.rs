//! What only an Akuvox account has. Facts: protocol/akuvox.md §1 to §3.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use super::{
    accounts::Rhythm,
    api_versions::{self, ApiVersions},
    doors::{DoorId, DoorKey},
    section::Section,
    url::BaseUrl,
};
use crate::account::Secret;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Akuvox gives access tokens of 7 days.
pub(super) const RHYTHM: Rhythm = Rhythm {
    refresh_every: Some(Duration::from_secs(6 * DAY)),
    refresh_every_example: Duration::from_secs(6 * DAY),
    refresh_every_longest: Duration::from_secs(6 * DAY + 12 * HOUR),
    safety_margin: Duration::from_secs(DAY),
    safety_margin_longest: Duration::from_secs(6 * DAY),
    jitter: Duration::from_secs(600),
};

/// What refreshing clients of this cloud call themselves.
const USER_AGENT: &str = "VBell/7.20.5 (iPhone; iOS 26.1; Scale/2.00)";

/// What clients call themselves that sign in by a password, which needs a newer app.
const LOGIN_USER_AGENT: &str = "VBell/7.42.2 (iPhone; iOS 26.1; Scale/2.00)";

/// Regions by the countries in them, in ISO codes; every other country is at [`DEFAULT_SUBDOMAIN`].
///
/// Accounts of Australia and New Zealand have been moved from `scloud` to `aucloud`.
const SUBDOMAINS: &[(&str, &[&str])] = &[
    ("ucloud", &["AR", "BR", "CA", "CL", "CO", "EC", "MX", "PE", "PY", "US"]),
    ("scloud", &["BN", "FJ", "HK", "ID", "KZ", "MO", "MV", "MY", "PH", "PK", "SG", "TH", "TW", "VN"]),
    ("aucloud", &["AU", "NZ"]),
    ("jcloud", &["JP", "KR", "MN"]),
    ("ccloud", &["CN"]),
    ("rucloud", &["BY", "RU"]),
];

const DEFAULT_SUBDOMAIN: &str = "ecloud";

/// What only an Akuvox account has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AkuvoxSettings {
    /// The gate of the account's region, `https://gate.ecloud.akuvox.com:8600`.
    pub gate: BaseUrl,
    /// The REST server, where it is not to be asked from the gate.
    pub rest: Option<BaseUrl>,
    pub user_agent: Cow<'static, str>,
    /// The same for the login by a password.
    pub login_user_agent: Cow<'static, str>,
    pub api_versions: Box<ApiVersions>,
    /// Whether doors may be opened through Latchkey; false by default.
    pub doors: bool,
    /// Who gets the code of a login by SMS, if that is wanted.
    pub phone: Option<Phone>,
    /// Who signs in by a password: the e-mail address or the name of a family member. It is personal, so it is kept like
    /// a secret.
    pub user: Option<Secret>,
    /// Doors by names of the user's choice.
    pub door_names: BTreeMap<DoorKey, DoorId>,
}

/// The phone number of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// The country's dial code, digits without `+`: `46`.
    pub dial_code: String,
    /// The number within the country, digits only. It is personal, so it is kept like a secret.
    pub number: Secret,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<AkuvoxSettings> {
    let gate = read_gate(section);
    let rest = section.parsed("rest", "https://rest.ecloud.akuvox.com:8443");
    let user_agent = read_user_agent(section, "user_agent", USER_AGENT);
    let login_user_agent = read_user_agent(section, "login_user_agent", LOGIN_USER_AGENT);
    let api_versions = Box::new(api_versions::read(section.section("api_versions")));
    let doors = section.boolean("doors", false);
    let phone = read_phone(section);
    let user = section.secret("user");
    let door_names = section.named("door_names", "0C1105AABBCC/0");
    Some(AkuvoxSettings {
        gate: gate?,
        rest,
        user_agent,
        login_user_agent,
        api_versions,
        doors,
        phone,
        user,
        door_names: door_names.into_iter().collect(),
    })
}

fn read_user_agent(section: &mut Section<'_>, key: &str, default: &'static str) -> Cow<'static, str> {
    let user_agent = section.parsed_by(key, default, |text| {
        let is_header_value = text.bytes().all(|it| matches!(it, b' '..=b'~'));
        is_header_value.then(|| text.to_owned()).ok_or_else(|| "expected plain ASCII".to_owned())
    });
    user_agent.map_or(Cow::Borrowed(default), Cow::Owned)
}

/// The gate, given by one of three keys.
fn read_gate(section: &mut Section<'_>) -> Option<BaseUrl> {
    let given: Vec<&str> = ["gate", "subdomain", "country"].into_iter().filter(|it| section.has(it)).collect();
    match given.as_slice() {
        [] => section.report_missing("country", "a two-letter country code", section.addition("country", "\"SE\"")),
        [_] => {}
        [first, second, ..] => {
            section.report_conflict(second, first, "keep one of `country`, `subdomain` and `gate`");
        }
    }
    let gate = section.parsed("gate", "https://gate.ecloud.akuvox.com:8600");
    let by_subdomain = section.parsed_by("subdomain", "ecloud", |text| {
        let is_label = (1..=32).contains(&text.len()) && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9'));
        if is_label { gate_of(text) } else { Err("expected the name of a region, such as ucloud".to_owned()) }
    });
    let by_country = section.parsed_by("country", "SE", |text| {
        let is_code = text.len() == 2 && text.bytes().all(|it| it.is_ascii_alphabetic());
        if is_code { gate_of(subdomain_of(text)) } else { Err("expected a two-letter country code".to_owned()) }
    });
    gate.or(by_subdomain).or(by_country)
}

fn gate_of(subdomain: &str) -> Result<BaseUrl, String> {
    format!("https://gate.{subdomain}.akuvox.com:8600").parse().map_err(|error: super::UrlError| error.to_string())
}

fn subdomain_of(country: &str) -> &'static str {
    let is_there = |countries: &[&str]| countries.iter().any(|it| it.eq_ignore_ascii_case(country));
    SUBDOMAINS.iter().find(|it| is_there(it.1)).map_or(DEFAULT_SUBDOMAIN, |it| it.0)
}

fn read_phone(section: &mut Section<'_>) -> Option<Phone> {
    let has_phone = section.has("phone") || section.has("phone_file");
    match (section.has("dial_code"), has_phone) {
        (true, false) => section.report_missing("phone", "the number within the country", "give both or none"),
        (false, true) => {
            section.report_missing("dial_code", "the country's dial code", section.addition("dial_code", "\"46\""));
        }
        (true, true) | (false, false) => {}
    }
    let dial_code = section.parsed_by("dial_code", "46", |text| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let is_code = (1..=4).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
        is_code.then(|| digits.to_owned()).ok_or_else(|| "expected the digits of a dial code, such as 46".to_owned())
    });
    let given = section.secret("phone")?;
    let number: String = given.expose().chars().filter(|it| !matches!(it, ' ' | '-')).collect();
    if !(4..=15).contains(&number.len()) || !number.bytes().all(|it| it.is_ascii_digit()) {
        let why = "expected the digits of the number within the country, without the dial code";
        section.report_invalid("phone", why, "for example `phone = \"0701234567\"`");
        return None;
    }
    Some(Phone { dial_code: dial_code?, number: Secret::new(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_has_a_region_and_europe_is_where_the_rest_is() {
        for (country, subdomain) in [
            ("SE", "ecloud"),
            ("us", "ucloud"),
            ("CL", "ucloud"),
            ("RU", "rucloud"),
            ("KZ", "scloud"),
            ("CH", "ecloud"),
        ] {
            assert_eq!(subdomain_of(country), subdomain, "{country}");
        }
        assert_eq!(gate_of("jcloud").unwrap().as_str(), "https://gate.jcloud.akuvox.com:8600");
    }
}
