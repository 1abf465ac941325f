//! `update_tokens`: proposed, made durable, proved.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::{
    account::{AccountId, Code, EventType, Fingerprint, Proposal, ProposedTokens, Record, Slot, Taken, UpdateOutcome},
    store::StoreError,
};

use super::{
    AT_A_TIME, Shared,
    command::{CommandError, Reply, ReplyData},
    flight::{Errand, Flight, Landing},
    keeping::Keeping,
    notice::Trigger,
};

impl Shared {
    /// `taken` is told when the proposal is durable, before it is proved.
    pub(super) async fn update_tokens(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        proposal: Proposal,
        taken: oneshot::Sender<()>,
    ) -> Reply {
        let fingerprint = proposal.tokens.refresh().map(|it| self.fingerprints.of(it));
        let outcome = loop {
            let proposing = keeping.heart.doings().proposing.lock().await;
            let proposed = self.propose(keeping, &proposal, fingerprint).await;
            drop(proposing);
            match proposed {
                Ok(outcome) => break outcome,
                Err(Refusal::Flying(flight)) => drop(flight.land().await),
                Err(Refusal::InUse(other)) => {
                    let error = CommandError::new(Code::TokenInUse, &keeping.id);
                    return Err(error.because(format_args!("it is {other}'s")));
                }
                Err(Refusal::Domain(code)) => return Err(CommandError::new(code, &keeping.id)),
                Err(Refusal::Store(trouble)) => return Err(blocked(keeping, &trouble)),
            }
        };
        let _ = taken.send(());
        if outcome != Taken::Candidate {
            // What is to be proved is planned when its flight ends, so that nobody else starts another one.
            self.plan(&keeping.id);
        }
        match outcome {
            Taken::Candidate => {
                log_captured(keeping, &proposal.tokens);
                self.prove(keeping, fingerprint).await
            }
            Taken::Adopted if proposal.is_access_to_show() => {
                log_captured(keeping, &proposal.tokens);
                self.show(keeping).await
            }
            Taken::Adopted => {
                log_captured(keeping, &proposal.tokens);
                keeping.happened(EventType::TokensUpdated, Trigger::Update, None);
                self.tend_inventory(keeping, true);
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

    /// One step: what is checked here still holds when the proposal is on disk.
    async fn propose(
        &self,
        keeping: &Keeping,
        proposal: &Proposal,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Taken, Refusal> {
        let refresh = proposal.tokens.refresh();
        let _turn = match refresh {
            Some(_) => Some(self.proposals.lock().await),
            None => None,
        };
        let is_spent = match fingerprint {
            Some(fingerprint) => self.is_spent(fingerprint).await?,
            None => false,
        };
        if let Some(other) = refresh.filter(|_| !is_spent).and_then(|it| self.other_holder(keeping, it)) {
            return Err(Refusal::InUse(other));
        }
        let now = self.clock().now();
        let change = keeping.change(|record| {
            if concerns_what_flies(record, proposal)
                && let Some(flight) = self.running(keeping)
            {
                return Err(Refusal::Flying(flight));
            }
            // A refresh may have spent it since the store was asked.
            let is_spent = is_spent || fingerprint.is_some_and(|it| record.spent.contains(&it));
            record.propose(proposal.clone(), fingerprint, is_spent, &keeping.policy, now).map_err(Refusal::Domain)
        });
        change.await
    }

    async fn prove(self: &Arc<Self>, keeping: &Arc<Keeping>, fingerprint: Option<Fingerprint>) -> Reply {
        let mut landing = self.refresh(keeping, Trigger::Update).land().await;
        let is_of_another = matches!(
            landing,
            Landing::Renewed { slot: Slot::Current | Slot::Previous, .. }
                | Landing::LoggedIn { .. }
                | Landing::CheckedIn
                | Landing::Failed { slot: Some(Slot::Current | Slot::Previous), .. }
        );
        if is_of_another && keeping.record().candidate.is_some() {
            // It had begun before the tokens were proposed.
            landing = self.refresh(keeping, Trigger::Update).land().await;
        }
        let handled = keeping.record().last_update.filter(|it| Some(it.proposal) == fingerprint);
        match (landing, handled.map(|it| it.outcome)) {
            (_, Some(UpdateOutcome::Proved)) => Ok(updated(keeping, UpdateOutcome::Proved)),
            (Landing::CandidateRefused(code), Some(UpdateOutcome::Refused)) => Err(refused(keeping, code)),
            (_, Some(UpdateOutcome::Refused)) => {
                let why = keeping.record().dead.map_or(Code::RefreshRefused, |it| it.why);
                Err(refused(keeping, why))
            }
            _ => {
                warn!(account = %keeping.id, "the new tokens are kept; the vendor could not be asked about them yet");
                Ok(updated(keeping, UpdateOutcome::Pending))
            }
        }
    }

    /// An access token that came alone is shown to the vendor, where it has a call for that.
    async fn show(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Reply {
        let landing = loop {
            match self.launch_own(keeping, Errand::CheckIn) {
                Ok(flight) => break flight.land().await,
                Err(other) => drop(other.land().await),
            }
        };
        let outcome = match landing {
            Landing::CheckedIn => UpdateOutcome::Proved,
            Landing::Failed { code: Code::AccessRejected, .. } => {
                keeping.happened(EventType::UpdateRefused, Trigger::Update, Some(Code::AccessRejected));
                let hint = "Check the token, or sign in again.".to_owned();
                return Err(CommandError { hint, ..refused(keeping, Code::AccessRejected) });
            }
            _ => UpdateOutcome::Adopted,
        };
        keeping.happened(EventType::TokensUpdated, Trigger::Update, None);
        self.tend_inventory(keeping, true);
        Ok(updated(keeping, outcome))
    }

    /// Whether any account has spent it: the token of another one is no less dead for this one.
    async fn is_spent(&self, fingerprint: Fingerprint) -> Result<bool, StoreError> {
        let roster = self.roster();
        let remembers =
            |id: &AccountId| roster.heart(id).is_some_and(|(it, _)| it.record().spent.contains(&fingerprint));
        if self.common.mentions.of(fingerprint).iter().any(remembers) {
            return Ok(true);
        }
        // What no record remembers any more.
        let accounts: Vec<AccountId> = roster.hearts().map(|(id, _, _)| id.clone()).collect();
        drop(roster);
        for some in accounts.chunks(AT_A_TIME) {
            if self.store().is_spent(some, fingerprint).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Why a proposal was not taken.
enum Refusal {
    /// To be tried again when this has landed.
    Flying(Flight),
    InUse(AccountId),
    Domain(Code),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}

/// Whether a proposal would touch the grant that a refresh is spending: what replaces a grant waits for a refresh of it,
/// a candidate only stands beside it.
fn concerns_what_flies(record: &Record, proposal: &Proposal) -> bool {
    let Some(attempt) = &record.attempt else { return false };
    let is_held = record.current.as_ref().is_some_and(|it| it.refresh.as_ref() == proposal.tokens.refresh());
    let is_beside = proposal.prove && proposal.issued_at.is_none() && proposal.tokens.refresh().is_some() && !is_held;
    !is_beside || attempt.slot == Slot::Candidate
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
            info!(account = %keeping.id, token = %refresh.masked(), "Refresh token captured and stored from update_tokens");
        }
        None => info!(account = %keeping.id, "Access token captured and stored from update_tokens"),
    }
}
