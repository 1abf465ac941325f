//! One attempt of a refresh: begun durably, sent, settled durably. A process that is killed between any two lines of
//! this file finds on disk what it needs to go on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tracing::{error, info, warn};

use crate::{
    account::{Attempt, Class, Code, Ending, FreshTokens, RefreshEnd, Secret, Settlement, Slot, UpdateOutcome},
    store::StoreError,
    vendor::{Answer, Spend, VendorError},
};

use super::{Shared, flight::Landing, keeping::Keeping, limits::Purpose, notice::Trigger};

/// How long this machine's troubles are left alone before the next look.
const BLOCKED_FOR: Duration = Duration::from_secs(60);
/// How long until a vendor is asked again for its time. A clock that is set meanwhile is noticed at once.
const SKEWED_FOR: Duration = Duration::from_secs(600);
/// Between two tries to put an answer on disk.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);
/// A vendor's clock this far from ours makes ours suspect.
const SUSPECT_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// How one attempt ended.
pub(super) enum Leg {
    Landed(Landing),
    /// Another refresh token is left to try.
    FellBack,
    /// The reply was lost.
    InDoubt {
        code: Code,
        slot: Slot,
        /// Before this attempt already, so it was the second try.
        was_in_doubt: bool,
    },
}

/// An attempt that is on disk, with what it sends.
struct Begun {
    attempt: Attempt,
    refresh: Secret,
    access: Option<Secret>,
    was_in_doubt: bool,
}

/// What came back of an attempt, and when.
struct Returned {
    ending: Ending,
    /// What of the answer may be stored beside the grant that was read from it.
    answer: Option<Secret>,
    at: Timestamp,
}

/// Why an attempt did not begin.
enum Obstacle {
    NothingToSpend,
    NoAccess,
    Store(StoreError),
}

impl Leg {
    fn grounded(code: Code) -> Self {
        Self::Landed(Landing::grounded(code))
    }
}

impl Shared {
    pub(super) async fn leg(&self, keeping: &Keeping, by: Trigger) -> Leg {
        if let Err(landing) = self.may_start(keeping, by).await {
            return Leg::Landed(landing);
        }
        if let Some(budget) = keeping.vendor.budget()
            && let Err(wait) = self.limits.spend(&budget, Purpose::Refresh)
        {
            self.hold(keeping, wait);
            return Leg::grounded(Code::Throttled);
        }
        let begun = match self.begin(keeping).await {
            Ok(begun) => begun,
            Err(Obstacle::NothingToSpend) => {
                let code = nothing_to_spend(keeping);
                warn!(account = %keeping.id, %code, "there is no refresh token that could be sent");
                return Leg::grounded(code);
            }
            Err(Obstacle::NoAccess) => return Leg::grounded(Code::TokenRequired),
            Err(Obstacle::Store(trouble)) => {
                return Leg::Landed(self.block(keeping, &trouble.to_string(), trouble.mend(), BLOCKED_FOR));
            }
        };
        info!(account = %keeping.id, ?by, token = %begun.refresh.masked(), "refresh needed, asking the vendor");
        let spend = Spend { refresh: &begun.refresh, access: begun.access.as_ref() };
        let sent = keeping.vendor.refresh(spend).await;
        let at = self.clock.now();
        let (ending, answer) = self.read(keeping, sent, begun.access.as_ref()).await;
        self.settle(keeping, by, &begun.attempt, begun.was_in_doubt, Returned { ending, answer, at }).await
    }

    /// Reads an answer that an earlier version could not read, and that is about a grant still in use.
    pub(super) async fn finish_unread(&self, keeping: &Keeping) -> Landing {
        let record = keeping.record();
        let finished = record.unread.as_ref().and_then(|unread| {
            let grant = record.grant(unread.slot).filter(|it| it.generation == unread.generation)?;
            let refresh = grant.refresh.as_ref()?;
            let answer = Answer { body: unread.body.clone(), vendor_ahead_by: None, retry_after: None };
            let fresh = read_refresh(keeping, &answer).ok()?;
            let attempt = Attempt {
                id: fastrand::u64(..),
                started_at: unread.received_at,
                slot: unread.slot,
                generation: unread.generation,
                fingerprint: self.fingerprints.of(refresh),
            };
            Some((attempt, Returned { ending: Ending::Renewed(fresh), answer: None, at: unread.received_at }))
        });
        let Some((attempt, returned)) = finished else { return Landing::grounded(Code::UnreadableAnswer) };
        info!(account = %keeping.id, "an answer that was kept can be read now");
        match self.settle(keeping, Trigger::Schedule, &attempt, true, returned).await {
            Leg::Landed(landing) => landing,
            Leg::FellBack | Leg::InDoubt { .. } => Landing::grounded(Code::UnreadableAnswer),
        }
    }

    /// Looks whether what stood in the way of an account is gone; no refresh is due.
    pub(super) async fn look_again(&self, keeping: &Keeping) {
        if self.is_fit(keeping).await.is_ok() {
            keeping.unblock();
        }
        self.agenda.plan(keeping, self.clock.now());
    }

    pub(super) fn hold(&self, keeping: &Keeping, wait: Duration) {
        let until = self.clock.now().checked_add(wait).ok();
        keeping.note_present(|present| present.hold_until = until);
    }

    /// Whether a refresh may be tried: this machine is fit, and nobody else holds the token.
    async fn may_start(&self, keeping: &Keeping, by: Trigger) -> Result<(), Landing> {
        if self.stopping.is_cancelled() {
            return Err(Landing::grounded(Code::ShuttingDown));
        }
        self.is_fit(keeping).await?;
        let now = self.clock.now();
        if keeping.record().is_from_the_future(now)
            && let Some(vendor_time) = keeping.vendor.server_time().await
            && SUSPECT_SKEW < vendor_time.duration_since(now).abs()
        {
            let why = "the clock differs from the vendor's by over ten minutes";
            return Err(self.block(keeping, why, "Set the clock.", SKEWED_FOR));
        }
        keeping.unblock();
        if let Some(twin) = self.twin(keeping) {
            self.mark_twin(keeping, &twin, by).await;
            return Err(Landing::grounded(Code::TokenInUse));
        }
        Ok(())
    }

    /// Whether this machine's clock and disk would let a refresh come to its end.
    async fn is_fit(&self, keeping: &Keeping) -> Result<(), Landing> {
        if self.clock.now() < super::built_at() {
            let why = "the clock reads a time before this version was built";
            return Err(self.block(keeping, why, "Set the clock.", BLOCKED_FOR));
        }
        self.store
            .check_room()
            .await
            .map_err(|trouble| self.block(keeping, &trouble.to_string(), trouble.mend(), BLOCKED_FOR))
    }

    fn block(&self, keeping: &Keeping, why: &str, mend: &str, wait: Duration) -> Landing {
        if keeping.present().blocked.is_none() {
            error!(account = %keeping.id, "no token was spent: {why}. {mend}");
        }
        self.hold(keeping, wait);
        keeping.note_present(|present| present.blocked = Some(why.to_owned()));
        Landing::grounded(Code::Blocked)
    }

    async fn begin(&self, keeping: &Keeping) -> Result<Begun, Obstacle> {
        let began = keeping.change(|record| {
            let now = self.clock.now();
            // Left by a flight that crashed where the disk did not take it: its request may have been sent.
            record.find_open_attempt(now);
            let slot = record.next_to_spend().ok_or(Obstacle::NothingToSpend)?;
            let grant = record.grant(slot).ok_or(Obstacle::NothingToSpend)?;
            let refresh = grant.refresh.clone().ok_or(Obstacle::NothingToSpend)?;
            let access = grant.access.clone();
            if keeping.policy.refresh_needs_access && access.is_none() {
                return Err(Obstacle::NoAccess);
            }
            let was_in_doubt = record.doubted_since(slot).is_some();
            let attempt = record.begin(fastrand::u64(..), slot, self.fingerprints.of(&refresh), now);
            Ok(Begun { attempt, refresh, access, was_in_doubt })
        });
        began.await
    }

    /// Turns what came back into an ending, and into what may be stored of the answer.
    async fn read(
        &self,
        keeping: &Keeping,
        sent: Result<Answer, VendorError>,
        access: Option<&Secret>,
    ) -> (Ending, Option<Secret>) {
        let failed = |error: VendorError, body| Ending::Failed { class: error.class, code: error.code, body };
        let answer = match sent {
            Ok(answer) => answer,
            Err(failure) => {
                let was_reached = !matches!(failure.code, Code::Unreachable | Code::NoAnswer);
                keeping.note_present(|present| present.is_cloud_reached = Some(was_reached));
                warn!(account = %keeping.id, code = %failure.code, "refresh failed: {failure}");
                return (failed(failure, None), None);
            }
        };
        keeping.note_present(|present| present.is_cloud_reached = Some(true));
        let storable = catch_unwind(AssertUnwindSafe(|| keeping.vendor.storable(&answer))).unwrap_or_default();
        match read_refresh(keeping, &answer) {
            Ok(fresh) => (Ending::Renewed(fresh), storable),
            Err(failure) => {
                warn!(account = %keeping.id, code = %failure.code, "refresh failed: {failure}");
                let is_unread = failure.code == Code::UnreadableAnswer;
                if is_unread && storable.is_none() {
                    keeping.note_present(|present| present.unstorable = Some(answer.body.clone()));
                }
                let failure = self.judge_refusal(keeping, failure, access).await;
                (failed(failure, storable.filter(|_| is_unread)), None)
            }
        }
    }

    /// A refusal of unknown meaning is definitive at once when the access token is refused as well.
    async fn judge_refusal(&self, keeping: &Keeping, failure: VendorError, access: Option<&Secret>) -> VendorError {
        let (Class::Refused, Some(access)) = (failure.class, access) else { return failure };
        let verdict = tokio::select! {
            verdict = keeping.vendor.check_access(access) => verdict,
            () = self.stopping.cancelled() => None,
        };
        match verdict {
            Some(Err(verdict)) if verdict.class == Class::AccessRejected => {
                VendorError { class: Class::GrantDead { expired: false }, ..failure }
            }
            _ => failure,
        }
    }

    /// Puts the ending on disk, however long that takes: a grant that was received is not given up.
    async fn settle(
        &self,
        keeping: &Keeping,
        by: Trigger,
        attempt: &Attempt,
        was_in_doubt: bool,
        returned: Returned,
    ) -> Leg {
        let Returned { ending, answer, at } = returned;
        let patience = self.patience(keeping);
        let was_troubled = keeping.record().setbacks.consecutive > 0;
        let mut trouble_told = None;
        let settlement = loop {
            let settled = keeping.change_with(answer.as_ref(), |record| {
                let settlement = record.settle(attempt, ending.clone(), at, patience);
                let outcome = match settlement {
                    Settlement::Renewed { slot: Slot::Candidate } => Some(UpdateOutcome::Proved),
                    Settlement::CandidateRefused => Some(UpdateOutcome::Refused),
                    _ => None,
                };
                if let Some(outcome) = outcome {
                    record.handled(Some(attempt.fingerprint), outcome);
                }
                Ok::<_, StoreError>(settlement)
            });
            let trouble = match settled.await {
                Ok(settlement) => break settlement,
                Err(trouble) => trouble,
            };
            if trouble_told.as_ref() != Some(&trouble) {
                error!(account = %keeping.id, "the vendor's answer cannot be stored yet: {trouble}. {}", trouble.mend());
                keeping.note_present(|present| present.blocked = Some(trouble.to_string()));
            }
            if trouble == StoreError::Closed {
                // The attempt is open on disk, and is looked at again at the next start.
                return Leg::Landed(Landing::Failed { code: Code::ShuttingDown, slot: Some(attempt.slot) });
            }
            trouble_told = Some(trouble);
            tokio::time::sleep(COMMIT_AGAIN).await;
        };
        keeping.note_present(|present| {
            present.blocked = None;
            if matches!(settlement, Settlement::Renewed { .. }) {
                present.unstorable = None;
            }
        });
        keeping.tell(by, settlement, &ending, was_troubled);
        let slot = attempt.slot;
        let code = match &ending {
            Ending::Renewed(_) => Code::Internal,
            Ending::Failed { code, .. } => *code,
        };
        let failed = |code| Leg::Landed(Landing::Failed { code, slot: Some(slot) });
        match settlement {
            Settlement::Renewed { slot } => {
                let generation = keeping.record().current.as_ref().map_or(0, |it| it.generation);
                Leg::Landed(Landing::Renewed { slot, generation })
            }
            Settlement::CandidateRefused => Leg::Landed(Landing::CandidateRefused(code)),
            Settlement::FellBack => Leg::FellBack,
            Settlement::InDoubt if matches!(ending, Ending::Failed { class: Class::Ambiguous, .. }) => {
                Leg::InDoubt { code, slot, was_in_doubt }
            }
            Settlement::ReauthRequired => failed(keeping.record().dead.map_or(code, |it| it.why)),
            Settlement::InDoubt | Settlement::Failed | Settlement::Superseded => failed(code),
        }
    }
}

impl From<StoreError> for Obstacle {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}

/// The word for an account whose refresh cannot begin.
pub(super) fn nothing_to_spend(keeping: &Keeping) -> Code {
    let record = keeping.record();
    let is_spent = |it: &crate::account::Grant| it.refresh_end == Some(RefreshEnd::Spent);
    if record.current.as_ref().is_some_and(is_spent) { Code::UnreadableAnswer } else { Code::NoRefreshToken }
}

/// Reads an answer; a parser that panics has not read it, and the vendor may have rotated.
fn read_refresh(keeping: &Keeping, answer: &Answer) -> Result<FreshTokens, VendorError> {
    catch_unwind(AssertUnwindSafe(|| keeping.vendor.read_refresh(answer)))
        .unwrap_or_else(|_| Err(VendorError::new(Class::Protocol, Code::UnreadableAnswer)))
}
