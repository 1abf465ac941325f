//! Whether a request that bears a cookie was made by our own page: a browser sends cookies along with what others ask.

use axum::http::{HeaderMap, HeaderName, Method, header};

use crate::config::PublicUrl;

/// Set by the page on everything that it asks. No page of another origin can set it without being allowed to.
const MARK: HeaderName = HeaderName::from_static("x-latchkey-page");
/// What browsers say of who asks; only to https and to their own machine.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origin of `web.public_url`, under which a reverse proxy may show us whatever `Host` it asks by.
pub(super) struct PublicOrigin(Option<String>);

impl PublicOrigin {
    pub(super) fn new(public_url: Option<&PublicUrl>) -> Self {
        Self(public_url.map(PublicUrl::origin))
    }

    /// What only reads has to be no other page's doing; what acts has to show that it is ours, and to bear the mark.
    pub(super) fn is_our_page(&self, method: &Method, headers: &HeaderMap) -> bool {
        let text = |name: &HeaderName| headers.get(name).map(|it| it.to_str().unwrap_or_default());
        let is_same_site = text(&FETCH_SITE).map(|it| it == "same-origin");
        let is_same_origin = text(&header::ORIGIN).map(|it| self.is_ours(it, text(&header::HOST)));
        if is_same_site == Some(false) || (is_same_site.is_none() && is_same_origin == Some(false)) {
            return false;
        }
        let only_reads = matches!(*method, Method::GET | Method::HEAD);
        only_reads || (headers.contains_key(MARK) && (is_same_site.is_some() || is_same_origin.is_some()))
    }

    fn is_ours(&self, origin: &str, host: Option<&str>) -> bool {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        self.0.as_deref() == Some(origin) || (authority.is_some() && authority == host)
    }
}

/// Whether the browser has the page by https, through a reverse proxy: it says so itself.
pub(super) fn is_by_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|it| it.as_bytes().starts_with(b"https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_our_page(method: Method, lines: &[(&'static str, &str)]) -> bool {
        let public_url = "https://keys.example.org/latchkey/".parse().unwrap();
        let host = ("host", "10.0.0.1:8780");
        let headers = lines.iter().chain([&host]).map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        PublicOrigin::new(Some(&public_url)).is_our_page(&method, &headers.collect())
    }

    const MARKED: (&str, &str) = ("x-latchkey-page", "1");

    #[test]
    fn what_acts_comes_from_our_page_and_bears_the_mark() {
        for ours in [
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://10.0.0.1:8780"),
            ("origin", "https://keys.example.org"),
        ] {
            assert!(is_our_page(Method::POST, &[MARKED, ours]), "{ours:?}");
            assert!(!is_our_page(Method::POST, &[ours]), "{ours:?} without the mark");
        }
        for others in [
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "none"),
            ("origin", "http://10.0.0.1:3000"),
            ("origin", "null"),
            ("origin", "https://keys.example.org.evil.example"),
            ("accept", "*/*"),
        ] {
            assert!(!is_our_page(Method::POST, &[MARKED, others]), "{others:?}");
        }
    }

    #[test]
    fn what_reads_is_no_other_pages_doing() {
        assert!(is_our_page(Method::GET, &[]));
        assert!(is_our_page(Method::GET, &[("sec-fetch-site", "same-origin")]));
        assert!(!is_our_page(Method::GET, &[("sec-fetch-site", "same-site")]));
        assert!(!is_our_page(Method::GET, &[("origin", "http://localhost:3000")]));
    }
}
