//! sled 0.34.7, the second copy, with the guards that it needs. A failure here never fails a commit.
//!
//! It leaves `snap.*.generating` files behind a kill that make it unopenable, serves nothing but errors after a full disk
//! until it is reopened, and its `flush` is no fsync. It is never given to more than one thread, and never `flush_async`.

use std::{
    fs, io, mem,
    num::NonZeroU64,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use sled::IVec;

use super::{disk, error::StoreError, folder::Folder, seal::Sealed, spent, spent::Spent};
use crate::account::{AccountId, Fingerprint};

pub(super) const NAME: &str = "db";

const CACHE_BYTES: u64 = 4 * 1024 * 1024;
const SEGMENT_BYTES: usize = 64 * 1024;

/// What fewer records leave in sled's cache is not worth opening it anew.
const MANY: usize = 5000;

/// After a kill the lock of sled's file may linger for a moment.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A minute.
const TIMER_SLACK_NANOSECONDS: u64 = 60_000_000_000;

/// Keys and values, as sled holds them.
pub(super) type Pairs = Vec<(IVec, IVec)>;

pub(super) struct Database {
    path: PathBuf,
    state: State,
    is_at_hand: bool,
}

enum State {
    Open(sled::Db),
    Broken(Breakage),
}

/// Why sled cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Breakage {
    pub(super) reason: String,
    /// Whether the files are to blame, rather than room or rights that may come back.
    pub(super) is_damage: bool,
}

impl Database {
    /// Opens sled in the folder, making it where it is missing. If that fails, the database says why.
    pub(super) fn open(folder: &Folder) -> Self {
        Self::open_as(folder, NAME)
    }

    /// As [`Database::open`], under another name.
    pub(super) fn open_as(folder: &Folder, name: &str) -> Self {
        let path = folder.path(name);
        Self { state: State::open(&path), path, is_at_hand: false }
    }

    pub(super) fn breakage(&self) -> Option<&Breakage> {
        match &self.state {
            State::Open(_) => None,
            State::Broken(breakage) => Some(breakage),
        }
    }

    /// All frames, each with its key.
    pub(super) fn frames(&mut self) -> Result<Pairs, StoreError> {
        self.with(|database| database.range(..[spent::SINGLE]).collect())
    }

    /// Gives back what reading so many records left in sled's cache, by opening it anew: its cache looks at its size once in
    /// 16,000 uses of a page, which has up to 16 records. If that fails, the database says why.
    pub(super) fn forget_what_was_read(&mut self, n_records: usize) {
        if MANY <= n_records && self.breakage().is_none() {
            self.close();
            self.state = State::open(&self.path);
        }
    }

    /// Takes spent fingerprints and frames, one by one in this order: a record that is found is never without what was spent
    /// by then. As a batch they would cost sled two writes of their own.
    pub(super) fn apply(&mut self, frames: &[Sealed], spent: &Spent) -> Result<(), StoreError> {
        self.is_at_hand = true;
        self.with(|database| {
            spent::add(database, spent)?;
            frames.iter().try_for_each(|it| database.insert(it.name.database_key(), it.bytes.as_slice()).map(drop))
        })
    }

    /// Takes of these frames and fingerprints what it does not have; whether there was any.
    pub(super) fn bring_up(&mut self, frames: &[Sealed], spent: &Spent) -> Result<bool, StoreError> {
        self.with(|database| {
            let mut has_news = spent::add(database, spent)?;
            for frame in frames {
                let key = frame.name.database_key();
                if database.get(&key)?.is_none_or(|it| it != frame.bytes.as_slice()) {
                    database.insert(key, frame.bytes.as_slice())?;
                    has_news = true;
                }
            }
            Ok(has_news)
        })
    }

    pub(super) fn is_spent(&mut self, account: &AccountId, fingerprint: Fingerprint) -> Result<bool, StoreError> {
        self.with(|database| spent::contains(database, account, fingerprint))
    }

    /// All spent fingerprints, as they are kept.
    pub(super) fn spent(&mut self) -> Result<Pairs, StoreError> {
        self.with(|database| database.range([spent::SINGLE]..[spent::END]).collect())
    }

    /// Takes pairs that another one had.
    pub(super) fn copy_in(&mut self, pairs: &[(IVec, IVec)]) -> Result<(), StoreError> {
        self.with(|database| pairs.iter().try_for_each(|(key, value)| database.insert(key, value).map(drop)))
    }

    /// Whether something was applied that is with sled alone, and not yet with the operating system.
    pub(super) fn is_at_hand(&self) -> bool {
        self.is_at_hand && self.breakage().is_none()
    }

    /// Hands what was applied to the operating system, so that it outlives a kill of this process.
    pub(super) fn hand_over(&mut self) -> Result<(), StoreError> {
        if mem::take(&mut self.is_at_hand) { self.with(|database| database.flush().map(drop)) } else { Ok(()) }
    }

    /// Makes all that was applied durable.
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.is_at_hand = false;
        self.with(|database| {
            database.flush()?;
            keep_private(&path)?;
            Ok(sync_files(&path)?)
        })
    }

    /// Lets go of the files.
    pub(super) fn close(&mut self) {
        self.break_off(Breakage { reason: "it is closed".to_owned(), is_damage: false });
    }

    fn with<T>(&mut self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        let database = match &self.state {
            State::Open(database) => database,
            State::Broken(breakage) => return Err(StoreError::Database { reason: breakage.reason.clone() }),
        };
        // sled panics on some damage. It is dropped then, so nothing half-done is seen again.
        let breakage = match unhurried(|| catch_unwind(AssertUnwindSafe(|| work(database)))) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => breakage(&error),
            Err(_) => Breakage { reason: "sled panicked".to_owned(), is_damage: true },
        };
        tracing::warn!(reason = %breakage.reason, "sled failed; the journal goes on without it");
        let reason = breakage.reason.clone();
        self.break_off(breakage);
        Err(StoreError::Database { reason })
    }

    fn break_off(&mut self, breakage: Breakage) {
        let state = mem::replace(&mut self.state, State::Broken(breakage));
        // Dropping flushes once more, which may panic where the work before did.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
    }
}

impl State {
    fn open(path: &Path) -> Self {
        match open_sled(path) {
            Ok(database) => Self::Open(database),
            Err(breakage) => {
                tracing::debug!(reason = %breakage.reason, "sled cannot be opened");
                Self::Broken(breakage)
            }
        }
    }
}

fn open_sled(path: &Path) -> Result<sled::Db, Breakage> {
    prepare(path).map_err(|error| breakage(&error.into()))?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::LowSpace);
    let mut tries = 1;
    loop {
        let error = match unhurried(|| catch_unwind(AssertUnwindSafe(|| config.open()))) {
            Ok(Ok(database)) => {
                let _ = keep_private(path);
                return Ok(database);
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(Breakage { reason: "sled panicked while opening".to_owned(), is_damage: true }),
        };
        let is_held = matches!(&error, sled::Error::Io(error) if is_locked(error));
        if !is_held || tries == LOCK_TRIES {
            return Err(breakage(&error));
        }
        tries += 1;
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// The threads that sled keeps for its writes, from its first one on, look around once a second, all seven of them and for
/// ever, although they are told of every piece of work. They inherit from the thread that makes them how late its timers
/// may be, so whoever calls sled is not in a hurry meanwhile. There is no timer in sled that anything waits for.
fn unhurried<T>(work: impl FnOnce() -> T) -> T {
    set_timer_slack(NonZeroU64::new(TIMER_SLACK_NANOSECONDS));
    let result = work();
    set_timer_slack(None);
    result
}

/// None: as it was when the thread started.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "only Linux knows it"))]
fn set_timer_slack(nanoseconds: Option<NonZeroU64>) {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(nanoseconds);
}

/// Makes the folder where it is missing, and removes what a kill during an earlier open left: sled would read the partial
/// snapshot as its newest and never open again.
fn prepare(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), |it| disk::real().sync_folder(it))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for file in fs::read_dir(path)? {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// sled makes its files with the process's mask; they are to be as private as ours.
fn keep_private(path: &Path) -> io::Result<()> {
    let make_private = |path: &Path, is_folder: bool| {
        let mode = if is_folder { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    make_private(path, true)?;
    for_each_file(path, &make_private)
}

/// sled's own flush waits for the pages only, not for the disk's cache and the file's length.
fn sync_files(path: &Path) -> io::Result<()> {
    for_each_file(path, &|file, is_folder| {
        let file = fs::File::open(file)?;
        if is_folder { file.sync_all() } else { file.sync_data() }
    })?;
    disk::real().sync_folder(path)
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

fn breakage(error: &sled::Error) -> Breakage {
    let is_damage = match error {
        sled::Error::Io(error) => !(is_of_the_moment(error) || is_locked(error)),
        _ => true,
    };
    Breakage { reason: error.to_string(), is_damage }
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
