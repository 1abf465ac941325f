//! `[store]`: where grants are kept, and the key that seals them.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::section::Section;
use crate::account::Secret;

/// The name of the systemd credential that holds the store's key.
const CREDENTIAL: &str = "latchkey-store-key";

/// Where the store is and what seals it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder of the database and its journal; `./data` by default.
    pub path: PathBuf,
    pub key: StoreKey,
}

/// Where the key that seals the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKey {
    /// In the configuration itself, or in the environment.
    Given(Secret),
    /// In this file, which the store makes at its very first start: `key_file`, or else the systemd credential
    /// `latchkey-store-key`, or else the file `key` in the folder of the store.
    File(PathBuf),
}

pub(super) fn read(mut section: Section<'_>, environment: &HashMap<String, String>) -> StoreSettings {
    let path = section.path("path", "./data").unwrap_or_else(|| PathBuf::from("./data"));
    if section.has("key") && section.has("key_file") {
        section.report_conflict("key", "key_file", "keep one of them");
    }
    let key_file = section.path("key_file", "./data/key");
    let given = section.read("key", || "\"...\"".to_owned(), |found| Ok(Secret::new(found.text()?)));
    let key = match (given, key_file) {
        (Some(key), _) => StoreKey::Given(key),
        (None, Some(key_file)) => StoreKey::File(key_file),
        (None, None) => StoreKey::File(credential(environment).unwrap_or_else(|| path.join("key"))),
    };
    section.finish();
    StoreSettings { path, key }
}

/// The key that systemd hands over (`LoadCredential=latchkey-store-key:...`).
fn credential(environment: &HashMap<String, String>) -> Option<PathBuf> {
    let file = Path::new(environment.get("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
    file.is_file().then_some(file)
}
