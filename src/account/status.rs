//! How an account is, in words and times that anybody may see: no type here holds a secret.

use std::fmt;

use jiff::{SignedDuration, Timestamp, tz::Offset};
use serde::{Serialize, Serializer};

use super::{
    AccountId, Code, Grant, Policy, Record, RefreshEnd, Slot,
    schedule::{expiring_from, shown_next_refresh},
};

const LEAST_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// How an account is. The options of the Home Assistant sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessTokenStatus {
    NotCached,
    CachedNoExpiry,
    Expired,
    Valid,
}

/// The state document of an account. Every key is always present; times are RFC 3339 in UTC, or null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Status {
    pub condition: Condition,
    pub access_token_status: AccessTokenStatus,
    pub configured: bool,
    #[serde(serialize_with = "rfc3339")]
    #[schema(required)]
    pub access_token_expires_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    #[schema(required)]
    pub refresh_token_updated_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    #[schema(required)]
    pub refresh_token_expires_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    #[schema(required)]
    pub last_refresh_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    #[schema(required)]
    pub next_refresh_at: Option<Timestamp>,
    #[schema(required)]
    pub last_error: Option<Code>,
    #[serde(serialize_with = "rfc3339")]
    #[schema(required)]
    pub last_error_at: Option<Timestamp>,
    pub consecutive_failures: u32,
    pub refresh_count: u64,
    pub generation: u64,
    /// Calls that count against the vendor's quotas, of all accounts that share them; none where nobody counts.
    pub calls_this_month: Option<u64>,
    pub calls_in_all: Option<u64>,
    /// How far the vendor's clock is ahead of ours; none until it has answered.
    pub clock_skew_seconds: Option<i64>,
    #[serde(serialize_with = "on_off")]
    #[schema(value_type = String, pattern = "^(ON|OFF)$")]
    pub problem: bool,
    #[serde(serialize_with = "on_off")]
    #[schema(value_type = String, pattern = "^(ON|OFF)$")]
    pub cloud: bool,
}

/// What is known beside the record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// The disk or the clock of this machine stands in the way.
    pub is_blocked: bool,
    /// Whether the vendor answered when last called; none before the first call.
    pub is_cloud_reached: Option<bool>,
    /// How far the vendor's clock is ahead of ours; none where it is not known.
    pub vendor_ahead_by: Option<SignedDuration>,
}

impl Status {
    /// What the record and its circumstances tell; calls are counted elsewhere, so they are none here.
    pub fn of(record: &Record, policy: &Policy, id: &AccountId, around: Circumstances, now: Timestamp) -> Self {
        let current = record.current.as_ref();
        let condition = condition(record, policy, around, now);
        let needs_person = match condition {
            Condition::Ok | Condition::Expiring => false,
            // A lost reply is retried; an answer that came and cannot be read does not cure itself.
            Condition::InDoubt => record.unread.is_some() || record.setbacks.last_error == Some(Code::UnreadableAnswer),
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
            configured: record.has_refresh_token(),
            access_token_expires_at: current.and_then(|it| it.access_expires_at),
            refresh_token_updated_at: current.filter(|it| it.refresh.is_some()).map(|it| it.refresh_updated_at),
            refresh_token_expires_at: current.and_then(|it| it.refresh_expires_at),
            last_refresh_at: record.last_refresh_at,
            next_refresh_at: shown_next_refresh(record, policy, id, now).filter(|_| !around.is_blocked),
            last_error: record.setbacks.last_error,
            last_error_at: record.setbacks.last_error_at,
            consecutive_failures: record.setbacks.consecutive,
            refresh_count: record.refresh_count,
            generation: current.map_or(0, |it| it.generation),
            calls_this_month: None,
            calls_in_all: None,
            clock_skew_seconds: around.vendor_ahead_by.map(shown_skew),
            problem: needs_person,
            cloud: around.is_cloud_reached.unwrap_or(!was_cut_off),
        }
    }
}

fn condition(record: &Record, policy: &Policy, around: Circumstances, now: Timestamp) -> Condition {
    if around.is_blocked {
        return Condition::Blocked;
    }
    let Some(grant) = &record.current else {
        // Keys that are refused at the first try are the same fault.
        return if record.fault { Condition::ConfigFault } else { Condition::Missing };
    };
    if record.dead.is_some() {
        return Condition::ReauthRequired;
    }
    if record.fault {
        return Condition::ConfigFault;
    }
    // Whichever grant it is about: one that was tried since may have been laid aside, and tokens that are being proved
    // are the newest. Those whose answer came and could not be read are not sent again, and the grant in use outlives them.
    let is_proving = record.grant(Slot::Candidate).is_some_and(Grant::is_spendable);
    let is_doubted = record.doubt.is_some() || is_proving && record.doubted_since(Slot::Candidate).is_some();
    if is_doubted || grant.refresh_end == Some(RefreshEnd::Spent) {
        return Condition::InDoubt;
    }
    match grant.access_expires_at {
        Some(end) if end <= now => Condition::Expired,
        _ if grant.refresh_end.is_some() => Condition::Expiring,
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

/// Whole seconds; what a slow answer may be mistaken for is none.
fn shown_skew(vendor_ahead_by: SignedDuration) -> i64 {
    if vendor_ahead_by.abs() < LEAST_SKEW { 0 } else { vendor_ahead_by.as_secs() }
}

/// A time as it is shown: RFC 3339 in UTC. Whole seconds are enough, and keep the history of Home Assistant quiet.
pub(crate) fn shown_time(time: Timestamp) -> String {
    format!("{:.0}", time.display_with_offset(Offset::UTC))
}

/// As [`shown_time`], or null.
pub(crate) fn rfc3339<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(shown_time).serialize(serializer)
}

fn on_off<S: Serializer>(is_on: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *is_on { "ON" } else { "OFF" })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::{
            Candidate, Dead, Doubt,
            fixture::{DAY, HOUR, akuvox, grant, holding, home, start},
        },
        *,
    };

    fn status(record: &Record, now: Timestamp) -> Status {
        Status::of(record, &akuvox(), &home(), Circumstances::default(), now)
    }

    fn condition_of(record: &Record) -> (Condition, bool) {
        let status = status(record, start() + HOUR);
        (status.condition, status.problem)
    }

    /// A grant in use, and one beside it that waits to be proved.
    fn proving() -> Record {
        let candidate = Candidate {
            grant: grant(2),
            received_at: start(),
            doubted_since: None,
            failing_since: None,
            refusals: Default::default(),
        };
        Record { candidate: Some(Box::new(candidate)), ..holding(grant(1)) }
    }

    #[test]
    fn every_condition_is_told_with_whether_a_person_is_needed() {
        let refused = Grant { refresh_end: Some(RefreshEnd::Refused), ..grant(1) };
        let spent = Grant { refresh_end: Some(RefreshEnd::Spent), ..grant(1) };
        let dead = Some(Dead { since: start(), why: Code::RefreshRefused });
        let doubt = Some(Doubt { since: start(), generation: 1 });
        let held = holding(grant(1));
        assert_eq!(condition_of(&Record::default()), (Condition::Missing, true));
        assert_eq!(condition_of(&held), (Condition::Ok, false));
        assert_eq!(
            condition_of(&Record { dead, doubt, ..holding(refused.clone()) }),
            (Condition::ReauthRequired, true)
        );
        assert_eq!(condition_of(&Record { doubt, ..held.clone() }), (Condition::InDoubt, false));
        assert_eq!(condition_of(&holding(spent)).0, Condition::InDoubt);
        let laid_aside = Some(Doubt { since: start(), generation: 0 });
        assert_eq!(
            condition_of(&Record { doubt: laid_aside, ..holding(refused.clone()) }),
            (Condition::InDoubt, false)
        );
        let mut proving = proving();
        assert_eq!(condition_of(&proving), (Condition::Ok, false));
        proving.candidate.as_mut().unwrap().doubted_since = Some(start());
        assert_eq!(condition_of(&proving), (Condition::InDoubt, false));
        assert_eq!(condition_of(&Record { fault: true, doubt, ..held.clone() }), (Condition::ConfigFault, true));
        assert_eq!(
            condition_of(&Record { previous: Some(Box::new(grant(0))), ..holding(refused) }),
            (Condition::Expiring, false)
        );
        let at = |passed| status(&held, start() + passed).condition;
        assert_eq!(at(6 * DAY - HOUR), Condition::Ok);
        assert_eq!(at(6 * DAY), Condition::Expiring);
        assert_eq!(at(7 * DAY), Condition::Expired);
        let blocked = Circumstances { is_blocked: true, ..Circumstances::default() };
        let blocked = Status::of(&held, &akuvox(), &home(), blocked, start());
        assert_eq!((blocked.condition, blocked.next_refresh_at), (Condition::Blocked, None));
    }

    #[test]
    fn an_answer_that_cannot_be_read_needs_a_person_and_a_lost_one_does_not_yet() {
        let doubt = Some(Doubt { since: start(), generation: 1 });
        let mut record = Record { doubt, ..holding(grant(1)) };
        record.setbacks.last_error = Some(Code::NoAnswer);
        assert!(!status(&record, start()).problem);
        record.setbacks.last_error = Some(Code::UnreadableAnswer);
        assert!(status(&record, start()).problem);
    }

    #[test]
    fn the_document_has_every_key_and_says_null_where_nothing_is_known() {
        let document = serde_json::to_value(status(&Record::default(), start())).unwrap();
        let expected = json!({
            "condition": "missing", "access_token_status": "not_cached", "configured": false,
            "access_token_expires_at": null, "refresh_token_updated_at": null, "refresh_token_expires_at": null,
            "last_refresh_at": null, "next_refresh_at": null, "last_error": null, "last_error_at": null,
            "consecutive_failures": 0, "refresh_count": 0, "generation": 0,
            "calls_this_month": null, "calls_in_all": null, "clock_skew_seconds": null, "problem": "ON", "cloud": "ON",
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn times_are_whole_seconds_with_an_offset() {
        let mut record = holding(grant(1));
        record.last_refresh_at = Some("2026-11-22T10:00:00.987654321Z".parse().unwrap());
        let document = serde_json::to_value(status(&record, start())).unwrap();
        assert_eq!(document["last_refresh_at"], "2026-11-22T10:00:00+00:00");
        assert_eq!(document["access_token_expires_at"], "2026-11-29T10:00:00+00:00");
        assert!(document["next_refresh_at"].as_str().unwrap().ends_with("+00:00"));
        assert!(document.as_object().unwrap().values().all(|it| !matches!(it, Value::Object(_) | Value::Array(_))));
    }

    #[test]
    fn no_token_is_in_the_document() {
        let text = serde_json::to_string(&status(&holding(grant(1)), start())).unwrap();
        assert!(!text.contains("A1") && !text.contains("R1"));
    }

    #[test]
    fn the_access_token_is_told_in_the_words_of_the_admin_api() {
        let of = |grant, now| status(&holding(grant), now).access_token_status;
        assert_eq!(of(Grant { access: None, ..grant(1) }, start()), AccessTokenStatus::NotCached);
        assert_eq!(of(Grant { access_expires_at: None, ..grant(1) }, start()), AccessTokenStatus::CachedNoExpiry);
        assert_eq!(of(grant(1), start() + 7 * DAY), AccessTokenStatus::Expired);
        assert_eq!(of(grant(1), start()), AccessTokenStatus::Valid);
    }

    #[test]
    fn the_cloud_is_away_when_the_last_call_was_cut_off_and_not_when_it_was_refused() {
        let mut record = holding(grant(1));
        record.setbacks.last_error = Some(Code::Unreachable);
        assert!(!status(&record, start()).cloud);
        record.setbacks.last_error = Some(Code::RefreshRefused);
        assert!(status(&record, start()).cloud);
        let reached = Circumstances { is_cloud_reached: Some(false), ..Circumstances::default() };
        assert!(!Status::of(&record, &akuvox(), &home(), reached, start()).cloud);
    }

    #[test]
    fn a_skew_is_shown_in_whole_seconds_and_a_slow_answer_is_none() {
        let shown = |milliseconds| {
            let vendor_ahead_by = Some(SignedDuration::from_millis(milliseconds));
            let around = Circumstances { vendor_ahead_by, ..Circumstances::default() };
            Status::of(&holding(grant(1)), &akuvox(), &home(), around, start()).clock_skew_seconds
        };
        assert_eq!([shown(4_999), shown(-4_999), shown(5_000), shown(-90_500)], [Some(0), Some(0), Some(5), Some(-90)]);
    }

    #[test]
    fn tokens_that_wait_to_be_proved_count_as_configured() {
        assert!(status(&Record { current: None, ..proving() }, start()).configured);
    }
}
