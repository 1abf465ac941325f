//! Records with everything in them that the codec knows, for what has to carry them whole.

use jiff::Timestamp;
use latchkey::account::{
    Attempt, Candidate, Code, Dead, Doubt, Extras, Fingerprint, Forgotten, Grant, HandledLogin, HandledUpdate,
    KeptLogin, Logins, Record, RefreshEnd, Refusals, Secret, Setbacks, Slot, UnreadAnswer, UnreadLogin, UpdateOutcome,
};

/// Every field has a value of its own. A field that a later version adds has its default here.
pub(crate) fn everything() -> Record {
    Record {
        forgotten: [Forgotten {
            since: at(60),
            by_move: false,
            record: Record { revision: 0, spent: Default::default(), ..full(9) },
        }]
        .into(),
        ..full(1)
    }
}

/// One as it is on most days: the access token of the vendor is not stored.
pub(crate) fn plain() -> Record {
    let current = Grant { access: None, extras: Extras::default(), refresh_end: None, ..grant(4) };
    Record { generation: 4, refresh_count: 4, current: Some(current), ..Record::default() }
}

fn full(n: u8) -> Record {
    Record {
        revision: 2,
        vendor: None,
        generation: 40 + u64::from(n),
        current: Some(grant(n)),
        previous: Some(Box::new(Grant { refresh_end: Some(RefreshEnd::Refused), ..grant(n + 1) })),
        candidate: Some(Box::new(Candidate {
            grant: Grant { refresh_end: None, proven: false, ..grant(n + 2) },
            received_at: at(1),
            doubted_since: Some(at(2)),
            failing_since: Some(at(3)),
            refusals: Refusals { count: 2, first_at: Some(at(4)) },
        })),
        set_aside: [grant(n + 3), grant(n + 4)].into(),
        attempt: Some(Box::new(Attempt {
            id: 5,
            started_at: at(6),
            slot: Slot::Candidate,
            generation: 7,
            fingerprint: fingerprint(8),
        })),
        unread: Some(Box::new(unread(9, Slot::Current))),
        older_unread: [unread(10, Slot::Previous)].into(),
        doubt: Some(Doubt { since: at(11), generation: 12 }),
        dead: Some(Dead { since: at(13), why: Code::ReplyLost }),
        fault: true,
        setbacks: Setbacks {
            consecutive: 14,
            not_before: Some(at(15)),
            last_error: Some(Code::Throttled),
            last_error_at: Some(at(16)),
        },
        refusals: Refusals { count: 17, first_at: Some(at(18)) },
        last_attempt_at: Some(at(19)),
        last_refresh_at: Some(at(20)),
        refresh_count: 21,
        spent: [fingerprint(22), fingerprint(23)].into(),
        last_update: Some(HandledUpdate { proposal: fingerprint(24), outcome: UpdateOutcome::Proved, generation: 25 }),
        unproven: false,
        last_login_at: Some(at(26)),
        logins: Logins {
            open_since: Some(at(27)),
            last: Some(HandledLogin { at: at(28), credential: fingerprint(29), generation: 30 }),
            code_requests: [at(31), at(32)].into(),
            kept: Some(Box::new(KeptLogin {
                password: Secret::new("an invented password"),
                last_used_at: Some(at(33)),
                is_refused: true,
            })),
            unread: Some(Box::new(UnreadLogin {
                received_at: at(34),
                body: Secret::new("an invented answer to a login"),
            })),
        },
        forgotten: Default::default(),
    }
}

fn grant(n: u8) -> Grant {
    Grant {
        access: Some(Secret::new(format!("invented-access-{n}"))),
        refresh: Some(Secret::new(format!("invented-refresh-{n}"))),
        extras: Extras {
            auth_token: Some(Secret::new(format!("invented-auth-{n}"))),
            open_id: Some(format!("open-id-{n}")),
        },
        issued_at: at(100),
        refresh_updated_at: at(101),
        access_expires_at: Some(at(102)),
        refresh_expires_at: Some(at(103)),
        generation: u64::from(n),
        proven: true,
        refresh_end: Some(RefreshEnd::Spent),
    }
}

fn unread(n: i64, slot: Slot) -> UnreadAnswer {
    UnreadAnswer {
        received_at: at(n),
        slot,
        generation: 3,
        body: Secret::new(format!("<html>invented {n} \"é\"</html>")),
    }
}

pub(crate) fn fingerprint(n: u64) -> Fingerprint {
    Fingerprint::from_bytes((n << 32 | n).to_be_bytes())
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millisecond(1_790_000_000_123 + minutes * 60_000).unwrap()
}
