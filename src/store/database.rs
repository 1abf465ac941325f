//! sled 0.34.7, the second copy, with the guards that it needs. A failure here never fails a commit.
//!
//! It leaves `snap.*.generating` files behind a kill that make it unopenable, serves nothing but errors after a full disk
//! until it is reopened, may wait for ever then, and its `flush` is no fsync. It is never given to more than one thread, and
//! never `flush_async`.

use std::{iter, mem, ops::Bound, path::PathBuf};

use sled::IVec;

use super::{
    breakage::{Breakage, Kind},
    error::StoreError,
    folder::Folder,
    seal::Sealed,
    sled_folder,
    sled_thread::{Leaving, SledThread},
    spent,
    spent::Spent,
};
use crate::account::{AccountId, Fingerprint};

pub(super) const NAME: &str = "db";

/// As many frames, or what as many accounts spent, are one piece of work.
const AT_A_TIME: usize = 1000;
/// sled's cache looks at its size once in 16,000 uses of a page, of which a search takes three: with longer steps it would
/// come to hold all that is read.
const STEP: usize = 4;

/// One that is stuck keeps a thread, memory and its files until the process ends, so more of them are not risked.
const MOST_STUCK: u32 = if cfg!(test) { 1 } else { 3 };

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
    Open(SledThread),
    Broken(Breakage),
}

impl Database {
    /// Opens sled in the folder, making it where it is missing. If that fails, the database says why.
    pub(super) fn open(folder: &Folder) -> Self {
        Self::open_as(folder, NAME)
    }

    /// As [`Database::open`], under another name.
    pub(super) fn open_as(folder: &Folder, name: &str) -> Self {
        let state = State::Broken(Breakage::new(Kind::Shortage, "it is not open yet"));
        let mut database = Self { path: folder.path(name), state, is_at_hand: false, leaving: None, n_stuck: 0 };
        database.reopen();
        database
    }

    /// Opens it again. If that fails, the database says why.
    pub(super) fn reopen(&mut self) {
        self.close();
        self.state = match self.take_file().and_then(|()| SledThread::start(&self.path)) {
            Ok(thread) => State::Open(thread),
            Err(breakage) => State::Broken(breakage),
        };
        if let Err(breakage) = self.ask(|_| Ok(())) {
            tracing::debug!(reason = %breakage.reason, "sled cannot be opened");
            if breakage.kind == Kind::Silence {
                // It may still be at it, and would do the same once more.
                self.n_stuck = MOST_STUCK;
            }
        }
    }

    pub(super) fn breakage(&self) -> Option<&Breakage> {
        match &self.state {
            State::Open(_) => None,
            State::Broken(breakage) => Some(breakage),
        }
    }

    /// Shows all frames, each with its key, in the order of the keys.
    pub(super) fn read(&mut self, mut show: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let mut behind = Bound::Unbounded;
        loop {
            let from = behind.clone();
            let piece = self.with(|database| read_piece(database, from))?;
            let Some((last, _)) = piece.last() else { return Ok(()) };
            behind = Bound::Excluded(last.clone());
            piece.iter().for_each(|(key, value)| show(key, value));
        }
    }

    /// Takes spent fingerprints and frames, one by one in this order: a record that is found is never without what was spent
    /// by then. As a batch they would cost sled two writes of their own.
    pub(super) fn apply(&mut self, frames: Vec<Sealed>, spent: Spent) -> Result<(), StoreError> {
        self.is_at_hand = true;
        self.with(move |database| {
            spent::add(database, spent)?;
            frames.iter().try_for_each(|it| database.insert(it.name.database_key(), it.bytes.as_slice()).map(drop))
        })
    }

    /// Takes of these frames and fingerprints what it does not have; whether there was any.
    pub(super) fn bring_up(
        &mut self,
        frames: Vec<Sealed>,
        spent: impl IntoIterator<Item = (AccountId, Vec<Fingerprint>)>,
    ) -> Result<bool, StoreError> {
        let mut has_news = false;
        for spent in pieces(spent) {
            has_news |= self.with(move |database| spent::add(database, spent))?;
        }
        for frames in pieces(frames) {
            has_news |= self.with(move |database| {
                let mut has_news = false;
                for frame in frames {
                    let key = frame.name.database_key();
                    if database.get(&key)?.is_none_or(|it| it != frame.bytes.as_slice()) {
                        database.insert(key, frame.bytes)?;
                        has_news = true;
                    }
                }
                Ok(has_news)
            })?;
        }
        Ok(has_news)
    }

    /// Whether any of these accounts spent it.
    pub(super) fn is_spent(&mut self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError> {
        let accounts = accounts.to_vec();
        self.with(move |database| {
            for account in &accounts {
                if spent::contains(database, account, fingerprint)? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// All spent fingerprints, as they are kept.
    pub(super) fn spent(&mut self) -> Result<Pairs, StoreError> {
        self.with(|database| database.range([spent::SINGLE]..[spent::END]).collect())
    }

    /// Takes pairs that another one had.
    pub(super) fn copy_in(&mut self, pairs: Pairs) -> Result<(), StoreError> {
        for pairs in pieces(pairs) {
            self.with(|database| pairs.into_iter().try_for_each(|(key, value)| database.insert(key, value).map(drop)))?;
        }
        Ok(())
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
        self.with(move |database| {
            database.flush()?;
            sled_folder::keep_private(&path)?;
            Ok(sled_folder::sync(&path)?)
        })
    }

    /// Lets go of the files; whether it has.
    pub(super) fn close(&mut self) -> bool {
        self.break_off(Breakage::new(Kind::Shortage, "it is closed"));
        self.has_left()
    }

    fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&sled::Db) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let was_open = self.breakage().is_none();
        self.ask(work).map_err(|Breakage { reason, .. }| {
            if was_open {
                tracing::warn!(%reason, "sled failed; the journal goes on without it");
            }
            StoreError::Database { reason }
        })
    }

    /// A failure breaks sled off.
    fn ask<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&sled::Db) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, Breakage> {
        let outcome = match &self.state {
            State::Open(thread) => thread.ask(work),
            State::Broken(breakage) => Err(breakage.clone()),
        };
        outcome.inspect_err(|it| self.break_off(it.clone()))
    }

    fn break_off(&mut self, breakage: Breakage) {
        if let State::Open(thread) = mem::replace(&mut self.state, State::Broken(breakage)) {
            self.leaving = Some(thread.leave());
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
        if !self.leaving.as_ref().is_some_and(Leaving::is_stuck) {
            return Err(Breakage::new(Kind::Shortage, "it has not let go of its file yet"));
        }
        if self.n_stuck == MOST_STUCK {
            let reason = "it hung too often; a restart of Latchkey opens it again";
            return Err(Breakage::new(Kind::Shortage, reason));
        }
        sled_folder::replace_file(&self.path)?;
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

/// Of the frames in the order of their keys, those behind one.
fn read_piece(database: &sled::Db, mut behind: Bound<IVec>) -> sled::Result<Pairs> {
    let mut piece = Pairs::new();
    while piece.len() < AT_A_TIME {
        let range = (behind, Bound::Excluded(IVec::from(&[spent::SINGLE])));
        let before = piece.len();
        for pair in database.range(range).take(STEP) {
            piece.push(pair?);
        }
        match piece.last() {
            Some((last, _)) if before < piece.len() => behind = Bound::Excluded(last.clone()),
            _ => break,
        }
    }
    Ok(piece)
}

fn pieces<T>(all: impl IntoIterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    let mut all = all.into_iter();
    iter::from_fn(move || Some(Vec::from_iter(all.by_ref().take(AT_A_TIME))).filter(|it| !it.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Arc, mpsc},
    };

    use super::*;
    use crate::store::{disk, frame::Name, seal::Sealer, sled_thread::SEGMENT_BYTES};

    /// sled keeps in a file of its own what is longer than a quarter of a segment.
    const BIG: usize = SEGMENT_BYTES;

    fn frame(account: &str, len: usize) -> Sealed {
        Sealer::new(&[1; 32]).seal(&Name::Account(account.parse().unwrap()), 1, &vec![7; len]).unwrap()
    }

    fn frames(database: &mut Database) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        database.read(|_, value| frames.push(value.to_vec())).unwrap();
        frames
    }

    /// Makes a big value fail in the middle of its write.
    fn fail_half_way(database: &mut Database) {
        let (blobs, aside) = (database.path.join("blobs"), database.path.join("aside"));
        fs::rename(&blobs, &aside).unwrap();
        database.apply(vec![frame("big", BIG)], Spent::default()).unwrap_err();
        assert!(database.breakage().is_some());
        fs::rename(&aside, &blobs).unwrap();
    }

    fn folder() -> (tempfile::TempDir, Arc<Folder>) {
        let base = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::take(&base.path().join("store"), disk::real()).unwrap());
        (base, folder)
    }

    #[test]
    fn one_that_never_answers_is_left_alone_and_opened_anew() {
        let (_base, folder) = folder();
        let mut database = Database::open(&folder);
        database.apply(vec![frame("small", 100)], Spent::default()).unwrap();
        database.checkpoint().unwrap();
        let (never, answers) = mpsc::channel::<()>();
        database.with(move |_| Ok(answers.recv().is_err())).unwrap_err();
        assert_eq!(database.breakage().unwrap().kind, Kind::Silence);
        database.reopen();
        assert_eq!(frames(&mut database).len(), 1);

        // The one that was left alone goes on after all.
        drop(never);
        database.apply(vec![frame("another", 100)], Spent::default()).unwrap();
        database.checkpoint().unwrap();
        database.reopen();
        assert_eq!(frames(&mut database).len(), 2);
    }

    #[test]
    fn one_that_failed_half_way_is_opened_anew_with_what_was_written_until_it_was_too_often() {
        let (_base, folder) = folder();
        let mut database = Database::open(&folder);
        let small = frame("small", 100);
        database.apply(vec![small.clone()], Spent::default()).unwrap();
        database.checkpoint().unwrap();
        for _ in 0..MOST_STUCK {
            fail_half_way(&mut database);
            database.reopen();
            assert!(database.breakage().is_none(), "{:?}", database.breakage());
            assert_eq!(frames(&mut database), std::slice::from_ref(&small.bytes));
        }
        database.apply(vec![frame("another", BIG)], Spent::default()).unwrap();
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
        assert_eq!(frames(&mut Database::open(&folder)).len(), 2);
        assert!(!folder.path(NAME).join(sled_folder::COPY).exists());
    }
}
