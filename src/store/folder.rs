//! The store's folder: ours alone, locked for as long as the process lives, and still the one that was locked.

use std::{
    fs::{self, DirBuilder, File, Metadata, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::geteuid;

use super::{disk::Disk, error::StoreError};

pub(super) const LOCK: &str = "lock";

/// The lock is tried for about a second.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// Holds the lock while it lives.
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
    disk: Arc<dyn Disk>,
}

impl Folder {
    /// Makes the folder (0700) where there is none, refuses one that others can enter, and takes its lock.
    pub(super) fn take(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => return Err(StoreError::NotAFolder { path: path.into() }),
            Ok(metadata) => check_private(path, &metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, &*disk)?,
            Err(error) => return Err(StoreError::io("look at", path, &error)),
        }
        let lock_path = path.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.map_err(|error| StoreError::io("open", &lock_path, &error))?;
        // A process that was just killed, or forked, may hold on to it for a moment longer.
        for _ in 0..LOCK_TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.into(), lock, disk }),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", lock_path, &error)),
            }
        }
        Err(StoreError::Locked { folder: path.into() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.path
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes renames and new names in the folder durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync_folder(&self.path)
    }

    /// Puts a file of `bytes` in place of `name` in one step. The content is durable when this returns, the name only
    /// after [`Folder::sync`]. A kill leaves the old file, or the new one, and perhaps a `.new` to be cleared away.
    pub(super) fn install(&self, name: &str, bytes: &[u8]) -> io::Result<File> {
        install(self.disk(), &self.path(name), bytes)
    }

    /// As [`Folder::install`], of a file that `write` fills.
    pub(super) fn install_with(&self, name: &str, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
        install_with(self.disk(), &self.path(name), write)
    }

    /// A free name for what is set aside: `<name>.damaged-<seconds since 1970>`. Of earlier ones the newest stays.
    pub(super) fn set_aside_path(&self, name: &str, now: Timestamp) -> PathBuf {
        let prefix = format!("{name}.damaged-");
        let is_earlier =
            |it: &PathBuf| it.file_name().and_then(|it| it.to_str()).is_some_and(|it| it.starts_with(&prefix));
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut earlier: Vec<_> = entries.map(|it| it.path()).filter(is_earlier).collect();
        earlier.sort();
        earlier.pop();
        for path in earlier {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        self.free_path(&prefix, now)
    }

    /// A name that nothing bears yet: `<prefix><seconds since 1970>`, with `-2` and so on behind it where that is taken.
    pub(super) fn free_path(&self, prefix: &str, now: Timestamp) -> PathBuf {
        let seconds = now.as_second();
        let mut path = self.path(&format!("{prefix}{seconds}"));
        for number in 2.. {
            if !path.exists() {
                break;
            }
            path = self.path(&format!("{prefix}{seconds}-{number}"));
        }
        path
    }

    /// Fails when the folder that was locked is no longer the one at its path: what is written would be lost, or a second
    /// Latchkey may own what is there now.
    pub(super) fn check_in_place(&self) -> Result<(), StoreError> {
        if is_in_place(&self.lock, &self.path(LOCK)) {
            return Ok(());
        }
        Err(StoreError::Gone { folder: self.path.clone() })
    }

    /// A file of the store, read whole; nothing where there is none. Refused where others can read it.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(metadata) => check_private(&path, &metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("look at", path, &error)),
        }
        fs::read(&path).map(Some).map_err(|error| StoreError::io("read", path, &error))
    }
}

/// As [`Folder::install`], for a file of somebody else's.
pub(crate) fn install_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    install(&*super::disk::real(), path, bytes).map(drop)
}

/// As [`Folder::install`], for any path.
pub(super) fn install(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<File> {
    install_with(disk, path, |file| disk.write(file, bytes, 0))
}

fn install_with(disk: &dyn Disk, path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
    let new_path = beside(path, ".new");
    let written = (|| {
        let file = disk.create(&new_path)?;
        write(&file)?;
        disk.sync(&file)?;
        disk.rename(&new_path, path)?;
        Ok(file)
    })();
    if written.is_err() {
        // A half-written file takes room that the next try may need. If it cannot go, the next start clears it away.
        let _ = disk.remove(&new_path);
    }
    written
}

/// The path with `suffix` after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The folder that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `file` is what lies at `path`.
pub(super) fn is_in_place(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (file.metadata(), fs::metadata(path)) else { return false };
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}

/// Refuses what others can read or what belongs to somebody else.
pub(crate) fn check_private(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    let us = geteuid().as_raw();
    if metadata.uid() != us {
        return Err(StoreError::Foreign { path: path.into(), owner: metadata.uid(), us });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Loose { path: path.into(), mode, is_folder: metadata.is_dir() });
    }
    Ok(())
}

fn make(path: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|it| StoreError::io("make", path, &it))?;
    // The new name is durable once its parent is. A parent that we may not open was there before.
    for parent in path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()) {
        if disk.sync_folder(parent).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::disk::real;

    #[test]
    fn a_new_folder_and_its_files_are_for_the_owner_only() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::take(&base.path().join("a/store"), real()).unwrap();
        folder.install("journal", b"x").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(
            (mode(folder.root().into()), mode(folder.path("journal")), mode(folder.path("lock"))),
            (0o700, 0o600, 0o600)
        );
        assert!(!folder.path("journal.new").exists());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let error = Folder::take(base.path(), real()).err().unwrap();
        assert_eq!(error, StoreError::Loose { path: base.path().into(), mode: 0o750, is_folder: true });
        assert!(!base.path().join("lock").exists());
    }

    #[test]
    fn a_folder_that_was_swapped_is_noticed() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("store");
        let folder = Folder::take(&path, real()).unwrap();
        folder.check_in_place().unwrap();
        fs::rename(&path, base.path().join("elsewhere")).unwrap();
        assert_eq!(folder.check_in_place(), Err(StoreError::Gone { folder: path.clone() }));
        let _other = Folder::take(&path, real()).unwrap();
        assert_eq!(folder.check_in_place(), Err(StoreError::Gone { folder: path }));
    }
}
