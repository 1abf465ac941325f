//! What is wrong with a configuration: everything at once, and never a secret.

use std::{cell::RefCell, fmt, io};

/// Everything that is wrong with a configuration. Its `Display` is the whole list, made to be read by a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

/// One thing that is wrong, and how to mend it. It never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the key, `mqtt.port`; the path of the file, where the file itself cannot be read.
    pub key: String,
    /// The environment variable which the value came from, if it did.
    pub variable: Option<String>,
    pub problem: Problem,
    /// What the user can do about it.
    pub mend: String,
}

/// What can be wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("this key is not known")]
    UnknownKey,
    #[error("it is missing; expected {expected}")]
    Missing { expected: String },
    #[error("expected {expected}, found {found}")]
    WrongKind { expected: String, found: &'static str },
    /// The kind is right and the value is not. `found` quotes it where it may be shown.
    #[error("{why}{}", found.as_deref().map(|it| format!(", found \"{it}\"")).unwrap_or_default())]
    Invalid { why: String, found: Option<String> },
    #[error("it is given together with `{other}`")]
    Conflict { other: String },
    /// The file named by the value, or the configuration file itself. The path is not told: people paste a secret where
    /// the name of its file belongs.
    #[error("the file cannot be read: {}", describe_io(*.0))]
    UnreadableFile(io::ErrorKind),
    #[error("this is not valid TOML: {0}")]
    Syntax(String),
}

/// Where the readers put what they find, so that a user hears of everything at once.
#[derive(Default)]
pub(super) struct Findings(RefCell<Vec<ConfigError>>);

impl ConfigErrors {
    /// The errors, in the order in which the sections are read.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "The configuration has one problem:")?,
            n_errors => write!(f, "The configuration has {n_errors} problems:")?,
        }
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl ConfigError {
    /// The key, and the environment variable where the value came from one.
    pub fn place(&self) -> String {
        match &self.variable {
            Some(variable) => format!("{} (from {})", shown(&self.key), shown(variable)),
            None => shown(&self.key),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n      mend: {}", self.place(), shown(&self.problem.to_string()), shown(&self.mend))
    }
}

/// A text with what a terminal would obey instead of showing it told by its number: keys may be anything.
pub(super) fn shown(text: &str) -> String {
    let obeyed = |it: char| {
        it.is_control()
            || matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|it| if obeyed(it) { it.escape_unicode().to_string() } else { it.to_string() }).collect()
}

// === impl Findings ===

impl Findings {
    pub(super) fn push(&self, error: ConfigError) {
        self.0.borrow_mut().push(error);
    }

    /// Takes in what was found elsewhere, behind what was found here.
    pub(super) fn append(&self, found: Self) {
        self.0.borrow_mut().extend(found.0.into_inner());
    }

    /// The value if nothing was found, else everything that was.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        let errors = self.0.into_inner();
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ => Err(ConfigErrors(errors)),
        }
    }
}

fn describe_io(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::InvalidData => "it is not text".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        kind => kind.to_string(),
    }
}
