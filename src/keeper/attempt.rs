//! One attempt of a refresh: begun durably, sent, read. A process that is killed between any two lines of this file
//! finds on disk what it needs to go on.

use tracing::{info, warn};

use crate::{
    account::{Attempt, Class, Code, Ending, Grant, RefreshEnd, Secret, Slot},
    store::StoreError,
    vendor::{Answer, Spend, VendorError},
};

use super::{
    Shared,
    flight::Landing,
    keeping::Keeping,
    limits::Purpose,
    notice::Trigger,
    reading::{read_refresh, storable},
    settle::Returned,
};

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
        if let Err(wait) = self.spend_call(keeping, Purpose::Refresh) {
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
                return Leg::Landed(self.blocked_by_disk(keeping, &trouble));
            }
        };
        info!(account = %keeping.id, ?by, token = %begun.refresh.masked(), "refresh needed, asking the vendor");
        let spend = Spend { refresh: &begun.refresh, access: begun.access.as_ref() };
        let sent = keeping.vendor.refresh(spend).await;
        let at = self.clock().now();
        let (ending, answer) = self.read(keeping, sent, begun.access.as_ref()).await;
        if let Ending::Failed { class, code, .. } = &ending {
            self.heed(keeping, &VendorError::new(*class, *code));
        }
        self.settle(keeping, by, &begun.attempt, begun.was_in_doubt, Returned { ending, answer, at }).await
    }

    async fn begin(&self, keeping: &Keeping) -> Result<Begun, Obstacle> {
        let began = keeping.change_with_room(|record| {
            let now = self.clock().now();
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
        let storable = storable(keeping, &answer);
        match read_refresh(keeping, &answer) {
            Ok(fresh) => (Ending::Renewed(fresh), storable),
            Err(failure) => {
                warn!(account = %keeping.id, code = %failure.code, "refresh failed: {failure}");
                let is_unread = failure.code == Code::UnreadableAnswer;
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
}

impl From<StoreError> for Obstacle {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}

/// The word for an account whose refresh cannot begin.
pub(super) fn nothing_to_spend(keeping: &Keeping) -> Code {
    let record = keeping.record();
    let is_spent = |it: &Grant| it.refresh_end == Some(RefreshEnd::Spent);
    if record.current.as_ref().is_some_and(is_spent) { Code::UnreadableAnswer } else { Code::NoRefreshToken }
}
