//! Payloads of commands: parsed once, into a command that can be carried out or into an error with its mend.

use serde_json::{Map, Value};

use crate::{
    account::{AccountId, Code, Proposal, ProposedTokens, Secret},
    keeper::{Command, CommandError},
};

use super::topics::Verb;

/// The longest payload of a command, in bytes.
pub const LONGEST_PAYLOAD: usize = 64 * 1024;

/// A command that arrived, whatever it is worth.
#[derive(Debug)]
pub struct Request {
    pub verb: Verb,
    /// To be echoed in the reply, where it could be read.
    pub transaction: Option<Value>,
    pub command: Result<Command, CommandError>,
}

/// What the topic of a command says.
#[derive(Clone, Debug)]
pub enum Target {
    /// Nothing: the payload names the account.
    Bridge,
    Account(AccountId),
    /// The account and the scene.
    Scene(AccountId, String),
}

impl Request {
    /// Reads a payload. Errors name the payload by what is wrong with it, and never quote it.
    pub fn parse(verb: Verb, target: Target, payload: &[u8]) -> Self {
        let failed = |code| Self { verb, transaction: None, command: Err(CommandError::new(code, verb.as_str())) };
        if LONGEST_PAYLOAD < payload.len() {
            return failed(Code::TooLarge);
        }
        let Ok(text) = std::str::from_utf8(payload) else {
            return failed(Code::NotUtf8);
        };
        let mut fields = match fields(verb, &target, text) {
            Ok(fields) => fields,
            Err(code) => return failed(code),
        };
        let transaction = fields.remove("transaction");
        let command = command(verb, target, Fields { verb, values: fields });
        Self { verb, transaction, command }
    }
}

/// The payload as an object: a bare value is put under the one field that it can be meant for.
fn fields(verb: Verb, target: &Target, text: &str) -> Result<Map<String, Value>, Code> {
    if let Target::Scene(..) = target {
        // The scene's own topic says it all; Home Assistant sends its payload_on there.
        return if text.trim_start().starts_with('{') { parse_object(text) } else { Ok(Map::new()) };
    }
    let bare_field = match (verb, target) {
        (Verb::TriggerScene, Target::Account(_)) => "scene",
        (Verb::RefreshTokens | Verb::Status, Target::Bridge) => "entry_id",
        _ => return parse_object(text),
    };
    let value = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(Value::String(bare)) => bare,
        Ok(_) => return Err(Code::WrongType),
        Err(_) if text.trim_start().starts_with(['{', '[', '"']) => return Err(Code::NotJson),
        Err(_) => text.trim().to_owned(),
    };
    Ok(Map::from_iter([(bare_field.to_owned(), Value::String(value))]))
}

fn parse_object(text: &str) -> Result<Map<String, Value>, Code> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) | Err(_) => Err(Code::NotJson),
    }
}

fn command(verb: Verb, target: Target, mut fields: Fields) -> Result<Command, CommandError> {
    let entry_id = fields.entry_id(&target)?;
    let command = match verb {
        Verb::UpdateTokens => Command::UpdateTokens { entry_id, proposal: fields.proposal()? },
        Verb::RefreshTokens => Command::RefreshTokens { entry_id },
        Verb::Status => Command::Status { entry_id },
        Verb::TriggerScene => {
            let scene = match target {
                Target::Scene(_, scene) => scene,
                Target::Bridge | Target::Account(_) => {
                    fields.text("scene")?.ok_or_else(|| fields.error(Code::MissingField).because("scene"))?
                }
            };
            Command::TriggerScene { entry_id, scene }
        }
    };
    fields.finish()?;
    Ok(command)
}

struct Fields {
    verb: Verb,
    values: Map<String, Value>,
}

impl Fields {
    fn entry_id(&mut self, target: &Target) -> Result<AccountId, CommandError> {
        let given = self.text("entry_id")?;
        match target {
            Target::Account(account) | Target::Scene(account, _) => match given {
                Some(given) if given != account.as_str() => {
                    Err(self.error(Code::UnknownAccount).because("entry_id differs from the account in the topic"))
                }
                _ => Ok(account.clone()),
            },
            Target::Bridge => {
                let given = given.ok_or_else(|| self.error(Code::MissingField).because("entry_id"))?;
                given.parse().map_err(|why| self.error(Code::UnknownAccount).because(why))
            }
        }
    }

    fn proposal(&mut self) -> Result<Proposal, CommandError> {
        let tokens = match (self.token("token")?, self.token("refresh_token")?) {
            (Some(access), Some(refresh)) => ProposedTokens::Both { access, refresh },
            (Some(access), None) => ProposedTokens::Access(access),
            (None, Some(refresh)) => ProposedTokens::Refresh(refresh),
            (None, None) => return Err(self.error(Code::MissingField).because("token, refresh_token")),
        };
        let auth_token = self.token("auth_token")?;
        let issued_at = match self.text("issued_at")? {
            Some(text) => {
                let wrong = || self.error(Code::WrongType).because("issued_at is a time such as 2026-11-22T10:00:00Z");
                Some(text.parse().map_err(|_| wrong())?)
            }
            None => None,
        };
        let prove = match self.values.remove("prove") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(prove)) => prove,
            Some(_) => return Err(self.error(Code::WrongType).because("prove is true or false")),
        };
        Ok(Proposal { tokens, auth_token, issued_at, prove })
    }

    /// A text field; absent where it is missing, null or empty, as scripts leave what they were not given.
    fn text(&mut self, key: &'static str) -> Result<Option<String>, CommandError> {
        match self.values.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(Code::WrongType).because(key)),
        }
    }

    fn token(&mut self, key: &'static str) -> Result<Option<Secret>, CommandError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        // It goes into a header, where anything else cannot go.
        if text.bytes().all(|it| it.is_ascii_graphic()) {
            Ok(Some(Secret::new(text)))
        } else {
            Err(self.error(Code::ForbiddenCharacter).because(key))
        }
    }

    fn finish(self) -> Result<(), CommandError> {
        match self.values.keys().next() {
            // A name of a field is shown only if it looks like one: it may be a token in the wrong place.
            Some(key) if key.len() <= 24 && key.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') => {
                Err(self.error(Code::UnknownField).because(key))
            }
            Some(_) => Err(self.error(Code::UnknownField)),
            None => Ok(()),
        }
    }

    fn error(&self, code: Code) -> CommandError {
        CommandError::new(code, self.verb.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front() -> AccountId {
        "front".parse().unwrap()
    }

    fn parse(verb: Verb, target: Target, payload: &str) -> Request {
        Request::parse(verb, target, payload.as_bytes())
    }

    fn code(verb: Verb, target: Target, payload: &[u8]) -> Code {
        Request::parse(verb, target, payload).command.unwrap_err().code
    }

    #[test]
    fn a_bare_value_is_taken_where_one_value_is_meant() {
        for payload in ["tv_pin_entry", r#""tv_pin_entry""#, r#"{"scene":"tv_pin_entry"}"#] {
            let request = parse(Verb::TriggerScene, Target::Account(front()), payload);
            let Ok(Command::TriggerScene { entry_id, scene }) = request.command else { panic!("{payload}") };
            assert_eq!((entry_id, scene.as_str()), (front(), "tv_pin_entry"));
        }
        let request = parse(Verb::RefreshTokens, Target::Bridge, "front");
        assert!(matches!(request.command, Ok(Command::RefreshTokens { entry_id }) if entry_id == front()));
        let request = parse(Verb::TriggerScene, Target::Scene(front(), "tv_warning".into()), "ON");
        assert!(matches!(request.command, Ok(Command::TriggerScene { scene, .. }) if scene == "tv_warning"));
    }

    #[test]
    fn a_transaction_is_echoed_even_when_the_command_is_wrong() {
        let request = parse(Verb::RefreshTokens, Target::Account(front()), r#"{"transaction":7,"bogus":1}"#);
        assert_eq!(request.transaction, Some(Value::from(7)));
        assert_eq!(request.command.unwrap_err().code, Code::UnknownField);
    }

    #[test]
    fn an_update_takes_either_token_or_both() {
        let tokens = |payload: &str| match parse(Verb::UpdateTokens, Target::Account(front()), payload).command {
            Ok(Command::UpdateTokens { proposal, .. }) => Ok(proposal),
            Ok(_) => unreachable!(),
            Err(error) => Err(error.code),
        };
        assert!(matches!(tokens(r#"{"token":"A"}"#).unwrap().tokens, ProposedTokens::Access(_)));
        assert!(matches!(tokens(r#"{"refresh_token":"R","token":""}"#).unwrap().tokens, ProposedTokens::Refresh(_)));
        let both = tokens(r#"{"token":"A","refresh_token":"R","prove":false,"issued_at":"2026-11-22T10:00:00Z"}"#);
        let both = both.unwrap();
        assert!(matches!(both.tokens, ProposedTokens::Both { .. }));
        assert!(!both.prove && both.issued_at.is_some());
        assert_eq!(tokens("{}"), Err(Code::MissingField));
        assert_eq!(tokens(r#"{"token":5}"#), Err(Code::WrongType));
        assert_eq!(tokens(r#"{"token":"A\nB"}"#), Err(Code::ForbiddenCharacter));
        assert_eq!(tokens(r#"{"token":"A\u0000"}"#), Err(Code::ForbiddenCharacter));
        assert_eq!(tokens(r#"{"token":"A","refresh":"R"}"#), Err(Code::UnknownField));
    }

    #[test]
    fn bad_payloads_have_codes_and_are_not_quoted() {
        let account = || Target::Account(front());
        assert_eq!(code(Verb::RefreshTokens, account(), &[0xff]), Code::NotUtf8);
        assert_eq!(code(Verb::RefreshTokens, account(), b"now"), Code::NotJson);
        assert_eq!(code(Verb::RefreshTokens, account(), b"[]"), Code::NotJson);
        assert_eq!(code(Verb::UpdateTokens, account(), &vec![b' '; LONGEST_PAYLOAD + 1]), Code::TooLarge);
        assert_eq!(code(Verb::Status, Target::Bridge, b"{}"), Code::MissingField);
        assert_eq!(code(Verb::Status, Target::Bridge, b"No Such"), Code::UnknownAccount);
        let canary = "canarytokencanarytoken";
        for payload in [format!("{{\"{canary}!\":1}}"), format!("{{\"token\":\"{canary}\\n\"}}"), canary.to_owned()] {
            let error = parse(Verb::UpdateTokens, account(), &payload).command.unwrap_err();
            assert!(!format!("{error:?}").contains(canary));
        }
    }
}
