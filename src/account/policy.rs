//! How an account is to be kept: what its vendor prescribes and its user chose.

use std::time::Duration;

/// The rules of one account's renewals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Refresh at the latest this long after the last one, whatever the vendor says of expiry.
    pub refresh_every: Option<Duration>,
    /// Refresh this long before the access token ends (at most a quarter of its life).
    pub safety_margin: Duration,
    /// A refresh comes up to this much earlier, so that many accounts do not come at once.
    pub jitter: Duration,
    /// The least time between two refreshes, whoever asks.
    pub min_refresh_gap: Duration,
    pub back_off: BackOff,
    pub ambiguous: AmbiguousPolicy,
    /// How long an access token lives where neither the vendor nor the user says.
    pub usual_lifetime: Duration,
    /// How long a refresh token outlives the access token that came with it.
    pub refresh_outlives_access: Option<Duration>,
    /// Whether a refresh needs the access token too (protocol/akuvox.md §3.11).
    pub refresh_needs_access: bool,
    /// Whether access tokens may be stored, or stay in memory.
    pub persist_access: bool,
}

/// The pauses after failures: the first one, then doubled each time up to the longest, with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    pub first: Duration,
    pub longest: Duration,
}

/// What to do when a reply was lost and the refresh token may be spent already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousPolicy {
    /// Send it once more promptly, then slowly.
    #[default]
    RetryOnce,
    /// Leave it alone while the access token lives.
    WaitUntilExpiry,
    /// Leave it alone until somebody asks.
    Manual,
}
