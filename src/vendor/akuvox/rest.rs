//! The REST host, which the gate names: where the access token is sent to (protocol/akuvox.md §1 and §3.1).

use serde_json::Value;
use tracing::warn;

use crate::{
    account::{Class, Code},
    config::BaseUrl,
    vendor::{Answer, VendorError},
};

/// The vendor's own domain.
const OFFICIAL: &str = ".akuvox.com";

/// Finds the REST host in an answer of the gate: to `rest_server`, or to a login.
///
/// An answer names a host and a port, and no more of it is taken: the scheme is the gate's own. A gate of the vendor may
/// name hosts of the vendor's domain only. Whoever runs a gate of their own may name any, as its certificate vouches for
/// the answer; a host elsewhere can be set as `rest`. Nothing here changes the gate.
///
/// Errors: `Transient`; nothing was sent anywhere.
pub(super) fn named(answer: &Answer, gate: &BaseUrl) -> Result<BaseUrl, VendorError> {
    let unusable = || VendorError::new(Class::Transient, Code::UnreadableAnswer);
    let scheme = gate.as_url().scheme();
    let key = if scheme == "https" { "rest_server_https" } else { "rest_server" };
    let envelope: Value = serde_json::from_str(answer.body.expose()).map_err(|_| unusable())?;
    let named = envelope.get("datas").and_then(|it| it.get(key)).and_then(Value::as_str).map(bare);
    let named = named.filter(|it| is_host_and_port(it)).ok_or_else(unusable)?;
    let rest: BaseUrl = format!("{scheme}://{named}").parse().map_err(|_| unusable())?;
    if is_official(gate) && !is_official(&rest) {
        warn!(
            "the gate named a REST server outside of akuvox.com, which is not used; if it is right, set it as `rest`"
        );
        return Err(unusable());
    }
    Ok(rest)
}

fn is_official(url: &BaseUrl) -> bool {
    url.as_url().host_str().is_some_and(|it| it.to_ascii_lowercase().ends_with(OFFICIAL))
}

fn bare(text: &str) -> &str {
    text.trim().trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/')
}

fn is_host_and_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b".-:[]".contains(&it))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::account::Secret;

    use super::*;

    fn read(gate: &str, host: &str) -> Option<String> {
        let body = json!({ "result": 0, "datas": { "rest_server_https": host, "rest_server": host } }).to_string();
        let answer = Answer::of(Secret::new(body));
        named(&answer, &gate.parse().unwrap()).ok().map(|it| it.to_string())
    }

    #[test]
    fn the_rest_host_is_a_host_with_a_port_and_nothing_else() {
        let read = |host| read("https://gate.example.org:8600", host);
        let right = Some("https://rest.example.org:8443".to_owned());
        assert_eq!(read("rest.example.org:8443"), right);
        assert_eq!(read(" https://rest.example.org:8443/"), right);
        assert_eq!(read("http://rest.example.org:8443"), right, "what is https stays https");
        assert_eq!(read("[2001:db8::1]:8443"), Some("https://[2001:db8::1]:8443".to_owned()));
        for wrong in ["", "evil.example.org/path?x=", "user@evil.example.org", "ftp://a", "a b", "a:b:c", "a:99999"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_vendors_gate_names_the_vendors_hosts_and_a_gate_of_ones_own_any() {
        let official = |host| read("https://gate.ecloud.akuvox.com:8600", host);
        assert!(official("rest.ecloud.akuvox.com:8443").is_some());
        assert!(official("ecloud.akuvox.com:8443").is_some());
        for foreign in ["rest.example.org:8443", "akuvox.com.example.org:8443", "notakuvox.com:8443", "10.0.0.1:8443"] {
            assert_eq!(official(foreign), None, "{foreign}");
        }
        assert!(read("https://gate.example.org:8600", "intercom.example.net:8443").is_some());
        assert!(read("http://127.0.0.1:8600", "127.0.0.1:8443").is_some());
        assert_eq!(read("http://127.0.0.1:8600", "rest.example.org:8443"), None, "without TLS to this machine only");
    }
}
