//! The files that others read, by the rules of those who read them.

use std::process::Command;

use serde_json::{Value, json};

use crate::{
    shipped,
    tools::{drive, or_skip, python},
};

#[test]
fn what_others_read_is_as_they_want_it() {
    let Some(python) = or_skip("the linters", python("python")) else { return };
    let found = lint(Command::new(python).arg(shipped("tests/packaging/lint.py")));
    assert_eq!(found, json!([]));
}

fn lint(driver: &mut Command) -> Value {
    drive(driver, &json!({ "root": shipped("") }))
}
