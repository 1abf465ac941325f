//! What the keeper counts of each account since it was started, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    account::{AccountId, Settlement},
    vendor::Latency,
};

use super::{
    Keeper,
    limits::{HostQueue, Purpose},
};

/// Figures of one account since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts to refresh, by how they ended.
    pub renewed: u64,
    /// Nothing is lost, and it is tried again.
    pub failed: u64,
    /// The vendor refused the refresh token.
    pub refused: u64,
    /// The reply was lost or could not be read.
    pub in_doubt: u64,
    /// Calls to the vendor that refresh or sign in.
    pub refresh_calls: u64,
    /// All other calls.
    pub other_calls: u64,
}

#[derive(Default)]
pub(super) struct Tallies {
    renewed: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    in_doubt: AtomicU64,
    refresh_calls: AtomicU64,
    other_calls: AtomicU64,
}

impl Keeper {
    /// What was counted of an account since the start.
    pub fn tally(&self, account: &AccountId) -> Option<Tally> {
        self.0.kept(account).map(|it| it.heart.tally())
    }

    /// How long the calls of an account took since the start, by what was asked.
    pub fn latencies(&self, account: &AccountId) -> Vec<Latency> {
        self.0.kept(account).map(|it| it.vendor.latencies()).unwrap_or_default()
    }

    /// Who is at the vendors' hosts, and who waits for a turn there.
    pub fn queues(&self) -> Vec<HostQueue> {
        self.0.limits.queues()
    }
}

impl Tallies {
    pub(super) fn count_settlement(&self, settlement: Settlement) {
        let counter = match settlement {
            Settlement::Renewed { .. } => &self.renewed,
            Settlement::CandidateRefused | Settlement::FellBack | Settlement::ReauthRequired => &self.refused,
            Settlement::InDoubt => &self.in_doubt,
            Settlement::Failed | Settlement::Superseded => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn count_call(&self, purpose: Purpose) {
        let counter = match purpose {
            Purpose::Refresh => &self.refresh_calls,
            Purpose::Call => &self.other_calls,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            renewed: self.renewed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            in_doubt: self.in_doubt.load(Relaxed),
            refresh_calls: self.refresh_calls.load(Relaxed),
            other_calls: self.other_calls.load(Relaxed),
        }
    }
}
