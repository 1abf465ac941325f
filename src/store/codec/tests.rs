//! What is written is read back, whatever it is.

use std::collections::VecDeque;

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::account::{Extras, HandledLogin, KeptLogin, Logins, RefreshEnd, Slot, UnreadAnswer, UnreadLogin};

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

fn vendor() -> impl Strategy<Value = Option<Box<str>>> {
    prop_oneof![Just(None), Just(Some("akuvox".into())), Just(Some("aqara".into()))]
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

/// Boxed, for strategies of strategies outgrow a test's stack.
fn grants() -> BoxedStrategy<Option<Grant>> {
    option::of(grant()).boxed()
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
        vendor in vendor(),
        (fault, unproven) in any::<(bool, bool)>(),
        (current, previous, candidate) in (grants(), grants(), option::of(candidate()).boxed()),
        set_aside in vec(grant(), 0..3).boxed(),
        (attempt, unread, older_unread) in (option::of(attempt()).boxed(), option::of(unread()).boxed(), vec(unread(), 0..3).boxed()),
        doubt in option::of((time(), any::<u64>())),
        dead in option::of((time(), code())),
        (setbacks, refusals) in (setbacks(), refusals()),
        (last_attempt_at, last_refresh_at) in (option::of(time()), option::of(time())),
        spent in vec(fingerprint(), 0..5),
        last_update in option::of((fingerprint(), outcome(), any::<u64>())),
        (last_login_at, logins) in (option::of(time()), logins().boxed()),
    ) -> Record {
        Record {
            revision, vendor, generation, current,
            previous: previous.map(Box::new),
            candidate: candidate.map(Box::new),
            set_aside: set_aside.into(),
            attempt: attempt.map(Box::new),
            unread: unread.map(Box::new),
            older_unread: older_unread.into(),
            doubt: doubt.map(|(since, generation)| Doubt { since, generation }),
            dead: dead.map(|(since, why)| Dead { since, why }),
            fault, setbacks, refusals, last_attempt_at, last_refresh_at, refresh_count,
            spent: spent.into(),
            last_update: last_update.map(|(proposal, outcome, generation)| HandledUpdate {
                proposal, outcome, generation,
            }),
            unproven, last_login_at, logins,
            forgotten: VecDeque::new(),
        }
    }
}

prop_compose! {
    fn logins()(
        open_since in option::of(time()),
        last in option::of((time(), fingerprint(), any::<u64>())),
        code_requests in vec(time(), 0..5),
        kept in option::of((secret(), option::of(time()), any::<bool>())),
        unread in option::of((time(), secret())),
    ) -> Logins {
        Logins {
            open_since,
            last: last.map(|(at, credential, generation)| HandledLogin { at, credential, generation }),
            code_requests: code_requests.into(),
            kept: kept.map(|(password, last_used_at, is_refused)| {
                Box::new(KeptLogin { password, last_used_at, is_refused })
            }),
            unread: unread.map(|(received_at, body)| Box::new(UnreadLogin { received_at, body })),
        }
    }
}

/// One that forgot others.
fn forgetful() -> impl Strategy<Value = Record> {
    (record().boxed(), vec((time(), any::<bool>(), record().boxed()), 0..3)).prop_map(|(record, forgotten)| Record {
        forgotten: forgotten
            .into_iter()
            .map(|(since, by_move, before)| Forgotten {
                since,
                by_move,
                record: Record { revision: 0, spent: VecDeque::new(), ..before },
            })
            .collect(),
        ..record
    })
}

fn without_access(mut record: Record) -> Record {
    let candidate = record.candidate.as_mut().map(|it| &mut it.grant);
    let slots = [candidate, record.current.as_mut(), record.previous.as_deref_mut()].into_iter().flatten();
    slots.chain(&mut record.set_aside).for_each(|it| it.access = None);
    // Another vendor's rule is its own.
    for forgotten in record.forgotten.iter_mut().filter(|it| it.record.vendor == record.vendor) {
        forgotten.record = without_access(std::mem::take(&mut forgotten.record));
    }
    record
}

/// As revision 9, with nothing beside it.
fn read_back(payload: &[u8]) -> Result<Record, CodecError> {
    decode(&Packed::new(&[], payload).unwrap(), 9)
}

fn text_of(packed: &Packed) -> String {
    String::from_utf8(packed.payload().to_vec()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(record in forgetful(), answer in option::of(secret())) {
        let packed = encode(&record, answer.as_ref(), true);
        prop_assert!(packed.spent().eq(record.spent.iter().copied()));
        prop_assert_eq!(decode(&packed, record.revision), Ok(record));
    }

    #[test]
    fn where_access_tokens_are_not_to_be_stored_everything_else_is(record in forgetful()) {
        let packed = encode(&record, None, false);
        prop_assert_eq!(decode(&packed, record.revision), Ok(without_access(record)));
    }

    #[test]
    fn a_document_cut_short_is_damaged_and_no_panic(record in record(), share in 0.0..1.0f64) {
        let packed = encode(&record, None, true);
        let payload = packed.payload();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let length = (payload.len() as f64 * share) as usize;
        prop_assert_eq!(read_back(&payload[..length]), Err(CodecError::Damaged));
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
        previous: Some(Box::new(holding(2))),
        candidate: Some(Box::new(candidate)),
        set_aside: [holding(4)].into(),
        ..Record::default()
    };
    let text = |persist_access| text_of(&encode(&record, None, persist_access));
    assert!(!text(false).contains("access-"));
    for n in 1..=4 {
        assert!(text(false).contains(&format!("refresh-{n}")));
        assert!(text(true).contains(&format!("access-{n}")));
    }
}

#[test]
fn the_raw_answer_stands_beside_the_grant_that_was_read_from_it() {
    let packed = encode(&Record::default(), Some(&Secret::new("the raw answer")), true);
    assert!(text_of(&packed).contains("the raw answer"));
}

#[test]
fn fields_that_a_later_version_added_are_passed_over_and_missing_ones_read_as_default() {
    let decoded = read_back(br#"{"v":1,"generation":4,"later":{"deep":[1]},"setbacks":{"later":true}}"#);
    assert_eq!(decoded, Ok(Record { revision: 9, generation: 4, ..Record::default() }));
    let grant = r#"{"refresh":"R","issued_at":0,"refresh_updated_at":0,"generation":4,"later":1}"#;
    let decoded = read_back(format!(r#"{{"v":1,"current":{grant}}}"#).as_bytes()).unwrap();
    assert_eq!(decoded.current.unwrap().refresh, Some(Secret::new("R")));
}

#[test]
fn a_later_version_is_told_from_damage() {
    assert_eq!(read_back(br#"{"v":3,"generation":"in another form"}"#), Err(CodecError::Newer));
    for damaged in [&b""[..], b"{}", b"\xff", b"[]", br#"{"v":1,"generation":"x"}"#, br#"{"v":1}tail"#] {
        assert_eq!(read_back(damaged), Err(CodecError::Damaged));
    }
}

#[test]
fn a_fingerprint_that_cannot_be_read_is_damage_and_not_forgotten() {
    assert_eq!(read_back(br#"{"v":1,"spent":["0102030405060708","short"]}"#), Err(CodecError::Damaged));
}

#[test]
fn what_was_spent_stands_beside_the_document_and_in_it_where_the_first_version_wrote_it() {
    let many = Vec::from_iter((0..100).map(|it: u64| Fingerprint::from_bytes(it.to_be_bytes())));
    let newest = &many[100 - RECENT_SPENT..];
    let record = decode(&Packed::new(&many, br#"{"v":2}"#).unwrap(), 1).unwrap();
    assert!(record.spent.iter().eq(newest));
    let text = text_of(&encode(&record, None, true));
    assert!(!text.contains(&many[99].to_string()));

    let inside = Vec::from_iter(many.iter().map(|it| format!("{:?}", it.to_string()))).join(",");
    let record = read_back(format!(r#"{{"v":1,"spent":[{inside}]}}"#).as_bytes()).unwrap();
    assert!(record.spent.iter().eq(newest));
}
