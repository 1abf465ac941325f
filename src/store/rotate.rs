//! Another key for a store: everything is sealed anew, and a kill at any moment leaves one key that opens everything.
//!
//! The journal is put in place in one step, and from then on the new key counts. All else follows: the key's own place, the
//! identity file and sled, which any start brings up from the journal where a kill came between.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    KeySource, SledStore, StoreError, StoreSettings,
    database::{self, Database},
    disk::{self, Disk},
    folder::Folder,
    frame::{self, Name},
    journal, key,
    open::{self, IDENTITY, no_notes},
    seal::{Sealed, Sealer},
    spent::Spent,
    writer::Writer,
};
use crate::clock::Clock;

/// sled as it will be, and as it was.
const NEXT: &str = "db.next";
const LAST: &str = "db.last";

/// What a change of the key left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Where the new key lies.
    pub key_file: PathBuf,
    /// What was set aside earlier is still sealed with the old key.
    pub still_old: Vec<PathBuf>,
}

/// Seals a store that nobody uses with a key made for it, in place of the one in its key file; or, where `to` is given, with
/// the key in that file, which is made where there is none. In that case the settings have to follow.
///
/// After an error the store opens with the key that it had, or, with the file `to`, with that one.
pub fn rotate_key(settings: &StoreSettings, to: Option<&Path>, clock: &Clock) -> Result<Rotated, StoreError> {
    rotate_on(&disk::real(), settings, to, clock)
}

pub(super) fn rotate_on(
    disk: &Arc<dyn Disk>,
    settings: &StoreSettings,
    to: Option<&Path>,
    clock: &Clock,
) -> Result<Rotated, StoreError> {
    if !is_there(&settings.path) {
        return Err(StoreError::NoStore { folder: settings.path.clone() });
    }
    let opened = open::open(settings, disk.clone(), clock.clone(), no_notes(), Arc::default())?;
    let (key, key_file) = match (to, &settings.key) {
        (Some(path), _) => (key::obtain(&KeySource::File(path.into()), false, &**disk)?, path),
        (None, KeySource::File(path)) => {
            // Where an earlier change could not be finished, the next key is the one in use, and must not be made again.
            let present = Sealer::new(&*key::obtain(&settings.key, true, &**disk)?);
            if present.key_id() != opened.writer.sealer.key_id() {
                return Err(StoreError::KeyStuck { path: path.clone() });
            }
            (key::make_next(path, &**disk)?, path.as_path())
        }
        (None, KeySource::Given(_)) => return Err(StoreError::KeyGiven),
    };
    reseal(opened.writer, &Sealer::new(&key), || match to {
        Some(_) => Ok(()),
        None => key::adopt_next(key_file, &**disk),
    })?;
    let key = KeySource::File(key_file.into());
    // It opens with the new key alone, and what still has the old one is brought up.
    drop(SledStore::open_on(disk.clone(), StoreSettings { key, ..settings.clone() }, clock.clone())?);
    Ok(Rotated { key_file: key_file.into(), still_old: set_aside_earlier(&settings.path) })
}

/// Whether a store lies in the folder.
pub(super) fn is_there(folder: &Path) -> bool {
    [journal::NAME, IDENTITY, database::NAME].iter().any(|it| folder.join(it).exists())
}

/// Finishes or clears away what a kill left of sled's exchange.
pub(super) fn clear_leftovers(folder: &Folder) -> Result<(), StoreError> {
    let (present, next) = (folder.path(database::NAME), folder.path(NEXT));
    if !present.exists() && next.exists() {
        folder.disk().rename(&next, &present).map_err(|error| StoreError::io("put in place", &next, &error))?;
    }
    for leftover in [next, folder.path(LAST)] {
        match fs::remove_dir_all(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(%error, leftover = %leftover.display(), "a leftover stays");
            }
            _ => {}
        }
    }
    Ok(())
}

/// `adopt` puts the new key in its place; it is called when the journal is sealed with it.
fn reseal(
    mut writer: Writer,
    sealer: &Sealer,
    adopt: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let folder = writer.folder.clone();
    if sealer.key_id() == writer.sealer.key_id() {
        return Err(StoreError::KeyUnchanged);
    }
    writer.heal();
    let cannot_read = |error: io::Error| StoreError::io("read", folder.path(journal::NAME), &error);
    let frames = writer.journal.newest_frames().map_err(cannot_read)?;
    let frames = frames.iter().filter(|it| it.name != Name::Checkpoint);
    let frames = frames.map(|it| reseal_one(it, &writer.sealer, sealer)).collect::<Result<Vec<_>, _>>();
    let frames = frames?.into_iter().collect::<Option<Vec<_>>>();
    let frames = frames.ok_or_else(|| cannot_read(io::ErrorKind::InvalidData.into()))?;

    // sled is made anew, as the old frames would stay in its files for long; only it knows every spent token.
    let mut next = Database::open_as(&folder, NEXT);
    next.copy_in(writer.database.spent()?)?;
    next.bring_up(frames.clone(), Spent::default())?;
    next.checkpoint()?;
    if !next.close() {
        return Err(StoreError::Database { reason: "the new one does not let go of its file".to_owned() });
    }
    let moving = |error: io::Error| StoreError::io("put the new database in", folder.root(), &error);
    folder.sync().map_err(moving)?;

    writer
        .journal
        .replace(&frames)
        .map_err(|error| StoreError::io("put the new journal in place of", folder.path(journal::NAME), &error))?;
    adopt()?;
    writer.database.close();
    let (present, last) = (folder.path(database::NAME), folder.path(LAST));
    folder.disk().rename(&present, &last).map_err(moving)?;
    folder.disk().rename(&folder.path(NEXT), &present).map_err(moving)?;
    folder.sync().map_err(moving)
}

fn reseal_one(frame: &Sealed, from: &Sealer, to: &Sealer) -> Result<Option<Sealed>, StoreError> {
    let Some(parsed) = frame::parse_exact(&frame.bytes) else { return Ok(None) };
    let Some(content) = from.unseal(&parsed) else { return Ok(None) };
    to.seal(&frame.name, frame.revision, &content).map(Some)
}

fn set_aside_earlier(folder: &Path) -> Vec<PathBuf> {
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        name.contains(".damaged-") || name.starts_with(super::backup::BEFORE_RESTORE)
    };
    let mut found: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).filter(is_aside).collect();
    found.sort();
    found
}
