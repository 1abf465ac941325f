//! The figures of docs/performance.md, as ratios and absolutes of one run on one machine.
//!
//! `cargo bench --features demo --bench speed -- [--only NAME]… [--short] [--strict] [--list]`
//!
//! Each file measures one thing and gives rows of the table; `rig` is what they run: a broker, the clouds in a process of
//! their own, the service. Nothing here asserts a time: a figure says whether it met its target, and only `--strict` makes
//! that the exit code.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a driver that stops where it cannot go on"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "what takes time is measured with the machine's clock, and children are run"
)]

mod bare_storm;
mod beside;
mod build;
mod cloud;
mod discovery;
mod disk;
mod floor;
mod idle;
mod latency;
mod rest;
mod rig;
mod row;
mod schedule;
mod storm;
mod talker;

#[path = "../../tests/support/mosquitto.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
mod mosquitto;

use std::process::ExitCode;

use row::Row;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    /// The same with less of everything: to see that the drivers work.
    Short,
}

impl Form {
    /// The number for this form.
    pub(crate) fn of(self, whole: usize, short: usize) -> usize {
        match self {
            Self::Whole => whole,
            Self::Short => short,
        }
    }
}

struct Figure {
    name: &'static str,
    what: &'static str,
    measure: fn(Form) -> Vec<Row>,
    /// Measured only when asked for by name.
    is_long: bool,
}

const FIGURES: &[Figure] = &[
    figure("size", "the shipped binary", build::size),
    figure("idle", "five accounts and nothing to do, beside Mosquitto", idle::idle),
    figure("start", "from exec to online", idle::start),
    figure("command", "refresh_tokens and trigger_scene against the floor", latency::command),
    figure("nagle", "the same with Mosquitto as it comes", latency::with_default_broker),
    figure("storm", "thousands of accounts that fall due together, and one that does not", storm::storm),
    figure("rest", "a hundred thousand accounts at rest", rest::rest),
    figure("schedule", "planning among 1k, 10k and 100k accounts", schedule::schedule),
    figure("discovery", "a thousand accounts after a birth message", discovery::discovery),
    figure("disk", "the store after a hundred thousand refreshes", disk::disk),
    figure("beside", "Home Assistant's way of refreshing, in Python", beside::beside),
    Figure { is_long: true, ..figure("build", "a clean build", build::clean_build) },
];

const fn figure(name: &'static str, what: &'static str, measure: fn(Form) -> Vec<Row>) -> Figure {
    Figure { name, what, measure, is_long: false }
}

fn main() -> ExitCode {
    // For the drivers' own clients.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, port] = arguments.as_slice()
        && flag == floor::ECHO
    {
        floor::echo(port.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let has = |flag: &str| arguments.iter().any(|it| it == flag);
    if has("--list") {
        for figure in FIGURES {
            println!("{:10} {}{}", figure.name, figure.what, if figure.is_long { " (only by name)" } else { "" });
        }
        return ExitCode::SUCCESS;
    }
    let only: Vec<&String> = arguments.windows(2).filter(|it| it[0] == "--only").map(|it| &it[1]).collect();
    if let Some(unknown) = only.iter().find(|it| FIGURES.iter().all(|figure| figure.name != **it)) {
        eprintln!("there is no figure {unknown:?}; --list names them");
        return ExitCode::from(64);
    }
    let form = if has("--short") { Form::Short } else { Form::Whole };
    let is_wanted = |it: &&Figure| if only.is_empty() { !it.is_long } else { only.iter().any(|name| *name == it.name) };
    let mut rows = Vec::new();
    for figure in FIGURES.iter().filter(is_wanted) {
        eprintln!("… {}: {}", figure.name, figure.what);
        rows.extend((figure.measure)(form));
    }
    println!("{}", row::table(&rows));
    let missed = rows.iter().filter(|it| it.is_met == Some(false)).count();
    if has("--strict") && 0 < missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
