//! The key that seals the store: read, or made once for a store that does not exist yet; and how one takes another's place.
//!
//! While a key is being changed, the next one lies beside it as `<key>.next`. Until the journal is sealed with the next one
//! the old one opens the store, from then on the next one does, so a kill at any moment leaves one that does.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::{
    KeySource,
    disk::Disk,
    error::StoreError,
    folder::{beside, check_private, install, parent},
    seal::random,
};

pub(super) type Key = Zeroizing<[u8; 32]>;

/// The key of `source`. A key file is made only where `store_exists` is false.
pub(super) fn obtain(source: &KeySource, store_exists: bool, disk: &dyn Disk) -> Result<Key, StoreError> {
    let path = match source {
        KeySource::Given(text) => {
            return parse(text.expose()).ok_or_else(|| StoreError::KeyMalformed { place: "the given key".to_owned() });
        }
        KeySource::File(path) => path,
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if store_exists { Err(StoreError::KeyMissing { path: path.clone() }) } else { make(path, disk) };
        }
        Err(error) => return Err(StoreError::io("look at", path, &error)),
    };
    check_key(path, &metadata)?;
    read(path)
}

/// The key that was to follow the one of `source` when its change was cut off; nothing where none was.
pub(super) fn next(source: &KeySource) -> Option<Key> {
    let KeySource::File(path) = source else { return None };
    let path = next_path(path);
    check_key(&path, &fs::metadata(&path).ok()?).ok()?;
    read(&path).ok()
}

/// Makes a key, durable as the next of the key file at `path`, whose place is first shown to take another file: one that
/// is mounted by itself does not, and would be found out too late.
pub(super) fn make_next(path: &Path, disk: &dyn Disk) -> Result<Key, StoreError> {
    let present = fs::read(path).map(Zeroizing::new).map_err(|error| StoreError::io("read", path, &error))?;
    install(disk, path, &present).map_err(|error| StoreError::io("replace the key", path, &error))?;
    make(&next_path(path), disk)
}

/// Puts the next key in its place, once the store is sealed with it.
pub(super) fn adopt_next(path: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
    disk.rename(&next_path(path), path)
        .and_then(|()| disk.sync_folder(parent(path)))
        .map_err(|error| StoreError::io("put the new key in place of", path, &error))
}

fn next_path(path: &Path) -> PathBuf {
    beside(path, ".next")
}

fn read(path: &Path) -> Result<Key, StoreError> {
    let text = fs::read(path).map(Zeroizing::new).map_err(|error| StoreError::io("read", path, &error))?;
    let key = std::str::from_utf8(&text).ok().and_then(parse);
    key.ok_or_else(|| StoreError::KeyMalformed { place: path.display().to_string() })
}

/// A key of ours is for us alone. One that somebody else put there, as Docker and systemd do with their secrets, may be
/// readable as they arranged it, but nobody else may change it.
fn check_key(path: &Path, metadata: &fs::Metadata) -> Result<(), StoreError> {
    match check_private(path, metadata) {
        Err(StoreError::Foreign { .. }) if metadata.mode() & 0o022 == 0 => Ok(()),
        Err(StoreError::Foreign { .. }) => {
            Err(StoreError::Loose { path: path.into(), mode: metadata.mode() & 0o777, is_folder: false })
        }
        checked => checked,
    }
}

/// 64 hex digits, or base64 of 32 bytes; space around it does not count.
fn parse(text: &str) -> Option<Key> {
    let text = text.trim();
    let mut key = Key::default();
    if hex::decode_to_slice(text, &mut *key).is_ok() {
        return Some(key);
    }
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
    key.copy_from_slice(bytes.get(..32).filter(|_| bytes.len() == 32)?);
    Some(key)
}

/// The key is on the disk before anything is sealed with it.
fn make(path: &Path, disk: &dyn Disk) -> Result<Key, StoreError> {
    let key = Key::new(random()?);
    let mut text = Zeroizing::new(vec![0; 65]);
    hex::encode_to_slice(*key, &mut text[..64]).expect("32 bytes are 64 hex digits");
    text[64] = b'\n';
    install(disk, path, &text)
        .and_then(|_| disk.sync_folder(parent(path)))
        .map_err(|error| StoreError::io("make the key file", path, &error))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;
    use crate::{account::Secret, store::disk::real};

    fn obtain(source: &KeySource, store_exists: bool) -> Result<Key, StoreError> {
        super::obtain(source, store_exists, &*real())
    }

    #[test]
    fn a_key_is_taken_in_hex_and_in_base64_and_in_no_other_length() {
        let hex_text = "07".repeat(32);
        let base64_text = BASE64_STANDARD.encode([7; 32]);
        for text in [hex_text.clone(), format!(" {hex_text}\n"), base64_text] {
            assert_eq!(*obtain(&KeySource::Given(Secret::new(text)), true).unwrap(), [7; 32]);
        }
        for text in [String::new(), "07".repeat(31), "07".repeat(33), BASE64_STANDARD.encode([7; 33])] {
            assert!(matches!(obtain(&KeySource::Given(Secret::new(text)), true), Err(StoreError::KeyMalformed { .. })));
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_only_beside_no_store() {
        let base = tempfile::tempdir().unwrap();
        let source = KeySource::File(base.path().join("key"));
        assert_eq!(obtain(&source, true), Err(StoreError::KeyMissing { path: base.path().join("key") }));
        let key = obtain(&source, false).unwrap();
        assert_eq!(fs::metadata(base.path().join("key")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(obtain(&source, true).unwrap(), key);
        assert_eq!(obtain(&source, false).unwrap(), key);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_mend() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        let source = KeySource::File(path.clone());
        obtain(&source, false).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = obtain(&source, true).err().unwrap();
        assert_eq!(error, StoreError::Loose { path, mode: 0o640, is_folder: false });
        assert!(error.mend().contains("chmod 600"));
    }

    #[test]
    fn a_key_that_the_system_put_there_may_be_read_by_others_and_changed_by_none() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        let source = KeySource::File(path.clone());
        let key = obtain(&source, false).unwrap();
        // Only root can give files away; elsewhere there is nothing to look at.
        if chown(&path, Some(65_534), None).is_err() {
            return;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert_eq!(obtain(&source, true).unwrap(), key);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o464)).unwrap();
        assert!(matches!(obtain(&source, true), Err(StoreError::Loose { .. })));
    }
}
