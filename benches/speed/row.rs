//! A line of the table, and the statistics behind its figures.

use std::{fmt::Write as _, time::Duration};

/// A figure beside its target.
pub(crate) struct Row {
    what: String,
    target: &'static str,
    measured: String,
    /// None where there is no target.
    pub(crate) is_met: Option<bool>,
}

impl Row {
    pub(crate) fn new(
        what: impl Into<String>,
        target: &'static str,
        measured: impl Into<String>,
        is_met: bool,
    ) -> Self {
        Self { what: what.into(), target, measured: measured.into(), is_met: Some(is_met) }
    }

    /// A figure without a target.
    pub(crate) fn plain(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { what: what.into(), target: "", measured: measured.into(), is_met: None }
    }
}

/// As Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = "| what | target | measured | met |\n|---|---|---|---|\n".to_owned();
    for row in rows {
        let met = row.is_met.map_or("", |it| if it { "yes" } else { "no" });
        writeln!(text, "| {} | {} | {} | {met} |", row.what, row.target, row.measured).unwrap();
    }
    text
}

/// Times of one kind, in the batches in which they were taken.
#[derive(Default)]
pub(crate) struct Samples {
    batches: Vec<Vec<Duration>>,
}

impl Samples {
    pub(crate) fn add_batch(&mut self, batch: Vec<Duration>) {
        self.batches.push(batch);
    }

    /// The median of the batches' medians: a burst of other people's work spoils a batch and not the figure.
    pub(crate) fn median(&self) -> Duration {
        quantile(&mut self.batches.iter().map(|it| quantile(&mut it.clone(), 0.5)).collect::<Vec<_>>(), 0.5)
    }

    pub(crate) fn quantile(&self, part: f64) -> Duration {
        quantile(&mut self.batches.concat(), part)
    }
}

/// The value below which `part` of them lie. There must be one.
pub(crate) fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort();
    let last = times.len() - 1;
    times[((last as f64) * part).round() as usize]
}

pub(crate) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// `1.234 ms`
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// Megabytes of a million bytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
