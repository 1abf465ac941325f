//! `update_tokens`: proposed, made durable, proved.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::{
    account::{Code, EventType, Fingerprint, Proposal, ProposedTokens, Slot, Taken, UpdateOutcome},
    store::StoreError,
};

use super::{
    Shared,
    command::{CommandError, Reply, ReplyData},
    flight::Landing,
    keeping::Keeping,
    notice::Trigger,
};

/// Proposed tokens may wait for one refresh that is running and then for their own.
const LONGEST_WAIT: usize = 3;

impl Shared {
    /// `taken` is told when the proposal is durable, before it is proved.
    pub(super) async fn update_tokens(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        proposal: Proposal,
        taken: oneshot::Sender<()>,
    ) -> Reply {
        let fingerprint = proposal.tokens.refresh().map(|it| self.fingerprints.of(it));
        if let Some(other) = proposal.tokens.refresh().and_then(|it| self.other_holder(keeping, it)) {
            return Err(CommandError::new(Code::TokenInUse, &keeping.id).because(format_args!("it is {other}'s")));
        }
        // What replaces a grant waits for a refresh of it; a candidate only stands beside it.
        let is_beside = proposal.prove && proposal.issued_at.is_none() && proposal.tokens.refresh().is_some();
        let is_candidate_flying = keeping.record().attempt.as_ref().is_some_and(|it| it.slot == Slot::Candidate);
        if !is_beside || is_candidate_flying {
            self.wait_for_flight(keeping).await;
        }
        let is_spent = match fingerprint {
            Some(fingerprint) => self.is_spent(keeping, fingerprint).await.map_err(|it| blocked(keeping, &it))?,
            None => false,
        };
        let now = self.clock.now();
        let outcome = keeping.change(|record| {
            record.propose(proposal.clone(), fingerprint, is_spent, &keeping.policy, now).map_err(Refusal::Domain)
        });
        let outcome = match outcome.await {
            Ok(outcome) => outcome,
            Err(Refusal::Domain(code)) => return Err(CommandError::new(code, &keeping.id)),
            Err(Refusal::Store(trouble)) => return Err(blocked(keeping, &trouble)),
        };
        let _ = taken.send(());
        self.agenda.plan(keeping, now);
        match outcome {
            Taken::Candidate => {
                log_captured(keeping, &proposal.tokens);
                self.prove(keeping, fingerprint).await
            }
            Taken::Adopted => {
                log_captured(keeping, &proposal.tokens);
                keeping.happened(EventType::TokensUpdated, Trigger::Update, None);
                Ok(updated(keeping, UpdateOutcome::Adopted))
            }
            Taken::Unchanged => Ok(updated(keeping, UpdateOutcome::Unchanged)),
            Taken::Repeated(handled) => match handled.outcome {
                UpdateOutcome::Refused => Err(refused(keeping, Code::RefreshRefused)),
                outcome => {
                    let (entry_id, generation) = (keeping.id.clone(), handled.generation);
                    Ok(ReplyData::Updated { entry_id, outcome, generation })
                }
            },
        }
    }

    async fn prove(self: &Arc<Self>, keeping: &Arc<Keeping>, fingerprint: Option<Fingerprint>) -> Reply {
        for _ in 0..LONGEST_WAIT {
            let landing = self.refresh(keeping, Trigger::Update).land().await;
            match landing {
                Landing::Renewed { slot: Slot::Candidate, .. } => {
                    keeping.happened(EventType::TokensUpdated, Trigger::Update, None);
                    return Ok(updated(keeping, UpdateOutcome::Proved));
                }
                Landing::CandidateRefused(code) => return Err(refused(keeping, code)),
                Landing::Failed(_) | Landing::Renewed { .. } => {}
            }
            let record = keeping.record();
            let is_waiting = record.candidate.is_some();
            let handled = record.last_update.filter(|it| Some(it.proposal) == fingerprint);
            match (is_waiting, handled.map(|it| it.outcome)) {
                (_, Some(UpdateOutcome::Proved)) => return Ok(updated(keeping, UpdateOutcome::Proved)),
                (_, Some(UpdateOutcome::Refused)) => return Err(refused(keeping, Code::RefreshRefused)),
                (true, _) if matches!(landing, Landing::Failed(_)) => break,
                _ => {}
            }
        }
        warn!(account = %keeping.id, "the new tokens are kept; the vendor could not be asked about them yet");
        Ok(updated(keeping, UpdateOutcome::Pending))
    }

    pub(super) async fn is_spent(&self, keeping: &Keeping, fingerprint: Fingerprint) -> Result<bool, StoreError> {
        if keeping.record().spent.contains(&fingerprint) {
            return Ok(true);
        }
        self.store.is_spent(&keeping.id, fingerprint).await
    }
}

enum Refusal {
    Domain(Code),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}

fn updated(keeping: &Keeping, outcome: UpdateOutcome) -> ReplyData {
    let generation = keeping.record().current.as_ref().map_or(0, |it| it.generation);
    ReplyData::Updated { entry_id: keeping.id.clone(), outcome, generation }
}

fn refused(keeping: &Keeping, code: Code) -> CommandError {
    let kept = if keeping.record().current.is_some() { "the tokens before them are kept" } else { "none are held" };
    CommandError::new(code, &keeping.id).because(kept)
}

pub(super) fn blocked(keeping: &Keeping, trouble: &StoreError) -> CommandError {
    CommandError { hint: trouble.mend().to_owned(), ..CommandError::new(Code::Blocked, &keeping.id).because(trouble) }
}

fn log_captured(keeping: &Keeping, tokens: &ProposedTokens) {
    match tokens.refresh() {
        Some(refresh) => {
            info!(account = %keeping.id, token = %refresh.masked(), "refresh token captured and stored from update_tokens");
        }
        None => info!(account = %keeping.id, "access token captured and stored from update_tokens"),
    }
}
