//! `[web]`: the admin page.

use super::{section::Section, url::PublicUrl};

/// The admin page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSettings {
    /// Where people find the page; Home Assistant shows it as a link on the devices (`configuration_url`).
    pub public_url: Option<PublicUrl>,
}

pub(super) fn read(mut section: Section<'_>) -> WebSettings {
    let settings = WebSettings { public_url: section.parsed("public_url", "http://latchkey.local:8780") };
    section.finish();
    settings
}
