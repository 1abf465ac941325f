//! A disk that fails on demand, and that knows what it would have kept had the power gone.
//!
//! Everything happens to real files as well, so that whoever reads them finds what was written. Beside them the disk keeps
//! the books: what of each file was synced, what of each folder's names, and what came after. sled has its own way to the
//! disk, so its folder is only looked at when the power goes, and once at each [`FrailDisk::look_at_folders`].

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard},
};

use fastrand::Rng;

use super::remains::{Change, Files, after_a_cut, make_folder, mix, write};
use crate::store::{disk::Disk, folder::parent};

/// What goes wrong at the next call of its kind.
pub(in crate::store) enum Fault {
    /// This many bytes are written, then the write fails.
    Write(usize, io::ErrorKind),
    Sync(io::ErrorKind),
}

#[derive(Default)]
pub(in crate::store) struct FrailDisk {
    books: Mutex<Books>,
    released: Condvar,
}

#[derive(Default)]
struct Books {
    root: PathBuf,
    faults: VecDeque<Fault>,
    /// All files together take no more than this.
    room: Option<u64>,
    is_read_only: bool,
    is_held: bool,
    n_waiting: usize,
    /// Calls until the power goes, the last of them not completed.
    calls_left: Option<u64>,
    is_off: bool,
    by_inode: HashMap<u64, usize>,
    contents: Vec<Content>,
    /// What each name stands for now, and what it stands for on the disk.
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<Vec<NewName>>,
}

type NewName = (PathBuf, Option<usize>);

enum Content {
    File {
        synced: Vec<u8>,
        unsynced: Vec<Change>,
    },
    /// A folder of sled's, as it was found each time, the newest last.
    Folder(Vec<Files>),
}

impl FrailDisk {
    /// A disk on which everything in the folder `root` has been safe for long.
    pub(in crate::store) fn on(root: &Path) -> Self {
        let mut books = Books { root: root.into(), ..Books::default() };
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                continue;
            }
            let synced = fs::read(&path).unwrap();
            let number = books.add(Content::File { synced, unsynced: Vec::new() });
            books.by_inode.insert(entry.metadata().unwrap().ino(), number);
            books.names.insert(path.clone(), number);
            books.synced_names.insert(path, number);
        }
        let disk = Self { books: Mutex::new(books), ..Self::default() };
        disk.look_at_folders();
        disk
    }

    pub(in crate::store) fn fail(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// From now on all files may take this much; nothing lifts the limit.
    pub(in crate::store) fn limit_room(&self, room: Option<u64>) {
        self.lock().room = room;
    }

    pub(in crate::store) fn make_read_only(&self, is_read_only: bool) {
        self.lock().is_read_only = is_read_only;
    }

    /// Whoever syncs waits until this is taken back.
    pub(in crate::store) fn hold_syncs(&self, is_held: bool) {
        self.lock().is_held = is_held;
        self.released.notify_all();
    }

    /// Waits until somebody waits for a sync that is held.
    pub(in crate::store) fn until_somebody_waits(&self) {
        let books = self.lock();
        drop(self.released.wait_while(books, |it| it.n_waiting == 0).unwrap());
    }

    /// The power goes in the middle of the call after `n_calls` more.
    pub(in crate::store) fn cut_after(&self, n_calls: u64) {
        self.lock().calls_left = Some(n_calls);
    }

    pub(in crate::store) fn is_off(&self) -> bool {
        self.lock().is_off
    }

    pub(in crate::store) fn cut_now(&self) {
        self.lock().switch_off();
    }

    /// It was the process that ended, not the power: all that was written is still there to be read, and what was not
    /// synced is no safer than it was.
    pub(in crate::store) fn go_on(&self) {
        let mut books = self.lock();
        books.faults.clear();
        (books.calls_left, books.is_off) = (None, false);
    }

    /// Remembers what sled's folders hold now: after a cut, any mixture of what was remembered may be there.
    pub(in crate::store) fn look_at_folders(&self) {
        self.lock().look_at_folders();
    }

    /// What is found in the folder `into` when the power is back: everything that was synced, and of the rest whatever
    /// `random` makes of it.
    pub(in crate::store) fn found_after_the_cut(&self, into: &Path, random: &mut Rng) {
        let books = self.lock();
        let mut names = books.synced_names.clone();
        // A journalled filesystem keeps the first few, others may keep any.
        let (n_first, keeps_order) = (random.usize(0..=books.unsynced_names.len()), random.bool());
        for (number, step) in books.unsynced_names.iter().enumerate() {
            if if keeps_order { number < n_first } else { random.bool() } {
                apply(&mut names, step);
            }
        }
        make_folder(into);
        for (path, number) in &names {
            let path = into.join(path.strip_prefix(&books.root).unwrap());
            match &books.contents[*number] {
                Content::File { synced, unsynced } => write(&path, &after_a_cut(synced, unsynced, random)),
                Content::Folder(found) => mix(found, &path, random),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Fails if the power is off. `act` is to note what becomes of the call if it is cut short, and is given whether it is.
    fn step<T>(&self, act: impl FnOnce(&mut Books, bool) -> io::Result<T>) -> io::Result<T> {
        let mut books = self.lock();
        if books.is_off {
            return Err(io::Error::other("the power is off"));
        }
        let is_cut_short = books.calls_left == Some(0);
        books.calls_left = books.calls_left.map(|it| it.saturating_sub(1));
        let done = act(&mut books, is_cut_short);
        if is_cut_short {
            books.switch_off();
            return Err(io::Error::other("the power goes"));
        }
        done
    }
}

impl Disk for FrailDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step(|books, _| {
            books.check_writable()?;
            let file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
            if books.names.contains_key(path) {
                books.note(&file, Change::Cut(0));
            } else {
                let number = books.add(Content::File { synced: Vec::new(), unsynced: Vec::new() });
                books.by_inode.insert(file.metadata()?.ino(), number);
                books.rename(vec![(path.into(), Some(number))]);
            }
            Ok(file)
        })
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.step(|books, _| {
            books.check_writable()?;
            File::options().read(true).write(true).open(path)
        })
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.step(|books, _| {
            books.check_writable()?;
            let mut failure = None;
            let mut bytes = bytes;
            if let Some(Fault::Write(n_bytes, kind)) = books.faults.pop_front_if(|it| matches!(it, Fault::Write(..))) {
                (bytes, failure) = (&bytes[..n_bytes.min(bytes.len())], Some(kind));
            }
            if let Some(room) = books.room {
                let growth = (at + bytes.len() as u64).saturating_sub(file.metadata()?.len());
                let left = room.saturating_sub(taken(&books.root));
                if left < growth {
                    let fitting = bytes.len() - usize::try_from(growth - left).unwrap().min(bytes.len());
                    (bytes, failure) = (&bytes[..fitting], Some(io::ErrorKind::StorageFull));
                }
            }
            books.note(file, Change::Write { bytes: bytes.into(), at: usize::try_from(at).unwrap() });
            file.write_all_at(bytes, at)?;
            failure.map_or(Ok(()), |kind| Err(kind.into()))
        })
    }

    fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        self.step(|books, _| {
            books.check_writable()?;
            books.note(file, Change::Cut(usize::try_from(len).unwrap()));
            file.set_len(len)
        })
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut books = self.lock();
        if books.is_held {
            books.n_waiting += 1;
            self.released.notify_all();
            books = self.released.wait_while(books, |it| it.is_held).unwrap();
            books.n_waiting -= 1;
        }
        drop(books);
        self.step(|books, is_cut_short| {
            if let Some(Fault::Sync(kind)) = books.faults.pop_front_if(|it| matches!(it, Fault::Sync(_))) {
                return Err(kind.into());
            }
            let number = books.by_inode.get(&file.metadata()?.ino()).copied();
            if let Some(Content::File { synced, unsynced }) = number.map(|it| &mut books.contents[it])
                && !is_cut_short
            {
                unsynced.drain(..).for_each(|it| it.apply(synced));
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|books, _| {
            books.check_writable()?;
            books.look_at_folders();
            fs::rename(from, to)?;
            if let Some(number) = books.names.get(from).copied() {
                books.rename(vec![(from.into(), None), (to.into(), Some(number))]);
            }
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|books, _| {
            books.check_writable()?;
            fs::hard_link(from, to)?;
            let number = books.names[from];
            books.rename(vec![(to.into(), Some(number))]);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|books, _| {
            books.check_writable()?;
            fs::remove_file(path)?;
            books.rename(vec![(path.into(), None)]);
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|books, is_cut_short| {
            if is_cut_short {
                return Ok(());
            }
            let Books { synced_names, unsynced_names, .. } = books;
            unsynced_names.retain(|step| {
                let is_elsewhere = parent(&step[0].0) != path;
                if !is_elsewhere {
                    apply(synced_names, step);
                }
                is_elsewhere
            });
            Ok(())
        })
    }
}

impl Books {
    fn add(&mut self, content: Content) -> usize {
        self.contents.push(content);
        self.contents.len() - 1
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.is_read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    fn note(&mut self, file: &File, change: Change) {
        let number = self.by_inode.get(&file.metadata().unwrap().ino());
        if let Some(Content::File { unsynced, .. }) = number.map(|it| &mut self.contents[*it]) {
            unsynced.push(change);
        }
    }

    fn rename(&mut self, step: Vec<NewName>) {
        apply(&mut self.names, &step);
        self.unsynced_names.push(step);
    }

    fn switch_off(&mut self) {
        if !self.is_off {
            self.look_at_folders();
            self.is_off = true;
        }
    }

    fn look_at_folders(&mut self) {
        for path in fs::read_dir(&self.root).into_iter().flatten().flatten().map(|it| it.path()) {
            if !path.is_dir() {
                continue;
            }
            let mut files = Files::new();
            read_files(&path, &path, &mut files);
            match self.names.get(&path) {
                Some(number) => {
                    if let Content::Folder(found) = &mut self.contents[*number] {
                        found.push(files);
                    }
                }
                None => {
                    let number = self.add(Content::Folder(vec![files]));
                    self.names.insert(path.clone(), number);
                    self.synced_names.insert(path, number);
                }
            }
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, step: &[NewName]) {
    for (path, number) in step {
        match number {
            Some(number) => drop(names.insert(path.clone(), *number)),
            None => drop(names.remove(path)),
        }
    }
}

fn read_files(root: &Path, folder: &Path, files: &mut Files) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()) {
        if path.is_dir() {
            read_files(root, &path, files);
        } else if let Ok(bytes) = fs::read(&path) {
            files.insert(path.strip_prefix(root).unwrap().into(), bytes);
        }
    }
}

fn taken(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|it| it.metadata().ok()).filter(fs::Metadata::is_file).map(|it| it.len()).sum()
}
