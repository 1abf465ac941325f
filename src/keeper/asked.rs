//! Refreshes that somebody asks for, and when they may have one.

use std::sync::Arc;

use jiff::Timestamp;

use crate::account::Code;

use super::{
    Shared,
    attempt::nothing_to_spend,
    command::{CommandError, Reply, ReplyData},
    flight::{Errand, Landing},
    keeping::Keeping,
    notice::Trigger,
};

impl Shared {
    pub(super) async fn refresh_tokens(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Reply {
        // Tokens that were given just before are taken first: this is about them.
        drop(keeping.heart.doings().proposing.lock().await);
        let errand = Errand::Refresh(Trigger::Command);
        match self.launch(keeping, errand, || self.may_refresh_now(keeping))?.land().await {
            Landing::Renewed { generation, .. } | Landing::LoggedIn { generation, .. } => {
                Ok(ReplyData::Refreshed { entry_id: keeping.id.clone(), generation })
            }
            Landing::CandidateRefused(code) => {
                Err(CommandError::new(code, &keeping.id).because("of the tokens given last; the ones before are kept"))
            }
            Landing::CheckedIn => Err(CommandError::too_soon(&keeping.id, Code::TooSoon, 1)),
            Landing::Failed { code: Code::Blocked, .. } => {
                let why = keeping.present().blocked.unwrap_or_default();
                Err(CommandError::new(Code::Blocked, &keeping.id).because(why))
            }
            Landing::Failed { code, .. } => Err(CommandError::new(code, &keeping.id)),
        }
    }

    /// Whether somebody may have a refresh now: not without a token, not when dead, not too often.
    pub(super) fn may_refresh_now(&self, keeping: &Keeping) -> Result<(), CommandError> {
        let record = keeping.record();
        if record.next_to_spend().is_none() {
            return Err(CommandError::new(nothing_to_spend(keeping), &keeping.id));
        }
        let now = self.clock().now();
        let gap_end = record
            .last_attempt_at
            .filter(|it| *it <= now)
            .and_then(|it| it.checked_add(keeping.policy.min_refresh_gap).ok())
            .filter(|it| now < *it);
        if let Some(gap_end) = gap_end {
            return Err(CommandError::too_soon(&keeping.id, Code::TooSoon, seconds_until(gap_end, now)));
        }
        self.is_patience_over(keeping)?;
        match record.dead {
            Some(dead) if !keeping.is_due(now) => Err(CommandError::new(dead.why, &keeping.id)),
            _ => Ok(()),
        }
    }

    /// What a vendor asked for binds everybody.
    pub(super) fn is_patience_over(&self, keeping: &Keeping) -> Result<(), CommandError> {
        let setbacks = keeping.record().setbacks;
        let now = self.clock().now();
        let is_throttled = setbacks.last_error == Some(Code::Throttled);
        match setbacks.not_before.filter(|it| is_throttled && now < *it) {
            Some(until) => Err(CommandError::too_soon(&keeping.id, Code::Throttled, seconds_until(until, now))),
            None => Ok(()),
        }
    }
}

pub(super) fn seconds_until(until: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(until.duration_since(now).as_secs() + 1).unwrap_or(1)
}
