//! The folder of sled's files.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use super::disk;

/// The file that has the lock, and all of sled but big values.
const FILE: &str = "db";
/// What a kill leaves of it is removed before sled is opened.
pub(super) const COPY: &str = "db.copy";

/// Makes the folder where it is missing, and removes what a kill left: sled would read a partial snapshot as its newest and
/// never open again.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), |it| disk::real().sync_folder(it))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for file in fs::read_dir(path)? {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        let is_partial_snapshot = name.starts_with("snap.") && name.ends_with(".generating");
        if is_partial_snapshot || name == COPY {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// sled makes its files with the process's mask; they are to be as private as ours.
pub(super) fn keep_private(path: &Path) -> io::Result<()> {
    let make_private = |path: &Path, is_folder: bool| {
        let mode = if is_folder { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    make_private(path, true)?;
    for_each_file(path, &make_private)
}

/// sled's own flush waits for the pages only, not for the disk's cache and the file's length.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    for_each_file(path, &|file, is_folder| {
        let file = fs::File::open(file)?;
        if is_folder { file.sync_all() } else { file.sync_data() }
    })?;
    disk::real().sync_folder(path)
}

/// Puts a copy in the place of the file, if it is there: what was written, as after a kill, with a lock that nobody holds.
pub(super) fn replace_file(folder: &Path) -> io::Result<()> {
    let (file, copy) = (folder.join(FILE), folder.join(COPY));
    if !file.try_exists()? {
        return Ok(());
    }
    match copy_at_rest(&file, &copy).and_then(|()| fs::rename(&copy, &file)) {
        Ok(()) => disk::real().sync_folder(folder),
        Err(error) => {
            let _ = fs::remove_file(&copy);
            Err(error)
        }
    }
}

/// Fails where somebody writes to the file meanwhile.
fn copy_at_rest(file: &Path, copy: &Path) -> io::Result<()> {
    let modified = || fs::metadata(file)?.modified();
    let before = modified()?;
    fs::copy(file, copy)?;
    fs::File::open(copy)?.sync_all()?;
    if modified()? == before { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
}

/// Visits all below `path`. What sled's own threads remove meanwhile is no error.
fn for_each_file(path: &Path, visit: &dyn Fn(&Path, bool) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        match visit(&entry.path(), is_folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ if is_folder => for_each_file(&entry.path(), visit)?,
            _ => {}
        }
    }
    Ok(())
}
