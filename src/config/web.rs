//! `[web]`: the admin API and page.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use config::ValueKind;

use super::{
    errors::Problem,
    section::{Found, Section},
    url::PublicUrl,
};
use crate::account::Secret;

const DEFAULT_PORT: u16 = 8780;
/// Fewer characters are guessed; what Latchkey makes itself is much longer.
const SHORTEST_KEY: usize = 8;

/// The admin API and page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSettings {
    /// Where to listen, `127.0.0.1:8780` by default; none where it is switched off. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Where people find the page; Home Assistant shows it as a link on the devices (`configuration_url`).
    pub public_url: Option<PublicUrl>,
    /// What requests have to bear; none: the one that is made beside the store.
    pub key: Option<Secret>,
    /// Host names and addresses that requests may be made to, beside those that are always good; in lower case.
    pub allowed_hosts: Vec<String>,
    /// Whether `/metrics` answers without the key.
    pub metrics_public: bool,
    /// Where Home Assistant's ingress asks from, in an add-on: the supervisor's address. What comes from there by the
    /// ingress counts as signed in.
    pub ingress_from: Option<IpAddr>,
}

pub(super) fn read(mut section: Section<'_>) -> WebSettings {
    let is_enabled = section.boolean("enabled", true);
    let listen = section.parsed_by("listen", "127.0.0.1:8780", |text| {
        text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:8780 or [::1]:8780".to_owned())
    });
    let settings = WebSettings {
        listen: is_enabled.then(|| listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into())),
        public_url: section.parsed("public_url", "http://latchkey.local:8780"),
        key: read_key(&mut section),
        allowed_hosts: section
            .read("allowed_hosts", || "[\"latchkey.local\"]".to_owned(), read_hosts)
            .unwrap_or_default(),
        metrics_public: section.boolean("metrics_public", false),
        ingress_from: section.parsed_by("ingress_from", "172.30.32.2", |text| {
            text.parse().map_err(|_| "expected an address, such as the supervisor's 172.30.32.2".to_owned())
        }),
    };
    section.finish();
    settings
}

fn read_key(section: &mut Section<'_>) -> Option<Secret> {
    let key = section.secret("key")?;
    // It comes in a header, where anything else cannot come.
    let is_key = SHORTEST_KEY <= key.expose().len() && key.expose().bytes().all(|it| it.is_ascii_graphic());
    if !is_key {
        let why = format!("expected {SHORTEST_KEY} or more letters, digits and signs without blanks");
        section.report_invalid("key", why, "make one with `openssl rand -hex 24`, or leave it out");
        return None;
    }
    Some(key)
}

/// A list of hosts; in the environment with commas between them.
fn read_hosts(found: Found<'_>) -> Result<Vec<String>, Problem> {
    let texts: Vec<String> = match found.kind {
        ValueKind::Array(values) => {
            let texts = values.iter().map(|it| match &it.kind {
                ValueKind::String(text) => Ok(text.clone()),
                _ => Err(found.wrong_kind("a list of texts")),
            });
            texts.collect::<Result<_, _>>()?
        }
        ValueKind::String(text) if found.is_from_environment => {
            text.split(',').map(|it| it.trim().to_owned()).collect()
        }
        _ => return Err(found.wrong_kind("a list of texts")),
    };
    let is_host = |it: &String| {
        (1..=253).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._:[]".contains(&it))
    };
    if texts.iter().all(is_host) {
        return Ok(texts.into_iter().map(|it| it.to_ascii_lowercase()).collect());
    }
    let why = "expected host names or addresses without scheme and port, such as latchkey.local".to_owned();
    Err(Problem::Invalid { why, found: None })
}
