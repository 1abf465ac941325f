//! A refresh, as the record sees it: begun before the call, settled by what came of it.

use jiff::Timestamp;

use super::{
    Attempt, BackOff, Class, Code, Dead, Doubt, Fingerprint, FreshTokens, Grant, Record, RefreshEnd, Refusals, Secret,
    Setbacks, Slot, UnreadAnswer,
};

/// Three refusals of unknown meaning over this long are definitive.
const REFUSALS_FOR_DEATH: u32 = 3;
const REFUSALS_LAST: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// How the call of an attempt ended.
#[derive(Clone, Debug)]
pub enum Ending {
    Renewed(FreshTokens),
    /// `body`: an answer that came and could not be read.
    Failed {
        class: Class,
        code: Code,
        body: Option<Secret>,
    },
}

/// How long a failure is waited out.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub back_off: BackOff,
    /// In 0..1; spreads the pauses of many accounts.
    pub chance: f64,
}

/// What an ending did to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Renewed {
        slot: Slot,
    },
    /// Proposed tokens were refused; the grant before them is untouched.
    CandidateRefused,
    /// The current refresh token is dead, and another one is left to try.
    FellBack,
    ReauthRequired,
    /// The refresh token may be spent: the reply was lost or could not be read.
    InDoubt,
    /// Nothing is lost; to be tried again.
    Failed,
    /// The refusal was for a grant that is no longer held.
    Superseded,
}

impl Record {
    /// Marks a refresh as started. To be durable before the request leaves.
    pub fn begin(&mut self, id: u64, slot: Slot, fingerprint: Fingerprint, now: Timestamp) -> Attempt {
        let generation = self.grant(slot).map_or(0, |it| it.generation);
        let attempt = Attempt { id, started_at: now, slot, generation, fingerprint };
        self.attempt = Some(attempt.clone());
        self.last_attempt_at = Some(now);
        attempt
    }

    /// Takes what came of `attempt` at `now`.
    pub fn settle(&mut self, attempt: &Attempt, ending: Ending, now: Timestamp, patience: Patience) -> Settlement {
        self.attempt = None;
        match ending {
            Ending::Renewed(fresh) => self.renew(attempt, fresh, now),
            Ending::Failed { .. } if !self.still_holds(attempt) => Settlement::Superseded,
            Ending::Failed { class, code, body } => self.fail(attempt, class, code, body, now, patience),
        }
    }

    /// An attempt that was open when Latchkey stopped: its request may have been sent. It is tried once more promptly.
    pub fn find_open_attempt(&mut self, now: Timestamp) -> bool {
        let Some(attempt) = self.attempt.take() else { return false };
        self.doubt.get_or_insert(Doubt { since: now, generation: attempt.generation });
        self.setbacks.not_before = None;
        self.last_attempt_at = None;
        true
    }

    fn still_holds(&self, attempt: &Attempt) -> bool {
        self.grant(attempt.slot).is_some_and(|it| it.generation == attempt.generation)
    }

    /// Fresh tokens are taken whatever happened to the record meanwhile: the old ones are dead.
    fn renew(&mut self, attempt: &Attempt, fresh: FreshTokens, now: Timestamp) -> Settlement {
        let Some(spent) = self.grant(attempt.slot).or(self.current.as_ref()).cloned() else {
            return Settlement::Superseded;
        };
        let is_rotated = fresh.refresh.is_some() && fresh.refresh != spent.refresh;
        self.generation += 1;
        let grant = spent.succeeded_by(fresh, now, self.generation);
        if is_rotated {
            self.remember_spent(attempt.fingerprint);
        }
        let spent = Grant { refresh_end: is_rotated.then_some(RefreshEnd::Spent), proven: true, ..spent };
        let replaced = self.current.replace(grant);
        match attempt.slot {
            Slot::Current => self.previous = Some(spent),
            Slot::Previous => self.previous = replaced,
            Slot::Candidate => {
                self.candidate = None;
                self.keep_as_previous(replaced);
            }
        }
        self.doubt = None;
        self.dead = None;
        self.fault = false;
        self.unread = None;
        self.unproven = false;
        self.setbacks = Setbacks::default();
        self.refusals = Refusals::default();
        self.last_refresh_at = Some(now);
        self.refresh_count += 1;
        Settlement::Renewed { slot: attempt.slot }
    }

    fn fail(
        &mut self,
        attempt: &Attempt,
        class: Class,
        code: Code,
        body: Option<Secret>,
        now: Timestamp,
        patience: Patience,
    ) -> Settlement {
        if let Some(body) = body {
            let (slot, generation) = (attempt.slot, attempt.generation);
            self.unread = Some(UnreadAnswer { received_at: now, slot, generation, body });
        }
        let is_dead = match class {
            Class::GrantDead { .. } => true,
            Class::Refused => self.count_refusal(now),
            _ => false,
        };
        if is_dead {
            return self.bury(attempt, code, now);
        }
        self.note_failure(code, class, now, patience);
        match class {
            Class::Ambiguous => {
                self.doubt = Some(
                    self.doubt
                        .filter(|it| it.generation == attempt.generation)
                        .unwrap_or(Doubt { since: now, generation: attempt.generation }),
                );
                Settlement::InDoubt
            }
            Class::Protocol => {
                // The vendor said yes, so the token is spent and its successor is in the unread answer.
                self.remember_spent(attempt.fingerprint);
                if let Some(grant) = self.grant_mut(attempt.slot) {
                    grant.refresh_end = Some(RefreshEnd::Spent);
                }
                self.doubt = Some(Doubt { since: now, generation: attempt.generation });
                Settlement::InDoubt
            }
            Class::ConfigFault => {
                self.fault = true;
                Settlement::Failed
            }
            _ => Settlement::Failed,
        }
    }

    fn bury(&mut self, attempt: &Attempt, code: Code, now: Timestamp) -> Settlement {
        let was_in_doubt = self.doubt.is_some_and(|it| it.generation == attempt.generation);
        if was_in_doubt {
            self.doubt = None;
        }
        self.refusals = Refusals::default();
        if let Some(grant) = self.grant_mut(attempt.slot) {
            grant.refresh_end = Some(RefreshEnd::Refused);
        }
        if attempt.slot == Slot::Candidate {
            self.set_aside = self.candidate.take().map(|it| it.grant);
            return Settlement::CandidateRefused;
        }
        let why = if was_in_doubt { Code::ReplyLost } else { code };
        self.setbacks.consecutive = self.setbacks.consecutive.saturating_add(1);
        self.setbacks.last_error = Some(why);
        self.setbacks.last_error_at = Some(now);
        let is_another_left = self.next_to_spend().and_then(|it| self.grant(it)).is_some_and(Grant::is_spendable);
        if is_another_left {
            return Settlement::FellBack;
        }
        if self.dead.is_none() {
            self.dead = Some(Dead { since: now, why });
        }
        Settlement::ReauthRequired
    }

    fn note_failure(&mut self, code: Code, class: Class, now: Timestamp, patience: Patience) {
        let setbacks = &mut self.setbacks;
        setbacks.consecutive = setbacks.consecutive.saturating_add(1);
        setbacks.last_error = Some(code);
        setbacks.last_error_at = Some(now);
        let asked = match class {
            Class::Throttled { retry_after } => retry_after,
            _ => None,
        };
        let pause = patience.back_off.pause(setbacks.consecutive, patience.chance);
        let wait = pause.max(asked.unwrap_or_default());
        setbacks.not_before = now.checked_add(wait).ok();
    }

    fn count_refusal(&mut self, now: Timestamp) -> bool {
        self.refusals.count = self.refusals.count.saturating_add(1);
        let first_at = *self.refusals.first_at.get_or_insert(now);
        self.refusals.count >= REFUSALS_FOR_DEATH && now.duration_since(first_at) >= REFUSALS_LAST
    }

    /// A replaced grant is kept while its refresh token is unspent; a spent one does not displace such a grant.
    pub(super) fn keep_as_previous(&mut self, replaced: Option<Grant>) {
        let is_better_kept = self.previous.as_ref().is_some_and(Grant::is_spendable)
            && !replaced.as_ref().is_some_and(Grant::is_spendable);
        if !is_better_kept && replaced.is_some() {
            self.previous = replaced;
        }
    }
}
