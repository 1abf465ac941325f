//! The few things that the store asks of a disk. A test puts one in their place that fails, fills up or loses power.
//!
//! sled has its own way to the disk, so it is not behind this.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

pub(super) trait Disk: Send + Sync {
    /// An empty file, for its owner only, to be read and written; what was in an earlier one is gone.
    fn create(&self, path: &Path) -> io::Result<File>;

    /// A file that exists, to be read and written.
    fn open(&self, path: &Path) -> io::Result<File>;

    /// Writes all bytes, the first at the offset `at`. A failure may leave some of them written.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts what lies beyond `len`.
    fn cut(&self, file: &File, len: u64) -> io::Result<()>;

    /// Makes the file's content and its length durable; its name is not.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Moves a file or a folder in one step, in place of a file that has the name already.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// A second name for a file.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes new names, renames and removals in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The machine's own.
pub(super) fn real() -> Arc<dyn Disk> {
    Arc::new(Real)
}

struct Real;

impl Disk for Real {
    fn create(&self, path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
