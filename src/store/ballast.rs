//! A file that only takes up room, so that a full disk still takes the commit in hand.

use std::{fs, io, sync::Arc};

use super::folder::Folder;

const NAME: &str = "ballast";
const LEN: usize = 1024 * 1024;
const CHUNK: usize = 64 * 1024;

pub(super) struct Ballast {
    folder: Arc<Folder>,
}

impl Ballast {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self { folder }
    }

    /// Whether it is there in full.
    pub(super) fn is_present(&self) -> bool {
        fs::metadata(self.folder.path(NAME)).is_ok_and(|it| it.len() == LEN as u64)
    }

    /// Makes it where it is missing. What was written of it is removed when there is no room for all.
    pub(super) fn ensure(&self) -> io::Result<()> {
        if self.is_present() {
            return Ok(());
        }
        let written = self.write();
        if written.is_err() {
            self.release();
        }
        written
    }

    /// Gives its room back; whether there was any.
    pub(super) fn release(&self) -> bool {
        self.folder.disk().remove(&self.folder.path(NAME)).is_ok()
    }

    fn write(&self) -> io::Result<()> {
        let disk = self.folder.disk();
        let file = disk.create(&self.folder.path(NAME))?;
        // Random bytes, as a filesystem that compresses would hold nothing back for zeros.
        let mut chunk = vec![0; CHUNK];
        for at in (0..LEN).step_by(CHUNK) {
            fastrand::fill(&mut chunk);
            disk.write(&file, &chunk, at as u64)?;
        }
        disk.sync(&file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::real;

    #[test]
    fn ballast_comes_and_goes_and_a_short_one_is_made_whole() {
        let base = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::take(&base.path().join("store"), real()).unwrap());
        let ballast = Ballast::new(folder.clone());
        assert!(!ballast.is_present());
        ballast.ensure().unwrap();
        assert!(ballast.is_present());
        fs::write(folder.path(NAME), b"short").unwrap();
        assert!(!ballast.is_present());
        ballast.ensure().unwrap();
        assert!(ballast.is_present());
        assert!(ballast.release());
        assert!(!ballast.release());
    }
}
