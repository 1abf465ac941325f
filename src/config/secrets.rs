//! Reads the secrets of a [`Section`], which no error may show.

use std::{
    fs::File,
    io::{self, Read},
};

use zeroize::Zeroizing;

use super::{
    errors::Problem,
    section::{Found, Section},
};
use crate::account::Secret;

/// The file of a secret is no longer than this.
const FILE_LIMIT: u64 = 64 * 1024;

impl Section<'_> {
    /// A secret, given as `key` or in the file that `key_file` names. Such a file may end in one line break.
    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        if self.has(key) && self.has(&file_key) {
            let mend = format!("keep one of them; `{file_key}` keeps the secret out of the configuration");
            self.report_conflict(key, &file_key, mend);
        }
        let given = self.read(key, || "\"...\"".to_owned(), |found| Ok(Secret::new(found.text()?)));
        let from_file = self.read(&file_key, || "\"/run/secrets/...\"".to_owned(), read_file);
        given.or(from_file)
    }

    /// Like [`Section::secret`], for one that must be there.
    pub(super) fn required_secret(&mut self, key: &str) -> Option<Secret> {
        if !self.has(key) && !self.has(&format!("{key}_file")) {
            let mend = format!("{}, or name its file as `{key}_file`", self.addition(key, "\"...\""));
            self.report_missing(key, "a secret", mend);
        }
        self.secret(key)
    }
}

fn read_file(found: Found<'_>) -> Result<Secret, Problem> {
    // With room for most secrets: what grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let read = File::open(found.text()?).and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text));
    let secret = match read {
        Ok(n_bytes) if FILE_LIMIT < n_bytes as u64 => return Err(Problem::UnreadableFile(io::ErrorKind::FileTooLarge)),
        Ok(_) => Secret::new(text.strip_suffix('\n').map_or(text.as_str(), |it| it.strip_suffix('\r').unwrap_or(it))),
        Err(error) => return Err(Problem::UnreadableFile(error.kind())),
    };
    let why = if secret.expose().trim().is_empty() {
        "the file is empty"
    } else if secret.expose().contains(char::is_control) {
        "the file has more than one line, or control characters"
    } else {
        return Ok(secret);
    };
    Err(Problem::Invalid { why: why.to_owned(), found: None })
}
