//! What users install: how big it is, and how long it takes to make.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    Form,
    row::{Row, megabytes},
};

/// The release without `demo`: the one that `LATCHKEY_SHIPPED` names, else it is made.
pub(crate) fn shipped() -> PathBuf {
    if let Some(given) = env::var_os("LATCHKEY_SHIPPED") {
        return given.into();
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shipped");
    build(&target);
    target.join("release/latchkey")
}

pub(crate) fn size(_: Form) -> Vec<Row> {
    let bytes = fs::metadata(shipped()).unwrap().len();
    let mut tree = cargo(&["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"]);
    let tree = String::from_utf8(tree.output().unwrap().stdout).unwrap();
    let mut crates: Vec<&str> = tree.lines().map(|it| it.trim_end_matches(" (proc-macro)")).collect();
    crates.sort_unstable();
    crates.dedup();
    let size = megabytes(bytes);
    vec![
        Row::new("binary, stripped release without `demo`", "≤ 12 MB", format!("{size:.1} MB"), size <= 12.0),
        Row::plain("crates in it, those that only build it included", crates.len().to_string()),
    ]
}

pub(crate) fn clean_build(_: Form) -> Vec<Row> {
    cargo(&["fetch", "--locked"]).status().unwrap();
    let target = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let began = Instant::now();
    build(target.path());
    let time = began.elapsed();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![Row::new(
        format!("clean build, dependencies fetched, {cores} cores, without `demo`"),
        "≤ 4 min",
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60),
        time <= Duration::from_secs(240),
    )]
}

fn build(target: &Path) {
    let mut command = cargo(&["build", "--locked", "--release", "--bin", "latchkey", "--target-dir"]);
    assert!(command.arg(target).status().unwrap().success(), "it does not build");
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}
