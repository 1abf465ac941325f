//! Which `Host` a request may name. A page from elsewhere that makes its own name lead here (DNS rebinding) is refused.

use std::net::{IpAddr, SocketAddr};

use crate::config::PublicUrl;

/// The names and addresses that Latchkey answers to.
pub struct AllowedHosts {
    listen: SocketAddr,
    /// In lower case, without a port.
    names: Vec<String>,
}

impl AllowedHosts {
    /// This machine's own names, where we listen, `web.public_url`'s host, and what the user allows beside.
    pub fn new(listen: SocketAddr, public_url: Option<&PublicUrl>, configured: &[String]) -> Self {
        let given = configured.iter().map(String::as_str).chain(public_url.map(PublicUrl::host));
        Self { listen, names: given.map(host_of).collect() }
    }

    pub(super) fn port(&self) -> u16 {
        self.listen.port()
    }

    /// Whether a `Host` header, with or without a port, is one of ours. Ports are not compared: they may be forwarded.
    pub(super) fn admits(&self, authority: &str) -> bool {
        let host = host_of(authority);
        if self.names.contains(&host) {
            return true;
        }
        match host.parse::<IpAddr>() {
            // An address cannot be made to lead elsewhere; where we listen on all, all are ours.
            Ok(address) => address.is_loopback() || self.listen.ip().is_unspecified() || address == self.listen.ip(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }
}

/// The host without its port, brackets and final dot, in lower case.
fn host_of(authority: &str) -> String {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.bytes().all(|it| it.is_ascii_digit()) => host,
            _ => authority,
        },
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str) -> AllowedHosts {
        let public_url = "https://keys.example.org/latchkey".parse().unwrap();
        AllowedHosts::new(
            listen.parse().unwrap(),
            Some(&public_url),
            &["Latchkey.local".to_owned(), "[fd00::1]".into()],
        )
    }

    #[test]
    fn our_own_names_are_admitted_with_and_without_a_port() {
        let hosts = hosts("192.168.1.5:8780");
        for ours in [
            "localhost",
            "LOCALHOST:8780",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]:8780",
            "192.168.1.5:1",
            "keys.example.org",
            "latchkey.local.:8780",
            "[fd00::1]:9",
        ] {
            assert!(hosts.admits(ours), "{ours}");
        }
    }

    #[test]
    fn names_of_others_are_not() {
        for others in ["evil.example", "localhost.evil.example", "192.168.1.6", "[::2]", "", "127.0.0.1.evil.example"] {
            assert!(!hosts("192.168.1.5:8780").admits(others), "{others}");
        }
        assert!(!hosts("0.0.0.0:8780").admits("evil.example"));
        assert!(hosts("0.0.0.0:8780").admits("192.168.1.6:8780"));
    }
}
