//! A record as the store keeps it: one JSON document with a version, sealed by the store. The keeper packs records of accounts
//! at rest so, too.
//!
//! These types mirror the domain's, which must not be serialisable. Fields are added and never change their meaning;
//! a field that a document lacks reads as its default, so every later version opens what this one wrote. One that is
//! written no more makes another version, which earlier ones leave alone.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    packed::Packed,
    stored::{Stored, StoredGrant, StoredLogins, StoredSlot, StoredUnread, Time, is_default},
};
use crate::account::{
    Attempt, Candidate, Code, Dead, Doubt, Fingerprint, Forgotten, Grant, HandledUpdate, RECENT_SPENT, Record,
    Refusals, Secret, SecretBuffer, Setbacks, UpdateOutcome,
};

const VERSION: u32 = 2;

/// From this version on a document does not name what was spent.
const SPENT_BESIDE: u32 = 2;

/// Most documents are not longer, in bytes.
const USUAL_LENGTH: usize = 1024;

/// Why a stored document is no record. It says nothing of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the record is damaged")]
    Damaged,
    #[error("the record was written by a later version of Latchkey")]
    Newer,
}

/// Writes all of a record, but for its revision. `answer`: the raw answer that its newest grant was read from, to be in this
/// commit, too.
///
/// Access tokens are left out where `persist_access` is false.
pub fn encode(record: &Record, answer: Option<&Secret>, persist_access: bool) -> Packed {
    let document = Document::of(record, answer, persist_access);
    let write =
        |to: &mut SecretBuffer| serde_json::to_writer(to, &document).expect("a document of plain fields is JSON");
    Packed::written(record.spent.iter(), USUAL_LENGTH, write).expect("it remembers few")
}

/// Reads a record back; `revision` is the store's.
pub fn decode(packed: &Packed, revision: u64) -> Result<Record, CodecError> {
    let mut document = read(packed.payload())?;
    if SPENT_BESIDE <= document.v {
        document.spent = packed.spent().collect();
    }
    let n_forgotten = document.spent.len().saturating_sub(RECENT_SPENT);
    let spent = document.spent.drain(n_forgotten..).collect();
    Ok(Record { spent, ..document.into_record(revision) })
}

fn read(payload: &[u8]) -> Result<Document, CodecError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    match serde_json::from_slice::<Document>(payload) {
        Ok(document) if document.v <= VERSION => Ok(document),
        Ok(_) => Err(CodecError::Newer),
        Err(_) => match serde_json::from_slice::<Versioned>(payload) {
            Ok(newer) if VERSION < newer.v => Err(CodecError::Newer),
            _ => Err(CodecError::Damaged),
        },
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "is_default")]
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
    #[serde(default, skip_serializing_if = "is_default")]
    fault: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    setbacks: StoredSetbacks,
    #[serde(default, skip_serializing_if = "is_default")]
    refusals: StoredRefusals,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_attempt_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_refresh_at: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    refresh_count: u64,
    /// Read only, of a document before [`SPENT_BESIDE`].
    #[serde(default, skip_serializing)]
    spent: Vec<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_update: Option<(Fingerprint, UpdateOutcome, u64)>,
    #[serde(default, skip_serializing_if = "is_default")]
    unproven: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_login_at: Option<Time>,
    #[serde(default, skip_serializing_if = "StoredLogins::is_empty")]
    logins: StoredLogins,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forgotten: Vec<(Time, Document)>,
    /// Only in what is forgotten.
    #[serde(default, skip_serializing_if = "is_default")]
    by_move: bool,
    /// Never read by this version: it lets a later one mend what this one misread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Stored>,
}

#[derive(Serialize, Deserialize)]
struct StoredCandidate {
    grant: StoredGrant,
    received_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubted_since: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
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
    fingerprint: Fingerprint,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct StoredSetbacks {
    consecutive: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_at: Option<Time>,
}

// === impl Document ===

impl Document {
    fn of(record: &Record, answer: Option<&Secret>, persist_access: bool) -> Self {
        let grant = |it: &Grant| StoredGrant::of(it, persist_access);
        let forgotten = |it: &Forgotten| {
            // What another vendor's record holds was stored by the rule of that one, which may need it again.
            let persist_access = persist_access || it.record.vendor != record.vendor;
            (it.since.into(), Self { by_move: it.by_move, ..Self::of(&it.record, None, persist_access) })
        };
        Self {
            v: VERSION,
            vendor: record.vendor.clone(),
            generation: record.generation,
            current: record.current.as_ref().map(grant),
            previous: record.previous.as_deref().map(grant),
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
                fingerprint: it.fingerprint,
            }),
            unread: record.unread.as_deref().map(StoredUnread::of),
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
            spent: Vec::new(),
            last_update: record.last_update.map(|it| (it.proposal, it.outcome, it.generation)),
            unproven: record.unproven,
            last_login_at: record.last_login_at.map(Time::from),
            logins: StoredLogins::of(&record.logins),
            forgotten: record.forgotten.iter().map(forgotten).collect(),
            by_move: false,
            answer: answer.map(Stored::of),
        }
    }

    fn into_record(self, revision: u64) -> Record {
        let candidate = |it: StoredCandidate| Candidate {
            grant: it.grant.into_grant(),
            received_at: it.received_at.into(),
            doubted_since: it.doubted_since.map(Timestamp::from),
            failing_since: it.failing_since.map(Timestamp::from),
            refusals: refusals(it.refusals),
        };
        let attempt = |it: StoredAttempt| Attempt {
            id: it.id,
            started_at: it.started_at.into(),
            slot: it.slot.into(),
            generation: it.generation,
            fingerprint: it.fingerprint,
        };
        let last_update = |(proposal, outcome, generation)| HandledUpdate { proposal, outcome, generation };
        let forgotten = |(since, document): (Time, Document)| Forgotten {
            since: since.into(),
            by_move: document.by_move,
            record: document.into_record(0),
        };
        Record {
            revision,
            vendor: self.vendor,
            generation: self.generation,
            current: self.current.map(StoredGrant::into_grant),
            previous: self.previous.map(|it| Box::new(it.into_grant())),
            candidate: self.candidate.map(candidate).map(Box::new),
            set_aside: self.set_aside.into_iter().map(StoredGrant::into_grant).collect(),
            attempt: self.attempt.map(attempt).map(Box::new),
            unread: self.unread.map(|it| Box::new(it.into_unread())),
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
            spent: VecDeque::new(),
            last_update: self.last_update.map(last_update),
            unproven: self.unproven,
            last_login_at: self.last_login_at.map(Timestamp::from),
            logins: self.logins.into_logins(),
            forgotten: self.forgotten.into_iter().map(forgotten).collect(),
        }
    }
}

fn stored_refusals(refusals: Refusals) -> StoredRefusals {
    (refusals.count, refusals.first_at.map(Time::from))
}

fn refusals((count, first_at): StoredRefusals) -> Refusals {
    Refusals { count, first_at: first_at.map(Timestamp::from) }
}

#[cfg(test)]
mod tests;
