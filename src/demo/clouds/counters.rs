//! What a simulated cloud counts.

use std::collections::BTreeMap;

use serde::Serialize;

/// What happened since the cloud was started. Counters only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Every vendor call that arrived, whatever became of it.
    pub calls: u64,
    /// Calls by name (path or intent).
    pub calls_by_name: BTreeMap<String, u64>,
    /// Refreshes that rotated the grant, whether or not the answer reached the client.
    pub refreshes: u64,
    /// Refreshes answered again with the same successor, within the grace after the first.
    pub grace_answers: u64,
    /// Refreshes refused because the refresh token had been spent before.
    pub replays: u64,
    /// Calls the vendor answered with a failure of its own (replays among them).
    pub refusals: u64,
    /// Calls refused because there were too many.
    pub throttled: u64,
    /// Faults that were acted out.
    pub faults: u64,
    /// New logins, by the control API, a code or a password.
    pub logins: u64,
    /// Codes that were sent to residents.
    pub codes_sent: u64,
    /// What the vendor's app on a phone did by itself: neither its refreshes nor its logins are counted above.
    pub phone_acts: u64,
    /// Calls that count against a quota, by calendar month in UTC, as `2026-11`.
    pub calls_by_month: BTreeMap<String, u64>,
    /// Runs by scene id.
    pub scene_runs: BTreeMap<String, u64>,
    /// Openings by `<mac>/<relay>`.
    pub door_openings: BTreeMap<String, u64>,
}
