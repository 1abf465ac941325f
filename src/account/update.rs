//! `update_tokens`, as the record sees it: tokens are proposed, they overwrite nothing.

use jiff::Timestamp;

use super::{
    Candidate, Code, Extras, Fingerprint, Grant, HandledUpdate, Policy, Record, Refusals, Secret, Setbacks,
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
        if is_spent {
            let handled = self.last_update.filter(|it| Some(it.proposal) == fingerprint);
            return handled.map(Taken::Repeated).ok_or(Code::AlreadySpent);
        }
        if self.candidate.as_ref().is_some_and(|it| it.grant.refresh.as_ref() == Some(refresh)) {
            return Ok(Taken::Candidate);
        }
        let is_held = |grant: &Grant| grant.refresh.as_ref() == Some(refresh) && grant.refresh_end.is_none();
        if self.current.as_ref().is_some_and(is_held) {
            let is_news = proposal
                .tokens
                .access()
                .is_some_and(|it| self.current.as_ref().and_then(|grant| grant.access.as_ref()) != Some(it));
            return Ok(if is_news { self.adopt_access(proposal, policy, now) } else { Taken::Unchanged });
        }
        let held_access = self.current.as_ref().and_then(|it| it.access.clone());
        let access = proposal.tokens.access().cloned().or(held_access);
        if policy.refresh_needs_access && access.is_none() {
            return Err(Code::TokenRequired);
        }
        self.generation += 1;
        let access_expires_at = proposal.issued_at.and_then(|it| it.checked_add(policy.usual_lifetime).ok());
        let open_id = self.current.as_ref().and_then(|it| it.extras.open_id.clone());
        let held_auth = self.current.as_ref().and_then(|it| it.extras.auth_token.clone());
        let grant = Grant {
            access: access.filter(|_| proposal.tokens.access().is_some() || policy.refresh_needs_access),
            refresh: Some(refresh.clone()),
            extras: Extras { auth_token: proposal.auth_token.or(held_auth), open_id },
            issued_at: proposal.issued_at.unwrap_or(now),
            refresh_updated_at: now,
            access_expires_at,
            refresh_expires_at: access_expires_at
                .zip(policy.refresh_outlives_access)
                .and_then(|(end, by)| end.checked_add(by).ok()),
            generation: self.generation,
            proven: false,
            refresh_end: None,
        };
        if proposal.prove && proposal.issued_at.is_none() {
            // A candidate that was never proved makes room, and is not thrown away.
            if let Some(older) = self.candidate.replace(Candidate { grant, received_at: now }) {
                self.set_aside = Some(older.grant);
            }
            self.setbacks.not_before = None;
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

    fn adopt_access(&mut self, proposal: Proposal, policy: &Policy, now: Timestamp) -> Taken {
        let access = proposal.tokens.access().cloned();
        if self.current.as_ref().is_some_and(|it| it.access == access) {
            return Taken::Unchanged;
        }
        self.generation += 1;
        let issued_at = proposal.issued_at.unwrap_or(now);
        let access_expires_at = proposal.issued_at.and_then(|it| it.checked_add(policy.usual_lifetime).ok());
        let generation = self.generation;
        let grant = match self.current.take() {
            Some(held) => Grant {
                access,
                extras: Extras { auth_token: proposal.auth_token.or(held.extras.auth_token), ..held.extras },
                issued_at,
                access_expires_at,
                generation,
                proven: false,
                ..held
            },
            None => Grant {
                access,
                refresh: None,
                extras: Extras { auth_token: proposal.auth_token, open_id: None },
                issued_at,
                refresh_updated_at: now,
                access_expires_at,
                refresh_expires_at: None,
                generation,
                proven: false,
                refresh_end: None,
            },
        };
        // The doubt and the verdict are about the refresh token, which is the same.
        if let Some(doubt) = &mut self.doubt {
            doubt.generation = generation;
        }
        self.current = Some(grant);
        Taken::Adopted
    }

    /// New tokens clear what was held against the old ones.
    fn wake(&mut self) {
        self.doubt = None;
        self.dead = None;
        self.fault = false;
        self.unproven = false;
        self.setbacks = Setbacks::default();
        self.refusals = Refusals::default();
    }
}
