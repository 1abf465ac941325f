//! Why sled cannot be used.

use std::io;

#[derive(Clone, Debug)]
pub(super) struct Breakage {
    pub(super) reason: String,
    /// Whether the files are to blame, rather than room or rights that may come back.
    pub(super) is_damage: bool,
    /// Whether another one has the lock of its file.
    pub(super) is_locked: bool,
}

impl Breakage {
    /// The files are to blame.
    pub(super) fn damage(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_damage: true, is_locked: false }
    }

    /// The files are innocent.
    pub(super) fn of_the_moment(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_damage: false, is_locked: false }
    }
}

impl From<sled::Error> for Breakage {
    fn from(error: sled::Error) -> Self {
        let reason = error.to_string();
        match &error {
            sled::Error::Io(error) if is_locked(error) => Self { is_locked: true, ..Self::of_the_moment(reason) },
            sled::Error::Io(error) if is_of_the_moment(error) => Self::of_the_moment(reason),
            _ => Self::damage(reason),
        }
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
