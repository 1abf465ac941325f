//! Reads the values of a [`Section`] into types.

use std::{fmt, fs::File, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use config::ValueKind;
use humantime::{format_duration, parse_duration};

use super::{errors::Problem, section::Section};

/// A value that is shown in an error is no longer than this.
const QUOTE_LIMIT: usize = 24;

impl Section<'_> {
    /// A text that is a `T`; `example` is such a text. The error of `T` says what is expected and never quotes.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str, example: &str) -> Option<T> {
        self.parsed_by(key, example, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A text that `parse` accepts, or else its reason why not, which never quotes.
    pub(super) fn parsed_by<T>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read(
            key,
            || format!("\"{example}\""),
            |found| {
                let text = found.text()?;
                parse(text).map_err(|why| invalid(why, text))
            },
        )
    }

    /// Like [`Section::parsed_by`], for a key that must be there.
    pub(super) fn required_by<T>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.report_missing(key, "a text", self.addition(key, &format!("\"{example}\"")));
        }
        self.parsed_by(key, example, parse)
    }

    /// Any text.
    pub(super) fn text(&mut self, key: &str, example: &str) -> Option<String> {
        self.parsed_by(key, example, |text| Ok(text.to_owned()))
    }

    /// One of a few words, in any case.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        self.parsed_by(key, first(choices), |text| {
            let chosen = choices.iter().find(|it| it.0.eq_ignore_ascii_case(text));
            chosen.map(|it| it.1).ok_or_else(|| format!("expected {}", one_of(choices)))
        })
    }

    /// Like [`Section::choice`], for a key that must be there.
    pub(super) fn required_choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        if !self.has(key) {
            let mend = self.addition(key, &format!("\"{}\"", first(choices)));
            self.report_missing(key, &one_of(choices), mend);
        }
        self.choice(key, choices)
    }

    pub(super) fn boolean(&mut self, key: &str, default: bool) -> bool {
        let read = self.read(
            key,
            || default.to_string(),
            |found| match found.kind {
                ValueKind::Boolean(it) => Ok(*it),
                ValueKind::String(text) if found.is_from_environment => {
                    text.to_ascii_lowercase().parse().map_err(|_| invalid("expected true or false", text))
                }
                _ => Err(found.wrong_kind("true or false")),
            },
        );
        read.unwrap_or(default)
    }

    pub(super) fn whole_number(&mut self, key: &str, range: RangeInclusive<u16>, default: u16) -> u16 {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        let read = self.read(
            key,
            || default.to_string(),
            |found| {
                let text = match found.kind {
                    ValueKind::I64(it) => it.to_string(),
                    ValueKind::String(text) if found.is_from_environment => text.clone(),
                    _ => return Err(found.wrong_kind(&expected())),
                };
                let number: Option<u16> = text.parse().ok();
                number.filter(|it| range.contains(it)).ok_or_else(|| invalid(format!("expected {}", expected()), &text))
            },
        );
        read.unwrap_or(default)
    }

    /// A duration as humantime writes it: `6days`, `1h 30min`, `500ms`.
    pub(super) fn duration(&mut self, key: &str, range: RangeInclusive<Duration>, default: Duration) -> Duration {
        self.optional_duration(key, range, default).unwrap_or(default)
    }

    /// Like [`Section::duration`], for a key without a default.
    pub(super) fn optional_duration(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
        example: Duration,
    ) -> Option<Duration> {
        let expected = || {
            let (shortest, longest) = (format_duration(*range.start()), format_duration(*range.end()));
            format!("a duration from \"{shortest}\" to \"{longest}\"")
        };
        self.read(
            key,
            || format!("\"{}\"", format_duration(example)),
            |found| {
                let ValueKind::String(text) = found.kind else {
                    return Err(found.wrong_kind(&expected()));
                };
                let duration = parse_duration(text).ok();
                duration
                    .filter(|it| range.contains(it))
                    .ok_or_else(|| invalid(format!("expected {}", expected()), text))
            },
        )
    }

    pub(super) fn path(&mut self, key: &str, example: &str) -> Option<PathBuf> {
        self.parsed_by(key, example, |text| Ok(PathBuf::from(text)))
    }

    /// The path of a file that can be opened for reading.
    pub(super) fn readable_file(&mut self, key: &str, example: &str) -> Option<PathBuf> {
        self.read(
            key,
            || format!("\"{example}\""),
            |found| {
                let path = PathBuf::from(found.text()?);
                File::open(&path).map_err(|error| Problem::UnreadableFile(error.kind()))?;
                Ok(path)
            },
        )
    }
}

/// A value that does not do, quoted where that is short and safe: a text with an `@` may be a URL with a password.
fn invalid(why: impl Into<String>, text: &str) -> Problem {
    let may_be_quoted = text.chars().count() <= QUOTE_LIMIT && !text.contains('@') && !text.contains(char::is_control);
    Problem::Invalid { why: why.into(), found: may_be_quoted.then(|| text.to_owned()) }
}

fn first<'a, T>(choices: &[(&'a str, T)]) -> &'a str {
    choices.first().map_or("", |it| it.0)
}

fn one_of<T>(choices: &[(&str, T)]) -> String {
    let words: Vec<String> = choices.iter().map(|it| format!("\"{}\"", it.0)).collect();
    format!("one of {}", words.join(", "))
}
