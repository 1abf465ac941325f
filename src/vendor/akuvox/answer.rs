//! What SmartPlus answers, in every shape that was seen (protocol/akuvox.md §2 and §3).

use serde::Deserialize;
use serde_json::Value;

use crate::{
    account::{Class, Code, Extras, FreshTokens, SecretDocument},
    vendor::{
        Answer, SignInKind, VendorError,
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
    granted(answer, Class::Refused, Code::RefreshRefused)
}

/// Reads the answer to `sms_login` or `login`. What it may be refused for is known: whoever signs in got it wrong.
pub(super) fn login(answer: &Answer, by: SignInKind) -> Result<FreshTokens, VendorError> {
    let refusal = match by {
        SignInKind::Code => Code::WrongCode,
        SignInKind::Password => Code::LoginRefused,
    };
    granted(answer, Class::Target, refusal)
}

/// Reads the answer to `servers_list`, which may bring a token, or a pair, or nothing of the kind (§3.5).
pub(super) fn check_in(answer: &Answer) -> Result<FreshTokens, VendorError> {
    let tokens = tokens(answer, Class::AccessRejected, Code::AccessRejected)?;
    tokens.map_or(Ok(FreshTokens::default()), |it| fresh(&it))
}

/// Reads the answer to a call that carries an access token and nothing else to be wrong: a refusal is about the token.
pub(super) fn accepted(answer: &Answer) -> Result<(), VendorError> {
    done(answer, Class::AccessRejected, Code::AccessRejected)
}

/// Reads the answer to a call that gives nothing back. `class` and `code`: what a refusal of it means.
///
/// The newest apps are told by `code` that all went well (§3.8); other values of it may be anybody's.
pub(super) fn done(answer: &Answer, class: Class, code: Code) -> Result<(), VendorError> {
    let envelope = Envelope::read(answer)?;
    match envelope.verdict() {
        Verdict::Yes => Ok(()),
        Verdict::No(vendor_code) => Err(VendorError::new(class, code).with_vendor_code(&vendor_code)),
        Verdict::None if integer(&envelope.code) == Some(0) => Ok(()),
        Verdict::None => Err(envelope.not_ours(answer)),
    }
}

/// Reads an answer that must bring tokens.
fn granted(answer: &Answer, class: Class, code: Code) -> Result<FreshTokens, VendorError> {
    let unreadable = || VendorError::new(Class::Protocol, Code::UnreadableAnswer);
    let tokens = tokens(answer, class, code)?.ok_or_else(unreadable)?;
    let fresh = fresh(&tokens)?;
    if fresh.access.is_none() && fresh.refresh.is_none() { Err(unreadable()) } else { Ok(fresh) }
}

/// The object that tokens stand in, of an answer that is no refusal; none where there is no such object.
fn tokens(answer: &Answer, class: Class, code: Code) -> Result<Option<SecretDocument>, VendorError> {
    let envelope = Envelope::read(answer)?;
    let verdict = envelope.verdict();
    if let Verdict::No(vendor_code) = &verdict {
        return Err(VendorError::new(class, code).with_vendor_code(vendor_code));
    }
    let mut body: Value = serde_json::from_str(answer.body.expose()).map_err(|_| answer.unusable())?;
    let key = ["datas", "data", "result"].into_iter().find(|key| body.get(*key).is_some_and(Value::is_object));
    match (key, verdict) {
        (None, Verdict::None) => Err(envelope.not_ours(answer)),
        (key, _) => Ok(key.map(|it| SecretDocument::new(body[it].take()))),
    }
}

/// Reads the tokens of an object; what is not there is absent, what is there and no token makes all of it unreadable.
fn fresh(tokens: &Value) -> Result<FreshTokens, VendorError> {
    let access = TokenField::read(tokens, "token");
    let refresh = TokenField::read(tokens, "refresh_token");
    if [&access, &refresh].contains(&&TokenField::Unreadable) {
        return Err(VendorError::new(Class::Protocol, Code::UnreadableAnswer));
    }
    Ok(FreshTokens {
        access: access.token(),
        refresh: refresh.token(),
        access_lifetime: lifetime(tokens.get("token_valid")),
        refresh_outlives_access: None,
        extras: Extras { auth_token: TokenField::read(tokens, "auth_token").token(), open_id: None },
    })
}

/// What of an answer holds the verdict. Nothing else of it is looked at: some answers are full of passwords.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    err_code: Value,
    result: Value,
    code: Value,
    error_msg: Value,
}

impl Envelope {
    fn read(answer: &Answer) -> Result<Self, VendorError> {
        let body = answer.body.expose();
        // A list would be taken for an object without its keys.
        let is_object = body.trim_start().starts_with('{');
        serde_json::from_str(body).ok().filter(|_| is_object).ok_or_else(|| answer.unusable())
    }

    /// An answer without a verdict. One shape is known: what asks for fewer calls has nothing but `error_msg` (§2).
    fn not_ours(&self, answer: &Answer) -> VendorError {
        if self.error_msg.is_string() {
            return VendorError::new(Class::Throttled { retry_after: answer.retry_after }, Code::Throttled);
        }
        answer.unusable()
    }

    fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::None;
        for value in [&self.err_code, &self.result].into_iter().filter(|it| !it.is_object() && !it.is_null()) {
            match integer(value) {
                Some(0) => verdict = Verdict::Yes,
                Some(code) => return Verdict::No(code.to_string()),
                None => return Verdict::No(value.as_str().unwrap_or_default().to_owned()),
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::account::Secret;

    use super::*;

    fn read(body: &str) -> Result<FreshTokens, VendorError> {
        refresh(&Answer::of(Secret::new(body)))
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
        assert_eq!(class(r#"{"error_msg":"Requesting too frequently"}"#), Class::Throttled { retry_after: None });
        assert_eq!(class("[]"), Class::Ambiguous);
    }
}
