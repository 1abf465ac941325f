//! What the writer does between requests: checkpoints, compaction, and getting a broken sled back.

use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{StoreError, frame::Name, open::set_aside, scan::scan, spent::Spent, unsealed::spent_in, writer::Writer};
use crate::clock::LOOK_AGAIN;

/// Above this length the journal is compacted even if sled cannot be made durable: every newest record still carries its
/// recent fingerprints, and a journal that fills the disk would help nobody.
const COMPACT_WITHOUT_SLED_ABOVE: u64 = 16 * 1024 * 1024;

/// However much is asked, what sled was given outlives a kill after so long.
const HAND_OVER_EVERY: Duration = Duration::from_secs(1);

/// After a compaction that failed, the next is tried when the journal has grown by this much.
const COMPACT_AGAIN_AFTER: u64 = 1024 * 1024;

impl Writer {
    /// What can be done between requests: give sled what it lacks, mend it, make the ballast again, checkpoint, compact.
    pub(super) fn look_after(&mut self) {
        let now = self.clock.monotonic();
        if self.behind.is_due(now) {
            // Where much is asked, nobody finds the moment that it takes.
            let is_long_ago = HAND_OVER_EVERY <= now.saturating_sub(self.last_hand_over);
            if is_long_ago { self.follow_for_good() } else { self.follow() }
        }
        if now.saturating_sub(self.last_heal) >= LOOK_AGAIN {
            self.last_heal = now;
            self.heal();
            // Without room for it, whoever asks for room is told.
            let _ = self.keep_room();
        }
        let is_due = self.is_dirty && now.saturating_sub(self.last_checkpoint) >= self.checkpoint_every;
        if is_due && let Err(error) = self.checkpoint_now() {
            tracing::warn!(%error, "the checkpoint of the store failed; it is tried again");
        }
        let is_bloated = self.journal.is_bloated() && self.journal.len() > self.compact_above;
        if is_bloated && let Err(error) = self.compact() {
            self.compact_above = self.journal.len() + COMPACT_AGAIN_AFTER;
            tracing::warn!(%error, "the journal could not be compacted; it is tried again when it has grown");
        }
    }

    /// Gives sled what the journal has taken meanwhile.
    pub(super) fn follow(&mut self) {
        let Some((frames, spent)) = self.behind.take() else { return };
        // A failure was logged and broke sled off; it is brought up from the journal later.
        let _ = self.database.apply(frames, spent);
    }

    /// As [`Writer::follow`], and it outlives a kill there, too. sled waits for its own threads meanwhile, so this is for when
    /// nobody else does, or for now and then.
    pub(super) fn follow_for_good(&mut self) {
        self.last_hand_over = self.clock.monotonic();
        self.follow();
        let _ = self.database.hand_over();
    }

    /// Makes sled durable and says so in the journal, with a revision above `last`.
    pub(super) fn checkpoint(&mut self, last: u64) -> Result<(), StoreError> {
        self.last_checkpoint = self.clock.monotonic();
        self.follow();
        self.database.checkpoint()?;
        let marker = self.sealer.seal(&Name::Checkpoint, last + 1, &[])?;
        self.write(&[marker])?;
        self.is_dirty = false;
        Ok(())
    }

    pub(super) fn checkpoint_now(&mut self) -> Result<(), StoreError> {
        self.heal();
        self.checkpoint(self.journal.revision(&Name::Checkpoint))
    }

    /// Brings a broken sled back, from its own files or, where those are damaged, from the journal alone.
    pub(super) fn heal(&mut self) {
        // What it lacks takes room.
        if self.database.breakage().is_none() || self.keep_room().is_err() {
            return;
        }
        self.database.reopen();
        let mut healed = self.bring_up();
        if self.database.breakage().is_some_and(|it| it.is_damage()) {
            healed = set_aside(&self.folder, &self.clock).and_then(|aside| {
                tracing::warn!(aside = %aside.display(), "sled is damaged; it was set aside and is rebuilt");
                self.database.reopen();
                self.bring_up()
            });
        }
        match healed {
            Ok(()) => tracing::info!("sled is back"),
            // It was warned of when it broke.
            Err(error) => tracing::debug!(%error, "sled is not back yet; it is tried again"),
        }
    }

    /// The fingerprints that the journal's records remember.
    pub(super) fn spent_in_journal(&self) -> Result<Spent, StoreError> {
        let bytes = self.journal.read().map_err(|error| self.cannot_read(&error))?;
        Ok(spent_in(&scan(&bytes)?, &self.sealer))
    }

    /// The journal may forget only what sled has on the disk: older records may name spent tokens that newer ones do not.
    pub(super) fn compact(&mut self) -> Result<(), StoreError> {
        self.folder.check_in_place()?;
        if let Err(error) = self.checkpoint_now()
            && self.journal.len() < COMPACT_WITHOUT_SLED_ABOVE
        {
            return Err(error);
        }
        self.journal.rewrite().map_err(|error| StoreError::io("rewrite", self.journal.path(), &error))?;
        self.compact_above = 0;
        self.counters.compactions.fetch_add(1, Relaxed);
        self.count_journal();
        Ok(())
    }

    /// Gives sled what the journal has and it has not, and makes it durable: checkpoints in the journal speak of it.
    fn bring_up(&mut self) -> Result<(), StoreError> {
        let spent = self.spent_in_journal()?;
        let mut newest = self.journal.newest_frames().map_err(|error| self.cannot_read(&error))?;
        newest.retain(|it| it.name != Name::Checkpoint);
        if self.database.bring_up(newest, spent)? {
            self.database.checkpoint()?;
        }
        Ok(())
    }

    fn cannot_read(&self, error: &io::Error) -> StoreError {
        StoreError::io("read", self.journal.path(), error)
    }
}
