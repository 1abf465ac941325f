//! A refresh, as the record sees it: begun before the call, settled by what came of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    Attempt, BackOff, Class, Code, Dead, Doubt, Fingerprint, FreshTokens, Grant, Record, RefreshEnd, Refusals, Secret,
    Slot, UnreadAnswer,
};

/// Three refusals of unknown meaning over this long are definitive.
const REFUSALS_FOR_DEATH: u32 = 3;
const REFUSALS_LAST: SignedDuration = SignedDuration::from_hours(24);
/// How long a candidate may fail by itself before it makes room for a grant that can still be refreshed.
const CANDIDATE_PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// Where an attempt of a doubted grant is found open: something ends this process during the call.
pub(super) const FOUND_OPEN_AGAIN: Duration = Duration::from_secs(600);
/// The longest pause after a failure, whatever the vendor asks for.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

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
    /// Proposed tokens were refused, or failed for so long that the grant before them needs its turn; it is untouched.
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
        self.attempt = Some(Box::new(attempt.clone()));
        self.last_attempt_at = Some(now);
        attempt
    }

    /// Takes what came of `attempt` at `now`.
    pub fn settle(&mut self, attempt: &Attempt, ending: Ending, now: Timestamp, patience: Patience) -> Settlement {
        let open = self.attempt.take_if(|it| it.id == attempt.id);
        // An access token that came meanwhile gave the grant a new generation, which only the record's own mark knows.
        let attempt = open.as_deref().unwrap_or(attempt);
        match ending {
            Ending::Renewed(fresh) => self.renew(attempt, fresh, now),
            Ending::Failed { class, code, body } => self.fail(attempt, Failure { class, code, body }, now, patience),
        }
    }

    /// An attempt that was open when Latchkey stopped: its request may have been sent. It is tried once more promptly,
    /// but not again and again where the process ends each time.
    pub fn find_open_attempt(&mut self, now: Timestamp) -> bool {
        let Some(attempt) = self.attempt.take() else { return false };
        if !self.still_holds(&attempt) {
            return true;
        }
        if self.doubted_since(attempt.slot).is_some() {
            self.setbacks.consecutive = self.setbacks.consecutive.saturating_add(1);
            self.setbacks.not_before = now.checked_add(FOUND_OPEN_AGAIN).ok();
            return true;
        }
        self.cast_doubt(&attempt, now);
        self.setbacks.not_before = None;
        self.last_attempt_at = None;
        true
    }

    fn still_holds(&self, attempt: &Attempt) -> bool {
        self.grant(attempt.slot).is_some_and(|it| it.generation == attempt.generation)
    }

    /// Fresh tokens are taken whatever happened to the record meanwhile: the old ones are dead.
    fn renew(&mut self, attempt: &Attempt, fresh: FreshTokens, now: Timestamp) -> Settlement {
        let held = self.of_generation(attempt.generation).cloned();
        let Some(base) = held.or_else(|| fresh.refresh.is_some().then(|| Grant::blank(now))) else {
            // An access token alone, of a login that is not held any more: it would leave the account without a future.
            return Settlement::Superseded;
        };
        let is_rotated = fresh.refresh.is_some() && fresh.refresh != base.refresh;
        self.generation += 1;
        let renewed = base.succeeded_by(fresh, now, self.generation);
        if is_rotated {
            self.remember_spent(attempt.fingerprint);
        }
        if let Some(spent) = base.refresh.as_ref().filter(|_| is_rotated) {
            self.end_as_spent(spent);
        }
        self.remove_beside(base.generation);
        let mut replaced = self.current.replace(renewed);
        if let Some(spent) = replaced.as_mut().filter(|it| it.generation == base.generation) {
            spent.proven = true;
        }
        // A grant whose refresh token lives on in its successor leaves nothing to keep.
        self.keep_as_previous(replaced.filter(|it| is_rotated || it.generation != base.generation));
        self.drop_unread_up_to(base.generation);
        self.drop_spent();
        self.wake();
        self.last_refresh_at = Some(now);
        self.refresh_count += 1;
        Settlement::Renewed { slot: attempt.slot }
    }

    fn fail(&mut self, attempt: &Attempt, failure: Failure, now: Timestamp, patience: Patience) -> Settlement {
        let Failure { class, code, body } = failure;
        let is_yes = class == Class::Protocol;
        if let Some(body) = body {
            let (slot, generation) = (attempt.slot, attempt.generation);
            self.keep_unread(UnreadAnswer { received_at: now, slot, generation, body }, is_yes);
        }
        if is_yes {
            // The token is spent, and its successor is in the answer that could not be read.
            self.remember_spent(attempt.fingerprint);
            if let Some(spent) = self.of_generation(attempt.generation).and_then(|it| it.refresh.clone()) {
                self.end_as_spent(&spent);
            }
        }
        if !self.still_holds(attempt) {
            return Settlement::Superseded;
        }
        let is_definitive = match class {
            Class::GrantDead { .. } => true,
            Class::Refused => self.refusals_of(attempt.slot).count_one(now),
            _ => false,
        };
        if is_definitive {
            return self.bury(attempt, code, now);
        }
        if class == Class::Ambiguous || is_yes {
            self.cast_doubt(attempt, now);
        }
        if self.is_candidate_out_of_patience(attempt.slot, class, now) {
            self.lay_candidate_aside();
            return Settlement::CandidateRefused;
        }
        self.note_failure(code, class, now, patience);
        match class {
            Class::Ambiguous | Class::Protocol => Settlement::InDoubt,
            // A candidate may carry what no header can: that is no fault of the account's keys.
            Class::ConfigFault if attempt.slot != Slot::Candidate || !self.is_current_spendable() => {
                self.fault = true;
                Settlement::Failed
            }
            _ => Settlement::Failed,
        }
    }

    fn bury(&mut self, attempt: &Attempt, code: Code, now: Timestamp) -> Settlement {
        if let Some(refused) = self.grant(attempt.slot).cloned() {
            self.end_as_refused(&refused);
        }
        if attempt.slot == Slot::Candidate {
            // Where a reply to it was lost it may have been the vendor's newest, and nobody knows what the one in use is.
            if let (Some(since), Some(current)) = (self.doubted_since(Slot::Candidate), &self.current) {
                self.doubt.get_or_insert(Doubt { since, generation: current.generation });
            }
            self.lay_candidate_aside();
            self.bring_back();
            self.give_up_where_nothing_is_left(code, now);
            return Settlement::CandidateRefused;
        }
        // Until the last one is refused the doubt stays, so that the end is told with its cause.
        let why = self.cause_of_death(code, now);
        self.refusals = Refusals::default();
        self.setbacks.consecutive = self.setbacks.consecutive.saturating_add(1);
        self.setbacks.last_error = Some(why);
        self.setbacks.last_error_at = Some(now);
        self.bring_back();
        if self.has_spendable() {
            return Settlement::FellBack;
        }
        let was_dead = self.dead.is_some();
        self.give_up_where_nothing_is_left(code, now);
        if was_dead { Settlement::Failed } else { Settlement::ReauthRequired }
    }

    /// A person is asked when the current grant was refused and nothing else is left to try.
    fn give_up_where_nothing_is_left(&mut self, code: Code, now: Timestamp) {
        let is_refused = self.current.as_ref().is_some_and(|it| it.refresh_end == Some(RefreshEnd::Refused));
        if !is_refused || self.has_spendable() {
            return;
        }
        let why = self.cause_of_death(code, now);
        self.doubt = None;
        self.dead.get_or_insert(Dead { since: now, why });
    }

    /// Why the vendor refuses the current grant, as far as the facts allow to say.
    fn cause_of_death(&self, code: Code, now: Timestamp) -> Code {
        if self.doubt.is_some() {
            return Code::ReplyLost;
        }
        let Some(current) = self.current.as_ref().filter(|_| code == Code::RefreshRefused && !self.unproven) else {
            return code;
        };
        // The vendor gave it to us, nothing of ours replaced it, and its time is not over: somebody else did.
        let issued_at = Some(current.issued_at);
        let is_from_vendor = issued_at == self.last_refresh_at || issued_at == self.last_login_at;
        let end = current.refresh_expires_at.or(current.access_expires_at);
        let is_alive = end.is_some_and(|end| now < end);
        if is_from_vendor && is_alive { Code::SignedInElsewhere } else { code }
    }

    /// Whether a candidate keeps failing by what may be its own fault while another grant waits for its turn: tokens
    /// that were mistyped must not starve those that work.
    fn is_candidate_out_of_patience(&mut self, slot: Slot, class: Class, now: Timestamp) -> bool {
        let is_current_spendable = self.is_current_spendable();
        let Some(candidate) = self.candidate.as_mut().filter(|_| slot == Slot::Candidate) else { return false };
        if matches!(class, Class::Transient | Class::Throttled { .. } | Class::ClockSkew { .. }) {
            return false;
        }
        let since = candidate.failing_since.filter(|it| *it <= now).unwrap_or(now);
        candidate.failing_since = Some(since);
        is_current_spendable && class != Class::Protocol && CANDIDATE_PATIENCE <= now.duration_since(since)
    }

    fn is_current_spendable(&self) -> bool {
        self.current.as_ref().is_some_and(Grant::is_spendable)
    }

    pub(super) fn lay_candidate_aside(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            self.set_aside(candidate.grant);
        }
    }

    fn refusals_of(&mut self, slot: Slot) -> &mut Refusals {
        match &mut self.candidate {
            Some(candidate) if slot == Slot::Candidate => &mut candidate.refusals,
            _ => &mut self.refusals,
        }
    }

    fn cast_doubt(&mut self, attempt: &Attempt, now: Timestamp) {
        if attempt.slot == Slot::Candidate {
            if let Some(candidate) = &mut self.candidate {
                candidate.doubted_since.get_or_insert(now);
            }
            return;
        }
        let older = self.doubt.filter(|it| it.generation == attempt.generation);
        self.doubt = older.or(Some(Doubt { since: now, generation: attempt.generation }));
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
        let wait = pause.max(asked.unwrap_or_default()).min(LONGEST_PAUSE);
        setbacks.not_before = now.checked_add(wait).ok();
    }
}

impl Refusals {
    /// Counts a refusal of unknown meaning; whether they have lasted long enough to be definitive.
    fn count_one(&mut self, now: Timestamp) -> bool {
        self.count = self.count.saturating_add(1);
        // One that lies ahead was noted by a clock that was wrong.
        let first_at = self.first_at.filter(|it| *it <= now).unwrap_or(now);
        self.first_at = Some(first_at);
        REFUSALS_FOR_DEATH <= self.count && REFUSALS_LAST <= now.duration_since(first_at)
    }
}

struct Failure {
    class: Class,
    code: Code,
    body: Option<Secret>,
}
