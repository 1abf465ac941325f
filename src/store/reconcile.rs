//! Puts the journal and sled side by side: for each name the highest revision that can be read wins, wherever it lies.

use std::collections::{BTreeMap, HashMap};

use sled::IVec;

use zeroize::Zeroizing;

use super::{
    Entry, OpenReport,
    error::StoreError,
    frame::{self, Frame, Name, Parsed},
    record,
    scan::Scan,
    seal::Sealer,
    spent::Spent,
};
use crate::account::{Fingerprint, FingerprintKey};

/// The copies, as they were found.
pub(super) struct Copies<'a> {
    pub(super) journal: &'a Scan<'a>,
    /// Keys and values of sled; nothing where sled was just made, so that it cannot be said to have lost anything.
    pub(super) sled: Option<&'a [(IVec, IVec)]>,
    /// The content of the identity file.
    pub(super) identity: Option<&'a [u8]>,
}

/// What they come to.
#[derive(Default)]
pub(super) struct Reconciled<'a> {
    /// The newest readable frame of each name but the checkpoint.
    pub(super) newest: Vec<Frame<'a>>,
    /// Of those, the places of what sled lacks or has otherwise.
    pub(super) not_in_sled: Vec<usize>,
    pub(super) entries: Vec<Entry>,
    pub(super) notes: HashMap<String, Vec<u8>>,
    pub(super) fingerprint_key: Option<FingerprintKey>,
    /// All spent fingerprints that records of the journal and the newest ones of sled remember.
    pub(super) spent: Spent,
    pub(super) last_checkpoint: u64,
    /// Whether the journal alone has all of `newest` in its newest frames, with no damage among them.
    pub(super) journal_is_whole: bool,
}

/// Fails only on frames of a later version. Adds what it finds to the report.
pub(super) fn reconcile<'a>(
    copies: &Copies<'a>,
    sealer: &Sealer,
    report: &mut OpenReport,
) -> Result<Reconciled<'a>, StoreError> {
    let in_journal = copies.journal.by_name();
    let in_sled = sled_frames(copies.sled.unwrap_or_default())?;
    let checkpointed = copies.journal.checkpointed();
    let identity = copies.identity.and_then(frame::parse_exact);

    // In the order of the names, which is sled's, too: very many records lie together then as they are asked for.
    let mut known = BTreeMap::new();
    let damaged = copies.journal.damaged.iter().flatten().map(|it| (&it.name, it.revision));
    let whole = copies.journal.frames.iter().map(|(_, it)| (&it.header.name, it.header.revision));
    let sled = in_sled.values().map(|it| (&it.header.name, it.header.revision));
    for (name, revision) in damaged.chain(whole).chain(sled) {
        let highest = known.entry(name).or_insert(0);
        *highest = revision.max(*highest);
    }
    known.remove(&Name::Checkpoint);
    if let Some(identity) = &identity {
        known.entry(&identity.header.name).or_insert(0);
    }

    report.damaged_records += copies.journal.damaged.len() as u64;
    report.damaged_unnamed += copies.journal.damaged.iter().filter(|it| it.is_none()).count() as u64;
    let mut reconciled = Reconciled { journal_is_whole: copies.journal.damaged.is_empty(), ..Reconciled::default() };
    reconciled.last_checkpoint = in_journal.get(&Name::Checkpoint).map_or(0, |it| it[0].header.revision);

    for (name, highest_known) in known {
        let from_journal = in_journal.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut opened_journal: Option<Opened<'_>> = None;
        for opened in from_journal.iter().filter_map(|it| open(it, sealer)) {
            reconciled.spent.note(&opened);
            opened_journal.get_or_insert(opened);
        }
        let from_sled = in_sled.get(name);
        // Mostly both have the same one, which is unsealed once.
        let is_in_sled = |it: &Opened<'_>| from_sled.is_some_and(|sled| sled.bytes == it.frame.bytes);
        let is_in_both = opened_journal.as_ref().is_some_and(is_in_sled);
        let opened_sled = from_sled.filter(|_| !is_in_both).and_then(|it| open(it, sealer));
        let opened_identity = identity.as_ref().filter(|it| it.header.name == *name).and_then(|it| open(it, sealer));

        let journal_revision = opened_journal.as_ref().map_or(0, Opened::revision);
        let sled_revision =
            if is_in_both { journal_revision } else { opened_sled.as_ref().map_or(0, Opened::revision) };
        if let Name::Account(account) = name
            && copies.sled.is_some()
            && sled_revision < checkpointed.get(name).copied().unwrap_or(0)
        {
            report.rolled_back.push(account.clone());
        }
        let is_from_sled = sled_revision > journal_revision;
        let chosen = if is_from_sled {
            opened_sled.inspect(|it| reconciled.spent.note(it))
        } else {
            opened_journal.or(opened_identity)
        };
        reconciled.journal_is_whole &= match (&chosen, from_journal.first()) {
            (Some(chosen), Some(top)) => chosen.frame.bytes == top.bytes,
            _ => false,
        };

        if let Name::Account(account) = name {
            match &chosen {
                None => report.unreadable.push(account.clone()),
                Some(chosen) if chosen.revision() < highest_known => report.outdated.push(account.clone()),
                Some(_) => {}
            }
            if is_from_sled {
                report.mended_from_sled.push(account.clone());
            }
        }
        if let Some(chosen) = chosen {
            if !is_in_sled(&chosen) {
                reconciled.not_in_sled.push(reconciled.newest.len());
            }
            reconciled.take(chosen);
        }
    }
    Ok(reconciled)
}

/// The spent fingerprints that any record of a journal remembers.
pub(super) fn spent_in(journal: &Scan<'_>, sealer: &Sealer) -> Spent {
    let mut all = Spent::default();
    for (_, frame) in &journal.frames {
        if let Some(opened) = open(frame, sealer) {
            all.note(&opened);
        }
    }
    all
}

/// A frame that unsealed.
struct Opened<'a> {
    frame: Frame<'a>,
    content: Content,
}

enum Content {
    Record { spent: Vec<Fingerprint>, payload: Zeroizing<Vec<u8>> },
    Note(Vec<u8>),
    FingerprintKey(FingerprintKey),
}

fn open<'a>(frame: &Frame<'a>, sealer: &Sealer) -> Option<Opened<'a>> {
    let mut plain = sealer.unseal(frame)?;
    let content = match &frame.header.name {
        Name::Account(_) => {
            let (spent, payload) = record::unpack(&plain)?;
            Content::Record { spent, payload: Zeroizing::new(payload.to_vec()) }
        }
        Name::Note(_) => Content::Note(std::mem::take(&mut *plain)),
        Name::FingerprintKey => Content::FingerprintKey(FingerprintKey::from_bytes(plain.as_slice().try_into().ok()?)),
        Name::Checkpoint => return None,
    };
    Some(Opened { frame: frame.clone(), content })
}

/// The frames of sled by name. A value that is no whole frame of its key's name is left out: the journal repairs it.
fn sled_frames(pairs: &[(IVec, IVec)]) -> Result<HashMap<Name, Frame<'_>>, StoreError> {
    let mut frames = HashMap::new();
    for (key, value) in pairs {
        match frame::parse(value) {
            Parsed::Newer(version) => return Err(StoreError::NewerFormat { version }),
            Parsed::Frame(frame) if frame.bytes.len() == value.len() && *frame.header.name.database_key() == **key => {
                frames.insert(frame.header.name.clone(), frame);
            }
            _ => tracing::warn!("sled holds a value that is no record; it is repaired from the journal"),
        }
    }
    Ok(frames)
}

impl Opened<'_> {
    fn revision(&self) -> u64 {
        self.frame.header.revision
    }
}

impl Spent {
    fn note(&mut self, opened: &Opened<'_>) {
        if let (Name::Account(account), Content::Record { spent, .. }) = (&opened.frame.header.name, &opened.content) {
            self.add(account, spent);
        }
    }
}

impl<'a> Reconciled<'a> {
    fn take(&mut self, opened: Opened<'a>) {
        let Opened { frame, content } = opened;
        match (&frame.header.name, content) {
            (Name::Account(account), Content::Record { payload, .. }) => {
                self.entries.push(Entry { account: account.clone(), revision: frame.header.revision, payload });
            }
            (Name::Note(name), Content::Note(bytes)) => {
                self.notes.insert(name.to_string(), bytes);
            }
            (Name::FingerprintKey, Content::FingerprintKey(key)) => self.fingerprint_key = Some(key),
            _ => return,
        }
        self.newest.push(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{scan::scan, seal::Sealed};

    fn sealer() -> Sealer {
        Sealer::new(&[1; 32])
    }

    fn account(name: &str, revision: u64, payload: &[u8]) -> Sealed {
        let content = record::pack(&[Fingerprint::from_bytes([revision as u8; 8])], payload).unwrap();
        sealer().seal(&Name::Account(name.parse().unwrap()), revision, &content).unwrap()
    }

    fn checkpoint() -> Sealed {
        sealer().seal(&Name::Checkpoint, 1, &[]).unwrap()
    }

    fn run(journal: &[Sealed], sled: Option<&[Sealed]>) -> (Vec<(u64, Vec<u8>)>, bool, OpenReport) {
        run_damaged(journal, sled, &[])
    }

    /// `damaged` are offsets of journal bytes to flip.
    fn run_damaged(
        journal: &[Sealed],
        sled: Option<&[Sealed]>,
        damaged: &[usize],
    ) -> (Vec<(u64, Vec<u8>)>, bool, OpenReport) {
        let mut bytes: Vec<u8> = journal.iter().flat_map(|it| it.bytes.clone()).collect();
        for at in damaged {
            bytes[*at] ^= 1;
        }
        let scan = scan(&bytes).unwrap();
        let sled: Option<Vec<_>> =
            sled.map(|it| it.iter().map(|it| (it.name.database_key().into(), it.bytes.as_slice().into())).collect());
        let mut report = OpenReport::default();
        let copies = Copies { journal: &scan, sled: sled.as_deref(), identity: None };
        let reconciled = reconcile(&copies, &sealer(), &mut report).unwrap();
        let entries = reconciled.entries.iter().map(|it| (it.revision, it.payload.to_vec())).collect();
        (entries, reconciled.journal_is_whole, report)
    }

    #[test]
    fn sled_behind_the_last_checkpoint_is_a_rollback_and_after_it_is_not() {
        let (one, two) = (account("home", 1, b"1"), account("home", 2, b"2"));
        let (entries, is_whole, report) =
            run(&[one.clone(), two.clone(), checkpoint()], Some(std::slice::from_ref(&one)));
        assert_eq!((entries, is_whole), (vec![(2, b"2".to_vec())], true));
        assert_eq!(report.rolled_back, ["home".parse().unwrap()]);

        let (entries, _, report) = run(&[one.clone(), checkpoint(), two], Some(&[one]));
        assert_eq!(entries, [(2, b"2".to_vec())]);
        assert!(report.is_clean());
    }

    #[test]
    fn a_sled_that_was_just_made_is_not_called_rolled_back() {
        let (entries, _, report) = run(&[account("home", 1, b"1"), checkpoint()], None);
        assert_eq!(entries.len(), 1);
        assert!(report.is_clean());
    }

    #[test]
    fn sled_mends_what_the_journal_lost() {
        let records = [account("home", 1, b"1"), account("home", 2, b"2"), account("work", 1, b"w")];
        let at = records[0].bytes.len() + 50;
        let (mut entries, is_whole, report) = run_damaged(&records, Some(&records[1..]), &[at]);
        entries.sort();
        assert_eq!((entries, is_whole), (vec![(1, b"w".to_vec()), (2, b"2".to_vec())], false));
        assert_eq!(report.mended_from_sled, ["home".parse().unwrap()]);
        assert_eq!((report.damaged_records, report.outdated.len()), (1, 0));
    }

    #[test]
    fn an_older_record_is_never_served_in_silence() {
        let records = [account("home", 1, b"1"), account("home", 2, b"2"), account("work", 1, b"w")];
        let at = records[0].bytes.len() + 50;
        let (mut entries, _, report) = run_damaged(&records, Some(&records[..1]), &[at]);
        entries.sort();
        assert_eq!(entries, [(1, b"1".to_vec()), (1, b"w".to_vec())]);
        assert_eq!(report.outdated, ["home".parse().unwrap()]);
    }

    #[test]
    fn a_record_of_which_no_copy_can_be_read_is_named() {
        let records = [account("home", 1, b"1"), account("work", 1, b"w")];
        let (entries, _, report) = run_damaged(&records, Some(&[]), &[50]);
        assert_eq!(entries, [(1, b"w".to_vec())]);
        assert_eq!(report.unreadable, ["home".parse().unwrap()]);
    }

    #[test]
    fn a_frame_with_right_checksums_and_a_wrong_seal_is_not_served() {
        let forged = Sealer::new(&[2; 32]).seal(&Name::Account("home".parse().unwrap()), 9, b"\0\0evil").unwrap();
        let (entries, is_whole, report) = run(&[account("home", 1, b"1"), forged], Some(&[]));
        assert_eq!((entries, is_whole), (vec![(1, b"1".to_vec())], false));
        assert_eq!(report.outdated, ["home".parse().unwrap()]);
    }
}
