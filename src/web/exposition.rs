//! Writes metrics in Prometheus' text form, version 0.0.4.

use std::{
    fmt::{self, Write},
    time::Duration,
};

/// A page of metrics that is being written.
#[derive(Default)]
pub(super) struct Exposition(String);

/// What a histogram knows of one set of labels.
pub(super) struct Counts {
    /// How many kept within each bound.
    pub(super) within: Vec<u32>,
    pub(super) in_all: u32,
    pub(super) sum: Duration,
}

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
        self.head(name, help, kind);
        for (labels, value) in samples {
            self.sample(name, labels.as_ref(), value);
        }
    }

    /// How long things took, in seconds: the labels of each sample, and its counts. Nothing where there are none.
    pub(super) fn histogram<'a, L>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[Duration],
        samples: impl IntoIterator<Item = (L, Counts)>,
    ) where
        L: AsRef<[(&'a str, String)]>,
    {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.head(name, help, "histogram");
        for (labels, counts) in samples {
            let mut bucket = |bound: String, count| {
                let labels = [labels.as_ref(), &[("le", bound)]].concat();
                self.sample(&format!("{name}_bucket"), &labels, count);
            };
            for (bound, count) in bounds.iter().zip(&counts.within) {
                bucket(bound.as_secs_f64().to_string(), *count);
            }
            bucket("+Inf".to_owned(), counts.in_all);
            self.sample(&format!("{name}_sum"), labels.as_ref(), counts.sum.as_secs_f64());
            self.sample(&format!("{name}_count"), labels.as_ref(), counts.in_all);
        }
    }

    /// A metric of one value without labels.
    pub(super) fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl fmt::Display) {
        self.metric(kind, name, help, [([], value)]);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    // Writing to a text cannot fail.
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, String)], value: impl fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
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

    #[test]
    fn a_histogram_has_a_bucket_for_each_bound_and_one_for_all() {
        let mut page = Exposition::default();
        let none: [([(&str, String); 0], Counts); 0] = [];
        page.histogram("nothing_seconds", "Nothing.", &[], none);
        let bounds = [Duration::from_millis(50), Duration::from_secs(1)];
        let counts = Counts { within: vec![1, 2], in_all: 3, sum: Duration::from_millis(2500) };
        page.histogram("a_seconds", "A.", &bounds, [([("b", "c".to_owned())], counts)]);
        let expected = "# HELP a_seconds A.\n# TYPE a_seconds histogram\na_seconds_bucket{b=\"c\",le=\"0.05\"} 1\n\
                        a_seconds_bucket{b=\"c\",le=\"1\"} 2\na_seconds_bucket{b=\"c\",le=\"+Inf\"} 3\n\
                        a_seconds_sum{b=\"c\"} 2.5\na_seconds_count{b=\"c\"} 3\n";
        assert_eq!(page.finish(), expected);
    }
}
