//! The request log of a simulated cloud.

use std::collections::VecDeque;

use serde::Serialize;
use sha2::{Digest, Sha256};

const MAX_ENTRIES: usize = 10_000;

/// One vendor call as the cloud saw it.
#[derive(Clone, Debug, Serialize)]
pub struct LogEntry {
    /// Counts from 1, without gaps.
    pub number: u64,
    /// The cloud's own time, RFC 3339 in UTC.
    pub at: String,
    pub region: usize,
    /// The listener that it came by (`gate`, `rest`, …); none where one does for all.
    pub part: Option<&'static str>,
    pub method: String,
    /// Without its query, which may bear a token.
    pub path: String,
    /// The path's last part at Akuvox, the intent at Aqara.
    pub call: String,
    /// The account whose token was recognised.
    pub account: Option<usize>,
    /// What became of it: `ok`, the refusal, the injected fault.
    pub outcome: String,
    /// The header names that arrived.
    pub headers: Vec<String>,
    /// Secrets that the call bore, by role, each as [`short_hash`].
    pub secrets: Vec<(&'static str, String)>,
    /// The pair that the cloud handed out whole, whether or not the answer arrived.
    pub issued: Option<IssuedPair>,
    /// What a call that acts on the house asked for, word for word.
    pub action: Option<String>,
}

/// Both tokens of a pair, each as [`short_hash`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct IssuedPair {
    pub access_token: String,
    pub refresh_token: String,
}

impl IssuedPair {
    pub fn of(access_token: &str, refresh_token: &str) -> Self {
        Self { access_token: short_hash(access_token), refresh_token: short_hash(refresh_token) }
    }
}

/// The newest 10,000 entries.
#[derive(Default)]
pub(super) struct Journal {
    entries: VecDeque<LogEntry>,
    n_written: u64,
}

impl Journal {
    pub(super) fn write(&mut self, mut entry: LogEntry) {
        self.n_written += 1;
        entry.number = self.n_written;
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(super) fn read(&self) -> Vec<LogEntry> {
        self.entries.iter().cloned().collect()
    }
}

/// Eight hex digits of SHA-256: enough to tell tokens apart, useless to anyone else.
pub fn short_hash(secret: &str) -> String {
    hex::encode(&Sha256::digest(secret)[..4])
}
