//! A record as the store keeps it: one JSON document with a version, sealed by the store.
//!
//! These types mirror the domain's, which must not be serialisable. Fields are added and never change their meaning;
//! a field that a document lacks reads as its default, so every later version opens what this one wrote.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::stored::{Stored, StoredGrant, StoredSlot, StoredUnread, Time};
use crate::account::{
    Attempt, Candidate, Code, Dead, Doubt, Fingerprint, Grant, HandledUpdate, Record, Refusals, Secret, Setbacks,
    UpdateOutcome,
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

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredSetbacks {
    consecutive: u32,
    not_before: Option<Time>,
    last_error: Option<Code>,
    last_error_at: Option<Time>,
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::account::{Extras, RefreshEnd, Slot, UnreadAnswer};

    fn time() -> impl Strategy<Value = Timestamp> {
        // What a machine's clock may read, from before 1970 to after 2500, in the milliseconds that are kept.
        (-1_000_000_000_000i64..20_000_000_000_000).prop_map(|it| Timestamp::from_millisecond(it).unwrap())
    }

    fn secret() -> impl Strategy<Value = Secret> {
        "\\PC{0,40}".prop_map(Secret::new)
    }

    fn fingerprint() -> impl Strategy<Value = Fingerprint> {
        any::<[u8; 8]>().prop_map(Fingerprint::from_bytes)
    }

    fn code() -> impl Strategy<Value = Code> {
        prop_oneof![Just(Code::ReplyLost), Just(Code::RefreshRefused), Just(Code::Throttled), Just(Code::Internal)]
    }

    fn slot() -> impl Strategy<Value = Slot> {
        prop_oneof![Just(Slot::Candidate), Just(Slot::Current), Just(Slot::Previous)]
    }

    fn outcome() -> impl Strategy<Value = UpdateOutcome> {
        prop_oneof![
            Just(UpdateOutcome::Proved),
            Just(UpdateOutcome::Adopted),
            Just(UpdateOutcome::Pending),
            Just(UpdateOutcome::Unchanged),
            Just(UpdateOutcome::Refused),
        ]
    }

    fn refusals() -> impl Strategy<Value = Refusals> {
        (any::<u32>(), option::of(time())).prop_map(|(count, first_at)| Refusals { count, first_at })
    }

    prop_compose! {
        fn grant()(
            (access, refresh, auth_token) in (option::of(secret()), option::of(secret()), option::of(secret())),
            open_id in option::of("\\PC{0,20}"),
            (issued_at, refresh_updated_at) in (time(), time()),
            (access_expires_at, refresh_expires_at) in (option::of(time()), option::of(time())),
            (generation, proven) in any::<(u64, bool)>(),
            refresh_end in option::of(prop_oneof![Just(RefreshEnd::Spent), Just(RefreshEnd::Refused)]),
        ) -> Grant {
            let extras = Extras { auth_token, open_id };
            Grant {
                access, refresh, extras, issued_at, refresh_updated_at, access_expires_at, refresh_expires_at,
                generation, proven, refresh_end,
            }
        }
    }

    prop_compose! {
        fn candidate()(
            (grant, received_at) in (grant(), time()),
            (doubted_since, failing_since) in (option::of(time()), option::of(time())),
            refusals in refusals(),
        ) -> Candidate {
            Candidate { grant, received_at, doubted_since, failing_since, refusals }
        }
    }

    prop_compose! {
        fn attempt()(
            (id, generation) in any::<(u64, u64)>(),
            (started_at, slot, fingerprint) in (time(), slot(), fingerprint()),
        ) -> Attempt {
            Attempt { id, started_at, slot, generation, fingerprint }
        }
    }

    prop_compose! {
        fn unread()((received_at, slot, body) in (time(), slot(), secret()), generation in any::<u64>()) -> UnreadAnswer {
            UnreadAnswer { received_at, slot, generation, body }
        }
    }

    prop_compose! {
        fn setbacks()(
            (consecutive, last_error) in (any::<u32>(), option::of(code())),
            (not_before, last_error_at) in (option::of(time()), option::of(time())),
        ) -> Setbacks {
            Setbacks { consecutive, not_before, last_error, last_error_at }
        }
    }

    prop_compose! {
        fn record()(
            (revision, generation, refresh_count) in any::<(u64, u64, u64)>(),
            (fault, unproven) in any::<(bool, bool)>(),
            (current, previous, candidate) in (option::of(grant()), option::of(grant()), option::of(candidate())),
            set_aside in vec(grant(), 0..3),
            (attempt, unread, older_unread) in (option::of(attempt()), option::of(unread()), vec(unread(), 0..3)),
            doubt in option::of((time(), any::<u64>())),
            dead in option::of((time(), code())),
            (setbacks, refusals) in (setbacks(), refusals()),
            (last_attempt_at, last_refresh_at) in (option::of(time()), option::of(time())),
            spent in vec(fingerprint(), 0..5),
            last_update in option::of((fingerprint(), outcome(), any::<u64>())),
        ) -> Record {
            Record {
                revision, generation, current, previous, candidate,
                set_aside: set_aside.into(),
                attempt, unread,
                older_unread: older_unread.into(),
                doubt: doubt.map(|(since, generation)| Doubt { since, generation }),
                dead: dead.map(|(since, why)| Dead { since, why }),
                fault, setbacks, refusals, last_attempt_at, last_refresh_at, refresh_count,
                spent: spent.into(),
                last_update: last_update.map(|(proposal, outcome, generation)| HandledUpdate {
                    proposal, outcome, generation,
                }),
                unproven,
            }
        }
    }

    fn without_access(mut record: Record) -> Record {
        let candidate = record.candidate.as_mut().map(|it| &mut it.grant);
        let slots = [candidate, record.current.as_mut(), record.previous.as_mut()].into_iter().flatten();
        slots.chain(&mut record.set_aside).for_each(|it| it.access = None);
        record
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(record in record(), answer in option::of(secret())) {
            let payload = encode(&record, answer.as_ref(), true);
            prop_assert_eq!(decode(&payload, record.revision), Ok(record));
        }

        #[test]
        fn where_access_tokens_are_not_to_be_stored_everything_else_is(record in record()) {
            let payload = encode(&record, None, false);
            prop_assert_eq!(decode(&payload, record.revision), Ok(without_access(record)));
        }

        #[test]
        fn a_document_cut_short_is_damaged_and_no_panic(record in record(), share in 0.0..1.0f64) {
            let payload = encode(&record, None, true);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let length = (payload.len() as f64 * share) as usize;
            prop_assert_eq!(decode(&payload[..length], 0), Err(CodecError::Damaged));
        }
    }

    fn holding(n: u64) -> Grant {
        let now = Timestamp::UNIX_EPOCH;
        Grant {
            access: Some(Secret::new(format!("access-{n}"))),
            refresh: Some(Secret::new(format!("refresh-{n}"))),
            extras: Extras::default(),
            issued_at: now,
            refresh_updated_at: now,
            access_expires_at: None,
            refresh_expires_at: None,
            generation: n,
            proven: false,
            refresh_end: None,
        }
    }

    #[test]
    fn no_access_token_is_in_the_bytes_where_it_is_not_to_be_stored_and_every_refresh_token_is() {
        let candidate = Candidate {
            grant: holding(3),
            received_at: Timestamp::UNIX_EPOCH,
            doubted_since: None,
            failing_since: None,
            refusals: Refusals::default(),
        };
        let record = Record {
            current: Some(holding(1)),
            previous: Some(holding(2)),
            candidate: Some(candidate),
            set_aside: [holding(4)].into(),
            ..Record::default()
        };
        let text = |persist_access| String::from_utf8(encode(&record, None, persist_access).to_vec()).unwrap();
        assert!(!text(false).contains("access-"));
        for n in 1..=4 {
            assert!(text(false).contains(&format!("refresh-{n}")));
            assert!(text(true).contains(&format!("access-{n}")));
        }
    }

    #[test]
    fn the_raw_answer_stands_beside_the_grant_that_was_read_from_it() {
        let payload = encode(&Record::default(), Some(&Secret::new("the raw answer")), true);
        assert!(String::from_utf8(payload.to_vec()).unwrap().contains("the raw answer"));
    }

    #[test]
    fn fields_that_a_later_version_added_are_passed_over_and_missing_ones_read_as_default() {
        let decoded = decode(br#"{"v":1,"generation":4,"later":{"deep":[1]},"setbacks":{"later":true}}"#, 9);
        assert_eq!(decoded, Ok(Record { revision: 9, generation: 4, ..Record::default() }));
        let grant = r#"{"refresh":"R","issued_at":0,"refresh_updated_at":0,"generation":4,"later":1}"#;
        let decoded = decode(format!(r#"{{"v":1,"current":{grant}}}"#).as_bytes(), 1).unwrap();
        assert_eq!(decoded.current.unwrap().refresh, Some(Secret::new("R")));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        assert_eq!(decode(br#"{"v":2,"generation":"in another form"}"#, 0), Err(CodecError::Newer));
        for damaged in [&b""[..], b"{}", b"\xff", b"[]", br#"{"v":1,"generation":"x"}"#, br#"{"v":1}tail"#] {
            assert_eq!(decode(damaged, 0), Err(CodecError::Damaged));
        }
    }

    #[test]
    fn a_fingerprint_that_cannot_be_read_is_damage_and_not_forgotten() {
        assert_eq!(decode(br#"{"v":1,"spent":["0102030405060708","short"]}"#, 0), Err(CodecError::Damaged));
    }
}
