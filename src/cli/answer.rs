//! What a command ends with: the data of a reply, or why nothing was done; and how it is told to people and to scripts.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    config::ConfigErrors,
    keeper::{CommandError, Reply},
    service::StartError,
    store::{BackupError, StoreError},
};

use super::USAGE;

/// The `data` of a reply, whoever gave it: a keeper of our own, or the running service.
pub(super) type Answer = Result<Value, Trouble>;

/// The `error` of a reply, in the same form whether the keeper, the service or the command line itself found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(super) struct Trouble {
    pub(super) code: String,
    pub(super) message: String,
    #[serde(default)]
    pub(super) hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<u64>,
}

/// Codes by which the caller is told that the command itself was not right.
const USAGE_CODES: [&str; 15] = [
    "usage",
    "configuration",
    "not_utf8",
    "not_json",
    "wrong_type",
    "unknown_field",
    "missing_field",
    "forbidden_character",
    "too_large",
    "unknown_account",
    "unknown_scene",
    "unknown_door",
    "not_supported",
    "doors_off",
    "login_not_set",
];

impl Trouble {
    pub(super) fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: hint.into(), retry_after: None }
    }

    /// The caller asked for what cannot be.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new("usage", message, hint)
    }

    /// A file or a terminal that does not do what it should.
    pub(super) fn io(doing: &str, error: &io::Error) -> Self {
        Self::new("io", format!("cannot {doing}: {error}"), "Check the path, and that this user may do that.")
    }

    fn exit_code(&self) -> ExitCode {
        if USAGE_CODES.contains(&self.code.as_str()) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    }

    /// What happened, and the mend.
    fn sentence(&self) -> String {
        if self.hint.is_empty() { self.message.clone() } else { format!("{}. {}", self.message, self.hint) }
    }
}

impl From<CommandError> for Trouble {
    fn from(error: CommandError) -> Self {
        let CommandError { code, message, hint, retry_after } = error;
        Self { code: code.to_string(), message, hint, retry_after }
    }
}

impl From<ConfigErrors> for Trouble {
    fn from(errors: ConfigErrors) -> Self {
        Self::new("configuration", errors.to_string(), "")
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::new("store", error.to_string(), error.mend())
    }
}

impl From<BackupError> for Trouble {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            other => Self::new("backup", other.to_string(), other.mend()),
        }
    }
}

impl From<StartError> for Trouble {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            other => Self::new("start", other.to_string(), ""),
        }
    }
}

/// A reply of the keeper as the service would have sent it.
pub(super) fn answer_of(reply: Reply) -> Answer {
    let data = reply?;
    serde_json::to_value(data).map_err(|error| Trouble::new("internal", error.to_string(), ""))
}

/// Prints an answer, and gives the exit code that goes with it. `words`: what people read of the data.
pub(super) fn tell(answer: &Answer, as_json: bool, words: impl FnOnce(&Value) -> String) -> ExitCode {
    // Nobody to tell it to is no failure of what was done.
    let _ = match answer {
        _ if as_json => writeln!(io::stdout(), "{}", document(answer)),
        Ok(data) => writeln!(io::stdout(), "{}", words(data).trim_end()),
        Err(trouble) => writeln!(io::stderr(), "latchkey: {}", trouble.sentence()),
    };
    answer.as_ref().map_or_else(Trouble::exit_code, |_| ExitCode::SUCCESS)
}

/// The reply document, as by MQTT and HTTP.
fn document(answer: &Answer) -> Value {
    match answer {
        Ok(data) => json!({ "status": "ok", "data": data }),
        Err(trouble) => json!({ "status": "error", "error": trouble }),
    }
}

/// A text of a reply's data, empty where it has none.
pub(super) fn text<'a>(data: &'a Value, key: &str) -> &'a str {
    data[key].as_str().unwrap_or_default()
}
