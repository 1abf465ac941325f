//! The rules for Prometheus: promtool takes them and their own tests, and the documentation names each.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    process::Command,
};

use yaml_rust2::{Yaml, YamlLoader};

use super::page::{Page, read, root};

const RULES: &str = "config/prometheus-alerts.yml";

#[test]
fn promtool_takes_the_rules_and_each_fires_when_it_should() {
    for arguments in [["check", "rules", "prometheus-alerts.yml"], ["test", "rules", "prometheus-alerts-test.yml"]] {
        // Debian has it in its package prometheus.
        let output = match Command::new("promtool").args(arguments).current_dir(root().join("config")).output() {
            Ok(output) => output,
            Err(why) => {
                assert!(std::env::vars().all(|it| it.0 != "CI"), "promtool cannot be had: {why}");
                let _ = writeln!(io::stderr(), "SKIPPED: the rules were not checked by promtool: {why}");
                return;
            }
        };
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn every_alert_is_documented_and_has_a_test_in_which_it_fires() {
    let alerts = alerts();
    let documented: BTreeSet<String> = Page::of("docs/administration.md").first_cells("Alerts").into_iter().collect();
    assert_eq!(documented, alerts);
    let tests = YamlLoader::load_from_str(&read("config/prometheus-alerts-test.yml")).unwrap();
    let fires = |it: &&Yaml| it["exp_alerts"].as_vec().is_some_and(|it| !it.is_empty());
    let tests = tests[0]["tests"].as_vec().unwrap().iter();
    let cases = tests.flat_map(|it| it["alert_rule_test"].as_vec().unwrap()).filter(fires);
    let tested: BTreeSet<String> = cases.map(|it| it["alertname"].as_str().unwrap().to_owned()).collect();
    assert_eq!(tested, alerts);
}

fn alerts() -> BTreeSet<String> {
    let rules = YamlLoader::load_from_str(&read(RULES)).unwrap();
    let groups = rules[0]["groups"].as_vec().unwrap().iter();
    let rules = groups.flat_map(|it| it["rules"].as_vec().unwrap());
    rules.map(|it| it["alert"].as_str().unwrap().to_owned()).collect()
}

/// The metrics that the rules look at.
pub(crate) fn metrics() -> BTreeSet<String> {
    let text = read(RULES);
    let expressions = text.lines().filter_map(|it| it.trim_start().strip_prefix("expr: "));
    let words = expressions.flat_map(|it| it.split(|it: char| !it.is_ascii_alphanumeric() && it != '_'));
    words.filter(|it| it.starts_with("latchkey_")).map(ToOwned::to_owned).collect()
}
