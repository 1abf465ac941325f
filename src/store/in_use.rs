//! Whether somebody holds a store at this moment.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use super::folder::LOCK;

/// Whether another process holds the store in `folder`. It changes nothing, and where it may not look it says no: opening
/// the store says why.
pub fn is_in_use(folder: &Path) -> bool {
    let lock = File::open(folder.join(LOCK));
    lock.is_ok_and(|it| matches!(it.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{disk, folder::Folder},
        *,
    };

    #[test]
    fn a_store_is_in_use_for_as_long_as_its_lock_is_held() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("store");
        assert!(!is_in_use(&path));
        let folder = Folder::take(&path, disk::real()).unwrap();
        assert!(is_in_use(&path));
        drop(folder);
        assert!(!is_in_use(&path));
    }
}
