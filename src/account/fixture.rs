//! What tests of records are made of.

use std::time::Duration;

use jiff::Timestamp;

use super::{AccountId, AmbiguousPolicy, BackOff, Extras, Grant, Policy, Record, Secret};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn start() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub(super) fn home() -> AccountId {
    "home".parse().unwrap()
}

pub(super) fn akuvox() -> Policy {
    Policy {
        refresh_every: Some(6 * DAY),
        safety_margin: DAY,
        jitter: 10 * MINUTE,
        min_refresh_gap: MINUTE,
        back_off: BackOff { first: Duration::from_secs(30), longest: HOUR },
        ambiguous: AmbiguousPolicy::RetryOnce,
        usual_lifetime: 7 * DAY,
        refresh_outlives_access: None,
        refresh_needs_access: true,
        persist_access: true,
    }
}

pub(super) fn aqara() -> Policy {
    Policy {
        refresh_every: None,
        safety_margin: 5 * MINUTE,
        jitter: Duration::from_secs(30),
        refresh_outlives_access: Some(30 * DAY),
        refresh_needs_access: false,
        persist_access: false,
        ..akuvox()
    }
}

/// Tokens `A<n>` and `R<n>` of generation `n`, issued at [`start`] for seven days.
pub(crate) fn grant(n: u64) -> Grant {
    Grant {
        access: Some(Secret::new(format!("A{n}"))),
        refresh: Some(Secret::new(format!("R{n}"))),
        extras: Extras::default(),
        issued_at: start(),
        refresh_updated_at: start(),
        access_expires_at: Some(start() + 7 * DAY),
        refresh_expires_at: None,
        generation: n,
        proven: false,
        refresh_end: None,
    }
}

pub(crate) fn holding(grant: Grant) -> Record {
    Record { generation: grant.generation, current: Some(grant), ..Record::default() }
}
