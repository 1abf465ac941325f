//! What the frames of a journal hold.

use std::mem;

use super::{
    frame::{Frame, Name},
    packed::Packed,
    scan::{Placed, Scan, each_name},
    seal::Sealer,
    spent::Spent,
};
use crate::account::{AccountId, Fingerprint, FingerprintKey};

/// A journal, unsealed.
pub(super) struct Unsealed<'a> {
    pub(super) scan: &'a Scan<'a>,
    /// In their order.
    pub(super) names: Vec<InJournal<'a>>,
    /// The fingerprints of spent tokens that older records remember, and the newest one of their account does not.
    pub(super) older_spent: Spent,
}

/// What it has of one name.
pub(super) struct InJournal<'a> {
    /// The newest frame; of two with one revision the later one.
    pub(super) top: &'a Frame<'a>,
    /// The newest revision that sled had at the last checkpoint; 0 where it had none.
    pub(super) checkpointed: u64,
    /// The newest one that unseals.
    pub(super) opened: Option<Opened<'a>>,
}

/// A frame that unsealed.
pub(super) struct Opened<'a> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) content: Content,
}

pub(super) enum Content {
    Record(Packed),
    Note(Vec<u8>),
    FingerprintKey(FingerprintKey),
}

impl<'a> Unsealed<'a> {
    /// `by_name`: [`Scan::by_name`].
    pub(super) fn of(scan: &'a Scan<'a>, by_name: &[&'a Placed<'a>], sealer: &Sealer) -> Self {
        let last_checkpoint = scan.last_checkpoint();
        let mut older_spent = Spent::default();
        // More than enough, and what is not needed takes no room: what grows leaves holes behind.
        let mut names = Vec::with_capacity(scan.frames.len());
        for frames in each_name(by_name) {
            let mut opened = frames.iter().filter_map(|(_, it)| open(it, sealer));
            let newest = opened.next();
            let known = newest.as_ref().and_then(Opened::spent).map_or_else(Vec::new, |(_, spent)| spent.collect());
            opened.for_each(|it| older_spent.note_but(&known, &it));
            let checkpointed = frames.iter().find(|(offset, _)| *offset < last_checkpoint);
            let checkpointed = checkpointed.map_or(0, |(_, it)| it.header.revision);
            names.push(InJournal { top: &frames[0].1, checkpointed, opened: newest });
        }
        Self { scan, names, older_spent }
    }
}

/// What a frame holds, or nothing if it was sealed with another key, is not what was sealed, or holds nothing.
pub(super) fn open<'a>(frame: &'a Frame<'a>, sealer: &Sealer) -> Option<Opened<'a>> {
    let mut plain = sealer.unseal(frame)?;
    let content = match &frame.header.name {
        Name::Account(_) => Content::Record(Packed::read(plain)?),
        Name::Note(_) => Content::Note(mem::take(&mut *plain)),
        Name::FingerprintKey => Content::FingerprintKey(FingerprintKey::from_bytes(plain.as_slice().try_into().ok()?)),
        Name::Checkpoint => return None,
    };
    Some(Opened { frame, content })
}

/// The spent fingerprints that any record of a journal remembers. Of what else they hold one is unsealed at a time.
pub(super) fn spent_in(journal: &Scan<'_>, sealer: &Sealer) -> Spent {
    let mut all = Spent::default();
    for opened in journal.frames.iter().filter_map(|(_, it)| open(it, sealer)) {
        all.note(&opened);
    }
    all
}

impl Opened<'_> {
    pub(super) fn revision(&self) -> u64 {
        self.frame.header.revision
    }

    /// Whose spent tokens it remembers, and their fingerprints.
    fn spent(&self) -> Option<(&AccountId, impl ExactSizeIterator<Item = Fingerprint>)> {
        match (&self.frame.header.name, &self.content) {
            (Name::Account(account), Content::Record(record)) => Some((account, record.spent())),
            _ => None,
        }
    }
}

impl Spent {
    pub(super) fn note(&mut self, opened: &Opened<'_>) {
        if let Some((account, spent)) = opened.spent() {
            self.add(account, spent);
        }
    }

    /// As [`Spent::note`], less what is known anyhow.
    fn note_but(&mut self, known: &[Fingerprint], opened: &Opened<'_>) {
        if let Some((account, spent)) = opened.spent() {
            self.add(account, spent.filter(|it| !known.contains(it)));
        }
    }
}
