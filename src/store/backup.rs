//! A store on its way to another place: all that its journal holds, sealed with a passphrase.
//!
//! A backup never holds the key that seals the store; what is restored is sealed with the key of the new place. Its tokens
//! may have been spent since, so every restored record says that it is unproven, and each is tried once.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    OpenReport, SledStore, StoreError, StoreSettings, archive,
    archive::ArchiveError,
    codec::{self, CodecError},
    database,
    disk::{self, Disk},
    folder::{Folder, install, parent},
    frame::Name,
    journal::{self, Journal},
    key,
    open::IDENTITY,
    packed::Packed,
    reconcile::{Copies, Reconciled, reconcile},
    rotate,
    scan::scan,
    seal::Sealer,
    stored::Stored,
    unsealed::Unsealed,
};
use crate::{
    account::{AccountId, Fingerprint, Record, Secret, SecretBuffer},
    clock::Clock,
};

pub(super) const BEFORE_RESTORE: &str = "before-restore-";

const VERSION: u32 = 1;
/// Longer than any backup: a journal is compacted long before.
const MAX_LEN: u64 = 256 * 1024 * 1024;

/// Why there is no backup, or why one was not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{} cannot be restored: {trouble}", .path.display())]
    Archive { path: PathBuf, trouble: ArchiveError },
    #[error("the record of {account} cannot be carried over: {trouble}")]
    Record { account: AccountId, trouble: CodecError },
    #[error("{} exists already", .path.display())]
    Exists { path: PathBuf },
    #[error("cannot {doing} {}: {error}", .path.display())]
    File { doing: &'static str, path: PathBuf, error: io::Error },
}

/// What came back.
#[derive(Debug)]
pub struct Restored {
    pub made_at: Timestamp,
    /// Each account with its record.
    pub accounts: Vec<(AccountId, Record)>,
    /// Where the store that was there before lies now.
    pub set_aside: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    v: u32,
    /// Milliseconds since 1970 in UTC.
    made_at: i64,
    /// Hexadecimal. It is no sealing key: the fingerprints of spent tokens were taken under it.
    fingerprint_key: Stored,
    accounts: Vec<Held>,
    notes: BTreeMap<String, Stored>,
}

#[derive(Serialize, Deserialize)]
struct Held {
    id: AccountId,
    revision: u64,
    /// As the codec writes it.
    record: Stored,
    /// All that are known, those of the record last.
    spent: Vec<Fingerprint>,
}

/// Writes a backup of everything to the file `to`, 0600; gives the accounts in it. Works beside a running Latchkey, as the
/// journal alone holds the newest of everything.
///
/// Fails where the file exists, unless `overwrite`.
pub fn back_up(
    settings: &StoreSettings,
    clock: &Clock,
    passphrase: &Secret,
    to: &Path,
    overwrite: bool,
) -> Result<Vec<AccountId>, BackupError> {
    if !overwrite && to.exists() {
        return Err(BackupError::Exists { path: to.into() });
    }
    let document = collect(settings, clock)?;
    let mut plain = SecretBuffer::with_capacity(64 * 1024);
    serde_json::to_writer(&mut plain, &document).expect("a document of plain fields is JSON");
    let sealed = archive::seal(&plain, passphrase)?;
    let disk = disk::real();
    install(&*disk, to, &sealed).and_then(|_| disk.sync_folder(parent(to))).map_err(|error| BackupError::File {
        doing: "write",
        path: to.into(),
        error,
    })?;
    Ok(document.accounts.into_iter().map(|it| it.id).collect())
}

/// Makes the store of the settings from the backup in the file `from`. A store that lies there is refused, or, with
/// `set_aside`, moved to a folder beside the new one. Nothing is touched before the backup was read and understood.
pub fn restore(
    settings: &StoreSettings,
    clock: &Clock,
    passphrase: &Secret,
    from: &Path,
    set_aside: bool,
) -> Result<Restored, BackupError> {
    let unreadable = |error| BackupError::File { doing: "read", path: from.into(), error };
    let sealed = match fs::metadata(from).map_err(unreadable)?.len() {
        0..=MAX_LEN => fs::read(from).map_err(unreadable)?,
        _ => return Err(BackupError::Archive { path: from.into(), trouble: ArchiveError::Foreign }),
    };
    let not_understood = |trouble| BackupError::Archive { path: from.into(), trouble };
    let plain = archive::unseal(&sealed, passphrase).map_err(not_understood)?;
    let (document, accounts) = understand(&plain).map_err(|trouble| match trouble {
        Misunderstood::Archive(trouble) => not_understood(trouble),
        Misunderstood::Record { account, trouble } => BackupError::Record { account, trouble },
    })?;

    let folder = Arc::new(Folder::take(&settings.path, disk::real())?);
    let exists = rotate::is_there(folder.root());
    if exists && !set_aside {
        return Err(StoreError::StoreExists { folder: settings.path.clone() }.into());
    }
    // A key that is lost is made anew: the store that it belonged to is set aside.
    let sealer = Sealer::new(&*key::obtain(&settings.key, false, folder.disk())?);
    let mut frames = Vec::new();
    let key = hex::decode(document.fingerprint_key.secret().expose()).map(Zeroizing::new).unwrap_or_default();
    frames.push(sealer.seal(&Name::FingerprintKey, 1, &key)?);
    for (held, (account, record)) in document.accounts.iter().zip(&accounts) {
        let content = Packed::new(&newest_last(&held.spent, record), codec::encode(record, None, true).payload())?;
        frames.push(sealer.seal(&Name::Account(account.clone()), held.revision, content.as_bytes())?);
    }
    for (name, text) in &document.notes {
        frames.push(sealer.seal(&Name::Note(name.as_str().into()), 1, text.secret().expose().as_bytes())?);
    }
    let aside = if exists { Some(move_aside(&folder, clock.now())?) } else { None };
    let journal = Journal::create(folder.clone(), &frames);
    drop(journal.map_err(|error| StoreError::io("write", folder.path(journal::NAME), &error))?);
    drop(folder);
    // Opened once, it has its second copy before anybody relies on it.
    drop(SledStore::open(settings.clone(), clock.clone())?);
    let made_at = Timestamp::from_millisecond(document.made_at).unwrap_or_default();
    Ok(Restored { made_at, accounts, set_aside: aside })
}

/// All that the journal holds. A store that nobody uses is opened once before, which mends it.
fn collect(settings: &StoreSettings, clock: &Clock) -> Result<Document, BackupError> {
    if !rotate::is_there(&settings.path) {
        return Err(StoreError::NoStore { folder: settings.path.clone() }.into());
    }
    match SledStore::open(settings.clone(), clock.clone()) {
        Ok(_) | Err(StoreError::Locked { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let path = settings.path.join(journal::NAME);
    let bytes = fs::read(&path).map_err(|error| StoreError::io("read", &path, &error))?;
    let scan = scan(&bytes)?;
    if !scan.damaged.is_empty() {
        return Err(StoreError::DamagedJournal { path }.into());
    }
    let sealer = Sealer::new(&*key::obtain(&settings.key, true, &*disk::real())?);
    let copies = Copies { journal: Unsealed::of(&scan, &scan.by_name(), &sealer), sled: None, identity: None };
    let Reconciled { entries, notes, fingerprint_key, older_spent, .. } =
        reconcile(copies, &sealer, &mut OpenReport::default());
    let Some(fingerprint_key) = fingerprint_key else {
        return Err(StoreError::KeyWrong { folder: settings.path.clone() }.into());
    };

    let mut accounts = Vec::new();
    for entry in entries {
        let damaged = |trouble| BackupError::Record { account: entry.account.clone(), trouble };
        let record = codec::decode(&entry.record, entry.revision).map_err(damaged)?;
        let text = std::str::from_utf8(entry.record.payload()).map_err(|_| damaged(CodecError::Damaged))?;
        accounts.push(Held {
            record: Stored::of(&Secret::new(text)),
            revision: entry.revision,
            spent: newest_last(older_spent.of(&entry.account), &record),
            id: entry.account,
        });
    }
    accounts.sort_by(|one, other| one.id.cmp(&other.id));
    let notes = notes.into_iter().filter_map(|(name, bytes)| {
        let text = String::from_utf8(bytes).ok()?;
        Some((name, Stored::of(&Secret::new(text))))
    });
    Ok(Document {
        v: VERSION,
        made_at: clock.now().as_millisecond(),
        fingerprint_key: Stored::of(&Secret::new(hex::encode(fingerprint_key.expose()))),
        accounts,
        notes: notes.collect(),
    })
}

/// All fingerprints, those last that the record remembers.
fn newest_last(all: &[Fingerprint], record: &Record) -> Vec<Fingerprint> {
    let earlier = all.iter().filter(|it| !record.spent.contains(it));
    earlier.chain(&record.spent).copied().collect()
}

/// Why what was under the seal is no backup of this version.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misunderstood {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the record of {account} cannot be carried over: {trouble}")]
    Record { account: AccountId, trouble: CodecError },
}

/// What is under the seal, with the records as they come back.
pub(super) fn understand(plain: &[u8]) -> Result<(Document, Vec<(AccountId, Record)>), Misunderstood> {
    let document: Document = serde_json::from_slice(plain).map_err(|_| ArchiveError::Sealed)?;
    if document.v != VERSION {
        return Err(ArchiveError::Newer { version: u8::try_from(document.v).unwrap_or(u8::MAX) }.into());
    }
    let accounts = document.accounts.iter().map(unproven).collect::<Result<_, _>>()?;
    Ok((document, accounts))
}

/// The record as it comes back: whatever was spent since the backup was made, it does not know of.
fn unproven(held: &Held) -> Result<(AccountId, Record), Misunderstood> {
    let packed = Packed::new(&held.spent, held.record.secret().expose().as_bytes());
    let record = packed.map_err(|_| CodecError::Damaged).and_then(|it| codec::decode(&it, held.revision));
    let mut record = record.map_err(|trouble| Misunderstood::Record { account: held.id.clone(), trouble })?;
    record.doubt_all();
    Ok((held.id.clone(), record))
}

/// Moves the store's files to a folder within its own, as its own may be where a disk is mounted. The journal goes last, by
/// the new one's taking its place: until then a kill leaves the old store, which opens as ever.
fn move_aside(folder: &Folder, now: Timestamp) -> Result<PathBuf, StoreError> {
    let aside = folder.free_path(BEFORE_RESTORE, now);
    let moving = |path: &Path, error: &io::Error| StoreError::io("set aside", path, error);
    fs::DirBuilder::new().mode(0o700).create(&aside).map_err(|error| moving(&aside, &error))?;
    for name in [journal::NAME, IDENTITY] {
        let path = folder.path(name);
        let kept = fs::copy(&path, aside.join(name)).map(drop);
        match kept {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(moving(&path, &error)),
            _ => {}
        }
    }
    let disk = folder.disk();
    let database = folder.path(database::NAME);
    if database.exists() {
        disk.rename(&database, &aside.join(database::NAME)).map_err(|error| moving(&database, &error))?;
    }
    sync_all(&aside, disk).map_err(|error| moving(&aside, &error))?;
    Ok(aside)
}

fn sync_all(aside: &Path, disk: &dyn Disk) -> io::Result<()> {
    for name in [journal::NAME, IDENTITY] {
        match fs::File::open(aside.join(name)) {
            Ok(file) => disk.sync(&file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    disk.sync_folder(aside)?;
    disk.sync_folder(parent(aside))
}

impl BackupError {
    /// What a user can do about it, as an imperative sentence.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Store(error) => error.mend(),
            Self::Archive { trouble: ArchiveError::Foreign, .. } => "Name the file that `latchkey backup` wrote.",
            Self::Archive { trouble: ArchiveError::Newer { .. }, .. }
            | Self::Record { trouble: CodecError::Newer, .. } => "Run the Latchkey that wrote it, or a later one.",
            Self::Archive { trouble: ArchiveError::Sealed, .. } => {
                "Give the passphrase that the backup was made with, or try another backup."
            }
            Self::Record { trouble: CodecError::Damaged, .. } => {
                "Start Latchkey to see whether it can read it; if not, give that account's tokens again."
            }
            Self::Exists { .. } => "Name a file that does not exist yet, or add `--overwrite`.",
            Self::File { .. } => "See whether the path is right and the disk has room.",
        }
    }
}
