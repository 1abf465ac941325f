//! The addresses that a user may set.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// The address of a vendor's cloud: https, or http to this machine; a path is allowed, a query or a password is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// An address that people open in a browser: http or https, without a password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

/// Why a text is no address. None of these quotes the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("expected an address that starts with https://")]
    NotAUrl,
    #[error("expected https (plain http is for this machine only: localhost, 127.0.0.1 or [::1])")]
    Insecure,
    #[error("expected an address without a user name or password in it")]
    Credentials,
    #[error("expected an address without ? or #")]
    Query,
}

impl BaseUrl {
    /// The address without a `/` at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl PublicUrl {
    /// The host's name or address, as it stands in a `Host` header.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Scheme, host and a port that is not the scheme's own, as a browser's `Origin` header says them.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl FromStr for BaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = parse(text)?;
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            _ => Err(UrlError::Insecure),
        }
    }
}

impl FromStr for PublicUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse(text).map(Self)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn parse(text: &str) -> Result<Url, UrlError> {
    let url = Url::parse(text).map_err(|_| UrlError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(UrlError::NotAUrl);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UrlError::Query);
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_is_reached_by_https_and_only_this_machine_by_http() {
        for right in ["https://open-ger.aqara.com", "http://127.0.0.1:8600/sim", "http://localhost:1", "http://[::1]:1"]
        {
            assert_eq!(right.parse::<BaseUrl>().unwrap().as_str(), right);
        }
        assert_eq!("https://a.example/".parse::<BaseUrl>().unwrap().to_string(), "https://a.example");
        for wrong in ["http://open-ger.aqara.com", "http://localhost.example.com", "http://0.0.0.0", "http://10.0.0.1"]
        {
            assert_eq!(wrong.parse::<BaseUrl>(), Err(UrlError::Insecure), "{wrong}");
        }
        for wrong in ["open-ger.aqara.com", "mqtt://a", "ftp://a.example", "", "https://"] {
            assert_eq!(wrong.parse::<BaseUrl>(), Err(UrlError::NotAUrl), "{wrong}");
        }
        assert_eq!("https://me:secret@a.example".parse::<BaseUrl>(), Err(UrlError::Credentials));
        assert_eq!("https://a.example/?token=1".parse::<BaseUrl>(), Err(UrlError::Query));
    }

    #[test]
    fn a_page_may_be_at_home_without_tls() {
        assert_eq!("http://192.168.1.5:8780".parse::<PublicUrl>().unwrap().as_str(), "http://192.168.1.5:8780/");
        assert!("http://me@192.168.1.5".parse::<PublicUrl>().is_err());
    }
}
