//! `cargo bench-reliability`: what Latchkey survives, in figures.
//!
//! Each trial is a test that every run of the tests does too, made long by a variable of its environment. A test that ends
//! well has said `figures: <how often> | <what there is to say>`; one that fails has lost something, and so does this.
//!
//! `--short` leaves the tests as long as they are in CI; words choose the trials whose name holds one of them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is what it is for")]

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use latchkey::clock::Clock;

struct Trial {
    what: &'static str,
    /// Which of cargo's test targets it is in.
    target: &'static [&'static str],
    test: &'static str,
    /// The variable that says how often, and how often it is to be.
    often: Option<(&'static str, u32)>,
}

const TRIALS: [Trial; 8] = [
    Trial {
        what: "`kill -9` of the service while it refreshes, updates and starts",
        target: &["--test", "kill"],
        test: "a_kill_at_any_moment_loses_no_grant_that_was_acknowledged",
        often: Some(("KILL_ROUNDS", 1000)),
    },
    Trial {
        what: "cut of the power, with what was not synced dropped or torn",
        target: &["--lib"],
        test: "store::power::histories::no_cut_of_the_power_takes_back_what_was_acknowledged",
        often: Some(("POWER_CUTS", 10_000)),
    },
    Trial {
        what: "`kill -9` of the store while it commits",
        target: &["--test", "store"],
        test: "kills::a_kill_at_any_moment_loses_no_acknowledged_commit",
        often: Some(("STORE_KILLS", 1000)),
    },
    Trial {
        what: "`kill -9` of the store while it opens",
        target: &["--test", "store"],
        test: "kills::a_kill_while_the_store_opens_never_keeps_it_from_opening_again",
        often: Some(("OPEN_KILLS", 1000)),
    },
    Trial {
        what: "`kill -9` while the key is changed",
        target: &["--test", "store"],
        test: "kills::a_kill_while_the_key_is_changed_leaves_one_that_opens_everything",
        often: Some(("KEY_KILLS", 1000)),
    },
    Trial {
        what: "damage to a file of the store at a random place",
        target: &["--test", "store"],
        test: "damage::no_damage_to_any_file_brings_an_older_record_back_without_a_report",
        often: Some(("DAMAGES", 5000)),
    },
    Trial {
        what: "accounts at clouds where a fifth of all calls fails, for a month",
        target: &["--test", "flaky"],
        test: "a_month_of_flaky_clouds_leaves_every_account_well_and_keeps_to_the_budget",
        often: None,
    },
    Trial {
        what: "requests to refresh one account, all at once",
        target: &["--test", "keeper"],
        test: "flights::a_thousand_who_ask_at_once_get_the_result_of_one_refresh",
        often: None,
    },
];

/// What a trial had to show.
struct Figures {
    rounds: String,
    remark: String,
}

fn main() -> ExitCode {
    let (options, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|it| it.starts_with("--"));
    let is_short = options.iter().any(|it| it == "--short");
    let is_chosen = |it: &&Trial| words.is_empty() || words.iter().any(|word| it.test.contains(word.as_str()));
    let clock = Clock::system();
    let mut lines = Vec::new();
    let mut has_lost = false;
    for trial in TRIALS.iter().filter(is_chosen) {
        eprintln!("{} ...", trial.what);
        let begun_at = clock.monotonic();
        let outcome = trial.run(is_short);
        let took = clock.monotonic() - begun_at;
        has_lost |= outcome.is_err();
        lines.push(line(trial, outcome, took));
    }
    println!("| what | how often | survived | lost | seconds | |\n|---|--:|--:|--:|--:|---|");
    lines.iter().for_each(|it| println!("{it}"));
    if has_lost { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn line(trial: &Trial, outcome: Result<Figures, String>, took: Duration) -> String {
    let (what, seconds) = (trial.what, took.as_secs());
    match outcome {
        Ok(Figures { rounds, remark }) => format!("| {what} | {rounds} | {rounds} | 0 | {seconds} | {remark} |"),
        Err(said) => {
            eprintln!("{said}");
            format!("| {what} | | | **lost** | {seconds} | {} failed, see above |", trial.test)
        }
    }
}

impl Trial {
    /// The figures, or what the test said when it failed.
    fn run(&self, is_short: bool) -> Result<Figures, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["test", "--quiet", "--locked", "--all-features"]).args(self.target);
        command.args(["--", "--exact", self.test, "--nocapture"]);
        if let Some((variable, often)) = self.often.filter(|_| !is_short) {
            command.env(variable, often.to_string());
        }
        let output = command.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let figures = said.lines().find_map(|it| it.split_once("figures: ")?.1.split_once(" | "));
        match figures.filter(|_| output.status.success()) {
            Some((rounds, remark)) => Ok(Figures { rounds: rounds.to_owned(), remark: remark.to_owned() }),
            None => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}
