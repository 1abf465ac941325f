//! What Aqara answers, and what its codes mean (protocol/aqara.md §4, §5.3 and §7).

use serde_json::Value;

use crate::{
    account::{Class, Code, Extras, FreshTokens, Secret},
    vendor::{
        Answer, VendorError,
        json::{TokenField, integer, lifetime},
    },
};

/// Reads the answer to `config.auth.refreshToken`.
pub(super) fn refresh(answer: &Answer) -> Result<FreshTokens, VendorError> {
    let result = result(answer).map_err(|failure| failure.of_refresh(answer))?;
    let unreadable = || VendorError::new(Class::Protocol, Code::UnreadableAnswer);
    let access = TokenField::read(&result, "accessToken");
    let refresh = TokenField::read(&result, "refreshToken");
    match (&access, &refresh) {
        (TokenField::Unreadable, _) | (_, TokenField::Unreadable) | (TokenField::Absent, TokenField::Absent) => {
            Err(unreadable())
        }
        _ => Ok(FreshTokens {
            access: access.token(),
            refresh: refresh.token(),
            access_lifetime: lifetime(result.get("expiresIn")),
            refresh_outlives_access: None,
            extras: Extras {
                auth_token: None,
                open_id: result.get("openId").and_then(Value::as_str).map(str::to_owned),
            },
        }),
    }
}

/// Reads the answer to a call that gives nothing back.
pub(super) fn done(answer: &Answer) -> Result<(), VendorError> {
    result(answer).map(drop).map_err(|failure| failure.of_call(answer))
}

/// The answer less the value of every key that reads `accesstoken`, ignoring case and `_`, at any depth.
///
/// None where the answer is no JSON: then it cannot be told what in it is an access token.
pub(super) fn without_access_token(answer: &Answer) -> Option<Secret> {
    let mut value: Value = serde_json::from_str(answer.body.expose()).ok()?;
    drop_access_tokens(&mut value);
    Some(Secret::new(value.to_string()))
}

/// A failed answer, before it is judged by what was asked.
enum Failure {
    NoEnvelope,
    Coded(i64),
}

fn result(answer: &Answer) -> Result<Value, Failure> {
    let envelope: Value = serde_json::from_str(answer.body.expose()).map_err(|_| Failure::NoEnvelope)?;
    match envelope.get("code").and_then(integer) {
        Some(0) => Ok(envelope.get("result").cloned().unwrap_or(Value::Null)),
        Some(code) => Err(Failure::Coded(code)),
        None => Err(Failure::NoEnvelope),
    }
}

impl Failure {
    fn of_refresh(self, answer: &Answer) -> VendorError {
        let Self::Coded(code) = self else {
            return VendorError::new(Class::Ambiguous, Code::UnreadableAnswer);
        };
        let (class, word) = match code {
            2006 | 2009 | 2010 => (Class::GrantDead { expired: false }, Code::RefreshRefused),
            2007 => (Class::GrantDead { expired: true }, Code::RefreshTokenExpired),
            // The vendor's own trouble may come after it rotated.
            100 | 104 | 500 | 501 => (Class::Ambiguous, Code::VendorBusy),
            // What these mean for a refresh is not documented: only a lasting refusal counts.
            108 | 109 | 804 | 2004 | 2005 => (Class::Refused, Code::RefreshRefused),
            _ => general(code, answer).unwrap_or((Class::Refused, Code::RefreshRefused)),
        };
        VendorError::new(class, word).with_vendor_code(&code.to_string())
    }

    fn of_call(self, answer: &Answer) -> VendorError {
        let Self::Coded(code) = self else {
            return VendorError::new(Class::Ambiguous, Code::UnreadableAnswer);
        };
        let (class, word) = match code {
            108 | 109 | 804 | 2004 | 2005 => (Class::AccessRejected, Code::AccessRejected),
            104 => (Class::Transient, Code::VendorBusy),
            100 | 500 | 501 => (Class::Ambiguous, Code::VendorBusy),
            _ => general(code, answer).unwrap_or((Class::Target, Code::TargetRefused)),
        };
        VendorError::new(class, word).with_vendor_code(&code.to_string())
    }
}

/// What a code means whatever was asked; none for those that concern the target of a call.
fn general(code: i64, answer: &Answer) -> Option<(Class, Code)> {
    match code {
        106 | 107 | 301 | 305 | 2002 | 2008 | 2013 | 2022 | 9998 | 9999 => {
            Some((Class::ConfigFault, Code::ConfigFault))
        }
        101 | 102 | 103 | 105 => Some((Class::ClockSkew { vendor_ahead_by: answer.vendor_ahead_by }, Code::ClockSkew)),
        429 | 817 => Some((Class::Throttled { retry_after: answer.retry_after }, Code::Throttled)),
        1300 => Some((Class::Transient, Code::VendorBusy)),
        _ => None,
    }
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
        Answer { body: Secret::new(body), vendor_ahead_by: None, retry_after: None }
    }

    #[test]
    fn a_lifetime_is_read_from_a_string_and_from_a_number() {
        for expires_in in [r#""86400""#, "86400"] {
            let body = format!(
                r#"{{"code":0,"message":"Success","result":{{"expiresIn":{expires_in},"openId":"o","accessToken":"A2","refreshToken":"R2"}}}}"#
            );
            let fresh = refresh(&answer(&body)).unwrap();
            assert_eq!(fresh.access_lifetime, Some(Duration::from_secs(86_400)));
            assert_eq!(fresh.refresh, Some(Secret::new("R2")));
        }
    }

    #[test]
    fn codes_are_classed_by_number_and_intent() {
        let of_refresh =
            |code: i64| refresh(&answer(&format!(r#"{{"code":{code},"message":"token expired"}}"#))).unwrap_err().class;
        let of_call =
            |code: i64| done(&answer(&format!(r#"{{"code":"{code}","message":"token expired"}}"#))).unwrap_err().class;
        for code in [106, 107, 2002] {
            assert_eq!(of_refresh(code), Class::ConfigFault);
            assert_eq!(of_call(code), Class::ConfigFault);
        }
        assert_eq!(of_refresh(2006), Class::GrantDead { expired: false });
        assert_eq!(of_refresh(2007), Class::GrantDead { expired: true });
        for code in [108, 109, 804, 2004, 2005] {
            assert_eq!(of_call(code), Class::AccessRejected);
            assert_eq!(of_refresh(code), Class::Refused);
        }
        for code in [100, 104, 500, 501] {
            assert_eq!(of_refresh(code), Class::Ambiguous);
        }
        assert_eq!(of_call(104), Class::Transient);
        assert_eq!(of_call(500), Class::Ambiguous);
        assert_eq!(of_call(403), Class::Target);
        assert_eq!(of_call(1202), Class::Target);
        assert_eq!(of_call(31_337), Class::Target);
        assert_eq!(of_refresh(31_337), Class::Refused);
        assert!(matches!(of_call(429), Class::Throttled { .. }));
        assert!(matches!(of_call(105), Class::ClockSkew { .. }));
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
