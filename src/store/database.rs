//! sled 0.34.7, the second copy, with the guards that it needs. A failure here never fails a commit.
//!
//! It leaves `snap.*.generating` files behind a kill that make it unopenable, serves nothing but errors after a full disk
//! until it is reopened, may wait for ever when it is dropped then, and its `flush` is no fsync. One thread asks it at a
//! time, and never `flush_async`.

use std::{
    io, mem,
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use sled::IVec;

use super::{error::StoreError, folder::Folder, leaving::Leaving, seal::Sealed, sled_folder, spent, spent::Spent};
use crate::account::{AccountId, Fingerprint};

pub(super) const NAME: &str = "db";

const CACHE_BYTES: u64 = 4 * 1024 * 1024;
const SEGMENT_BYTES: usize = 64 * 1024;

/// What fewer records leave in sled's cache is not worth opening it anew.
const MANY: usize = 5000;

/// One that is stuck keeps a thread, memory and its files until the process ends, so more of them are not risked.
const MOST_STUCK: u32 = if cfg!(test) { 1 } else { 3 };

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
    /// The last one that was open, until it is known to be gone.
    leaving: Option<Leaving>,
    n_stuck: u32,
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
        Self { state: State::open(&path), path, is_at_hand: false, leaving: None, n_stuck: 0 }
    }

    /// Opens it again. If that fails, the database says why.
    pub(super) fn reopen(&mut self) {
        self.close();
        self.state = self.take_file().map_or_else(State::Broken, |()| State::open(&self.path));
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
            self.reopen();
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
            sled_folder::keep_private(&path)?;
            Ok(sled_folder::sync(&path)?)
        })
    }

    /// Lets go of the files.
    pub(super) fn close(&mut self) {
        self.break_off(Breakage { reason: "it is closed".to_owned(), is_damage: false });
        self.has_left();
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
        if let State::Open(database) = mem::replace(&mut self.state, State::Broken(breakage)) {
            self.leaving = Some(Leaving::start(database));
        }
    }

    /// Waits until the last one that was open has let go of its file, as long as it may yet do so; whether it has.
    fn has_left(&mut self) -> bool {
        if self.leaving.as_ref().is_some_and(Leaving::wait) {
            self.leaving = None;
        }
        self.leaving.is_none()
    }

    /// Makes sure that nobody else has the file.
    fn take_file(&mut self) -> Result<(), Breakage> {
        if self.has_left() {
            return Ok(());
        }
        if self.n_stuck == MOST_STUCK {
            let reason =
                "it failed too often in the middle of a write; a restart of Latchkey opens it again".to_owned();
            return Err(Breakage { reason, is_damage: false });
        }
        sled_folder::replace_file(&self.path).map_err(|error| breakage(&error.into()))?;
        self.n_stuck += 1;
        let times_left = MOST_STUCK - self.n_stuck;
        tracing::warn!(times_left, "sled does not let go of its file; it is opened anew from what was written");
        self.leaving = None;
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.close();
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
    sled_folder::prepare(path).map_err(|error| breakage(&error.into()))?;
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
                let _ = sled_folder::keep_private(path);
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

#[cfg(test)]
mod tests {
    use std::{fs, slice, sync::Arc};

    use super::*;
    use crate::store::{disk, frame::Name, seal::Sealer};

    /// sled keeps in a file of its own what is longer than a quarter of a segment.
    const BIG: usize = SEGMENT_BYTES;

    fn frame(account: &str, len: usize) -> Sealed {
        Sealer::new(&[1; 32]).seal(&Name::Account(account.parse().unwrap()), 1, &vec![7; len]).unwrap()
    }

    /// Makes a big value fail in the middle of its write.
    fn fail_half_way(database: &mut Database) {
        let (blobs, aside) = (database.path.join("blobs"), database.path.join("aside"));
        fs::rename(&blobs, &aside).unwrap();
        database.apply(&[frame("big", BIG)], &Spent::default()).unwrap_err();
        assert!(database.breakage().is_some());
        fs::rename(&aside, &blobs).unwrap();
    }

    #[test]
    fn one_that_failed_half_way_is_opened_anew_with_what_was_written_until_it_was_too_often() {
        let base = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::take(&base.path().join("store"), disk::real()).unwrap());
        let mut database = Database::open(&folder);
        let small = frame("small", 100);
        database.apply(slice::from_ref(&small), &Spent::default()).unwrap();
        database.checkpoint().unwrap();
        for _ in 0..MOST_STUCK {
            fail_half_way(&mut database);
            database.reopen();
            assert!(database.breakage().is_none(), "{:?}", database.breakage());
            let frames = database.frames().unwrap();
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].1, small.bytes);
        }
        database.apply(&[frame("another", BIG)], &Spent::default()).unwrap();
        database.checkpoint().unwrap();
        fail_half_way(&mut database);
        for _ in 0..2 {
            database.reopen();
            assert!(database.breakage().unwrap().reason.contains("restart"));
        }
        drop(database);

        // As at the next start, when the one that is stuck is gone with its process.
        sled_folder::replace_file(&folder.path(NAME)).unwrap();
        fs::write(folder.path(NAME).join(sled_folder::COPY), b"half of it").unwrap();
        assert_eq!(Database::open(&folder).frames().unwrap().len(), 2);
        assert!(!folder.path(NAME).join(sled_folder::COPY).exists());
    }
}
