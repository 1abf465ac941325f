//! The end of an attempt: on disk first, then told. A grant that was received is not given up.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{error, info};

use crate::{
    account::{Attempt, Class, Code, Ending, Record, Secret, Settlement, Slot, UpdateOutcome},
    store::StoreError,
    vendor::Answer,
};

use super::{Shared, attempt::Leg, flight::Landing, keeping::Keeping, notice::Trigger, reading::read_refresh};

/// Between two tries to put an answer on disk.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);

/// What came back of an attempt, and when.
pub(super) struct Returned {
    pub(super) ending: Ending,
    /// What of the answer may be stored beside the grant that was read from it.
    pub(super) answer: Option<Secret>,
    pub(super) at: Timestamp,
}

impl Shared {
    /// Puts the ending on disk, however long that takes: a grant that was received is not given up.
    pub(super) async fn settle(
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
        let settled = self.commit_at_last(keeping, answer.as_ref(), |record| {
            let settlement = record.settle(attempt, ending.clone(), at, patience);
            let outcome = match settlement {
                Settlement::Renewed { slot: Slot::Candidate } => Some(UpdateOutcome::Proved),
                Settlement::CandidateRefused => Some(UpdateOutcome::Refused),
                _ => None,
            };
            if let Some(outcome) = outcome {
                record.handled(Some(attempt.fingerprint), outcome);
            }
            settlement
        });
        let Some(settlement) = settled.await else {
            // The attempt is open on disk, and is looked at again at the next start.
            return Leg::Landed(Landing::Failed { code: Code::ShuttingDown, slot: Some(attempt.slot) });
        };
        let slot = attempt.slot;
        let code = match &ending {
            Ending::Renewed(_) => Code::Internal,
            Ending::Failed { .. } if was_in_doubt && settlement == Settlement::CandidateRefused => Code::ReplyLost,
            Ending::Failed { code, .. } => *code,
        };
        keeping.tell(by, settlement, &ending, code, was_troubled);
        let failed = |code| Leg::Landed(Landing::Failed { code, slot: Some(slot) });
        match settlement {
            Settlement::Renewed { slot } => {
                let generation = keeping.record().current.as_ref().map_or(0, |it| it.generation);
                Leg::Landed(Landing::Renewed { slot, generation })
            }
            // What is in use may be dead by that, which is better known now than when it is due.
            Settlement::CandidateRefused if code == Code::ReplyLost && keeping.record().current.is_some() => {
                Leg::FellBack
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

    /// Commits what a vendor gave, however long that takes. None where the store was closed before it could.
    pub(super) async fn commit_at_last<T>(
        &self,
        keeping: &Keeping,
        answer: Option<&Secret>,
        mut change: impl FnMut(&mut Record) -> T,
    ) -> Option<T> {
        let mut trouble_told = None;
        loop {
            let trouble = match keeping.change_with(answer, |record| Ok::<_, StoreError>(change(record))).await {
                Ok(result) => {
                    keeping.note_present(|present| present.blocked = None);
                    return Some(result);
                }
                Err(trouble) => trouble,
            };
            if trouble_told.as_ref() != Some(&trouble) {
                error!(account = %keeping.id, "the vendor's answer cannot be stored yet: {trouble}. {}", trouble.mend());
                keeping.note_present(|present| present.blocked = Some(trouble.to_string()));
            }
            if trouble == StoreError::Closed {
                return None;
            }
            trouble_told = Some(trouble);
            tokio::time::sleep(COMMIT_AGAIN).await;
        }
    }

    /// Reads an answer that an earlier version could not read, and that is about a grant still in use.
    pub(super) async fn finish_unread(&self, keeping: &Keeping) -> Landing {
        let record = keeping.record();
        if let Some(landing) = self.finish_login(keeping).await {
            return landing;
        }
        let finished = record.unread.as_deref().and_then(|unread| {
            let grant = record.grant(unread.slot).filter(|it| it.generation == unread.generation)?;
            let refresh = grant.refresh.as_ref()?;
            let answer = Answer::of(unread.body.clone());
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
}
