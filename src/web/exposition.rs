//! Writes metrics in Prometheus' text form, version 0.0.4.

use std::fmt::{self, Write};

/// A page of metrics that is being written.
#[derive(Default)]
pub(super) struct Exposition(String);

/// What a metric is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

impl Exposition {
    /// A metric with its samples: the labels of each, and its value. Nothing where there are none.
    pub(super) fn metric<'a, L, V>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) where
        L: AsRef<[(&'a str, String)]>,
        V: fmt::Display,
    {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.as_ref().iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// A metric of one value without labels.
    pub(super) fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl fmt::Display) {
        self.metric(kind, name, help, [([], value)]);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_help_type_and_escaped_labels() {
        let mut page = Exposition::default();
        let none: [([(&str, String); 0], u64); 0] = [];
        page.metric(Kind::Gauge, "nothing", "Nothing.", none);
        page.metric(Kind::Counter, "a_total", "A.", [([("b", "c\"\\\n".to_owned())], 1), ([("b", "d".into())], 2)]);
        page.single(Kind::Gauge, "e", "E.", 1.5);
        let expected = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\\\"\\\\\\n\"} 1\na_total{b=\"d\"} 2\n\
                        # HELP e E.\n# TYPE e gauge\ne 1.5\n";
        assert_eq!(page.finish(), expected);
    }
}
