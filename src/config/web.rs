//! `[web]`: the admin API and page.

use std::net::{Ipv4Addr, SocketAddr};

use super::{section::Section, url::PublicUrl};
use crate::account::Secret;

const DEFAULT_PORT: u16 = 8780;

/// The admin API and page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSettings {
    /// Where to listen, `127.0.0.1:8780` by default; none where it is switched off.
    pub listen: Option<SocketAddr>,
    /// Where people find the page; Home Assistant shows it as a link on the devices (`configuration_url`).
    pub public_url: Option<PublicUrl>,
    /// What requests have to bear; none: the one that is made beside the store.
    pub key: Option<Secret>,
}

pub(super) fn read(mut section: Section<'_>) -> WebSettings {
    let is_enabled = section.boolean("enabled", true);
    let listen = section.parsed_by("listen", "127.0.0.1:8780", |text| {
        text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:8780 or [::1]:8780".to_owned())
    });
    let settings = WebSettings {
        listen: is_enabled.then(|| listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into())),
        public_url: section.parsed("public_url", "http://latchkey.local:8780"),
        key: section.secret("key"),
    };
    section.finish();
    settings
}
