//! The layers of the configuration, laid over each other: the TOML file, then the environment.

use std::{collections::HashMap, path::Path};

use config::{Config, ConfigError as LayerError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::errors::{ConfigError, Findings, Problem};

/// Values by their keys.
pub(super) type Table = Map<String, Value>;

/// Reads both layers into one tree; none where the file cannot be read, since all else would only follow from that.
///
/// A value knows its origin only if it came from the environment.
/// An environment variable that is empty counts as not set, since compose files pass `${UNSET}` that way.
pub(super) fn merge(path: Option<&Path>, environment: &HashMap<String, String>, findings: &Findings) -> Option<Table> {
    let text = match path {
        Some(path) => read_file(path, findings)?,
        None => String::new(),
    };
    let environment = Environment::with_prefix("LATCHKEY")
        .prefix_separator("__")
        .separator("__")
        .ignore_empty(true)
        .source(Some(environment.clone()));
    let file = File::from_str(&text, FileFormat::Toml).collect();
    let environment = Config::builder().add_source(environment).build().and_then(|it| it.collect());
    match file.and_then(|file| Ok((file, environment?))) {
        Ok((mut values, environment)) => {
            lay_over(&mut values, environment);
            Some(values)
        }
        Err(error) => {
            findings.push(ConfigError {
                key: path.map_or_else(|| "environment".to_owned(), |it| it.display().to_string()),
                variable: None,
                problem: Problem::Syntax(without_excerpt(&error)),
                mend: "mend the line; a text stands in quotes: `host = \"localhost\"`".to_owned(),
            });
            None
        }
    }
}

/// As the builder of `config` does it, which copies all values of all layers; there may be those of very many accounts.
fn lay_over(values: &mut Table, upper: Table) {
    for (key, mut value) in upper {
        if let (Some(Value { kind: ValueKind::Table(below), .. }), ValueKind::Table(table)) =
            (values.get_mut(&key), &mut value.kind)
        {
            lay_over(below, std::mem::take(table));
        } else {
            values.insert(key, value);
        }
    }
}

fn read_file(path: &Path, findings: &Findings) -> Option<String> {
    let error = match std::fs::read_to_string(path) {
        Ok(text) => return Some(text),
        Err(error) => error,
    };
    findings.push(ConfigError {
        key: path.display().to_string(),
        variable: None,
        problem: Problem::UnreadableFile(error.kind()),
        mend: "check the path of the configuration file, and that Latchkey's user may read it".to_owned(),
    });
    None
}

/// What is wrong, and where, without the excerpt of the file that the parser shows between the two: it may be a secret.
fn without_excerpt(error: &LayerError) -> String {
    let LayerError::FileParse { cause, .. } = error else {
        return "it cannot be read".to_owned();
    };
    let report = cause.to_string();
    let mut lines = report.lines().filter(|it| !it.is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(place), Some(message)) => {
            format!("{} ({message})", place.trim_start_matches("TOML parse error "))
        }
        (Some(message), None) => message.to_owned(),
        (None, _) => "it cannot be read".to_owned(),
    }
}
