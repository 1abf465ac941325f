//! Why sled cannot be used.

use std::io;

#[derive(Clone, Debug)]
pub(super) struct Breakage {
    pub(super) kind: Kind,
    pub(super) reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The files are to blame.
    Damage,
    /// Another one has the lock of its file.
    Locked,
    /// It did not answer in time.
    Silence,
    /// What is missing may come back: room, rights.
    Shortage,
}

impl Breakage {
    pub(super) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    pub(super) fn is_damage(&self) -> bool {
        self.kind == Kind::Damage
    }
}

impl From<sled::Error> for Breakage {
    fn from(error: sled::Error) -> Self {
        let kind = match &error {
            sled::Error::Io(error) if is_locked(error) => Kind::Locked,
            sled::Error::Io(error) if is_of_the_moment(error) => Kind::Shortage,
            _ => Kind::Damage,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<io::Error> for Breakage {
    fn from(error: io::Error) -> Self {
        sled::Error::from(error).into()
    }
}

/// Whether the machine is short of something, and the files are innocent.
fn is_of_the_moment(error: &io::Error) -> bool {
    const TOO_MANY_FILES: [Option<i32>; 2] = [Some(23), Some(24)];
    let is_short = matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::Interrupted
    );
    is_short || TOO_MANY_FILES.contains(&error.raw_os_error())
}

/// sled gives a held lock no kind of its own.
fn is_locked(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}
