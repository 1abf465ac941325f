//! The journal, sled beside it, sealing.
//!
//! sled 0.34.7 opens damaged files without an error and serves older values, and its `flush` is no fsync; for a token
//! that may be spent once, an older value is the worst there is. So the journal, an append-only file in front of it,
//! is what a commit waits for and what counts at start; sled is the second copy, and remembers every spent token.
//!
//! A way through: `open` puts the two side by side and mends what differs; `writer` is the one thread that
//! writes and `upkeep` what it does in between; `journal` and `database` are the two copies, and `behind` is what the second
//! is still to get; `frame`, `seal`, with its `cipher`, and `packed` are what lies in them, `unsealed` is what the journal's hold, `report` is what was found; `folder`, `key` and `ballast` are what lies around them, `disk` is what they ask of a disk;
//! `spent` is how sled keeps fingerprints. `backup` carries a store to another place, sealed with a passphrase by
//! `archive`; `rotate` gives it another key.
//!
//! The folder:
//!
//! | name | |
//! |---|---|
//! | `lock` | held for as long as the process lives |
//! | `identity` | the sealed fingerprint key: tells a wrong key before anything is touched |
//! | `journal` | sealed frames, newest last; `journal.new` while it is being rewritten |
//! | `db/` | sled |
//! | `ballast` | 1 MiB that is given up when the disk is full |
//! | `key` | the sealing key, where it is kept here; `key.next` while it is being changed |
//! | `db.next/`, `db.last/` | sled, while the key is being changed |
//! | `before-restore-<seconds>/` | the store that a restored one took the place of |
//! | `*.damaged-<seconds>` | what could not be read and was set aside |

mod archive;
mod backup;
mod ballast;
mod behind;
mod breakage;
mod cipher;
pub mod codec;
mod counters;
mod database;
mod disk;
mod error;
mod folder;
mod frame;
#[cfg(feature = "fuzzing")]
mod fuzz;
mod in_use;
mod journal;
mod key;
mod open;
mod packed;
#[cfg(test)]
mod power;
mod reconcile;
mod report;
mod rotate;
mod scan;
mod seal;
mod sled_folder;
mod sled_store;
mod sled_thread;
mod spent;
mod stored;
mod unsealed;
mod upkeep;
mod watched;
mod writer;

use std::{fmt, path::PathBuf, time::Duration};

use async_trait::async_trait;

pub use archive::ArchiveError;
pub use backup::{BackupError, Restored, back_up, restore};
pub use counters::Stats;
pub use error::StoreError;
pub(crate) use folder::{check_private, install_private};
#[cfg(feature = "fuzzing")]
pub(crate) use fuzz::{read_backup, read_journal, read_record};
pub use in_use::is_in_use;
pub use packed::Packed;
pub use report::OpenReport;
pub use rotate::{Rotated, rotate_key};
pub use sled_store::SledStore;
pub use watched::Watched;

use crate::account::{AccountId, Fingerprint, Secret};

/// How often sled is made durable, unless settings say otherwise.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);

/// Where the records of accounts are kept. An account's revision goes up by one with each commit, from 1 on.
#[async_trait]
pub trait Store: Send + Sync {
    /// The newest record of each account, in no particular order. The first call takes them; they are not kept in memory,
    /// so every later call gives none.
    fn load(&self) -> Vec<Entry>;

    /// The newest record of one account, as it lies on the disk now; none where there is none.
    async fn record(&self, account: &AccountId) -> Result<Option<Entry>, StoreError>;

    /// Durable when it returns the new revision, which is `expected + 1`. A caller that stops waiting does not undo it.
    ///
    /// Fails with [`StoreError::Conflict`] unless the account's newest revision is `expected` (0 for one without any).
    /// After any other error nothing was changed, and the next commit may work again.
    async fn commit(&self, commit: Commit) -> Result<u64, StoreError>;

    /// Whether any of these accounts ever spent a refresh token with this fingerprint. A thousand accounts take some
    /// milliseconds, for which commits wait.
    async fn is_spent(&self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError>;

    /// A small named document that belongs to no account, as it was last put; nothing where there is none.
    fn note(&self, name: &str) -> Option<Vec<u8>>;

    /// Keeps a small named document, sealed and durable like a record. The name has 1 to 64 bytes.
    async fn put_note(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError>;

    /// Fails if a commit could not be taken at this moment (no room, read-only, folder gone, an earlier write that failed
    /// and cannot be mended).
    async fn check_room(&self) -> Result<(), StoreError>;

    /// Makes sled durable and stops; every later call fails with [`StoreError::Closed`].
    async fn close(&self) -> Result<(), StoreError>;
}

/// The newest record of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub account: AccountId,
    pub revision: u64,
    pub record: Packed,
}

/// A new record for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub account: AccountId,
    /// The revision that the new record follows.
    pub expected: u64,
    /// The fingerprints of the spent tokens that it remembers are added to those known; giving one again does no harm, and
    /// brings it back if sled was lost.
    pub record: Packed,
    /// Not to be taken unless what follows from it will find room, too, as before a refresh token is spent.
    pub needs_room: bool,
}

#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The folder. It is made (0700) where it is missing.
    pub path: PathBuf,
    pub key: KeySource,
    /// How often sled is made durable; [`CHECKPOINT_EVERY`] by default.
    pub checkpoint_every: Duration,
}

/// Where the sealing key of 32 bytes comes from.
#[derive(Clone)]
pub enum KeySource {
    /// A file of 64 hex digits, 0600; made where there is neither a key nor a store. It may lie in the store's folder.
    File(PathBuf),
    /// The key itself, as 64 hex digits or base64.
    Given(Secret),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given(_) => f.write_str("Given(***)"),
        }
    }
}
