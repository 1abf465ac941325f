//! How an account is, in words and times that anybody may see: no type here holds a secret.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{
    AccountId, Code, Policy, Record, RefreshEnd,
    schedule::{expiring_from, next_refresh},
};

/// How an account is. The options of the Home Assistant sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// No tokens are held.
    Missing,
    Ok,
    /// The access token still lives, and refreshing it is overdue.
    Expiring,
    Expired,
    /// The reply to a refresh was lost, or could not be read.
    InDoubt,
    /// A person must sign in again.
    ReauthRequired,
    /// The application's keys or region are refused.
    ConfigFault,
    /// This machine's disk or clock stands in the way.
    Blocked,
}

impl Condition {
    pub const ALL: [Condition; 8] = [
        Self::Missing,
        Self::Ok,
        Self::Expiring,
        Self::Expired,
        Self::InDoubt,
        Self::ReauthRequired,
        Self::ConfigFault,
        Self::Blocked,
    ];
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The access token at hand, in the words of the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessTokenStatus {
    NotCached,
    CachedNoExpiry,
    Expired,
    Valid,
}

/// The state document of an account. Every key is always present; times are RFC 3339 in UTC, or null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    pub condition: Condition,
    pub access_token_status: AccessTokenStatus,
    pub configured: bool,
    #[serde(serialize_with = "rfc3339")]
    pub access_token_expires_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    pub refresh_token_updated_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    pub refresh_token_expires_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    pub last_refresh_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    pub next_refresh_at: Option<Timestamp>,
    pub last_error: Option<Code>,
    #[serde(serialize_with = "rfc3339")]
    pub last_error_at: Option<Timestamp>,
    pub consecutive_failures: u32,
    pub refresh_count: u64,
    pub generation: u64,
    #[serde(serialize_with = "on_off")]
    pub problem: bool,
    #[serde(serialize_with = "on_off")]
    pub cloud: bool,
}

/// What is known beside the record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// The disk or the clock of this machine stands in the way.
    pub is_blocked: bool,
    /// Whether the vendor answered when last called; none before the first call.
    pub is_cloud_reached: Option<bool>,
}

impl Status {
    pub fn of(record: &Record, policy: &Policy, id: &AccountId, around: Circumstances, now: Timestamp) -> Self {
        let current = record.current.as_ref();
        let condition = condition(record, policy, around, now);
        let needs_person = match condition {
            Condition::Ok | Condition::Expiring => false,
            Condition::InDoubt => record.setbacks.last_error == Some(Code::UnreadableAnswer),
            Condition::Missing
            | Condition::Expired
            | Condition::ReauthRequired
            | Condition::ConfigFault
            | Condition::Blocked => true,
        };
        let was_cut_off = matches!(record.setbacks.last_error, Some(Code::Unreachable | Code::NoAnswer));
        Self {
            condition,
            access_token_status: access_token_status(record, now),
            configured: current.is_some_and(|it| it.refresh.is_some()),
            access_token_expires_at: current.and_then(|it| it.access_expires_at),
            refresh_token_updated_at: current.filter(|it| it.refresh.is_some()).map(|it| it.refresh_updated_at),
            refresh_token_expires_at: current.and_then(|it| it.refresh_expires_at),
            last_refresh_at: record.last_refresh_at,
            next_refresh_at: next_refresh(record, policy, id, now).filter(|_| !around.is_blocked),
            last_error: record.setbacks.last_error,
            last_error_at: record.setbacks.last_error_at,
            consecutive_failures: record.setbacks.consecutive,
            refresh_count: record.refresh_count,
            generation: current.map_or(0, |it| it.generation),
            problem: needs_person,
            cloud: around.is_cloud_reached.unwrap_or(!was_cut_off),
        }
    }
}

fn condition(record: &Record, policy: &Policy, around: Circumstances, now: Timestamp) -> Condition {
    if around.is_blocked {
        return Condition::Blocked;
    }
    let Some(grant) = &record.current else { return Condition::Missing };
    if record.dead.is_some() {
        return Condition::ReauthRequired;
    }
    if record.fault {
        return Condition::ConfigFault;
    }
    let is_doubted = record.doubt.is_some_and(|it| it.generation == grant.generation);
    if is_doubted || grant.refresh_end == Some(RefreshEnd::Spent) {
        return Condition::InDoubt;
    }
    match grant.access_expires_at {
        Some(end) if end <= now => Condition::Expired,
        Some(_) if expiring_from(grant, policy).is_some_and(|from| from <= now) => Condition::Expiring,
        _ => Condition::Ok,
    }
}

fn access_token_status(record: &Record, now: Timestamp) -> AccessTokenStatus {
    let Some(grant) = record.current.as_ref().filter(|it| it.access.is_some()) else {
        return AccessTokenStatus::NotCached;
    };
    match grant.access_expires_at {
        None => AccessTokenStatus::CachedNoExpiry,
        Some(end) if end <= now => AccessTokenStatus::Expired,
        Some(_) => AccessTokenStatus::Valid,
    }
}

/// Whole seconds are enough, and keep the history of Home Assistant quiet.
fn rfc3339<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&format_args!("{}", time.strftime("%Y-%m-%dT%H:%M:%S+00:00"))),
        None => serializer.serialize_none(),
    }
}

fn on_off<S: Serializer>(is_on: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *is_on { "ON" } else { "OFF" })
}
