//! `[log]`: what is logged, and how it looks.

use std::collections::HashMap;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::section::Section;

/// What is logged, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter as `tracing_subscriber::filter::Targets` reads it: `info`, or `info,latchkey::keeper=debug`; `info` by
    /// default. `RUST_LOG` wins over the configuration.
    pub filter: String,
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; the default.
    Human,
    /// One JSON object a line.
    Json,
}

pub(super) fn read(mut section: Section<'_>, environment: &HashMap<String, String>) -> LogSettings {
    let level = section.parsed_by("level", "info", read_filter);
    let rust_log = environment.get("RUST_LOG").filter(|it| is_filter(it) && !it.trim().is_empty());
    let settings = LogSettings {
        filter: rust_log.cloned().or(level).unwrap_or_else(|| "info".to_owned()),
        format: section
            .choice("format", &[("human", LogFormat::Human), ("json", LogFormat::Json)])
            .unwrap_or(LogFormat::Human),
    };
    section.finish();
    settings
}

/// A filter. A bare word must be a level: the filter's own grammar would take `wran` for the name of a module.
fn read_filter(text: &str) -> Result<String, String> {
    let is_level = |it: &str| it.trim().parse::<LevelFilter>().is_ok();
    let has_meaning = text.split(',').all(|it| it.contains('=') || is_level(it));
    if has_meaning && is_filter(text) {
        return Ok(text.to_owned());
    }
    Err("expected off, error, warn, info, debug or trace, or a filter such as info,latchkey::keeper=debug".to_owned())
}

fn is_filter(text: &str) -> bool {
    text.parse::<Targets>().is_ok()
}
