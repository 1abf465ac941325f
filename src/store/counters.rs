//! What the store counts of itself, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Figures since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Length of the journal in bytes.
    pub journal_bytes: u64,
    /// Accounts that have a record.
    pub records: u64,
    /// Requests that wait for the one thread that writes, or that it works at.
    pub waiting: u64,
    /// Records and notes made durable.
    pub commits: u64,
    /// Times that the journal was synced to the disk.
    pub syncs: u64,
    /// Commits that failed, conflicts aside.
    pub failures: u64,
    /// Times that the journal was rewritten.
    pub compactions: u64,
    /// Accounts that sled served from before its last checkpoint when it was opened.
    pub rollbacks: u64,
    /// Stretches of the journal that could not be read when it was opened.
    pub damaged_records: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) journal_bytes: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) compactions: AtomicU64,
    pub(super) rollbacks: AtomicU64,
    pub(super) damaged_records: AtomicU64,
}

/// Somebody who waits for the writer, or has gone away.
pub(super) struct Waiting<'a>(&'a AtomicU64);

impl Counters {
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(&self.waiting)
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            journal_bytes: self.journal_bytes.load(Relaxed),
            records: self.records.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            commits: self.commits.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            failures: self.failures.load(Relaxed),
            compactions: self.compactions.load(Relaxed),
            rollbacks: self.rollbacks.load(Relaxed),
            damaged_records: self.damaged_records.load(Relaxed),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
