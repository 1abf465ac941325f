//! `update_tokens`, as the record sees it: tokens are proposed, they overwrite nothing.

use jiff::Timestamp;

use super::{
    Candidate, Code, Extras, Fingerprint, Grant, HandledUpdate, Policy, Record, Refusals, Secret, Setbacks, Slot,
    UpdateOutcome,
};

/// Tokens that a user or a script hands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub tokens: ProposedTokens,
    pub auth_token: Option<Secret>,
    /// When the vendor issued them, if the sender knows; then they are taken without being proved.
    pub issued_at: Option<Timestamp>,
    /// Whether to prove them at once by a refresh.
    pub prove: bool,
}

/// At least one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposedTokens {
    Access(Secret),
    Refresh(Secret),
    Both { access: Secret, refresh: Secret },
}

/// What a proposal did to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is a candidate now, to be proved by a refresh.
    Candidate,
    /// It is the current grant now.
    Adopted,
    /// It is what was held already.
    Unchanged,
    /// The same command was handled before; this came of it.
    Repeated(HandledUpdate),
}

impl Proposal {
    /// Whether it is an access token alone, of which the vendor is to say whether it is good.
    pub fn is_access_to_show(&self) -> bool {
        self.tokens.refresh().is_none() && self.prove && self.issued_at.is_none()
    }
}

impl ProposedTokens {
    pub fn access(&self) -> Option<&Secret> {
        match self {
            Self::Access(access) | Self::Both { access, .. } => Some(access),
            Self::Refresh(_) => None,
        }
    }

    pub fn refresh(&self) -> Option<&Secret> {
        match self {
            Self::Refresh(refresh) | Self::Both { refresh, .. } => Some(refresh),
            Self::Access(_) => None,
        }
    }
}

impl Record {
    /// Takes a proposal. `spent`: whether its refresh token was ever spent by this account.
    ///
    /// Errors change nothing: `AlreadySpent`, `TokenRequired`.
    pub fn propose(
        &mut self,
        proposal: Proposal,
        fingerprint: Option<Fingerprint>,
        is_spent: bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Taken, Code> {
        let Some(refresh) = proposal.tokens.refresh() else {
            return Ok(self.adopt_access(proposal, policy, now));
        };
        let handled = self.last_update.filter(|it| fingerprint == Some(it.proposal));
        if is_spent {
            return handled.map(Taken::Repeated).ok_or(Code::AlreadySpent);
        }
        let is_to_be_proved = proposal.prove && proposal.issued_at.is_none();
        let is_held = |grant: &Grant| grant.refresh.as_ref() == Some(refresh) && grant.refresh_end.is_none();
        if self.candidate.as_ref().is_some_and(|it| is_held(&it.grant)) && is_to_be_proved {
            self.amend_candidate(&proposal);
            self.last_update.take_if(|it| fingerprint == Some(it.proposal));
            return Ok(Taken::Candidate);
        }
        if let Some(current) = self.current.as_ref().filter(|it| is_held(it)) {
            if proposal.tokens.access().is_some_and(|it| current.access.as_ref() != Some(it)) {
                return Ok(self.adopt_access(proposal, policy, now));
            }
            if let Some(handled) = handled {
                return Ok(Taken::Repeated(handled));
            }
            self.handled(fingerprint, UpdateOutcome::Unchanged);
            return Ok(Taken::Unchanged);
        }
        if policy.refresh_needs_access && self.access_beside(&proposal, policy).is_none() {
            return Err(Code::TokenRequired);
        }
        self.generation += 1;
        let grant = self.grant_of(&proposal, policy, now);
        // A candidate that was never proved makes room, and is not thrown away, unless it is this very token.
        let same = self.candidate.take_if(|it| it.grant.refresh.as_ref() == Some(refresh));
        if let Some(same) = same {
            self.renumber(same.grant.generation, grant.generation);
        }
        self.lay_candidate_aside();
        if is_to_be_proved {
            self.candidate = Some(Box::new(Candidate {
                grant,
                received_at: now,
                doubted_since: None,
                failing_since: None,
                refusals: Refusals::default(),
            }));
            // What came of it when it was given before is not what comes of it now.
            self.last_update.take_if(|it| fingerprint == Some(it.proposal));
            // New tokens are not made to wait for the failures of the old ones, unless the vendor asked for patience.
            self.setbacks.not_before = self.setbacks.not_before.filter(|_| self.is_throttled());
            return Ok(Taken::Candidate);
        }
        let replaced = self.current.replace(grant);
        self.keep_as_previous(replaced);
        self.wake();
        self.handled(fingerprint, UpdateOutcome::Adopted);
        Ok(Taken::Adopted)
    }

    /// Notes what came of the proposal with this refresh token.
    pub fn handled(&mut self, proposal: Option<Fingerprint>, outcome: UpdateOutcome) {
        if let Some(proposal) = proposal {
            self.last_update = Some(HandledUpdate { proposal, outcome, generation: self.generation });
        }
    }

    /// The same refresh token again, perhaps with what was missing beside it.
    fn amend_candidate(&mut self, proposal: &Proposal) {
        let Some(candidate) = &mut self.candidate else { return };
        let access = proposal.tokens.access().filter(|it| candidate.grant.access.as_ref() != Some(*it));
        if let Some(access) = access {
            candidate.grant.access = Some(access.clone());
            candidate.failing_since = None;
            candidate.refusals = Refusals::default();
        }
        if let Some(auth_token) = &proposal.auth_token {
            candidate.grant.extras.auth_token = Some(auth_token.clone());
        }
    }

    /// The access token that would stand beside a proposed refresh token: its own, or the one held where the vendor
    /// wants one.
    fn access_beside<'a>(&'a self, proposal: &'a Proposal, policy: &Policy) -> Option<&'a Secret> {
        let held = self.current.as_ref().filter(|_| policy.refresh_needs_access);
        proposal.tokens.access().or_else(|| held?.access.as_ref())
    }

    fn grant_of(&self, proposal: &Proposal, policy: &Policy, now: Timestamp) -> Grant {
        let held = self.current.as_ref();
        let given_at = proposal.issued_at.map(|it| it.min(now));
        let given_end = given_at.and_then(|it| it.checked_add(policy.usual_lifetime).ok());
        // An access token that is kept keeps its times too.
        let kept =
            held.filter(|it| proposal.tokens.access().is_none() && policy.refresh_needs_access && it.access.is_some());
        Grant {
            access: self.access_beside(proposal, policy).cloned(),
            refresh: proposal.tokens.refresh().cloned(),
            extras: Extras {
                auth_token: proposal.auth_token.clone().or_else(|| held?.extras.auth_token.clone()),
                open_id: held.and_then(|it| it.extras.open_id.clone()),
            },
            issued_at: kept.map_or(given_at.unwrap_or(now), |it| it.issued_at),
            refresh_updated_at: now,
            access_expires_at: kept.map_or(given_end, |it| it.access_expires_at),
            refresh_expires_at: given_end
                .zip(policy.refresh_outlives_access)
                .and_then(|(end, by)| end.checked_add(by).ok()),
            generation: self.generation,
            proven: false,
            refresh_end: None,
        }
    }

    fn adopt_access(&mut self, proposal: Proposal, policy: &Policy, now: Timestamp) -> Taken {
        let access = proposal.tokens.access().cloned();
        if self.current.as_ref().is_some_and(|it| it.access == access) {
            return Taken::Unchanged;
        }
        self.generation += 1;
        let issued_at = proposal.issued_at.unwrap_or(now).min(now);
        let access_expires_at = proposal.issued_at.and_then(|_| issued_at.checked_add(policy.usual_lifetime).ok());
        let generation = self.generation;
        let held = self.current.take();
        if let Some(held) = &held {
            self.keep_pair(held, policy);
            self.renumber(held.generation, generation);
        }
        let held = held.unwrap_or_else(|| Grant::blank(now));
        self.current = Some(Grant {
            access,
            extras: Extras { auth_token: proposal.auth_token.or(held.extras.auth_token), ..held.extras },
            issued_at,
            access_expires_at,
            generation,
            proven: false,
            ..held
        });
        // The refresh token's verdict was about the pair: the next probe need not wait for its day.
        if self.dead.is_some() && policy.refresh_needs_access {
            self.last_attempt_at = None;
        }
        Taken::Adopted
    }

    /// Where a refresh needs both tokens, a wrong access token must not cost the login: the pair as it was stays at
    /// hand, to be tried when the new one is refused.
    pub(super) fn keep_pair(&mut self, held: &Grant, policy: &Policy) {
        let is_kept = self.set_aside.iter().any(|it| it.refresh == held.refresh);
        if policy.refresh_needs_access && held.is_spendable() && held.access.is_some() && !is_kept {
            self.set_aside(held.clone());
        }
    }

    /// The current grant has a new generation and an old refresh token: what was noted of the old one is about that.
    pub(super) fn renumber(&mut self, old: u64, new: u64) {
        let doubt = self.doubt.as_mut().map(|it| &mut it.generation);
        let unread = self
            .unread
            .as_deref_mut()
            .into_iter()
            .chain(&mut self.older_unread)
            .map(|it| (&mut it.generation, &mut it.slot));
        let attempt = self.attempt.as_mut().map(|it| (&mut it.generation, &mut it.slot));
        for (generation, slot) in unread.chain(attempt).filter(|(generation, _)| **generation == old) {
            *generation = new;
            *slot = Slot::Current;
        }
        if let Some(generation) = doubt.filter(|it| **it == old) {
            *generation = new;
        }
    }

    /// New tokens clear what was held against the old ones.
    pub(super) fn wake(&mut self) {
        self.doubt = None;
        self.dead = None;
        self.fault = false;
        self.unproven = false;
        self.setbacks = Setbacks::default();
        self.refusals = Refusals::default();
    }
}
