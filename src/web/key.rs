//! The key that every request bears: given, or made once beside the store.

use std::{fs, io, path::Path};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    account::Secret,
    store::{StoreError, check_private, install_private},
};

/// The file in the folder of the store, where no key is configured.
pub const KEY_FILE: &str = "web.key";
/// Our own, and the one that scripts for an earlier system send.
const HEADERS: [&str; 2] = ["x-latchkey-key", "x-metron-key"];

/// The key, as a digest: keys of all lengths compare in the same time.
pub struct WebKey(Zeroizing<[u8; 32]>);

/// What a request showed.
pub(super) enum Shown {
    Nothing,
    Key(Secret),
}

impl WebKey {
    /// The given key, or the one beside the store in `folder`, which is made (0600) where it is missing.
    ///
    /// Fails where the file cannot be read or written, or others can read it.
    pub fn obtain(given: Option<&Secret>, folder: &Path) -> Result<Self, StoreError> {
        match given {
            Some(key) => Ok(Self::of(key)),
            None => read_or_make(&folder.join(KEY_FILE)).map(|it| Self::of(&it)),
        }
    }

    pub(super) fn admits(&self, shown: &Secret) -> bool {
        self.0.ct_eq(&*Self::of(shown).0).into()
    }

    fn of(key: &Secret) -> Self {
        Self(Zeroizing::new(Sha256::digest(key.expose().as_bytes()).into()))
    }
}

impl Shown {
    /// The key in the headers; `Authorization: Bearer` is what Prometheus can send.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let own = HEADERS.iter().find_map(|it| headers.get(*it)).map(|it| it.as_bytes());
        let bearer = || headers.get(AUTHORIZATION).and_then(|it| it.as_bytes().strip_prefix(b"Bearer "));
        match own.or_else(bearer) {
            // What is not text is a wrong key.
            Some(bytes) => Self::Key(Secret::new(String::from_utf8_lossy(bytes.trim_ascii()))),
            None => Self::Nothing,
        }
    }
}

fn read_or_make(path: &Path) -> Result<Secret, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => check_private(path, &metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(path),
        Err(error) => return Err(StoreError::io("look at", path, &error)),
    }
    let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|error| StoreError::io("read", path, &error))?;
    let key = text.trim();
    // An empty one would admit everybody who shows an empty header.
    if key.is_empty() { make(path) } else { Ok(Secret::new(key)) }
}

fn make(path: &Path) -> Result<Secret, StoreError> {
    let mut bytes = Zeroizing::new([0; 24]);
    let failed = |error: &io::Error| StoreError::io("make the web key", path, error);
    getrandom::fill(&mut *bytes).map_err(|error| failed(&io::Error::other(error)))?;
    let text = Zeroizing::new(hex::encode(*bytes));
    install_private(path, Zeroizing::new(format!("{}\n", *text)).as_bytes()).map_err(|error| failed(&error))?;
    Ok(Secret::new(text.as_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let key = WebKey::obtain(None, folder.path()).unwrap();
        let path = folder.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 48);
        assert!(key.admits(&Secret::new(text.trim())));
        assert!(WebKey::obtain(None, folder.path()).unwrap().admits(&Secret::new(text.trim())));
        for wrong in ["", " ", &text, &text[..47], "0"] {
            assert!(!key.admits(&Secret::new(wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_an_empty_one_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE);
        fs::write(&path, " \n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(WebKey::obtain(None, folder.path()), Err(StoreError::Loose { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!WebKey::obtain(None, folder.path()).unwrap().admits(&Secret::new("")));
    }

    #[test]
    fn a_given_key_needs_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let key = WebKey::obtain(Some(&Secret::new("your-api-key")), folder.path()).unwrap();
        assert!(key.admits(&Secret::new("your-api-key")));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
