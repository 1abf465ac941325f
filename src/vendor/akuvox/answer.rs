//! What SmartPlus answers, in every shape that was seen (protocol/akuvox.md §2 and §3.11).

use serde_json::Value;

use crate::{
    account::{Class, Code, Extras, FreshTokens},
    vendor::{
        Answer, VendorError,
        json::{TokenField, integer, lifetime},
    },
};

/// The vendor's verdict, from `err_code` (string or integer), `result` (integer), or both.
enum Verdict {
    Yes,
    No(String),
    /// Neither key: not the vendor's envelope.
    None,
}

/// Reads the answer to `refresh_token`. The pair stands under `datas`, or under `data` or `result`.
pub(super) fn refresh(answer: &Answer) -> Result<FreshTokens, VendorError> {
    let envelope = parse(answer)?;
    let pair = ["datas", "data", "result"].iter().find_map(|key| envelope.get(*key).filter(|it| it.is_object()));
    match verdict(&envelope) {
        Verdict::No(code) => {
            return Err(VendorError::new(Class::Refused, Code::RefreshRefused).with_vendor_code(&code));
        }
        Verdict::None if pair.is_none() => return Err(VendorError::new(Class::Ambiguous, Code::UnreadableAnswer)),
        Verdict::Yes | Verdict::None => {}
    }
    let unreadable = || VendorError::new(Class::Protocol, Code::UnreadableAnswer);
    let pair = pair.ok_or_else(unreadable)?;
    let access = TokenField::read(pair, "token");
    let refresh = TokenField::read(pair, "refresh_token");
    match (&access, &refresh) {
        (TokenField::Unreadable, _) | (_, TokenField::Unreadable) | (TokenField::Absent, TokenField::Absent) => {
            Err(unreadable())
        }
        _ => Ok(FreshTokens {
            access: access.token(),
            refresh: refresh.token(),
            access_lifetime: lifetime(pair.get("token_valid")),
            refresh_outlives_access: None,
            extras: Extras { auth_token: TokenField::read(pair, "auth_token").token(), open_id: None },
        }),
    }
}

/// Reads the answer to a call that carries an access token and gives nothing: a refusal is about the token.
pub(super) fn accepted(answer: &Answer) -> Result<(), VendorError> {
    match verdict(&parse(answer)?) {
        Verdict::Yes => Ok(()),
        Verdict::No(code) => Err(VendorError::new(Class::AccessRejected, Code::AccessRejected).with_vendor_code(&code)),
        Verdict::None => Err(VendorError::new(Class::Ambiguous, Code::UnreadableAnswer)),
    }
}

/// Reads the REST host from the answer to `rest_server`: host and port without a scheme (protocol/akuvox.md §3.1).
pub(super) fn rest_server(answer: &Answer, is_https: bool) -> Result<String, VendorError> {
    let envelope = parse(answer)?;
    let (key, scheme) = if is_https { ("rest_server_https", "https") } else { ("rest_server", "http") };
    let host = envelope.get("datas").and_then(|it| it.get(key)).and_then(Value::as_str).map(bare_host);
    match host {
        Some(host) if is_host_and_port(host) => Ok(format!("{scheme}://{host}")),
        _ => Err(VendorError::new(Class::Transient, Code::UnreadableAnswer)),
    }
}

fn parse(answer: &Answer) -> Result<Value, VendorError> {
    serde_json::from_str(answer.body.expose()).map_err(|_| VendorError::new(Class::Ambiguous, Code::UnreadableAnswer))
}

fn verdict(envelope: &Value) -> Verdict {
    let verdicts = ["err_code", "result"].map(|key| envelope.get(key).filter(|it| !it.is_object() && !it.is_null()));
    let mut verdict = Verdict::None;
    for value in verdicts.into_iter().flatten() {
        match integer(value) {
            Some(0) => verdict = Verdict::Yes,
            Some(code) => return Verdict::No(code.to_string()),
            None => return Verdict::No(value.as_str().unwrap_or_default().to_owned()),
        }
    }
    verdict
}

fn bare_host(text: &str) -> &str {
    text.trim().trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/')
}

/// A host in the answer becomes part of a URL that a token is sent to.
fn is_host_and_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b".-:[]".contains(&it))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::account::Secret;

    use super::*;

    fn read(body: &str) -> Result<FreshTokens, VendorError> {
        refresh(&Answer { body: Secret::new(body), vendor_ahead_by: None, retry_after: None })
    }

    #[test]
    fn every_known_shape_of_a_pair_is_read() {
        let shapes = [
            r#"{"datas":{"refresh_token":"R2","token":"A2","token_valid":"604800"},"err_code":"0","message":"success"}"#,
            r#"{"datas":{"refresh_token":"R2","token":"A2","token_valid":604800},"err_code":0,"message":"success"}"#,
            r#"{"result":0,"datas":{"refresh_token":"R2","token":"A2","token_valid":"604800"},"err_code":"0"}"#,
            r#"{"result":0,"datas":{"refresh_token":"R2","token":"A2","token_valid":"604800"}}"#,
            r#"{"data":{"refresh_token":"R2","token":"A2","token_valid":"604800"},"err_code":"0"}"#,
            r#"{"result":{"refresh_token":"R2","token":"A2","token_valid":"604800"},"err_code":"0"}"#,
            r#"{"datas":{"refresh_token":"R2","token":"A2","token_valid":"604800"}}"#,
        ];
        for shape in shapes {
            let fresh = read(shape).unwrap();
            assert_eq!(fresh.access, Some(Secret::new("A2")), "{shape}");
            assert_eq!(fresh.refresh, Some(Secret::new("R2")), "{shape}");
            assert_eq!(fresh.access_lifetime, Some(Duration::from_secs(604_800)), "{shape}");
        }
    }

    #[test]
    fn an_answer_without_a_new_refresh_token_is_still_a_grant() {
        let fresh = read(r#"{"datas":{"token":"A2","token_valid":"0"},"err_code":"0"}"#).unwrap();
        assert_eq!((fresh.refresh, fresh.access_lifetime), (None, None));
    }

    #[test]
    fn a_yes_that_cannot_be_read_is_told_from_a_no_and_from_noise() {
        let class = |body| read(body).unwrap_err().class;
        assert_eq!(class(r#"{"datas":{"token":7,"refresh_token":"R2"},"err_code":"0"}"#), Class::Protocol);
        assert_eq!(class(r#"{"datas":{"token":"A2","refresh_token":["R2"]},"err_code":"0"}"#), Class::Protocol);
        assert_eq!(class(r#"{"datas":[],"err_code":"0"}"#), Class::Protocol);
        assert_eq!(class(r#"{"err_code":"-1","message":"token invalid"}"#), Class::Refused);
        assert_eq!(class(r#"{"result":-1,"err_code":"0","datas":{"token":"A2"}}"#), Class::Refused);
        assert_eq!(class(r#"{"datas":{"refresh_token":"R2","tok"#), Class::Ambiguous);
        assert_eq!(class(r#"{"error_msg":"Requesting too frequently"}"#), Class::Ambiguous);
        assert_eq!(class("[]"), Class::Ambiguous);
    }

    #[test]
    fn the_rest_host_is_a_host_and_nothing_else() {
        let read = |host: &str| {
            let body = serde_json::json!({"result": 0, "datas": {"rest_server_https": host}}).to_string();
            rest_server(&Answer { body: Secret::new(body), vendor_ahead_by: None, retry_after: None }, true)
        };
        assert_eq!(read("rest.example.org:8443").unwrap(), "https://rest.example.org:8443");
        assert_eq!(read("https://rest.example.org:8443/").unwrap(), "https://rest.example.org:8443");
        assert!(read("evil.example.org/path?x=").is_err());
        assert!(read("user@evil.example.org").is_err());
    }
}
