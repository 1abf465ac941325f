//! A record as the store keeps it: one JSON document with a version, sealed by the store.
//!
//! These types mirror the domain's, which must not be serialisable. Fields are added and never change their meaning;
//! a field that a document lacks reads as its default, so every later version opens what this one wrote.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::account::{
    Attempt, Candidate, Code, Dead, Doubt, Extras, Fingerprint, Grant, HandledUpdate, Record, RefreshEnd, Refusals,
    Secret, Setbacks, Slot, UnreadAnswer, UpdateOutcome,
};

const VERSION: u32 = 1;

/// Why a stored document is no record. It says nothing of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the record is damaged")]
    Damaged,
    #[error("the record was written by a later version of Latchkey")]
    Newer,
}

/// Writes a record. `answer`: the raw answer that its newest grant was read from, to stand beside it in this commit.
///
/// Access tokens are left out where `persist_access` is false.
pub fn encode(record: &Record, answer: Option<&Secret>, persist_access: bool) -> Zeroizing<Vec<u8>> {
    let document = Document::of(record, answer, persist_access);
    Zeroizing::new(serde_json::to_vec(&document).expect("a document of plain fields is JSON"))
}

/// Reads a record back; `revision` is the store's.
pub fn decode(payload: &[u8], revision: u64) -> Result<Record, CodecError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let version: Versioned = serde_json::from_slice(payload).map_err(|_| CodecError::Damaged)?;
    if VERSION < version.v {
        return Err(CodecError::Newer);
    }
    let document: Document = serde_json::from_slice(payload).map_err(|_| CodecError::Damaged)?;
    document.into_record(revision)
}

/// A secret on its way into or out of a sealed payload.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Stored(String);

impl Drop for Stored {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Stored {
    fn of(secret: &Secret) -> Self {
        Self(secret.expose().to_owned())
    }

    fn secret(&self) -> Secret {
        Secret::new(self.0.as_str())
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    #[serde(default)]
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<StoredGrant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<StoredGrant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<StoredCandidate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    set_aside: Vec<StoredGrant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<StoredAttempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unread: Option<StoredUnread>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older_unread: Vec<StoredUnread>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubt: Option<(Time, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dead: Option<(Time, Code)>,
    #[serde(default)]
    fault: bool,
    #[serde(default)]
    setbacks: StoredSetbacks,
    #[serde(default)]
    refusals: StoredRefusals,
    #[serde(default)]
    last_attempt_at: Option<Time>,
    #[serde(default)]
    last_refresh_at: Option<Time>,
    #[serde(default)]
    refresh_count: u64,
    #[serde(default)]
    spent: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_update: Option<(String, UpdateOutcome, u64)>,
    #[serde(default)]
    unproven: bool,
    /// Never read by this version: it lets a later one mend what this one misread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Stored>,
}

#[derive(Serialize, Deserialize)]
struct StoredGrant {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Stored>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<Stored>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_token: Option<Stored>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_id: Option<String>,
    issued_at: Time,
    refresh_updated_at: Time,
    #[serde(default)]
    access_expires_at: Option<Time>,
    #[serde(default)]
    refresh_expires_at: Option<Time>,
    generation: u64,
    #[serde(default)]
    proven: bool,
    #[serde(default)]
    refresh_end: Option<StoredEnd>,
}

#[derive(Serialize, Deserialize)]
struct StoredCandidate {
    grant: StoredGrant,
    received_at: Time,
    #[serde(default)]
    doubted_since: Option<Time>,
    #[serde(default)]
    failing_since: Option<Time>,
    #[serde(default)]
    refusals: StoredRefusals,
}

/// How many, and since when.
type StoredRefusals = (u32, Option<Time>);

#[derive(Serialize, Deserialize)]
struct StoredAttempt {
    id: u64,
    started_at: Time,
    slot: StoredSlot,
    generation: u64,
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct StoredUnread {
    received_at: Time,
    slot: StoredSlot,
    generation: u64,
    body: Stored,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredSetbacks {
    consecutive: u32,
    not_before: Option<Time>,
    last_error: Option<Code>,
    last_error_at: Option<Time>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredSlot {
    Candidate,
    Current,
    Previous,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredEnd {
    Spent,
    Refused,
}

/// Milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Time(i64);

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time.as_millisecond())
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Timestamp::from_millisecond(time.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

// === impl Document ===

impl Document {
    fn of(record: &Record, answer: Option<&Secret>, persist_access: bool) -> Self {
        let grant = |it: &Grant| StoredGrant::of(it, persist_access);
        Self {
            v: VERSION,
            generation: record.generation,
            current: record.current.as_ref().map(grant),
            previous: record.previous.as_ref().map(grant),
            candidate: record.candidate.as_ref().map(|it| StoredCandidate {
                grant: grant(&it.grant),
                received_at: it.received_at.into(),
                doubted_since: it.doubted_since.map(Time::from),
                failing_since: it.failing_since.map(Time::from),
                refusals: stored_refusals(it.refusals),
            }),
            set_aside: record.set_aside.iter().map(grant).collect(),
            attempt: record.attempt.as_ref().map(|it| StoredAttempt {
                id: it.id,
                started_at: it.started_at.into(),
                slot: it.slot.into(),
                generation: it.generation,
                fingerprint: it.fingerprint.to_string(),
            }),
            unread: record.unread.as_ref().map(StoredUnread::of),
            older_unread: record.older_unread.iter().map(StoredUnread::of).collect(),
            doubt: record.doubt.map(|it| (it.since.into(), it.generation)),
            dead: record.dead.map(|it| (it.since.into(), it.why)),
            fault: record.fault,
            setbacks: StoredSetbacks {
                consecutive: record.setbacks.consecutive,
                not_before: record.setbacks.not_before.map(Time::from),
                last_error: record.setbacks.last_error,
                last_error_at: record.setbacks.last_error_at.map(Time::from),
            },
            refusals: stored_refusals(record.refusals),
            last_attempt_at: record.last_attempt_at.map(Time::from),
            last_refresh_at: record.last_refresh_at.map(Time::from),
            refresh_count: record.refresh_count,
            spent: record.spent.iter().map(Fingerprint::to_string).collect(),
            last_update: record.last_update.map(|it| (it.proposal.to_string(), it.outcome, it.generation)),
            unproven: record.unproven,
            answer: answer.map(Stored::of),
        }
    }

    fn into_record(self, revision: u64) -> Result<Record, CodecError> {
        let attempt = |it: StoredAttempt| {
            Ok(Attempt {
                id: it.id,
                started_at: it.started_at.into(),
                slot: it.slot.into(),
                generation: it.generation,
                fingerprint: fingerprint(&it.fingerprint)?,
            })
        };
        let last_update = |(proposal, outcome, generation): (String, UpdateOutcome, u64)| {
            Ok(HandledUpdate { proposal: fingerprint(&proposal)?, outcome, generation })
        };
        Ok(Record {
            revision,
            generation: self.generation,
            current: self.current.map(StoredGrant::into_grant),
            previous: self.previous.map(StoredGrant::into_grant),
            candidate: self.candidate.map(|it| Candidate {
                grant: it.grant.into_grant(),
                received_at: it.received_at.into(),
                doubted_since: it.doubted_since.map(Timestamp::from),
                failing_since: it.failing_since.map(Timestamp::from),
                refusals: refusals(it.refusals),
            }),
            set_aside: self.set_aside.into_iter().map(StoredGrant::into_grant).collect(),
            attempt: self.attempt.map(attempt).transpose()?,
            unread: self.unread.map(StoredUnread::into_unread),
            older_unread: self.older_unread.into_iter().map(StoredUnread::into_unread).collect(),
            doubt: self.doubt.map(|(since, generation)| Doubt { since: since.into(), generation }),
            dead: self.dead.map(|(since, why)| Dead { since: since.into(), why }),
            fault: self.fault,
            setbacks: Setbacks {
                consecutive: self.setbacks.consecutive,
                not_before: self.setbacks.not_before.map(Timestamp::from),
                last_error: self.setbacks.last_error,
                last_error_at: self.setbacks.last_error_at.map(Timestamp::from),
            },
            refusals: refusals(self.refusals),
            last_attempt_at: self.last_attempt_at.map(Timestamp::from),
            last_refresh_at: self.last_refresh_at.map(Timestamp::from),
            refresh_count: self.refresh_count,
            spent: self.spent.iter().map(|it| fingerprint(it)).collect::<Result<_, _>>()?,
            last_update: self.last_update.map(last_update).transpose()?,
            unproven: self.unproven,
        })
    }
}

/// One that is not read would be forgotten, and its token sent again.
fn fingerprint(text: &str) -> Result<Fingerprint, CodecError> {
    text.parse().map_err(|_| CodecError::Damaged)
}

fn stored_refusals(refusals: Refusals) -> StoredRefusals {
    (refusals.count, refusals.first_at.map(Time::from))
}

fn refusals((count, first_at): StoredRefusals) -> Refusals {
    Refusals { count, first_at: first_at.map(Timestamp::from) }
}

// === impl StoredUnread ===

impl StoredUnread {
    fn of(unread: &UnreadAnswer) -> Self {
        Self {
            received_at: unread.received_at.into(),
            slot: unread.slot.into(),
            generation: unread.generation,
            body: Stored::of(&unread.body),
        }
    }

    fn into_unread(self) -> UnreadAnswer {
        UnreadAnswer {
            received_at: self.received_at.into(),
            slot: self.slot.into(),
            generation: self.generation,
            body: self.body.secret(),
        }
    }
}

// === impl StoredGrant ===

impl StoredGrant {
    fn of(grant: &Grant, persist_access: bool) -> Self {
        Self {
            access: grant.access.as_ref().filter(|_| persist_access).map(Stored::of),
            refresh: grant.refresh.as_ref().map(Stored::of),
            auth_token: grant.extras.auth_token.as_ref().map(Stored::of),
            open_id: grant.extras.open_id.clone(),
            issued_at: grant.issued_at.into(),
            refresh_updated_at: grant.refresh_updated_at.into(),
            access_expires_at: grant.access_expires_at.map(Time::from),
            refresh_expires_at: grant.refresh_expires_at.map(Time::from),
            generation: grant.generation,
            proven: grant.proven,
            refresh_end: grant.refresh_end.map(|it| match it {
                RefreshEnd::Spent => StoredEnd::Spent,
                RefreshEnd::Refused => StoredEnd::Refused,
            }),
        }
    }

    fn into_grant(self) -> Grant {
        Grant {
            access: self.access.as_ref().map(Stored::secret),
            refresh: self.refresh.as_ref().map(Stored::secret),
            extras: Extras { auth_token: self.auth_token.as_ref().map(Stored::secret), open_id: self.open_id },
            issued_at: self.issued_at.into(),
            refresh_updated_at: self.refresh_updated_at.into(),
            access_expires_at: self.access_expires_at.map(Timestamp::from),
            refresh_expires_at: self.refresh_expires_at.map(Timestamp::from),
            generation: self.generation,
            proven: self.proven,
            refresh_end: self.refresh_end.map(|it| match it {
                StoredEnd::Spent => RefreshEnd::Spent,
                StoredEnd::Refused => RefreshEnd::Refused,
            }),
        }
    }
}

// === impl StoredSlot ===

impl From<Slot> for StoredSlot {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::Candidate => Self::Candidate,
            Slot::Current => Self::Current,
            Slot::Previous => Self::Previous,
        }
    }
}

impl From<StoredSlot> for Slot {
    fn from(slot: StoredSlot) -> Self {
        match slot {
            StoredSlot::Candidate => Self::Candidate,
            StoredSlot::Current => Self::Current,
            StoredSlot::Previous => Self::Previous,
        }
    }
}
