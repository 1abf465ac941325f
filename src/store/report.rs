//! What was found when the store was opened.

use std::path::PathBuf;

use tracing::{error, info, warn};

use crate::account::AccountId;

/// What was found when the store was opened. Everything but the first field is worth a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// There was no store here.
    pub created: bool,
    /// sled served these from before its last checkpoint. They were mended from the journal: nothing was lost.
    pub rolled_back: Vec<AccountId>,
    /// The journal lacked the newest record of these, sled had it: nothing was lost.
    pub mended_from_sled: Vec<AccountId>,
    /// A newer record of these is known to have existed and no copy of it can be read: an older one is served. Treat
    /// their tokens as unproven.
    pub outdated: Vec<AccountId>,
    /// No copy of any record of these can be read.
    pub unreadable: Vec<AccountId>,
    /// Stretches of the journal that could not be read and were stepped over.
    pub damaged_records: u64,
    /// Of those, how many do not even tell which account they belonged to. If there are any, any account may be outdated.
    pub damaged_unnamed: u64,
    /// The journal ended in the middle of a record, as a crash leaves it; the end was cut.
    pub torn_tail: bool,
    /// The journal was missing and was made anew from sled, which alone cannot vouch for having the newest.
    pub journal_missing: bool,
    /// sled could not be opened: it was moved there and rebuilt from the journal.
    pub sled_set_aside: Option<PathBuf>,
    /// sled cannot be opened at the moment, because of room or rights; it will be tried again.
    pub sled_unavailable: Option<String>,
    /// The fingerprint key could not be read from any copy and was made anew: tokens spent until now are not recognised.
    pub fingerprint_key_lost: bool,
}

impl OpenReport {
    /// Whether the newest record of this account may be older than what was once acknowledged, so that its refresh token
    /// may have been spent already.
    pub fn is_unproven(&self, account: &AccountId) -> bool {
        self.journal_missing || self.damaged_unnamed > 0 || self.outdated.contains(account)
    }

    /// Whether damage to the store's files was found that may have touched this account, and all of it was mended.
    pub fn is_mended(&self, account: &AccountId) -> bool {
        let touched_all = 0 < self.damaged_records || self.sled_set_aside.is_some() || self.fingerprint_key_lost;
        let touched_it = self.rolled_back.contains(account) || self.mended_from_sled.contains(account);
        (touched_all || touched_it) && !self.is_unproven(account) && !self.unreadable.contains(account)
    }

    /// Whether the store was as a clean stop or a plain crash leaves it.
    pub fn is_clean(&self) -> bool {
        let expected = Self { created: self.created, torn_tail: self.torn_tail, ..Self::default() };
        *self == expected
    }

    /// Logs what is worth knowing.
    pub fn tell(&self) {
        if self.created {
            info!("a new store was made");
        }
        for account in &self.rolled_back {
            warn!(%account, "the database had gone back to an older state; the journal mended it");
        }
        for account in &self.mended_from_sled {
            warn!(%account, "the journal lacked the newest record; the database mended it");
        }
        for account in &self.outdated {
            warn!(%account, "its newest record cannot be read; the tokens of an older one are tried once");
        }
        for account in &self.unreadable {
            error!(%account, "no copy of its record can be read: give its tokens again with update_tokens");
        }
        if self.journal_missing {
            warn!("the journal was missing and was made anew from the database");
        }
        if let Some(why) = &self.sled_unavailable {
            warn!("the database cannot be opened at the moment ({why}); the journal serves alone");
        }
        if self.fingerprint_key_lost {
            warn!("the key of the fingerprints was lost: tokens spent until now are not recognised");
        }
        if 0 < self.damaged_records {
            warn!(records = self.damaged_records, "damaged records were found in the journal and stepped over");
        }
        if self.torn_tail {
            info!("the last write before the stop was incomplete and was cut off");
        }
        if let Some(folder) = &self.sled_set_aside {
            warn!(folder = %folder.display(), "the database was damaged; it was set aside and rebuilt from the journal");
        }
    }
}
