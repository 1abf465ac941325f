//! The journal: an append-only file of frames. What it has synced is what was promised.

use std::{collections::HashMap, fs::File, io, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use super::{
    folder::{Folder, is_in_place},
    frame::{self, Name},
    scan::Scan,
    seal::Sealed,
};

pub(super) const NAME: &str = "journal";

/// Below this length a journal is never compacted.
const COMPACT_ABOVE: u64 = 1024 * 1024;

/// So many frames are moved at a time.
const AT_A_TIME: usize = if cfg!(test) { 2 } else { 256 };

pub(super) struct Journal {
    folder: Arc<Folder>,
    file: File,
    /// Where the last acknowledged frame ends, and the next one will start.
    len: u64,
    newest: HashMap<Name, Position>,
    /// How many of those are accounts', and how many bytes all of them have together: asked at each write.
    n_accounts: usize,
    n_live_bytes: u64,
    health: Health,
}

/// Where the newest frame of a name lies.
#[derive(Clone, Copy, Debug)]
struct Position {
    revision: u64,
    offset: u64,
    len: usize,
}

#[derive(PartialEq)]
enum Health {
    Well,
    /// The file is durable, its name in the folder is perhaps not yet.
    NameUnsynced,
    /// A sync failed, or what a failed write left could not be cut off. After a failed sync the kernel may call pages
    /// clean that never reached the disk, so this file is not written to again: its good part moves to a new one.
    Suspect,
}

impl Journal {
    /// A new journal of these frames, in place of any other.
    pub(super) fn create(folder: Arc<Folder>, frames: &[Sealed]) -> io::Result<Self> {
        let bytes = joined(frames);
        let file = folder.install(NAME, &bytes)?;
        folder.sync()?;
        let mut journal = Self::new(folder, file, 0);
        journal.take_in(frames);
        Ok(journal)
    }

    /// The journal that `scan` was made of. Its torn end is cut, and it is synced with its name: what a killed process had
    /// written without a sync is about to be served, so it must not vanish again.
    pub(super) fn adopt(folder: Arc<Folder>, scan: &Scan<'_>) -> io::Result<Self> {
        let disk = folder.disk();
        let file = disk.open(&folder.path(NAME))?;
        let len = scan.good_len as u64;
        if scan.is_torn {
            disk.cut(&file, len)?;
        }
        disk.sync(&file)?;
        folder.sync()?;
        let mut journal = Self::new(folder, file, len);
        for (offset, frame) in &scan.frames {
            let position = Position { revision: frame.header.revision, offset: *offset as u64, len: frame.bytes.len() };
            if journal.revision(&frame.header.name) <= position.revision {
                journal.note(&frame.header.name, position);
            }
        }
        Ok(journal)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path(NAME)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The newest revision of a name; 0 where there is none.
    pub(super) fn revision(&self, name: &Name) -> u64 {
        self.newest.get(name).map_or(0, |it| it.revision)
    }

    /// How many accounts have a record.
    pub(super) fn n_accounts(&self) -> usize {
        self.n_accounts
    }

    /// Writes the frames and syncs them, all or none: after an error, none of them is the newest of its name, and the next
    /// append works if the disk does.
    pub(super) fn append(&mut self, frames: &[Sealed]) -> io::Result<()> {
        self.make_well()?;
        let bytes = joined(frames);
        let disk = self.folder.disk();
        if let Err(error) = disk.write(&self.file, &bytes, self.len) {
            if disk.cut(&self.file, self.len).is_err() {
                self.health = Health::Suspect;
            }
            return Err(error);
        }
        if let Err(error) = disk.sync(&self.file) {
            self.health = Health::Suspect;
            return Err(error);
        }
        self.take_in(frames);
        Ok(())
    }

    /// Mends what an earlier failure left, and fails if that or opening the file for writing does.
    pub(super) fn check(&mut self) -> io::Result<()> {
        self.make_well()?;
        self.folder.disk().open(&self.path()).map(drop)
    }

    /// Whether most of the file is records that newer ones have replaced.
    pub(super) fn is_bloated(&self) -> bool {
        self.len > COMPACT_ABOVE.max(4 * self.n_live_bytes)
    }

    /// Moves the newest frame of each name to a new file, raw and in their order, and puts it in place. It is never in memory
    /// as a whole.
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        let in_order = self.in_order();
        let file = self.folder.install_with(NAME, |file| {
            let mut end = 0;
            for some in in_order.chunks(AT_A_TIME) {
                let frames = some.iter().map(|(name, position)| self.frame_at(name, **position));
                let bytes = joined(&frames.collect::<io::Result<Vec<_>>>()?);
                self.folder.disk().write(file, &bytes, end)?;
                end += bytes.len() as u64;
            }
            Ok(())
        })?;
        let mut moved = Vec::from_iter(self.newest.values_mut());
        moved.sort_unstable_by_key(|it| it.offset);
        self.len = 0;
        for position in moved {
            position.offset = self.len;
            self.len += position.len as u64;
        }
        self.put_in_place(file)
    }

    /// Puts a new file of these frames in place. A kill at any moment leaves either file whole.
    pub(super) fn replace(&mut self, frames: &[Sealed]) -> io::Result<()> {
        let file = self.folder.install(NAME, &joined(frames))?;
        self.len = 0;
        self.newest.clear();
        (self.n_accounts, self.n_live_bytes) = (0, 0);
        self.take_in(frames);
        self.put_in_place(file)
    }

    fn put_in_place(&mut self, file: File) -> io::Result<()> {
        self.file = file;
        // Until the new name is durable a crash may bring the old file back, so nothing may be promised before.
        self.health = Health::NameUnsynced;
        self.make_well()
    }

    fn note(&mut self, name: &Name, position: Position) {
        self.n_live_bytes += position.len as u64;
        match self.newest.insert(name.clone(), position) {
            Some(replaced) => self.n_live_bytes -= replaced.len as u64,
            None => self.n_accounts += usize::from(matches!(name, Name::Account(_))),
        }
    }

    /// The newest frame of each name in the order of the file. Fails where one can no longer be read as it was written.
    pub(super) fn newest_frames(&self) -> io::Result<Vec<Sealed>> {
        self.in_order().into_iter().map(|(name, position)| self.frame_at(name, *position)).collect()
    }

    /// The newest frame of one name, as [`Journal::newest_frames`] has it.
    pub(super) fn newest_frame(&self, name: &Name) -> io::Result<Option<Sealed>> {
        self.newest.get(name).map(|it| self.frame_at(name, *it)).transpose()
    }

    /// All that was acknowledged, as bytes.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn in_order(&self) -> Vec<(&Name, &Position)> {
        let mut positions = Vec::from_iter(&self.newest);
        positions.sort_unstable_by_key(|(_, position)| position.offset);
        positions
    }

    fn frame_at(&self, name: &Name, position: Position) -> io::Result<Sealed> {
        let mut bytes = vec![0; position.len];
        self.file.read_exact_at(&mut bytes, position.offset)?;
        let is_whole = frame::parse_exact(&bytes)
            .is_some_and(|it| it.header.name == *name && it.header.revision == position.revision);
        if !is_whole {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record in the journal no longer reads back"));
        }
        Ok(Sealed { name: name.clone(), revision: position.revision, bytes })
    }

    fn new(folder: Arc<Folder>, file: File, len: u64) -> Self {
        Self { folder, file, len, newest: HashMap::new(), n_accounts: 0, n_live_bytes: 0, health: Health::Well }
    }

    fn make_well(&mut self) -> io::Result<()> {
        if self.health == Health::NameUnsynced {
            self.folder.sync()?;
            self.health = Health::Well;
        }
        if self.health == Health::Suspect || !is_in_place(&self.file, &self.path()) {
            return self.rewrite();
        }
        Ok(())
    }

    /// Notes frames that were just written at the end.
    fn take_in(&mut self, frames: &[Sealed]) {
        for frame in frames {
            let position = Position { revision: frame.revision, offset: self.len, len: frame.bytes.len() };
            self.note(&frame.name, position);
            self.len += frame.bytes.len() as u64;
        }
    }
}

fn joined(frames: &[Sealed]) -> Vec<u8> {
    Vec::from_iter(frames.iter().map(|it| it.bytes.as_slice())).concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::{
        power::{Fault, FrailDisk},
        scan::scan,
        seal::Sealer,
    };

    struct Bench {
        disk: Arc<FrailDisk>,
        folder: Arc<Folder>,
        journal: Journal,
        _base: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("store");
        let disk = Arc::new(FrailDisk::on(&path));
        let folder = Arc::new(Folder::take(&path, disk.clone()).unwrap());
        let journal = Journal::create(folder.clone(), &[]).unwrap();
        Bench { disk, folder, journal, _base: base }
    }

    fn name() -> Name {
        Name::Account("home".parse().unwrap())
    }

    fn record(revision: u64) -> Sealed {
        Sealer::new(&[1; 32]).seal(&name(), revision, &[0; 100]).unwrap()
    }

    fn revisions_on_disk(folder: &Folder) -> Vec<u64> {
        let bytes = fs::read(folder.path(NAME)).unwrap();
        let scan = scan(&bytes).unwrap();
        assert!(scan.damaged.is_empty() && !scan.is_torn);
        scan.frames.iter().map(|(_, it)| it.header.revision).collect()
    }

    #[test]
    fn a_failed_write_leaves_the_journal_as_it_was() {
        for n_bytes in [0, 1, 60, 10_000] {
            let Bench { disk, folder, journal, .. } = &mut bench();
            journal.append(&[record(1)]).unwrap();
            disk.fail(Fault::Write(n_bytes, io::ErrorKind::StorageFull));
            assert_eq!(journal.append(&[record(2)]).unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!((journal.revision(&name()), revisions_on_disk(folder)), (1, vec![1]));
            journal.append(&[record(2)]).unwrap();
            assert_eq!((journal.revision(&name()), revisions_on_disk(folder)), (2, vec![1, 2]));
        }
    }

    #[test]
    fn after_a_failed_sync_the_good_part_moves_to_a_new_file() {
        let Bench { disk, folder, journal, .. } = &mut bench();
        journal.append(&[record(1)]).unwrap();
        let suspect = File::open(folder.path(NAME)).unwrap();
        disk.fail(Fault::Sync(io::ErrorKind::Other));
        journal.append(&[record(2)]).unwrap_err();
        assert_eq!(journal.revision(&name()), 1);
        journal.append(&[record(2)]).unwrap();
        assert!(!is_in_place(&suspect, &folder.path(NAME)));
        assert_eq!(revisions_on_disk(folder), [1, 2]);
    }

    #[test]
    fn a_journal_that_was_deleted_under_way_is_put_back() {
        let Bench { folder, journal, .. } = &mut bench();
        journal.append(&[record(1)]).unwrap();
        fs::remove_file(folder.path(NAME)).unwrap();
        journal.append(&[record(2)]).unwrap();
        assert_eq!(revisions_on_disk(folder), [1, 2]);
    }

    #[test]
    fn a_rewrite_keeps_the_newest_frame_of_each_name_only() {
        let Bench { folder, journal, .. } = &mut bench();
        for revision in 1..=5 {
            journal.append(&[record(revision)]).unwrap();
        }
        journal.rewrite().unwrap();
        assert_eq!(revisions_on_disk(folder), [5]);
        journal.append(&[record(6)]).unwrap();
        assert_eq!(revisions_on_disk(folder), [5, 6]);
    }

    fn newest(journal: &Journal) -> Vec<Vec<u8>> {
        journal.newest_frames().unwrap().into_iter().map(|it| it.bytes).collect()
    }

    #[test]
    fn a_rewrite_in_pieces_moves_every_frame_or_changes_nothing() {
        let Bench { disk, folder, journal, .. } = &mut bench();
        let names = Vec::from_iter((0..2 * AT_A_TIME + 1).map(|it| Name::Account(format!("a{it}").parse().unwrap())));
        let sealer = Sealer::new(&[1; 32]);
        for revision in 1..=2 {
            let frames = names.iter().zip(1..).map(|(name, len)| sealer.seal(name, revision, &vec![0; len]).unwrap());
            journal.append(&Vec::from_iter(frames)).unwrap();
        }
        let (before, len) = (newest(journal), journal.len());
        let first_piece: usize = before[..AT_A_TIME].iter().map(Vec::len).sum();
        disk.limit_room(Some(len + first_piece as u64 + 1));
        assert_eq!(journal.rewrite().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((newest(journal), journal.len()), (before.clone(), len));
        assert!(!folder.path("journal.new").exists());
        disk.limit_room(None);
        journal.rewrite().unwrap();
        assert_eq!((newest(journal), journal.len()), (before.clone(), len / 2));
        assert_eq!(fs::read(folder.path(NAME)).unwrap(), before.concat());
        journal.append(&[record(1)]).unwrap();
        assert_eq!(newest(journal)[..before.len()], before);
    }
}
