//! Payloads of commands: parsed once, into a command that can be carried out or into an error with its mend.

use serde::de::IgnoredAny;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    account::{AccountId, Code, Credential, Proposal, ProposedTokens, Secret},
    keeper::{Command, CommandError},
};

use super::{payload::Payload, topics::Verb};

/// The longest payload of a command, in bytes.
pub const LONGEST_PAYLOAD: usize = 64 * 1024;

/// A command that arrived, whatever it is worth.
#[derive(Debug)]
pub struct Request {
    pub verb: Verb,
    /// To be echoed in the reply, where it could be read. As text: as a tree it may weigh ten times as much.
    pub transaction: Option<Box<RawValue>>,
    pub command: Result<Command, CommandError>,
}

/// What the topic of a command says.
#[derive(Clone, Debug)]
pub enum Target {
    /// Nothing: the payload names the account.
    Bridge,
    Account(AccountId),
    /// The account, and the scene or door that the command is for.
    Thing(AccountId, String),
}

/// The longest login code, in bytes.
const LONGEST_CODE: usize = 32;

/// The fields of a command's JSON, beside those that every command may have: `entry_id` and `transaction`.
pub fn fields_of(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::UpdateTokens => &["token", "refresh_token", "auth_token", "issued_at", "prove"],
        Verb::TriggerScene => &["scene"],
        Verb::OpenDoor => &["door"],
        Verb::Login => &["code", "password", "keep"],
        Verb::RefreshTokens | Verb::ListScenes | Verb::RequestLoginCode | Verb::Status => &[],
    }
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
        let Payload { transaction, fields } = match payload_of(verb, &target, text) {
            Ok(payload) => payload,
            Err(code) => return failed(code),
        };
        let fields = Fields::new(verb, &target, fields);
        Self { verb, transaction, command: command(verb, target, fields) }
    }
}

/// The payload as an object: a bare value is put under the one field that it can be meant for.
fn payload_of(verb: Verb, target: &Target, text: &str) -> Result<Payload, Code> {
    let first = text.trim_start().chars().next();
    if let Target::Thing(..) = target {
        // Its own topic says it all; Home Assistant sends what its entities are told to send there.
        return if first == Some('{') { Payload::parse(text) } else { Ok(Payload::default()) };
    }
    let Some(bare_field) = bare_field(verb, target) else { return Payload::parse(text) };
    let bare = match first {
        Some('{') => return Payload::parse(text),
        Some('[') => {
            let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
            return Err(if is_json { Code::WrongType } else { Code::NotJson });
        }
        Some('"') => serde_json::from_str(text).map_err(|_| Code::NotJson)?,
        // As it stands: digits are a text too, and a code keeps its leading zeros.
        _ => text.trim().to_owned(),
    };
    let fields = Map::from_iter([(bare_field.to_owned(), Value::String(bare))]);
    Ok(Payload { transaction: None, fields })
}

/// The field that a value alone is for, where there is one.
fn bare_field(verb: Verb, target: &Target) -> Option<&'static str> {
    match (verb, target) {
        (Verb::TriggerScene, Target::Account(_)) => Some("scene"),
        (Verb::OpenDoor, Target::Account(_)) => Some("door"),
        (Verb::Login, Target::Account(_)) => Some("code"),
        (Verb::RefreshTokens | Verb::ListScenes | Verb::RequestLoginCode | Verb::Status, Target::Bridge) => {
            Some("entry_id")
        }
        _ => None,
    }
}

fn command(verb: Verb, target: Target, mut fields: Fields) -> Result<Command, CommandError> {
    let entry_id = fields.entry_id(&target)?;
    let command = match verb {
        Verb::UpdateTokens => Command::UpdateTokens { entry_id, proposal: fields.proposal()? },
        Verb::RefreshTokens => Command::RefreshTokens { entry_id },
        Verb::Status => Command::Status { entry_id },
        Verb::ListScenes => Command::ListScenes { entry_id },
        Verb::RequestLoginCode => Command::RequestLoginCode { entry_id },
        Verb::TriggerScene => Command::TriggerScene { entry_id, scene: fields.thing("scene", target)? },
        Verb::OpenDoor => Command::OpenDoor { entry_id, door: fields.thing("door", target)? },
        Verb::Login => Command::Login { entry_id, credential: fields.credential()? },
    };
    fields.finish()?;
    Ok(command)
}

struct Fields {
    verb: Verb,
    values: Map<String, Value>,
    /// What the command does not know.
    others: Map<String, Value>,
}

impl Fields {
    /// A topic of its own says which scene or door is meant, so none may be named beside it.
    fn new(verb: Verb, target: &Target, fields: Map<String, Value>) -> Self {
        let own = if matches!(target, Target::Thing(..)) { &[] } else { fields_of(verb) };
        let is_known = |key: &str| key == "entry_id" || own.contains(&key);
        let (values, others) = fields.into_iter().partition(|it| is_known(&it.0));
        Self { verb, values, others }
    }

    fn entry_id(&mut self, target: &Target) -> Result<AccountId, CommandError> {
        let given = self.text("entry_id")?;
        match target {
            Target::Account(account) | Target::Thing(account, _) => match given {
                Some(given) if given != account.as_str() => {
                    Err(self.error(Code::UnknownAccount).because("entry_id differs from the account in the topic"))
                }
                _ => Ok(account.clone()),
            },
            Target::Bridge => {
                let given = given.ok_or_else(|| self.missing("entry_id", "Name the account by its entry_id."))?;
                given.parse().map_err(|why| self.error(Code::UnknownAccount).because(why))
            }
        }
    }

    fn proposal(&mut self) -> Result<Proposal, CommandError> {
        let tokens = match (self.token("token")?, self.token("refresh_token")?) {
            (Some(access), Some(refresh)) => ProposedTokens::Both { access, refresh },
            (Some(access), None) => ProposedTokens::Access(access),
            (None, Some(refresh)) => ProposedTokens::Refresh(refresh),
            (None, None) => {
                let mend = "update_tokens needs token or refresh_token or both.";
                return Err(self.missing("token, refresh_token", mend));
            }
        };
        let auth_token = self.token("auth_token")?;
        let issued_at = match self.text("issued_at")? {
            Some(text) => {
                let wrong = || self.error(Code::WrongType).because("issued_at is a time such as 2026-11-22T10:00:00Z");
                Some(text.parse().map_err(|_| wrong())?)
            }
            None => None,
        };
        let prove = self.flag("prove")?.unwrap_or(true);
        Ok(Proposal { tokens, auth_token, issued_at, prove })
    }

    /// The scene or door that is meant: by the topic, else by the payload.
    fn thing(&mut self, key: &'static str, target: Target) -> Result<String, CommandError> {
        match target {
            Target::Thing(_, thing) => Ok(thing),
            Target::Bridge | Target::Account(_) => {
                self.text(key)?.ok_or_else(|| self.missing(key, "Say which one, by its key, its id or its name."))
            }
        }
    }

    fn credential(&mut self) -> Result<Credential, CommandError> {
        if self.values.get("code").is_some_and(Value::is_number) {
            let hint = "Give the code as a text, in quotes: a number loses its leading zeros.".to_owned();
            return Err(CommandError { hint, ..self.error(Code::WrongType).because("code") });
        }
        let (code, password) = (self.text("code")?, self.text("password")?);
        let keep = self.flag("keep")?;
        match (code, password) {
            (Some(code), None) if keep.is_none() => {
                // It is pasted, and blanks come along.
                let code = code.trim();
                let is_code = (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|it| it.is_ascii_graphic());
                let hint = "A code is 1 to 32 letters, digits and signs, without blanks.".to_owned();
                let wrong = || CommandError { hint, ..self.error(Code::ForbiddenCharacter).because("code") };
                is_code.then(|| Credential::Code(Secret::new(code))).ok_or_else(wrong)
            }
            (Some(_), _) => {
                let hint = "Give code alone, or password with keep.".to_owned();
                Err(CommandError { hint, ..self.error(Code::UnknownField).because("beside code") })
            }
            (None, Some(password)) if password.chars().any(char::is_control) => {
                Err(self.error(Code::ForbiddenCharacter).because("password"))
            }
            (None, Some(password)) => {
                Ok(Credential::Password { password: Secret::new(password), keep: keep.unwrap_or(false) })
            }
            (None, None) => Err(self.missing("code, password", "login needs the code that was sent, or a password.")),
        }
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, CommandError> {
        match self.values.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.error(Code::WrongType).because(format!("{key} is true or false"))),
        }
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
        match self.others.keys().next() {
            // A name of a field is shown only if it looks like one: it may be a token in the wrong place.
            Some(key) if key.len() <= 24 && key.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') => {
                Err(self.error(Code::UnknownField).because(key))
            }
            Some(_) => Err(self.error(Code::UnknownField)),
            None => Ok(()),
        }
    }

    fn missing(&self, what: &str, mend: &str) -> CommandError {
        CommandError { hint: mend.to_owned(), ..self.error(Code::MissingField).because(what) }
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
        let request = parse(Verb::TriggerScene, Target::Thing(front(), "tv_warning".into()), "ON");
        assert!(matches!(request.command, Ok(Command::TriggerScene { scene, .. }) if scene == "tv_warning"));
    }

    #[test]
    fn a_door_is_named_by_the_payload_or_by_its_own_topic() {
        let door = |target, payload| match parse(Verb::OpenDoor, target, payload).command {
            Ok(Command::OpenDoor { entry_id, door }) if entry_id == front() => Ok(door),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.code),
        };
        for payload in ["1", r#""1""#, r#"{"door":"1"}"#] {
            assert_eq!(door(Target::Account(front()), payload), Ok("1".to_owned()), "{payload}");
        }
        assert_eq!(door(Target::Bridge, r#"{"entry_id":"front","door":"Gate"}"#), Ok("Gate".to_owned()));
        assert_eq!(door(Target::Thing(front(), "gate_0".into()), "PRESS"), Ok("gate_0".to_owned()));
        assert_eq!(door(Target::Account(front()), "{}"), Err(Code::MissingField));
        assert_eq!(door(Target::Account(front()), r#"{"door":1}"#), Err(Code::WrongType));
        let both = door(Target::Thing(front(), "gate_0".into()), r#"{"door":"other"}"#);
        assert_eq!(both, Err(Code::UnknownField));
    }

    #[test]
    fn a_login_takes_a_code_with_its_leading_zeros_or_a_password() {
        let login = |target, payload: &str| match parse(Verb::Login, target, payload).command {
            Ok(Command::Login { entry_id, credential }) if entry_id == front() => Ok(credential),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.code),
        };
        let account = |payload: &str| login(Target::Account(front()), payload);
        for payload in
            ["012345", " 012345\n", r#""012345""#, r#"{"code":"012345"}"#, r#"{"code":"012345","password":""}"#]
        {
            assert_eq!(account(payload), Ok(Credential::Code(Secret::new("012345"))), "{payload}");
        }
        let bridge = login(Target::Bridge, r#"{"entry_id":"front","code":"Ab-1"}"#);
        assert_eq!(bridge, Ok(Credential::Code(Secret::new("Ab-1"))));
        let password = |keep| Ok(Credential::Password { password: Secret::new("på ss"), keep });
        assert_eq!(account(r#"{"password":"på ss"}"#), password(false));
        assert_eq!(account(r#"{"password":"på ss","keep":true}"#), password(true));

        assert_eq!(account(r#"{"code":123456}"#), Err(Code::WrongType));
        assert_eq!(account(r#"{"password":5}"#), Err(Code::WrongType));
        assert_eq!(account(r#"{"password":"p","keep":"yes"}"#), Err(Code::WrongType));
        assert_eq!(account(r#"{"code":"1","password":"p"}"#), Err(Code::UnknownField));
        assert_eq!(account(r#"{"code":"1","keep":true}"#), Err(Code::UnknownField));
        assert_eq!(account(r#"{"password":"p\u0000"}"#), Err(Code::ForbiddenCharacter));
        for payload in ["{}", r#""""#, " ", r#"{"code":""}"#, r#"{"keep":true}"#] {
            assert_eq!(account(payload), Err(Code::MissingField), "{payload}");
        }
        assert_eq!(account(&"1".repeat(LONGEST_CODE)).map(|_| ()), Ok(()));
        for payload in ["123 456", "12\u{7f}", "kod-å", &"1".repeat(LONGEST_CODE + 1)] {
            assert_eq!(account(payload), Err(Code::ForbiddenCharacter), "{payload}");
        }
        assert_eq!(login(Target::Bridge, "123456"), Err(Code::NotJson));
    }

    #[test]
    fn a_code_that_is_a_number_is_refused_with_its_mend() {
        let error = parse(Verb::Login, Target::Account(front()), r#"{"code":123456}"#).command.unwrap_err();
        assert!(error.hint.contains("quotes") && !format!("{error:?}").contains("123456"), "{error:?}");
    }

    #[test]
    fn what_needs_no_argument_takes_a_bare_account_on_the_bridge_topic() {
        for (verb, is_meant) in [
            (Verb::ListScenes, (|it| matches!(it, Command::ListScenes { .. })) as fn(&Command) -> bool),
            (Verb::RequestLoginCode, |it| matches!(it, Command::RequestLoginCode { .. })),
        ] {
            for (target, payload) in [(Target::Bridge, "front"), (Target::Account(front()), "{}")] {
                let command = parse(verb, target, payload).command.unwrap();
                assert!(is_meant(&command) && *command.entry_id() == front(), "{command:?}");
            }
        }
    }

    #[test]
    fn a_transaction_is_echoed_even_when_the_command_is_wrong() {
        let request = parse(Verb::RefreshTokens, Target::Account(front()), r#"{"transaction":7,"bogus":1}"#);
        assert_eq!(request.transaction.unwrap().get(), "7");
        let transaction = r#"{"a": [1, -2.5, "\u00e5", null, true], "b": {}}"#;
        let payload = format!("{{\"transaction\": {transaction}}}");
        let long = parse(Verb::RefreshTokens, Target::Account(front()), &payload);
        assert_eq!(long.transaction.unwrap().get(), transaction);
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
