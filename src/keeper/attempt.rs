//! One attempt of a refresh: begun durably, sent, read. A process that is killed between any two lines of this file
//! finds on disk what it needs to go on.

use std::future::pending;

use tokio::{sync::oneshot, task::yield_now};
use tracing::{info, warn};

use crate::{
    account::{Attempt, Class, Code, Ending, Grant, RefreshEnd, Secret, Slot},
    store::StoreError,
    vendor::{Answer, Gate, Spend, VendorError},
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

/// An attempt with what it sends.
#[derive(Clone)]
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
        let (begun, sent) = match self.begin_and_send(keeping, by).await {
            Ok(sent) => sent,
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
        let at = self.clock.now();
        let (ending, answer) = self.read(keeping, sent, begun.access.as_ref()).await;
        if let Ending::Failed { class, code, .. } = &ending {
            self.heed(keeping, &VendorError::new(*class, *code));
        }
        self.settle(keeping, by, &begun.attempt, begun.was_in_doubt, Returned { ending, answer, at }).await
    }

    /// Begins an attempt and sends it. The connection is opened while the attempt is being made durable, and until it is the
    /// gate lets nothing through.
    async fn begin_and_send(
        &self,
        keeping: &Keeping,
        by: Trigger,
    ) -> Result<(Begun, Result<Answer, VendorError>), Obstacle> {
        let (gate, (tell, told)) = (Gate::default(), oneshot::channel());
        let beginning = async {
            let begun = self.begin(keeping, tell).await?;
            gate.open();
            // The request goes first.
            yield_now().await;
            info!(account = %keeping.id, ?by, token = %begun.refresh.masked(), "refresh needed, asking the vendor");
            Ok::<_, Obstacle>(begun)
        };
        let sending = async {
            match told.await {
                Ok(begun) => Ok(send_behind(&gate, keeping, &begun).await),
                // Nothing begins, which is told by the one who was to begin it.
                Err(_) => pending().await,
            }
        };
        let (begun, mut sent) = tokio::try_join!(beginning, sending)?;
        if gate.was_late() {
            sent = keeping.vendor.refresh(begun.spend()).await;
        }
        Ok((begun, sent))
    }

    /// `tell`: is told what begins while it is being made durable.
    async fn begin(&self, keeping: &Keeping, tell: oneshot::Sender<Begun>) -> Result<Begun, Obstacle> {
        let began = keeping.change_with_room(|record| {
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
            let begun = Begun { attempt, refresh, access, was_in_doubt };
            let _ = tell.send(begun.clone());
            Ok(begun)
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

impl Begun {
    fn spend(&self) -> Spend<'_> {
        Spend { refresh: &self.refresh, access: self.access.as_ref() }
    }
}

impl From<StoreError> for Obstacle {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}

async fn send_behind(gate: &Gate, keeping: &Keeping, begun: &Begun) -> Result<Answer, VendorError> {
    if !keeping.vendor.refreshes_by_http() {
        gate.opened().await;
    }
    gate.before(keeping.vendor.refresh(begun.spend())).await
}

/// The word for an account whose refresh cannot begin.
pub(super) fn nothing_to_spend(keeping: &Keeping) -> Code {
    let record = keeping.record();
    let is_spent = |it: &Grant| it.refresh_end == Some(RefreshEnd::Spent);
    if record.current.as_ref().is_some_and(is_spent) { Code::UnreadableAnswer } else { Code::NoRefreshToken }
}
