//! Puts the journal and sled side by side: for each name the highest revision that can be read wins, wherever it lies.

use std::collections::{BTreeMap, HashMap};

use super::{
    Entry, OpenReport,
    error::StoreError,
    frame::{self, Frame, Name, Parsed},
    seal::Sealer,
    spent::Spent,
    unsealed::{Content, Opened, Unsealed, open},
};
use crate::account::FingerprintKey;

/// The copies, as they were found.
pub(super) struct Copies<'a> {
    pub(super) journal: Unsealed<'a>,
    /// The frames of sled; nothing where sled was just made, so that it cannot be said to have lost anything.
    pub(super) sled: Option<Vec<&'a Frame<'a>>>,
    /// The identity file's.
    pub(super) identity: Option<&'a Frame<'a>>,
}

/// What sled has of one name.
pub(super) enum InSled<'a> {
    /// What is the newest in the journal, too.
    Same(&'a Frame<'a>),
    Other {
        key: Box<[u8]>,
        value: Vec<u8>,
    },
}

/// What they come to.
#[derive(Default)]
pub(super) struct Reconciled<'a> {
    /// The newest readable frame of each name but the checkpoint.
    pub(super) newest: Vec<&'a Frame<'a>>,
    /// Of those, the places of what sled lacks or has otherwise.
    pub(super) not_in_sled: Vec<usize>,
    pub(super) entries: Vec<Entry>,
    pub(super) notes: HashMap<String, Vec<u8>>,
    pub(super) fingerprint_key: Option<FingerprintKey>,
    /// The fingerprints of spent tokens that records of the journal remember, and its entry does not.
    pub(super) older_spent: Spent,
    pub(super) last_checkpoint: u64,
    /// Whether the journal alone has all of `newest` in its newest frames, with no damage among them.
    pub(super) journal_is_whole: bool,
}

/// Adds what it finds to the report.
pub(super) fn reconcile<'a>(copies: Copies<'a>, sealer: &Sealer, report: &mut OpenReport) -> Reconciled<'a> {
    let Unsealed { scan: journal, names: in_journal, older_spent } = copies.journal;
    let sled_is_judged = copies.sled.is_some();
    let mut in_sled = copies.sled.unwrap_or_default();
    in_sled.sort_by(|one, other| one.header.name.cmp(&other.header.name));
    let identity = copies.identity;

    let mut damaged = BTreeMap::new();
    for header in journal.damaged.iter().flatten() {
        let highest = damaged.entry(&header.name).or_insert(0);
        *highest = header.revision.max(*highest);
    }
    let readable = in_journal.iter().map(|it| &it.top.header.name).chain(in_sled.iter().map(|it| &it.header.name));
    let readable = readable.chain(identity.map(|it| &it.header.name));
    let mut names: Vec<_> = readable.chain(damaged.keys().copied()).collect();
    // All that is gone through below stands in this order, so that with very many accounts nothing has to be looked for; and
    // as it is sled's, what comes of it lies together as it is asked for.
    names.sort();
    names.dedup();

    report.damaged_records += journal.damaged.len() as u64;
    report.damaged_unnamed += journal.damaged.iter().filter(|it| it.is_none()).count() as u64;
    let mut reconciled =
        Reconciled { older_spent, journal_is_whole: journal.damaged.is_empty(), ..Reconciled::default() };
    // What grows leaves holes behind, which with very many accounts count.
    reconciled.newest.reserve_exact(names.len());
    reconciled.entries.reserve_exact(names.len());

    let (mut in_journal, mut in_sled) = (in_journal.into_iter().peekable(), in_sled.into_iter().peekable());
    for name in names {
        let from_journal = in_journal.next_if(|it| it.top.header.name == *name);
        let from_sled = in_sled.next_if(|it| it.header.name == *name);
        let (top_of_journal, checkpointed) = from_journal.as_ref().map(|it| (it.top, it.checkpointed)).unzip();
        if *name == Name::Checkpoint {
            reconciled.last_checkpoint = top_of_journal.map_or(0, |it| it.header.revision);
            continue;
        }
        let opened_journal = from_journal.and_then(|it| it.opened);
        let known = [top_of_journal, from_sled].into_iter().flatten().map(|it| it.header.revision);
        let highest_known = known.chain(damaged.get(name).copied()).max().unwrap_or(0);
        // Mostly both have the same one, which is unsealed once.
        let is_in_sled = |it: &Opened<'_>| from_sled.is_some_and(|sled| sled.bytes == it.frame.bytes);
        let is_in_both = opened_journal.as_ref().is_some_and(is_in_sled);
        let opened_sled = from_sled.filter(|_| !is_in_both).and_then(|it| open(it, sealer));
        let opened_identity = identity.filter(|it| it.header.name == *name).and_then(|it| open(it, sealer));

        let journal_revision = opened_journal.as_ref().map_or(0, Opened::revision);
        let sled_revision =
            if is_in_both { journal_revision } else { opened_sled.as_ref().map_or(0, Opened::revision) };
        if let Name::Account(account) = name
            && sled_is_judged
            && sled_revision < checkpointed.unwrap_or(0)
        {
            report.rolled_back.push(account.clone());
        }
        let is_from_sled = sled_revision > journal_revision;
        let chosen = if is_from_sled {
            opened_journal.iter().for_each(|it| reconciled.older_spent.note(it));
            opened_sled
        } else {
            opened_journal.or(opened_identity)
        };
        reconciled.journal_is_whole &= match (&chosen, top_of_journal) {
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
    debug_assert!(in_journal.next().is_none() && in_sled.next().is_none(), "a name stood there twice");
    reconciled
}

/// What sled has that the journal has not or not as its newest. A value that is no whole frame of its key's name is left out:
/// the journal repairs it. Fails only on frames of a later version.
pub(super) fn other_frames<'a>(in_sled: &'a [InSled<'a>]) -> Result<Vec<Frame<'a>>, StoreError> {
    let mut frames = Vec::new();
    for other in in_sled {
        let InSled::Other { key, value } = other else { continue };
        match frame::parse(value) {
            Parsed::Newer(version) => return Err(StoreError::NewerFormat { version }),
            Parsed::Frame(frame) if frame.bytes.len() == value.len() && *frame.header.name.database_key() == **key => {
                frames.push(frame);
            }
            _ => tracing::warn!("sled holds a value that is no record; it is repaired from the journal"),
        }
    }
    Ok(frames)
}

impl<'a> InSled<'a> {
    pub(super) fn same(&self) -> Option<&Frame<'a>> {
        match self {
            Self::Same(frame) => Some(frame),
            Self::Other { .. } => None,
        }
    }
}

impl<'a> Reconciled<'a> {
    fn take(&mut self, opened: Opened<'a>) {
        let Opened { frame, content } = opened;
        match (&frame.header.name, content) {
            (Name::Account(account), Content::Record(record)) => {
                self.entries.push(Entry { account: account.clone(), revision: frame.header.revision, record });
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
    use crate::{
        account::Fingerprint,
        store::{packed::Packed, scan::scan, seal::Sealed},
    };

    fn sealer() -> Sealer {
        Sealer::new(&[1; 32])
    }

    fn account(name: &str, revision: u64, payload: &[u8]) -> Sealed {
        let record = Packed::new(&[Fingerprint::from_bytes([revision as u8; 8])], payload).unwrap();
        sealer().seal(&Name::Account(name.parse().unwrap()), revision, record.as_bytes()).unwrap()
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
        let sled: Option<Vec<InSled<'_>>> = sled.map(|it| {
            it.iter().map(|it| InSled::Other { key: it.name.database_key().into(), value: it.bytes.clone() }).collect()
        });
        let mut report = OpenReport::default();
        let journal = Unsealed::of(&scan, &scan.by_name(), &sealer());
        let others = other_frames(sled.as_deref().unwrap_or_default()).unwrap();
        let sled = sled.is_some().then(|| others.iter().collect());
        let reconciled = reconcile(Copies { journal, sled, identity: None }, &sealer(), &mut report);
        let entries = reconciled.entries.iter().map(|it| (it.revision, it.record.payload().to_vec())).collect();
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

    /// Each name is somewhere else, and so is what becomes of it.
    #[test]
    fn names_that_only_one_of_them_has_do_not_hide_those_behind_them() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|it| account(it, 1, it.as_bytes()));
        let note = |name: &str| sealer().seal(&Name::Note(name.into()), 1, name.as_bytes()).unwrap();
        let (both, alone) = (note("both"), note("alone"));
        // `d` is damaged in the journal and nowhere else; sled was to have `a`, and has `b` and `c` that the journal lacks.
        let journal = [d.clone(), a, both.clone(), checkpoint(), checkpoint()];
        let (entries, is_whole, report) = run_damaged(&journal, Some(&[c, both, b, alone]), &[d.bytes.len() - 10]);
        assert_eq!((entries.len(), is_whole), (3, false));
        for (revision, payload) in [(1, "a"), (1, "b"), (1, "c")] {
            assert!(entries.contains(&(revision, payload.as_bytes().to_vec())), "{payload}");
        }
        let named =
            |accounts: &[crate::account::AccountId]| accounts.iter().map(|it| it.to_string()).collect::<String>();
        let found = [&report.rolled_back, &report.mended_from_sled, &report.unreadable].map(|it| named(it));
        assert_eq!(found, ["a", "bc", "d"], "{report:?}");
    }

    #[test]
    fn what_older_records_remember_to_be_spent_is_known_beside_what_the_newest_does() {
        let journal = [account("home", 1, b"1"), account("home", 2, b"2"), account("work", 3, b"w")];
        let bytes: Vec<u8> = journal.iter().flat_map(|it| it.bytes.clone()).collect();
        let scan = scan(&bytes).unwrap();
        let newer = account("home", 4, b"4");
        let newer = frame::parse_exact(&newer.bytes).unwrap();
        for (sled, home) in [(None, vec![1]), (Some(vec![&newer]), vec![1, 2])] {
            let journal = Unsealed::of(&scan, &scan.by_name(), &sealer());
            let spent = reconcile(Copies { journal, sled, identity: None }, &sealer(), &mut OpenReport::default());
            let of = |account: &str| spent.older_spent.of(&account.parse().unwrap()).to_vec();
            assert_eq!(of("home"), Vec::from_iter(home.into_iter().map(|it| Fingerprint::from_bytes([it; 8]))));
            assert_eq!(of("work"), []);
        }
    }

    #[test]
    fn a_frame_with_right_checksums_and_a_wrong_seal_is_not_served() {
        let forged = Sealer::new(&[2; 32]).seal(&Name::Account("home".parse().unwrap()), 9, b"\0\0evil").unwrap();
        let (entries, is_whole, report) = run(&[account("home", 1, b"1"), forged], Some(&[]));
        assert_eq!((entries, is_whole), (vec![(1, b"1".to_vec())], false));
        assert_eq!(report.outdated, ["home".parse().unwrap()]);
    }
}
