//! The readers of `latchkey::fuzz`, each over its corpus and over what is made of it.

use std::{fs, path::Path};

use latchkey::fuzz::{Reader, reader};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::{
    inputs::{CANARY, inputs, seeds},
    n_inputs,
};

/// What a reader may take at a time, in bytes: this, and so many for each byte of the input.
const FLAT: u64 = 128 * 1024;
const PER_BYTE: u64 = 160;
/// A configuration is its owner's. A table in tables costs by the square of its depth, of which TOML's reader takes 80.
const FLAT_OF_A_CONFIGURATION: u64 = 4 * 1024 * 1024;

/// Whether what is said may hold what was read: the names of keys in a configuration, and what is no secret of another's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Nothing,
    Names,
}

/// Reads one input. Fails where memory is taken without bound, or where what is said cannot be shown to anybody.
fn judge(reader: Reader, quotes: Quotes, input: &[u8]) -> Result<f64, String> {
    let mut said = Vec::new();
    let memory = allocation_counter::measure(|| said = (reader.read)(input));
    let n_bytes = input.len() as u64;
    let flat = if reader.name == "config" { FLAT_OF_A_CONFIGURATION } else { FLAT };
    let allowed = flat + PER_BYTE * n_bytes;
    if allowed < memory.bytes_max {
        return Err(format!("{} bytes are taken for an input of {n_bytes}", memory.bytes_max));
    }
    for text in said {
        let is_fit = |it: char| it == '\n' || !(it.is_control() || ('\u{202a}'..='\u{202e}').contains(&it));
        if text.is_empty() || !text.chars().all(is_fit) {
            return Err(format!("what is said cannot be shown: {text:?}"));
        }
        if quotes == Quotes::Nothing && text.contains(CANARY) {
            return Err(format!("what is said quotes what was read: {text:?}"));
        }
    }
    Ok(memory.bytes_max as f64 / n_bytes.max(64) as f64)
}

/// Where a failure's input is put, to become a part of the corpus.
fn keep(name: &str, input: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{:08x}", crc32fast::hash(input)));
    fs::write(&path, input).unwrap();
    format!("the input is in {}: it belongs into tests/corpus/{name}/", path.display())
}

fn stand(name: &str, usual: u32, quotes: Quotes) {
    let reader = reader(name).unwrap();
    let seeds = seeds(name);
    for (path, seed) in &seeds {
        judge(reader, quotes, seed).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|it| it.1).collect();
    let cases = n_inputs(usual);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let most = std::cell::Cell::new(0.0_f64);
    let outcome = TestRunner::new(config).run(&inputs(&seeds), |input| {
        match judge(reader, quotes, &input) {
            Ok(ratio) => most.set(most.get().max(ratio)),
            Err(why) => return Err(TestCaseError::fail(format!("{why}; {}", keep(name, &input)))),
        }
        Ok(())
    });
    if let Err(proptest::test_runner::TestError::Fail(why, input)) = outcome {
        panic!("{name}: {why}; {}", keep(name, &input));
    }
    outcome.unwrap();
    println!("{name}: {} seeds and {cases} inputs; at most {:.0} bytes for a byte", seeds.len(), most.get());
}

#[test]
fn payloads_of_commands() {
    stand("command", 2_000, Quotes::Nothing);
}

#[test]
fn topics() {
    stand("topic", 2_000, Quotes::Nothing);
}

#[test]
fn configuration_files() {
    stand("config", 700, Quotes::Names);
}

#[test]
fn options_of_the_add_on() {
    stand("options", 1_500, Quotes::Names);
}

#[test]
fn answers_of_akuvox() {
    stand("akuvox", 1_500, Quotes::Nothing);
}

#[test]
fn answers_of_aqara() {
    stand("aqara", 1_500, Quotes::Nothing);
}

#[test]
fn journals() {
    stand("journal", 2_000, Quotes::Nothing);
}

#[test]
fn what_is_under_the_seal_of_a_record() {
    stand("record", 2_000, Quotes::Nothing);
}

#[test]
fn backups() {
    stand("backup", 2_000, Quotes::Nothing);
}

#[test]
fn files_to_import() {
    stand("import", 1_500, Quotes::Names);
}
