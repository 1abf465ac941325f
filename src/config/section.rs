//! Takes one table of the configuration apart, and tells of everything in it that cannot be read.
//!
//! The getters are in `getters.rs` and `secrets.rs`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use config::{Value, ValueKind};

use super::{
    errors::{ConfigError, Findings, Problem},
    layers::Table,
};

/// One table of the configuration. Each getter takes a key; [`Section::finish`] tells of those that are left.
///
/// A getter with a default answers with it also where the value is wrong: the finding makes the whole configuration
/// void, and the readers can go on and find more.
pub(super) struct Section<'a> {
    /// `mqtt`, `accounts.home`; empty at the root.
    path: String,
    /// None where there is no such table.
    values: Option<&'a Table>,
    /// The keys of those that were taken.
    taken: Vec<&'a str>,
    /// Keys that were asked for while there was any value left, in the order of asking and some more than once: what an
    /// unknown one may have been meant to be.
    known: Vec<String>,
    findings: &'a Findings,
}

/// No key of ours is near so long.
const LONGEST_KEY: usize = 64;

/// One value.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    /// Whether it came from the environment, where everything is a text.
    pub(super) is_from_environment: bool,
    pub(super) kind: &'a ValueKind,
}

impl<'a> Section<'a> {
    pub(super) fn root(values: &'a Table, findings: &'a Findings) -> Self {
        Self { path: String::new(), values: Some(values), taken: Vec::new(), known: Vec::new(), findings }
    }

    /// A table in this one; an empty one where there is none.
    pub(super) fn section(&mut self, key: &str) -> Section<'a> {
        let found = self.take(key);
        Self::of(self.path_of(key), found, self.findings)
    }

    /// The table that was found at `path`; an empty one where there is none.
    pub(super) fn of(path: String, found: Option<Found<'a>>, findings: &'a Findings) -> Self {
        let values = match found {
            Some(Found { kind: ValueKind::Table(values), .. }) => Some(values),
            Some(found) => {
                let mend = format!("write `[{path}]` in a line of its own and its keys below it");
                let variable = found.variable(&path);
                findings.push(ConfigError { key: path.clone(), variable, problem: found.wrong_kind("a table"), mend });
                None
            }
            None => None,
        };
        Self { path, values, taken: Vec::new(), known: Vec::new(), findings }
    }

    /// All that is left, by its names and in their order, which makes errors come the same way each time.
    pub(super) fn into_named(self) -> Vec<(&'a str, Found<'a>)> {
        let all = self.values.into_iter().flatten().map(|(name, value)| (name.as_str(), Found::of(value)));
        let mut named: Vec<_> = all.filter(|it| !self.taken.contains(&it.0)).collect();
        named.sort_unstable_by_key(|it| it.0);
        named
    }

    /// Tells what somebody found who kept findings of his own.
    pub(super) fn tell(&self, findings: Findings) {
        self.findings.append(findings);
    }

    /// The entries of the table `key`, whose names and texts are the user's choice.
    pub(super) fn named<K, V>(&mut self, key: &str, example: &str) -> Vec<(K, V)>
    where
        K: FromStr<Err: fmt::Display>,
        V: FromStr<Err: fmt::Display>,
    {
        let mut parent = self.section(key);
        let mut entries = Vec::new();
        let mut names: Vec<&str> = parent.values.into_iter().flat_map(Table::keys).map(String::as_str).collect();
        names.sort_unstable();
        for name in names {
            let value = parent.parsed(name, example);
            match (name.parse(), value) {
                (Ok(name), Some(value)) => entries.push((name, value)),
                (Ok(_), None) => {}
                (Err(error), _) => parent.report_invalid(name, K::Err::to_string(&error), "rename it"),
            }
        }
        entries
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.is_some_and(|it| it.contains_key(key)) && !self.taken.contains(&key)
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        joined(&self.path, key)
    }

    /// Takes `key` and parses it; what cannot be parsed is told, with `example` as the mend. Most leave most keys at
    /// their defaults, so what only an error says is put together when there is one.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        example: impl FnOnce() -> String,
        parse: impl FnOnce(Found<'_>) -> Result<T, Problem>,
    ) -> Option<T> {
        let found = self.take(key)?;
        let problem = match parse(found) {
            Ok(value) => return Some(value),
            Err(problem) => problem,
        };
        let path = self.path_of(key);
        let variable = found.variable(&path);
        let mend = match (&problem, &variable) {
            (Problem::UnreadableFile(_), _) => {
                "check the path (a relative one starts at the working directory), and that Latchkey's user may read it"
                    .to_owned()
            }
            (_, Some(variable)) => format!("for example `{variable}={}`", example().trim_matches('"')),
            (_, None) => format!("for example `{key} = {}`", example()),
        };
        self.findings.push(ConfigError { key: path, variable, problem, mend });
        None
    }

    /// Tells of a key whose value can be read, but does not fit to the rest. `why` must not quote a secret.
    pub(super) fn report_invalid(&self, key: &str, why: impl Into<String>, mend: impl Into<String>) {
        self.report(key, Problem::Invalid { why: why.into(), found: None }, mend);
    }

    pub(super) fn report_conflict(&self, key: &str, other: &str, mend: impl Into<String>) {
        self.report(key, Problem::Conflict { other: self.path_of(other) }, mend);
    }

    pub(super) fn report_missing(&self, key: &str, expected: &str, mend: impl Into<String>) {
        self.report(key, Problem::Missing { expected: expected.to_owned() }, mend);
    }

    /// Tells of a key that older systems had, so that it is not taken for a typo.
    pub(super) fn report_obsolete(&mut self, key: &str, why: &str, mend: &str) {
        if self.take_value(key).is_some() {
            self.report_invalid(key, why, mend);
        }
    }

    /// Tells of the table itself: its name, or its place.
    pub(super) fn report_itself(&self, why: impl Into<String>, mend: impl Into<String>) {
        let problem = Problem::Invalid { why: why.into(), found: None };
        self.findings.push(ConfigError { key: self.path.clone(), variable: None, problem, mend: mend.into() });
    }

    /// `add "key = example" to [this section]`, as a mend.
    pub(super) fn addition(&self, key: &str, example: &str) -> String {
        match self.path.as_str() {
            "" => format!("add `{key} = {example}`"),
            path => format!("add `{key} = {example}` to [{path}], or set {}", variable_of(&self.path_of(key))),
        }
    }

    /// Tells of every key that nobody asked for.
    pub(super) fn finish(mut self) {
        if !self.is_anything_left() {
            return;
        }
        let names = std::mem::take(&mut self.known);
        let mut seen = BTreeSet::new();
        let known: Vec<&str> = names.iter().map(String::as_str).filter(|it| seen.insert(*it)).collect();
        let (path, findings) = (self.path.clone(), self.findings);
        for (key, found) in self.into_named() {
            let mend = match closest(key, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("remove it; known here: {}", known.join(", ")),
            };
            let path = joined(&path, key);
            let variable = found.variable(&path);
            findings.push(ConfigError { key: path, variable, problem: Problem::UnknownKey, mend });
        }
    }

    /// Forgets the keys that are left, where it cannot be known whether they belong here.
    pub(super) fn dismiss(&mut self) {
        self.values = None;
    }

    fn take(&mut self, key: &str) -> Option<Found<'a>> {
        // Most accounts of very many have nothing but defaults from here on.
        if !self.is_anything_left() {
            return None;
        }
        self.known.push(key.to_owned());
        self.take_value(key)
    }

    fn take_value(&mut self, key: &str) -> Option<Found<'a>> {
        let (key, value) = self.values?.get_key_value(key)?;
        if self.taken.contains(&key.as_str()) {
            return None;
        }
        self.taken.push(key);
        Some(Found::of(value))
    }

    fn is_anything_left(&self) -> bool {
        self.values.is_some_and(|it| self.taken.len() < it.len())
    }

    fn report(&self, key: &str, problem: Problem, mend: impl Into<String>) {
        self.findings.push(ConfigError { key: self.path_of(key), variable: None, problem, mend: mend.into() });
    }
}

// === impl Found ===

impl<'a> Found<'a> {
    fn of(value: &'a Value) -> Self {
        // Only what came from the environment has an origin: see `layers::merge`.
        Self { is_from_environment: value.origin().is_some(), kind: &value.kind }
    }

    /// The environment variable that it came from, if it did. `path`: where it stands in the configuration.
    fn variable(self, path: &str) -> Option<String> {
        self.is_from_environment.then(|| variable_of(path))
    }

    /// A text with something in it, nothing around it, and no placeholder of the example file.
    pub(super) fn text(self) -> Result<&'a str, Problem> {
        let ValueKind::String(text) = self.kind else {
            return Err(self.wrong_kind("a text in quotes"));
        };
        let why = if text.is_empty() {
            "expected a text, found an empty one"
        } else if text.trim() != text || text.chars().any(char::is_control) {
            "expected a text without blanks around it, line breaks or control characters"
        } else if text.starts_with('<') && text.ends_with('>') {
            "this is still the placeholder of the example file"
        } else {
            return Ok(text);
        };
        Err(Problem::Invalid { why: why.to_owned(), found: None })
    }

    /// The kinds, never the value.
    pub(super) fn wrong_kind(self, expected: &str) -> Problem {
        let found = match self.kind {
            ValueKind::Nil => "nothing",
            ValueKind::Boolean(_) => "true or false",
            ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
            ValueKind::Float(_) => "a number with a fraction",
            ValueKind::String(_) => "a text",
            ValueKind::Table(_) => "a table",
            ValueKind::Array(_) => "a list",
        };
        Problem::WrongKind { expected: expected.to_owned(), found }
    }
}

/// The path of a key in the table at `path`.
fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { [path, ".", key].concat() }
}

/// The environment variable that sets the key at `path`.
fn variable_of(path: &str) -> String {
    format!("LATCHKEY__{}", path.replace('.', "__").to_uppercase())
}

/// The known key that differs from `key` by few letters, if there is one.
fn closest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    // Comparing takes time and room by the length, and what is so long is no typo.
    if LONGEST_KEY < key.len() {
        return None;
    }
    let key = key.to_lowercase().replace('-', "_");
    let distance_limit = (key.len() / 3).clamp(1, 3);
    let distances = known.iter().map(|it| (strsim::damerau_levenshtein(&key, it), *it));
    distances.filter(|it| it.0 <= distance_limit).min_by_key(|it| it.0).map(|it| it.1)
}
