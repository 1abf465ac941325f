//! What can go wrong with the store, each in one plain sentence with the way to mend it.

use std::{io, path::PathBuf};

use crate::account::AccountId;

/// Why the store did not do what it was asked. It never holds a record's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{account} is at revision {found} and not at {expected}")]
    Conflict { account: AccountId, expected: u64, found: u64 },
    #[error("another Latchkey already uses {}; stop it or give this one another store.path", .folder.display())]
    Locked { folder: PathBuf },
    #[error("{} is not for Latchkey alone: its permissions are {mode:03o}", .path.display())]
    Loose { path: PathBuf, mode: u32, is_folder: bool },
    #[error("{} belongs to user {owner} and Latchkey runs as user {us}", .path.display())]
    Foreign { path: PathBuf, owner: u32, us: u32 },
    #[error("{} is not a folder", .path.display())]
    NotAFolder { path: PathBuf },
    #[error("the key {} is missing beside an existing store", .path.display())]
    KeyMissing { path: PathBuf },
    #[error("{place} holds no key of 32 bytes")]
    KeyMalformed { place: String },
    #[error("the store in {} was sealed with another key", .folder.display())]
    KeyWrong { folder: PathBuf },
    #[error("the key is given by the settings and lies in no file that could take a new one")]
    KeyGiven,
    #[error("the new key beside {} could not take its place", .path.display())]
    KeyStuck { path: PathBuf },
    #[error("that key is the one in use")]
    KeyUnchanged,
    #[error("the store was written by a later Latchkey (format {version})")]
    NewerFormat { version: u8 },
    #[error("there is no store in {}", .folder.display())]
    NoStore { folder: PathBuf },
    #[error("{} already holds a store", .folder.display())]
    StoreExists { folder: PathBuf },
    #[error("{} has a damaged record", .path.display())]
    DamagedJournal { path: PathBuf },
    #[error("there is no room left in {}", .folder.display())]
    NoRoom { folder: PathBuf },
    #[error("{} cannot be written to", .folder.display())]
    ReadOnly { folder: PathBuf },
    #[error("{} was removed or replaced while Latchkey was using it", .folder.display())]
    Gone { folder: PathBuf },
    #[error("cannot {doing} {}: {reason}", .path.display())]
    Io { doing: &'static str, path: PathBuf, reason: String },
    #[error("the database cannot be read at the moment: {reason}")]
    Database { reason: String },
    #[error("{what} is too long for the store")]
    TooLong { what: String },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What a user can do about it, as an imperative sentence.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Read the account again and repeat the change.",
            Self::Locked { .. } => "Stop the other Latchkey, or give this one another store.path.",
            Self::Loose { is_folder: true, .. } => "Take it away from others with `chmod 700` on that folder.",
            Self::Loose { is_folder: false, .. } => "Take it away from others with `chmod 600` on that file.",
            Self::Foreign { .. } => {
                "Give it to the user that runs Latchkey with `chown`, or run Latchkey as its owner."
            }
            Self::NotAFolder { .. } => "Point store.path at a folder, or at a name that does not exist yet.",
            Self::KeyMissing { .. } => {
                "Put the key back where store.key_file points; without it the store cannot be read. \
                 To start afresh, move the whole store folder away."
            }
            Self::KeyMalformed { .. } => "Give 32 bytes as 64 hex digits or as base64.",
            Self::KeyWrong { .. } => {
                "Give the key that this store was made with, or point store.path at the store that belongs to this key."
            }
            Self::KeyGiven => "Name a file for the new key with `--to FILE`, and give that one to Latchkey afterwards.",
            Self::KeyStuck { .. } => {
                "Move the `.next` file beside it to its place by hand, or name a file for the new key with `--to FILE`."
            }
            Self::KeyUnchanged => "Name a file that does not exist yet; it is made with a new key.",
            Self::NoStore { .. } => "See whether store.path is right; a store is made at the first start.",
            Self::StoreExists { .. } => {
                "Give this Latchkey another store.path, or add `--set-aside`: the store there is kept in a folder beside \
                 the restored one."
            }
            Self::DamagedJournal { .. } => {
                "Restart the Latchkey that uses it, which mends it from its second copy, and try again."
            }
            Self::NewerFormat { .. } => {
                "Run the Latchkey that wrote it, or a later one, or restore a backup that was made before."
            }
            Self::NoRoom { .. } => "Free some space on that disk; Latchkey goes on by itself.",
            Self::ReadOnly { .. } => {
                "Make that folder writable for Latchkey; see whether the disk was mounted read-only."
            }
            Self::Gone { .. } => "Put the folder in place and restart Latchkey.",
            Self::Io { .. } => "See whether the disk is well and the path is right.",
            Self::Database { .. } => {
                "Free some space and see whether the disk is well; Latchkey rebuilds it by itself, at its next start at the latest."
            }
            Self::TooLong { .. } => "Make it shorter.",
            Self::Closed => "Restart Latchkey.",
        }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, error: &io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom { folder: folder_of(path) },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { folder: folder_of(path) },
            _ => Self::Io { doing, path, reason: error.to_string() },
        }
    }
}

fn folder_of(path: PathBuf) -> PathBuf {
    if path.is_dir() {
        return path;
    }
    path.parent().map(Into::into).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_disk_are_told_apart_by_kind() {
        let error = |kind: io::ErrorKind| StoreError::io("write", "/nowhere/journal", &kind.into());
        assert_eq!(error(io::ErrorKind::StorageFull), StoreError::NoRoom { folder: "/nowhere".into() });
        assert_eq!(error(io::ErrorKind::ReadOnlyFilesystem), StoreError::ReadOnly { folder: "/nowhere".into() });
        assert!(matches!(error(io::ErrorKind::Other), StoreError::Io { doing: "write", .. }));
    }

    #[test]
    fn a_locked_store_is_named_in_plain_words() {
        let error = StoreError::Locked { folder: "/var/lib/latchkey".into() };
        assert_eq!(
            error.to_string(),
            "another Latchkey already uses /var/lib/latchkey; stop it or give this one another store.path"
        );
    }
}
