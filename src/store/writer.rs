//! The one thread that writes. Commits that wait together share one write and one sync.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    Commit, Entry, OpenReport, StoreError,
    ballast::Ballast,
    behind::{Behind, MOMENT},
    counters::Counters,
    database::Database,
    folder::Folder,
    frame::{self, Name},
    journal::Journal,
    packed::Packed,
    seal::{Sealed, Sealer},
};
use crate::{
    account::{AccountId, Fingerprint},
    clock::{Clock, LOOK_AGAIN},
};

/// One write takes no more changes than this, so that the first caller does not wait for the last.
const MAX_BATCH: usize = 512;

/// Keeps what fails again and again from turning the thread into a busy loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

pub(super) type Notes = Arc<RwLock<HashMap<String, Vec<u8>>>>;
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread is asked to do.
pub(super) enum Request {
    Change(Change),
    Record { account: AccountId, reply: Reply<Option<Entry>> },
    IsSpent { accounts: Vec<AccountId>, fingerprint: Fingerprint, reply: Reply<bool> },
    CheckRoom { reply: Reply<()> },
    Close { reply: Reply<()> },
}

/// What becomes a frame in the journal.
pub(super) enum Change {
    Commit { commit: Commit, reply: Reply<u64> },
    Note { name: String, bytes: Vec<u8>, reply: Reply<()> },
}

pub(super) struct Writer {
    pub(super) journal: Journal,
    pub(super) database: Database,
    pub(super) behind: Behind,
    pub(super) ballast: Ballast,
    pub(super) sealer: Sealer,
    pub(super) clock: Clock,
    pub(super) checkpoint_every: Duration,
    pub(super) last_checkpoint: Duration,
    pub(super) last_heal: Duration,
    pub(super) last_hand_over: Duration,
    pub(super) notes: Notes,
    pub(super) counters: Arc<Counters>,
    /// Something was written since the last checkpoint.
    pub(super) is_dirty: bool,
    /// After a compaction that failed, the length at which the next is tried.
    pub(super) compact_above: u64,
    /// The last field, so that the lock is the last thing to go.
    pub(super) folder: Arc<Folder>,
}

impl Writer {
    /// Works until it is closed or nobody can ask any more, then makes sled durable and lets go of all files and the lock.
    /// The reply to [`Request::Close`] is returned with its answer, to be sent after that.
    pub(super) fn run(mut self, requests: &Receiver<Request>) -> Option<(Reply<()>, Result<(), StoreError>)> {
        let mut next = None;
        let closer = loop {
            let request = match next.take() {
                Some(request) => request,
                None => match self.wait(requests) {
                    Ok(request) => request,
                    Err(RecvTimeoutError::Timeout) => {
                        self.follow_for_good();
                        self.look_after();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break None,
                },
            };
            match request {
                Request::Change(first) => {
                    let mut changes = vec![first];
                    while changes.len() < MAX_BATCH {
                        match requests.try_recv() {
                            Ok(Request::Change(change)) => changes.push(change),
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.take(changes);
                    self.look_after();
                }
                Request::Record { account, reply } => {
                    let _ = reply.send(self.record(&account));
                }
                Request::IsSpent { accounts, fingerprint, reply } => {
                    let _ = reply.send(self.is_spent(&accounts, fingerprint));
                }
                Request::CheckRoom { reply } => {
                    // What sled lacks takes room, too.
                    self.follow_for_good();
                    let _ = reply.send(self.check_room());
                }
                Request::Close { reply } => break Some(reply),
            }
        };
        let closed = if self.is_dirty { self.checkpoint_now() } else { Ok(()) };
        if let Err(error) = &closed {
            tracing::warn!(%error, "sled could not be made durable at the end; the journal has everything");
        }
        self.database.close();
        // What sled could not take is in the journal, so closing does not fail for it.
        closer.map(|reply| (reply, Ok(())))
    }

    pub(super) fn count_opening(&self, report: &OpenReport) {
        self.counters.rollbacks.store(report.rolled_back.len() as u64, Relaxed);
        self.counters.damaged_records.store(report.damaged_records, Relaxed);
        self.count_journal();
    }

    fn wait(&mut self, requests: &Receiver<Request>) -> Result<Request, RecvTimeoutError> {
        let is_at_rest = !self.is_dirty && self.database.breakage().is_none() && self.ballast.is_present();
        if is_at_rest {
            return requests.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        let mut timeout = LOOK_AGAIN;
        if self.is_dirty {
            let now = self.clock.monotonic();
            let checkpoint_in = self.checkpoint_every.saturating_sub(now.saturating_sub(self.last_checkpoint));
            let sled_in = self.behind.due_in(now).or(self.database.is_at_hand().then_some(MOMENT));
            timeout = sled_in.unwrap_or(LOOK_AGAIN).min(checkpoint_in).clamp(SHORTEST_WAIT, LOOK_AGAIN);
        }
        requests.recv_timeout(timeout)
    }

    /// Seals and writes the changes and answers; sled gets them later.
    pub(super) fn take(&mut self, changes: Vec<Change>) {
        let mut frames = Vec::new();
        let mut revisions = HashMap::new();
        let needs_room = changes.iter().any(|it| matches!(it, Change::Commit { commit, .. } if commit.needs_room));
        // Whether the journal can be written to shows in a moment.
        let room = if needs_room { self.keep_room() } else { Ok(()) };
        let outcomes: Vec<_> = changes.iter().map(|it| self.seal(it, &room, &mut revisions, &mut frames)).collect();
        let written = if frames.is_empty() { Ok(()) } else { self.write(&frames) };
        match &written {
            Ok(()) => self.counters.commits.fetch_add(frames.len() as u64, Relaxed),
            Err(error) => {
                tracing::error!(%error, mend = error.mend(), "the store could not take a commit");
                self.counters.failures.fetch_add(frames.len() as u64, Relaxed)
            }
        };
        for (change, outcome) in changes.into_iter().zip(outcomes) {
            // A conflict with a change that was not written is none, so the failure is everybody's answer.
            let outcome = written.clone().and(outcome);
            match change {
                Change::Commit { commit, reply } => {
                    let is_taken = outcome.is_ok();
                    let _ = reply.send(outcome);
                    if is_taken {
                        self.behind.add_spent(&commit.account, commit.record.spent());
                    }
                }
                Change::Note { name, bytes, reply } => {
                    if outcome.is_ok() {
                        self.notes.write().unwrap_or_else(PoisonError::into_inner).insert(name, bytes);
                    }
                    let _ = reply.send(outcome.map(drop));
                }
            }
        }
        if written.is_ok() && !frames.is_empty() {
            self.is_dirty = true;
            self.behind.add(frames, self.clock.monotonic());
        }
    }

    /// The new revision of a change whose frame was added to `frames`.
    fn seal(
        &self,
        change: &Change,
        room: &Result<(), StoreError>,
        revisions: &mut HashMap<Name, u64>,
        frames: &mut Vec<Sealed>,
    ) -> Result<u64, StoreError> {
        let newest = |name: &Name, revisions: &HashMap<Name, u64>| {
            revisions.get(name).copied().unwrap_or_else(|| self.journal.revision(name))
        };
        let (name, revision, sealed) = match change {
            Change::Commit { commit, .. } => {
                if commit.needs_room {
                    room.clone()?;
                }
                let name = Name::Account(commit.account.clone());
                let (account, expected, found) = (commit.account.clone(), commit.expected, newest(&name, revisions));
                if found != expected {
                    return Err(StoreError::Conflict { account, expected, found });
                }
                let sealed = self.sealer.seal(&name, found + 1, commit.record.as_bytes())?;
                (name, found + 1, sealed)
            }
            Change::Note { name, bytes, .. } => {
                let name = Name::Note(name.as_str().into());
                let revision = newest(&name, revisions) + 1;
                let sealed = self.sealer.seal(&name, revision, bytes)?;
                (name, revision, sealed)
            }
        };
        frames.push(sealed);
        revisions.insert(name, revision);
        Ok(revision)
    }

    /// Appends frames to the journal; on a full disk the ballast makes room for them.
    pub(super) fn write(&mut self, frames: &[Sealed]) -> Result<(), StoreError> {
        self.folder.check_in_place()?;
        let mut written = self.journal.append(frames);
        let is_full = written
            .as_ref()
            .is_err_and(|it| matches!(it.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded));
        if is_full && self.ballast.release() {
            tracing::warn!(folder = %self.folder.root().display(), "the disk is full; the ballast makes room");
            written = self.journal.append(frames);
        }
        self.counters.syncs.fetch_add(1, Relaxed);
        self.count_journal();
        written.map_err(|error| StoreError::io("write to", self.journal.path(), &error))
    }

    /// From the journal, which always has the newest one.
    fn record(&self, account: &AccountId) -> Result<Option<Entry>, StoreError> {
        let name = Name::Account(account.clone());
        let sealed = self.journal.newest_frame(&name);
        let Some(sealed) = sealed.map_err(|error| StoreError::io("read", self.journal.path(), &error))? else {
            return Ok(None);
        };
        let content = frame::parse_exact(&sealed.bytes).and_then(|it| self.sealer.unseal(&it));
        let record = content.and_then(Packed::read).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidData, "a record cannot be unsealed");
            StoreError::io("read", self.journal.path(), &error)
        })?;
        Ok(Some(Entry { account: account.clone(), revision: sealed.revision, record }))
    }

    fn is_spent(&mut self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError> {
        self.heal();
        if accounts.iter().any(|it| self.behind.has_spent(it, fingerprint)) {
            return Ok(true);
        }
        let known = self.database.is_spent(accounts, fingerprint);
        // Without sled the journal can still say yes, but not no.
        if known.is_err() {
            let spent = self.spent_in_journal()?;
            if accounts.iter().any(|it| spent.of(it).contains(&fingerprint)) {
                return Ok(true);
            }
        }
        known
    }

    fn check_room(&mut self) -> Result<(), StoreError> {
        self.folder.check_in_place()?;
        self.journal.check().map_err(|error| StoreError::io("write to", self.journal.path(), &error))?;
        self.keep_room()
    }

    /// Makes the ballast where it is missing, and never in a folder that took the place of ours.
    pub(super) fn keep_room(&self) -> Result<(), StoreError> {
        if self.ballast.is_present() {
            return Ok(());
        }
        self.folder.check_in_place()?;
        self.ballast.ensure().map_err(|error| StoreError::io("keep room in", self.folder.root(), &error))
    }

    pub(super) fn count_journal(&self) {
        self.counters.journal_bytes.store(self.journal.len(), Relaxed);
        self.counters.records.store(self.journal.n_accounts() as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use jiff::Timestamp;

    use super::*;
    use crate::{
        account::Secret,
        clock::Hand,
        store::{
            CHECKPOINT_EVERY, KeySource, StoreSettings, open,
            power::{Fault, FrailDisk},
        },
    };

    struct Bench {
        writer: Writer,
        disk: Arc<FrailDisk>,
        hand: Hand,
        _base: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let base = tempfile::tempdir().unwrap();
        let key = KeySource::Given(Secret::new("01".repeat(32)));
        let settings = StoreSettings { path: base.path().join("store"), key, checkpoint_every: CHECKPOINT_EVERY };
        let (clock, hand) = Clock::paused(Timestamp::UNIX_EPOCH);
        let disk = Arc::new(FrailDisk::default());
        let opened = open::open(&settings, disk.clone(), clock, open::no_notes(), Arc::default()).unwrap();
        Bench { writer: opened.writer, disk, hand, _base: base }
    }

    fn home() -> AccountId {
        "home".parse().unwrap()
    }

    fn spent(number: u64) -> Fingerprint {
        Fingerprint::from_bytes(number.to_be_bytes())
    }

    fn change(account: AccountId, revision: u64) -> (Change, oneshot::Receiver<Result<u64, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        let record = Packed::new(&[spent(revision)], b"payload").unwrap();
        let commit = Commit { account, expected: revision - 1, record, needs_room: false };
        (Change::Commit { commit, reply }, answer)
    }

    fn note(bytes: Vec<u8>) -> (Change, oneshot::Receiver<Result<(), StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Change::Note { name: "note".to_owned(), bytes, reply }, answer)
    }

    impl Bench {
        fn commit(&mut self, revision: u64) -> Result<u64, StoreError> {
            let (change, mut answer) = change(home(), revision);
            self.writer.take(vec![change]);
            answer.try_recv().unwrap()
        }

        fn fail(&mut self, fault: Fault) {
            self.disk.fail(fault);
        }
    }

    #[test]
    fn all_changes_that_wait_share_one_sync() {
        let bench = bench();
        let counters = bench.writer.counters.clone();
        let before = counters.stats();
        let (requests, receiver) = mpsc::channel();
        let mut answers = Vec::new();
        for number in 0..200 {
            let (change, answer) = change(format!("account_{number}").parse().unwrap(), 1);
            requests.send(Request::Change(change)).unwrap();
            answers.push(answer);
        }
        let (reply, _closed) = oneshot::channel();
        requests.send(Request::Close { reply }).unwrap();
        bench.writer.run(&receiver);
        assert!(answers.iter_mut().all(|it| it.try_recv().unwrap() == Ok(1)));
        let stats = counters.stats();
        assert_eq!(stats.commits - before.commits, 200);
        // One for the commits and one for the checkpoint at the end.
        assert_eq!(stats.syncs - before.syncs, 2);
    }

    #[test]
    fn a_full_disk_costs_the_ballast_and_not_the_commit() {
        let mut bench = bench();
        bench.fail(Fault::Write(10, io::ErrorKind::StorageFull));
        assert_eq!(bench.commit(1), Ok(1));
        assert!(!bench.writer.ballast.is_present());
        bench.writer.check_room().unwrap();
        assert!(bench.writer.ballast.is_present());
    }

    #[test]
    fn a_commit_without_room_fails_as_such_and_the_next_one_may_work() {
        let mut bench = bench();
        for _ in 0..2 {
            bench.fail(Fault::Write(10, io::ErrorKind::StorageFull));
        }
        let folder = bench.writer.folder.root().to_owned();
        assert_eq!(bench.commit(1), Err(StoreError::NoRoom { folder }));
        assert_eq!(bench.commit(1), Ok(1));
        assert_eq!(bench.commit(2), Ok(2));
    }

    #[test]
    fn a_commit_that_was_not_synced_is_not_acknowledged_and_can_be_repeated() {
        let mut bench = bench();
        assert_eq!(bench.commit(1), Ok(1));
        bench.fail(Fault::Sync(io::ErrorKind::Other));
        assert!(matches!(bench.commit(2), Err(StoreError::Io { .. })));
        assert_eq!(bench.commit(2), Ok(2));
        assert_eq!(bench.commit(3), Ok(3));
        assert!(!bench.writer.is_spent(&[home()], spent(4)).unwrap());
        assert!(bench.writer.is_spent(&[home()], spent(3)).unwrap());
    }

    #[test]
    fn a_read_only_disk_is_named_as_such() {
        let mut bench = bench();
        bench.fail(Fault::Write(0, io::ErrorKind::ReadOnlyFilesystem));
        let folder = bench.writer.folder.root().to_owned();
        assert_eq!(bench.commit(1), Err(StoreError::ReadOnly { folder }));
    }

    #[test]
    fn two_changes_of_one_account_in_one_write_follow_each_other() {
        let mut bench = bench();
        let (changes, answers): (Vec<_>, Vec<_>) = [1, 2, 2].map(|it| change(home(), it)).into_iter().unzip();
        bench.writer.take(changes);
        let answers = Vec::from_iter(answers.into_iter().map(|mut it| it.try_recv().unwrap()));
        let conflict = StoreError::Conflict { account: home(), expected: 1, found: 2 };
        assert_eq!(answers, [Ok(1), Ok(2), Err(conflict)]);
    }

    #[test]
    fn commits_go_on_without_sled_and_it_catches_up() {
        let mut bench = bench();
        assert_eq!(bench.commit(1), Ok(1));
        bench.writer.database.close();
        assert_eq!(bench.commit(2), Ok(2));
        assert!(bench.writer.is_spent(&[home()], spent(2)).unwrap());
        assert!(bench.writer.is_spent(&[home()], spent(1)).unwrap());
    }

    #[test]
    fn sled_follows_when_it_is_far_behind_and_before_anybody_relies_on_it() {
        let mut bench = bench();
        let has = |bench: &mut Bench, number| bench.writer.database.is_spent(&[home()], spent(number)).unwrap();
        bench.commit(1).unwrap();
        bench.writer.look_after();
        assert!(!has(&mut bench, 1), "whoever commits next would wait for it");
        bench.hand.advance(Duration::from_secs(1));
        bench.writer.look_after();
        assert!(has(&mut bench, 1));
        bench.commit(2).unwrap();
        assert!(bench.writer.is_spent(&[home()], spent(2)).unwrap());
        bench.commit(3).unwrap();
        bench.writer.checkpoint_now().unwrap();
        assert!(has(&mut bench, 3));
    }

    #[test]
    fn a_sled_that_is_damaged_under_way_is_rebuilt_from_the_journal() {
        let mut bench = bench();
        assert_eq!(bench.commit(1), Ok(1));
        bench.writer.database.close();
        fs::write(bench.writer.folder.path("db/conf"), b"no configuration at all").unwrap();
        assert_eq!(bench.commit(2), Ok(2));
        assert!(bench.writer.is_spent(&[home()], spent(1)).unwrap());
        assert!(bench.writer.folder.path("db.damaged-0").exists());
    }

    #[test]
    fn a_sled_that_fails_in_the_middle_of_a_write_keeps_nobody_waiting_and_is_back() {
        let mut bench = bench();
        assert_eq!(bench.commit(1), Ok(1));
        bench.writer.checkpoint_now().unwrap();
        // It keeps big values in files of their own.
        let [blobs, aside] = ["db/blobs", "db/aside"].map(|it| bench.writer.folder.path(it));
        fs::rename(&blobs, &aside).unwrap();
        let (big, _answer) = note(vec![7; 100_000]);
        bench.writer.take(vec![big]);
        bench.writer.follow();
        assert!(bench.writer.database.breakage().is_some());
        assert_eq!(bench.commit(2), Ok(2));
        fs::rename(&aside, &blobs).unwrap();
        assert!(bench.writer.is_spent(&[home()], spent(2)).unwrap());
        assert!(bench.writer.database.is_spent(&[home()], spent(1)).unwrap());
        let mut has_big_one = false;
        bench.writer.database.read(|_, value| has_big_one |= 100_000 < value.len()).unwrap();
        assert!(has_big_one, "the journal had it");
        assert!(!bench.writer.folder.path("db.damaged-0").exists());
    }

    #[test]
    fn a_checkpoint_is_made_when_it_is_due_and_something_was_written() {
        let mut bench = bench();
        let checkpoints = |bench: &Bench| bench.writer.journal.revision(&Name::Checkpoint);
        let first = checkpoints(&bench);
        bench.hand.advance(CHECKPOINT_EVERY);
        bench.writer.look_after();
        assert_eq!(checkpoints(&bench), first, "nothing was written since");
        bench.commit(1).unwrap();
        bench.hand.advance(CHECKPOINT_EVERY / 2);
        bench.writer.look_after();
        assert_eq!(checkpoints(&bench), first + 1, "the last one was long ago");
        bench.commit(2).unwrap();
        bench.hand.advance(CHECKPOINT_EVERY / 2);
        bench.writer.look_after();
        assert_eq!(checkpoints(&bench), first + 1, "it is not due yet");
        bench.hand.advance(CHECKPOINT_EVERY / 2);
        bench.writer.look_after();
        assert_eq!(checkpoints(&bench), first + 2);
    }
}
