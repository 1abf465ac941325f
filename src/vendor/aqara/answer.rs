//! What Aqara answers: the envelope, and tokens in it (protocol/aqara.md §4 and §5.1 to §5.3).

use std::borrow::Cow;

use serde_json::Value;

use super::intent::Intent;
use crate::{
    account::{Class, Code, Extras, FreshTokens, Secret, SecretDocument},
    vendor::{
        Answer, VendorError,
        json::{TokenField, integer, lifetime},
    },
};

/// Reads the tokens that a refresh or a login gave.
pub(super) fn tokens(answer: &Answer, intent: Intent) -> Result<FreshTokens, VendorError> {
    let result = SecretDocument::new(result(answer, intent)?);
    let access = TokenField::read(&result, "accessToken");
    let refresh = TokenField::read(&result, "refreshToken");
    match (&access, &refresh) {
        (TokenField::Unreadable, _) | (_, TokenField::Unreadable) | (TokenField::Absent, TokenField::Absent) => {
            Err(VendorError::new(Class::Protocol, Code::UnreadableAnswer))
        }
        _ => Ok(FreshTokens {
            access: access.token(),
            refresh: refresh.token(),
            access_lifetime: lifetime(result.get("expiresIn")),
            refresh_outlives_access: None,
            extras: Extras { auth_token: None, open_id: result.get("openId").and_then(text).map(Cow::into_owned) },
        }),
    }
}

/// What an intent gave: anything, also nothing. What is refused is judged by the intent.
pub(super) fn result(answer: &Answer, intent: Intent) -> Result<Value, VendorError> {
    let envelope = envelope(answer);
    match envelope.as_ref().and_then(|it| integer(it.get("code")?)) {
        Some(0) => Ok(envelope.and_then(|mut it| Some(it.get_mut("result")?.take())).unwrap_or_default()),
        Some(code) => Err(intent.refused(code, answer)),
        // Not the vendor's own answer. A query that it does not answer did nothing.
        None if intent.is_query() => Err(VendorError::new(Class::Transient, Code::VendorBusy)),
        None => Err(answer.unusable()),
    }
}

/// The code of the envelope, where there is one.
pub(super) fn code(answer: &Answer) -> Option<i64> {
    integer(envelope(answer)?.get("code")?)
}

/// A text, or a number where a text is meant.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// The answer less the value of every key that reads `accesstoken`, ignoring case and `_`, at any depth.
///
/// None where the answer is no JSON: then it cannot be told what in it is an access token.
pub(super) fn without_access_token(answer: &Answer) -> Option<Secret> {
    let mut value = SecretDocument::new(envelope(answer)?);
    drop_access_tokens(&mut value);
    Some(Secret::new(value.to_string()))
}

fn envelope(answer: &Answer) -> Option<Value> {
    serde_json::from_str(answer.body.expose()).ok()
}

fn drop_access_tokens(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let plain: String = key.chars().filter(|it| *it != '_').collect();
                if plain.eq_ignore_ascii_case("accesstoken") {
                    *value = Value::Null;
                } else {
                    drop_access_tokens(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(drop_access_tokens),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer::of(Secret::new(body))
    }

    #[test]
    fn a_lifetime_is_read_from_a_string_and_from_a_number_and_an_odd_one_is_unknown() {
        for (expires_in, seconds) in [
            (r#""86400""#, Some(86_400)),
            ("86400", Some(86_400)),
            ("86400.0", Some(86_400)),
            (r#""0""#, None),
            ("-1", None),
            (r#""soon""#, None),
            (r#"{"seconds":"86400"}"#, None),
            ("null", None),
        ] {
            let body = format!(
                r#"{{"code":0,"message":"Success","result":{{"expiresIn":{expires_in},"openId":"o","accessToken":"A2","refreshToken":"R2"}}}}"#
            );
            for intent in [Intent::Refresh, Intent::Login] {
                let fresh = tokens(&answer(&body), intent).unwrap();
                assert_eq!(fresh.access_lifetime, seconds.map(Duration::from_secs), "{expires_in}");
                assert_eq!(fresh.refresh, Some(Secret::new("R2")));
                assert_eq!(fresh.extras.open_id.as_deref(), Some("o"));
            }
        }
    }

    #[test]
    fn a_message_that_speaks_of_tokens_is_not_listened_to_in_any_language() {
        let texts =
            ["token expired", "refresh token expired", "令牌已过期", "访问令牌无效", "Parameter AccessToken illegal"];
        for said in texts {
            for (code, class) in [
                ("106", Class::ConfigFault),
                (r#""107""#, Class::ConfigFault),
                ("1202", Class::Target),
                ("403", Class::Target),
                ("602", Class::Target),
                ("31337", Class::Target),
                ("500", Class::Ambiguous),
                ("2006", Class::Target),
            ] {
                for detail in ["messageDetail", "msgDetails"] {
                    let body = format!(r#"{{"code":{code},"message":"{said}","{detail}":"{said}"}}"#);
                    let failure = result(&answer(&body), Intent::RunScene).unwrap_err();
                    assert_eq!(failure.class, class, "{body}");
                }
            }
            let friendly = format!(r#"{{"code":0,"message":"{said}","messageDetail":"{said}","result":""}}"#);
            assert!(result(&answer(&friendly), Intent::RunScene).is_ok());
            let scene = format!(r#"{{"code":1202,"message":"{said}"}}"#);
            assert_eq!(result(&answer(&scene), Intent::Refresh).unwrap_err().class, Class::Target);
        }
        let misleading = r#"{"code":2007,"message":"Success","messageDetail":"all is well"}"#;
        let failure = result(&answer(misleading), Intent::Refresh).unwrap_err();
        assert_eq!(failure.class, Class::GrantDead { expired: true });
    }

    #[test]
    fn what_the_vendor_writes_is_in_no_error() {
        for detail in ["messageDetail", "msgDetails"] {
            for code in ["108", "106", "2006", "31337", r#""108-canary""#, r#"["canary"]"#] {
                let body = format!(r#"{{"code":{code},"message":"canary","requestId":"canary","{detail}":"canary"}}"#);
                for intent in [Intent::RunScene, Intent::Refresh, Intent::Login, Intent::ListScenes] {
                    let failure = result(&answer(&body), intent).unwrap_err();
                    assert!(!format!("{failure}{failure:?}").contains("canary"), "{failure:?}");
                }
            }
        }
    }

    #[test]
    fn an_answer_that_is_not_the_vendors_hides_an_outcome_except_of_a_query() {
        for body in ["", "{", "null", "[]", "7", r#""ok""#, r#"{"message":"Success"}"#, r#"{"code":null,"result":{}}"#]
        {
            for intent in [Intent::RunScene, Intent::Refresh, Intent::Login, Intent::RequestCode] {
                let failure = result(&answer(body), intent).unwrap_err();
                assert_eq!((failure.class, failure.code), (Class::Ambiguous, Code::UnreadableAnswer), "{body}");
            }
            assert_eq!(result(&answer(body), Intent::ListScenes).unwrap_err().class, Class::Transient, "{body}");
        }
    }

    #[test]
    fn a_yes_without_readable_tokens_is_told_from_a_refusal() {
        for result in [
            r#""""#,
            "null",
            "{}",
            r#"{"accessToken":["A2"],"refreshToken":"R2"}"#,
            r#"{"accessToken":"A2","refreshToken":7}"#,
            r#"{"accessToken":"A\n2","refreshToken":"R2"}"#,
        ] {
            let body = format!(r#"{{"code":0,"result":{result}}}"#);
            let failure = tokens(&answer(&body), Intent::Login).unwrap_err();
            assert_eq!((failure.class, failure.code), (Class::Protocol, Code::UnreadableAnswer), "{body}");
        }
    }

    #[test]
    fn access_tokens_are_dropped_from_what_is_stored_at_any_depth() {
        let body = r#"{"code":0,"result":{"accessToken":"A2","deep":[{"access_token":"A3","ACCESSTOKEN":{"x":"A4"}}],"refreshToken":"R2"}}"#;
        let stored = without_access_token(&answer(body)).unwrap();
        for gone in ["A2", "A3", "A4"] {
            assert!(!stored.expose().contains(gone));
        }
        assert!(stored.expose().contains("R2"));
        assert!(without_access_token(&answer(r#"{"accessToken":"A2""#)).is_none());
    }
}
