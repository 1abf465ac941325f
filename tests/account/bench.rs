//! An account on the bench: its record, a time that passes, and refreshes that end as the test wants.

use std::time::Duration;

use jiff::Timestamp;
use latchkey::account::{
    AccountId, AmbiguousPolicy, Attempt, BackOff, Circumstances, Class, Code, Condition, Ending, Fingerprint,
    FingerprintKey, FreshTokens, Patience, Policy, Proposal, ProposedTokens, Record, Secret, Settlement, Slot, Status,
    Taken, UpdateOutcome, next_refresh,
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Bench {
    pub(crate) record: Record,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    n_attempts: u64,
}

impl Bench {
    pub(crate) fn akuvox() -> Self {
        let policy = Policy {
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
        };
        let now = "2026-11-22T10:00:00Z".parse().expect("it is a time");
        Self { record: Record::default(), policy, now, n_attempts: 0 }
    }

    pub(crate) fn aqara() -> Self {
        let mut bench = Self::akuvox();
        bench.policy = Policy {
            refresh_every: None,
            safety_margin: 5 * MINUTE,
            jitter: Duration::from_secs(30),
            refresh_outlives_access: Some(30 * DAY),
            refresh_needs_access: false,
            persist_access: false,
            ..bench.policy
        };
        bench
    }

    /// Holds this pair, taken without proof.
    pub(crate) fn holding(mut self, access: &str, refresh: &str) -> Self {
        let taken = self.propose(Proposal { prove: false, ..pair(access, refresh) });
        assert_eq!(taken, Ok(Taken::Adopted));
        self
    }

    pub(crate) fn pass(&mut self, by: Duration) {
        self.now += by;
    }

    /// What the keeper does with a proposal.
    pub(crate) fn propose(&mut self, proposal: Proposal) -> Result<Taken, Code> {
        let print = proposal.tokens.refresh().map(fingerprint);
        let is_spent = print.is_some_and(|it| self.record.spent.contains(&it));
        self.record.propose(proposal, print, is_spent, &self.policy, self.now)
    }

    /// Begins a refresh of whatever is next.
    pub(crate) fn begin(&mut self) -> Attempt {
        let slot = self.record.next_to_spend().expect("there is a token to spend");
        let refresh = self.record.grant(slot).and_then(|it| it.refresh.as_ref());
        let print = fingerprint(refresh.expect("what is to be spent has a refresh token"));
        self.n_attempts += 1;
        self.record.begin(self.n_attempts, slot, print, self.now)
    }

    /// What the keeper does with an ending.
    pub(crate) fn settle(&mut self, attempt: &Attempt, ending: Ending) -> Settlement {
        let patience = Patience { back_off: self.policy.back_off, chance: 0.5 };
        let settlement = self.record.settle(attempt, ending, self.now, patience);
        match settlement {
            Settlement::Renewed { slot: Slot::Candidate } => {
                self.record.handled(Some(attempt.fingerprint), UpdateOutcome::Proved);
            }
            Settlement::CandidateRefused => {
                self.record.handled(Some(attempt.fingerprint), UpdateOutcome::Refused);
            }
            _ => {}
        }
        settlement
    }

    /// A whole refresh.
    pub(crate) fn refresh(&mut self, ending: Ending) -> Settlement {
        let attempt = self.begin();
        self.settle(&attempt, ending)
    }

    pub(crate) fn due(&self) -> Option<Timestamp> {
        next_refresh(&self.record, &self.policy, &home(), self.now)
    }

    pub(crate) fn condition(&self) -> Condition {
        Status::of(&self.record, &self.policy, &home(), Circumstances::default(), self.now).condition
    }

    /// The pair that is in use.
    pub(crate) fn current(&self) -> (Option<&str>, Option<&str>) {
        let Some(grant) = &self.record.current else { return (None, None) };
        (grant.access.as_ref().map(Secret::expose), grant.refresh.as_ref().map(Secret::expose))
    }

    /// In use, or forgotten and not yet gone.
    pub(crate) fn is_held(&self, refresh: &str) -> bool {
        let forgotten = self.record.forgotten.iter().flat_map(|it| it.record.held());
        self.record.held().chain(forgotten).any(|it| it.refresh.as_ref().is_some_and(|it| it.expose() == refresh))
    }

    /// The refresh token that would be sent next.
    pub(crate) fn next(&self) -> Option<&str> {
        let slot = self.record.next_to_spend()?;
        self.record.grant(slot)?.refresh.as_ref().map(Secret::expose)
    }
}

pub(crate) fn home() -> AccountId {
    "home".parse().expect("it is an id")
}

pub(crate) fn fingerprint(secret: &Secret) -> Fingerprint {
    FingerprintKey::from_bytes([7; 32]).of(secret)
}

pub(crate) fn pair(access: &str, refresh: &str) -> Proposal {
    let tokens = ProposedTokens::Both { access: Secret::new(access), refresh: Secret::new(refresh) };
    Proposal { tokens, auth_token: None, issued_at: None, prove: true }
}

pub(crate) fn refresh_token(refresh: &str) -> Proposal {
    Proposal { tokens: ProposedTokens::Refresh(Secret::new(refresh)), ..pair("", "") }
}

pub(crate) fn access_token(access: &str) -> Proposal {
    Proposal { tokens: ProposedTokens::Access(Secret::new(access)), ..pair("", "") }
}

pub(crate) fn adopted(proposal: Proposal) -> Proposal {
    Proposal { prove: false, ..proposal }
}

pub(crate) fn renewed(access: &str, refresh: &str) -> Ending {
    Ending::Renewed(FreshTokens {
        access: Some(Secret::new(access)),
        refresh: Some(Secret::new(refresh)),
        access_lifetime: Some(7 * DAY),
        ..FreshTokens::default()
    })
}

/// An answer with neither a refresh token nor a lifetime.
pub(crate) fn renewed_access_only(access: &str) -> Ending {
    Ending::Renewed(FreshTokens { access: Some(Secret::new(access)), ..FreshTokens::default() })
}

pub(crate) fn failed(class: Class, code: Code) -> Ending {
    Ending::Failed { class, code, body: None }
}

pub(crate) fn lost() -> Ending {
    failed(Class::Ambiguous, Code::NoAnswer)
}

pub(crate) fn refused() -> Ending {
    failed(Class::GrantDead { expired: false }, Code::RefreshRefused)
}

pub(crate) fn refused_somehow() -> Ending {
    failed(Class::Refused, Code::RefreshRefused)
}

pub(crate) fn unreachable() -> Ending {
    failed(Class::Transient, Code::Unreachable)
}

/// The vendor said yes in words that nobody understands.
pub(crate) fn unreadable_yes(body: &str) -> Ending {
    Ending::Failed { class: Class::Protocol, code: Code::UnreadableAnswer, body: Some(Secret::new(body)) }
}

/// An answer that was cut short.
pub(crate) fn unreadable(body: &str) -> Ending {
    Ending::Failed { class: Class::Ambiguous, code: Code::UnreadableAnswer, body: Some(Secret::new(body)) }
}
