//! Opening the store. Nothing is made, moved or changed before the folder, the lock, the key and the format are found right.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use super::{
    Entry, KeySource, OpenReport, StoreError, StoreSettings,
    ballast::Ballast,
    behind::Behind,
    counters::Counters,
    database::{self, Database},
    disk::Disk,
    folder::Folder,
    frame::{self, Frame, Name, Parsed},
    journal::{self, Journal},
    key,
    reconcile::{Copies, InSled, other_frames, reconcile},
    rotate,
    scan::{Placed, Scan, each_name, scan},
    seal::{Sealed, Sealer, random},
    unsealed::Unsealed,
    writer::{Notes, Writer},
};
use crate::{account::FingerprintKey, clock::Clock, parallel};

pub(super) const IDENTITY: &str = "identity";

/// The store, ready for its writer's thread.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) entries: Vec<Entry>,
    pub(super) fingerprint_key: FingerprintKey,
    pub(super) report: OpenReport,
}

pub(super) fn open(
    settings: &StoreSettings,
    disk: Arc<dyn Disk>,
    clock: Clock,
    notes: Notes,
    counters: Arc<Counters>,
) -> Result<Opened, StoreError> {
    let folder = Arc::new(Folder::take(&settings.path, disk)?);
    // In a thread of its own, a journal of very many accounts does not get its room among what stays, and leaves no hole there.
    let (identity, journal_bytes) = parallel::both(|| folder.read(IDENTITY), || folder.read(journal::NAME));
    let (identity, journal_bytes) = (identity?, journal_bytes?);
    let store_exists = identity.is_some() || journal_bytes.is_some() || folder.path(database::NAME).exists();
    let key = key::obtain(&settings.key, store_exists, folder.disk())?;
    let scan = scan(journal_bytes.as_deref().unwrap_or_default())?;
    let sealer = choose_key(&key, settings, &folder, identity.as_deref(), &scan)?;
    clear_leftovers(&folder)?;

    let mut report = OpenReport { torn_tail: scan.is_torn, ..OpenReport::default() };
    let ballast = Ballast::new(folder.clone());
    let by_name = scan.by_name();
    let (in_journal, sled) =
        parallel::both(|| Unsealed::of(&scan, &by_name, &sealer), || open_sled(&folder, &ballast, &clock, &by_name));
    let Sled { mut database, has: in_sled, set_aside } = sled?;
    report.sled_set_aside = set_aside;
    report.sled_unavailable = database.breakage().map(|it| it.reason.clone());
    if scan.frames.is_empty() && identity.is_none() {
        check_key_of_sled(&sealer, &folder, &in_sled)?;
    }
    let sled_is_new = in_sled.is_empty() && report.sled_set_aside.is_none() && report.sled_unavailable.is_none();
    // A first start that was killed half-way leaves an empty sled, which is no store yet.
    report.created = identity.is_none() && journal_bytes.is_none() && sled_is_new;
    report.journal_missing = journal_bytes.is_none() && !report.created;
    // Without sled, a journal that lost something would serve an older record as the newest.
    if let Some(reason) = &report.sled_unavailable
        && (report.journal_missing || !scan.damaged.is_empty())
    {
        return Err(StoreError::Database { reason: reason.clone() });
    }

    let sled_can_be_judged = report.sled_set_aside.is_none() && report.sled_unavailable.is_none();
    let others = other_frames(&in_sled)?;
    let in_sled = sled_can_be_judged.then(|| in_sled.iter().filter_map(InSled::same).chain(&others).collect());
    let of_identity = identity.as_deref().and_then(frame::parse_exact);
    let copies = Copies { journal: in_journal, sled: in_sled, identity: of_identity.as_ref() };
    let mut reconciled = reconcile(copies, &sealer, &mut report);
    let (fingerprint_key, key_frame) = match reconciled.fingerprint_key.take() {
        Some(key) => (key, None),
        None => {
            report.fingerprint_key_lost = !report.created;
            let key = FingerprintKey::from_bytes(random()?);
            let frame = sealer.seal(&Name::FingerprintKey, 1, key.expose())?;
            (key, Some(frame))
        }
    };
    let newest = reconciled.newest.as_slice();

    let is_adopted = journal_bytes.is_some() && reconciled.journal_is_whole && key_frame.is_none();
    let journal = if is_adopted {
        Journal::adopt(folder.clone(), &scan)
            .map_err(|error| StoreError::io("open", folder.path(journal::NAME), &error))?
    } else {
        if !scan.damaged.is_empty() {
            keep_damaged_journal(&folder, &clock);
        }
        create_journal(&folder, &ballast, &sealed(newest.iter().copied(), &key_frame))?
    };
    let kept_key = newest.iter().find(|it| it.header.name == Name::FingerprintKey).map(|it| it.bytes);
    if let Some(frame) = key_frame.as_ref().map(|it| it.bytes.as_slice()).or(kept_key)
        && identity.as_deref() != Some(frame)
        && let Err(error) = folder.install(IDENTITY, frame).and_then(|_| folder.sync())
    {
        tracing::warn!(%error, "the store's identity file could not be written; the journal has its content too");
    }
    if let Err(error) = ballast.ensure() {
        tracing::warn!(%error, "there is no room for the store's ballast; no token is spent until there is");
    }

    let missing = sealed(reconciled.not_in_sled.iter().map(|it| newest[*it]), &key_frame);
    // One after the other, so that with very many accounts nothing is held twice.
    let newest_spent = reconciled.entries.iter().map(|it| (it.account.clone(), Vec::from_iter(it.record.spent())));
    let newest_spent = newest_spent.filter(|(_, spent)| !spent.is_empty());
    let spent = std::mem::take(&mut reconciled.older_spent).into_iter().chain(newest_spent);
    let was_repaired = database.bring_up(missing, spent).unwrap_or(false);
    *notes.write().unwrap_or_else(std::sync::PoisonError::into_inner) = reconciled.notes;
    let mut writer = Writer {
        folder,
        journal,
        database,
        behind: Behind::default(),
        ballast,
        sealer,
        checkpoint_every: settings.checkpoint_every,
        last_checkpoint: clock.monotonic(),
        last_heal: clock.monotonic(),
        last_hand_over: clock.monotonic(),
        clock,
        notes,
        counters,
        is_dirty: scan.frames.last().is_none_or(|(_, it)| it.header.name != Name::Checkpoint),
        compact_above: 0,
    };
    if (was_repaired || !is_adopted)
        && let Err(error) = writer.checkpoint(reconciled.last_checkpoint)
    {
        tracing::warn!(%error, "the mended store could not be made durable in sled yet");
    }
    writer.count_opening(&report);
    log(&report);
    Ok(Opened { writer, entries: reconciled.entries, fingerprint_key, report })
}

/// The key that opens the store: the one given, or the one that was about to take its place and now does.
fn choose_key(
    key: &key::Key,
    settings: &StoreSettings,
    folder: &Folder,
    identity: Option<&[u8]>,
    scan: &Scan<'_>,
) -> Result<Sealer, StoreError> {
    let sealer = Sealer::new(key);
    let Err(wrong) = check_key(&sealer, folder, identity, scan) else { return Ok(sealer) };
    let KeySource::File(path) = &settings.key else { return Err(wrong) };
    let Some(next) = key::next(&settings.key).map(|it| Sealer::new(&it)) else { return Err(wrong) };
    check_key(&next, folder, identity, scan).map_err(|_| wrong)?;
    match key::adopt_next(path, folder.disk()) {
        Ok(()) => tracing::info!(key = %path.display(), "the change of the key that was cut off is finished"),
        // It opens the store from where it is, too.
        Err(error) => tracing::warn!(%error, "the change of the key could not be finished yet"),
    }
    Ok(next)
}

/// A key is wrong when something is sealed and nothing of it under this key. The journal decides: where a change of the key
/// was cut off, it is the first that has the new one.
fn check_key(sealer: &Sealer, folder: &Folder, identity: Option<&[u8]>, scan: &Scan<'_>) -> Result<(), StoreError> {
    let is_ours = |frame: &frame::Frame<'_>| frame.header.key_id == sealer.key_id();
    let identity = match identity.map(frame::parse) {
        Some(Parsed::Newer(version)) => return Err(StoreError::NewerFormat { version }),
        Some(Parsed::Frame(frame)) => Some(frame),
        _ => None,
    };
    let is_right = if scan.frames.is_empty() {
        identity.as_ref().is_none_or(is_ours)
    } else {
        scan.frames.iter().any(|(_, it)| is_ours(it))
    };
    if is_right { Ok(()) } else { Err(StoreError::KeyWrong { folder: folder.root().into() }) }
}

/// The last resort, where nothing but sled is left to judge the key by.
fn check_key_of_sled(sealer: &Sealer, folder: &Folder, in_sled: &[InSled<'_>]) -> Result<(), StoreError> {
    let key_of = |it: &InSled<'_>| match it {
        InSled::Same(frame) => Some(frame.header.key_id),
        InSled::Other { value, .. } => frame::parse_exact(value).map(|it| it.header.key_id),
    };
    let mut keys = in_sled.iter().filter_map(key_of).peekable();
    if keys.peek().is_some() && keys.all(|it| it != sealer.key_id()) {
        return Err(StoreError::KeyWrong { folder: folder.root().into() });
    }
    Ok(())
}

/// What a kill between writing a file or a folder and putting it in place left.
fn clear_leftovers(folder: &Folder) -> Result<(), StoreError> {
    for name in [journal::NAME, IDENTITY] {
        let path = folder.path(&format!("{name}.new"));
        match folder.disk().remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", path, &error));
            }
            _ => {}
        }
    }
    rotate::clear_leftovers(folder)
}

/// sled, and what it had.
struct Sled<'a> {
    database: Database,
    has: Vec<InSled<'a>>,
    /// Where the folder is that was damaged.
    set_aside: Option<PathBuf>,
}

/// Where it does not open for want of room it gets the ballast's, where it is damaged it is set aside, and where neither helps
/// the store starts without it. `journal`: [`Scan::by_name`].
fn open_sled<'a>(
    folder: &Folder,
    ballast: &Ballast,
    clock: &Clock,
    journal: &[&'a Placed<'a>],
) -> Result<Sled<'a>, StoreError> {
    let mut database = Database::open(folder);
    let mut frames = read_sled(&mut database, journal);
    if database.breakage().is_some_and(|it| !it.is_damage()) && ballast.release() {
        database.reopen();
        frames = read_sled(&mut database, journal);
    }
    let mut aside = None;
    if database.breakage().is_some_and(|it| it.is_damage()) {
        aside = Some(set_aside(folder, clock)?);
        database.reopen();
        frames = read_sled(&mut database, journal);
    }
    Ok(Sled { database, has: frames.unwrap_or_default(), set_aside: aside })
}

/// What sled has. Mostly it is what the journal has, and is not held twice.
fn read_sled<'a>(database: &mut Database, journal: &[&'a Placed<'a>]) -> Result<Vec<InSled<'a>>, StoreError> {
    // The names stand as their keys do.
    let newest = each_name(journal).map(|it| &it[0].1);
    let mut newest = newest.map(|it| (it.header.name.database_key(), it)).peekable();
    let mut in_sled = Vec::with_capacity(journal.len());
    database.read(|key, value| {
        while newest.next_if(|(it, _)| **it < *key).is_some() {}
        let same = newest.next_if(|(it, frame)| **it == *key && frame.bytes == value);
        let other = || InSled::Other { key: key.into(), value: value.to_vec() };
        in_sled.push(same.map_or_else(other, |(_, frame)| InSled::Same(frame)));
    })?;
    Ok(in_sled)
}

/// These frames as they are written, and the one of the fingerprint key if it was just made.
fn sealed<'a>(frames: impl Iterator<Item = &'a Frame<'a>>, key_frame: &Option<Sealed>) -> Vec<Sealed> {
    frames.map(Sealed::from).chain(key_frame.clone()).collect()
}

/// Moves sled's files out of the way; they are kept, as they may still hold what nothing else does.
pub(super) fn set_aside(folder: &Folder, clock: &Clock) -> Result<PathBuf, StoreError> {
    let path = folder.path(database::NAME);
    let aside = folder.set_aside_path(database::NAME, clock.now());
    folder.disk().rename(&path, &aside).map_err(|error| StoreError::io("set aside", path, &error))?;
    Ok(aside)
}

/// A second name for the journal that is about to be replaced. Where the filesystem has no links, it is simply replaced.
fn keep_damaged_journal(folder: &Folder, clock: &Clock) {
    let aside = folder.set_aside_path(journal::NAME, clock.now());
    if let Err(error) = folder.disk().link(&folder.path(journal::NAME), &aside) {
        tracing::debug!(%error, "the damaged journal is not kept");
    }
}

fn create_journal(folder: &Arc<Folder>, ballast: &Ballast, frames: &[Sealed]) -> Result<Journal, StoreError> {
    let mut created = Journal::create(folder.clone(), frames);
    if created.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::StorageFull) && ballast.release() {
        created = Journal::create(folder.clone(), frames);
    }
    created.map_err(|error| StoreError::io("write", folder.path(journal::NAME), &error))
}

fn log(report: &OpenReport) {
    if report.is_clean() {
        tracing::debug!(created = report.created, torn_tail = report.torn_tail, "the store is open");
        return;
    }
    tracing::warn!(?report, "the store was not as it was left; what could be mended was mended");
}

/// Notes as the writer and the store share them.
pub(super) fn no_notes() -> Notes {
    Arc::new(std::sync::RwLock::new(HashMap::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{AccountId, Fingerprint},
        store::{CHECKPOINT_EVERY, Commit, Packed, SledStore, Store, sled_thread::SEGMENT_BYTES, spent},
    };

    /// Its recovery may pass over a damaged page and serve the rest.
    #[tokio::test]
    async fn a_sled_that_lost_what_was_spent_and_nothing_else_gets_it_back_at_the_next_start() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("store");
        let open = || {
            let key = KeySource::File(path.join("key"));
            let settings = StoreSettings { path: path.clone(), key, checkpoint_every: CHECKPOINT_EVERY };
            SledStore::open(settings, Clock::system()).unwrap().0
        };
        let (home, spent): (AccountId, Fingerprint) = ("home".parse().unwrap(), Fingerprint::from_bytes([1; 8]));
        let store = open();
        let record = Packed::new(&[spent], b"payload").unwrap();
        store.commit(Commit { account: home.clone(), expected: 0, record, needs_room: false }).await.unwrap();
        store.close().await.unwrap();
        drop(store);

        let settings = sled::Config::new().path(path.join(database::NAME)).segment_size(SEGMENT_BYTES);
        let database = settings.open().unwrap();
        let runs: Vec<_> = database.range([spent::SINGLE]..[spent::END]).keys().collect::<Result<_, _>>().unwrap();
        assert_eq!(runs.len(), 1);
        database.remove(&runs[0]).unwrap();
        drop(database);

        for _ in 0..2 {
            assert!(open().is_spent(std::slice::from_ref(&home), spent).await.unwrap());
        }
    }
}
