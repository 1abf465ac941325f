//! `[alert]`: who is told when an account needs somebody, when Home Assistant is down, too.

use std::time::Duration;

use super::{BaseUrl, section::Section};
use crate::account::Secret;

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// https, or http to this machine. A secret: who knows the address of a webhook may use it.
    pub url: Secret,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    pub format: AlertFormat,
    /// How long a trouble has to stand before it is told; 1 min by default.
    pub after: Duration,
}

/// What the body of an alert looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlertFormat {
    /// A document of our own, for webhooks.
    #[default]
    Json,
    /// What an ntfy server takes; the address ends in the topic.
    Ntfy,
}

/// None where nobody is to be told.
pub(super) fn read(mut section: Section<'_>) -> Option<AlertSettings> {
    let url = section.secret("url");
    let token = section.secret("token");
    let formats = [("json", AlertFormat::Json), ("ntfy", AlertFormat::Ntfy)];
    let format = section.choice("format", &formats).unwrap_or_default();
    let longest = Duration::from_secs(24 * 3600);
    let after = section.duration("after", Duration::ZERO..=longest, Duration::from_secs(60));
    if url.is_none() && token.is_some() {
        section.report_missing("url", "an address", section.addition("url", "\"https://...\""));
    }
    if let Some(why) = url.as_ref().and_then(|it| fault(it.expose(), format)) {
        section.report_invalid("url", why, "an example: https://ntfy.sh/your-topic");
    }
    section.finish();
    Some(AlertSettings { url: url?, token, format, after })
}

/// Why this is no address for alerts. It does not quote it.
fn fault(text: &str, format: AlertFormat) -> Option<String> {
    let url: BaseUrl = match text.parse() {
        Ok(url) => url,
        Err(error) => return Some(format!("{error}")),
    };
    let topic = url.as_url().path_segments().and_then(|mut it| it.next_back()).unwrap_or_default();
    let is_topic = (1..=64).contains(&topic.len())
        && topic.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'));
    (format == AlertFormat::Ntfy && !is_topic).then(|| "expected an address that ends in the topic".to_owned())
}
