//! A call with an access token: the token is fetched on first use, renewed when it ended, and renewed once on a
//! rejection. Each call is counted against what the vendor allows.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    account::{Class, Code, Secret},
    vendor::{Toll, Vendor, VendorError},
};

use super::{
    Shared,
    command::CommandError,
    flight::{Errand, Landing},
    keeping::Keeping,
    limits::Purpose,
    notice::Trigger,
};

/// An access token this near its end is renewed before it is used.
const BUFFER: Duration = Duration::from_secs(5 * 60);

/// One thing to ask of a vendor.
#[async_trait]
pub(super) trait Call: Sync {
    type Answer: Send;

    /// Asks once; the toll is taken before whatever is sent.
    async fn make(&self, vendor: &dyn Vendor, access: &Secret, toll: &dyn Toll) -> Result<Self::Answer, VendorError>;
}

/// Why a call came to nothing.
pub(super) enum CallFailure {
    /// There is no access token to make it with.
    NoAccess(CommandError),
    Vendor(VendorError),
    /// Our own limit was reached first. How long until there is room.
    NoRoom(Duration),
}

/// An access token that has not ended.
pub(super) struct HeldAccess {
    pub(super) access: Secret,
    pub(super) generation: u64,
    /// Far enough from its end to be used without a thought.
    is_fresh: bool,
}

/// Counts the calls that are made in one go.
struct Fare<'a> {
    shared: &'a Shared,
    keeping: &'a Keeping,
    has_called: AtomicBool,
    refused: OnceLock<Duration>,
}

impl Shared {
    /// Calls, and where the access token is rejected, which means that nothing was done, renews it and calls once more.
    /// After any other failure the call is not repeated.
    pub(super) async fn call<C: Call>(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        call: C,
    ) -> Result<C::Answer, CallFailure> {
        let held = self.live_access(keeping, None).await?;
        match self.call_once(keeping, &held.access, &call).await {
            Err(failure) if failure.is_rejection() => {
                let renewed = self.live_access(keeping, Some(held.generation)).await?;
                self.call_once(keeping, &renewed.access, &call).await
            }
            result => result,
        }
    }

    /// As [`Shared::call`] with the access token at hand, and with no refresh for its sake; none where there is no token.
    pub(super) async fn call_with_held<C: Call>(
        &self,
        keeping: &Keeping,
        call: C,
    ) -> Option<Result<C::Answer, CallFailure>> {
        let held = self.held_access(keeping, None)?;
        let result = self.call_once(keeping, &held.access, &call).await;
        let is_rejected = matches!(&result, Err(failure) if failure.is_rejection());
        // Somebody else may have renewed it meanwhile.
        match self.held_access(keeping, Some(held.generation)).filter(|_| is_rejected) {
            Some(renewed) => Some(self.call_once(keeping, &renewed.access, &call).await),
            None => Some(result),
        }
    }

    /// The access token at hand, unless it ended or is the one of the `rejected` generation.
    fn held_access(&self, keeping: &Keeping, rejected: Option<u64>) -> Option<HeldAccess> {
        let now = self.clock().now();
        let record = keeping.record();
        let grant = record.current.as_ref().filter(|it| Some(it.generation) != rejected)?;
        let access = grant.live_access(now)?.clone();
        let is_fresh = grant.access_expires_at.is_none_or(|end| {
            let life = Duration::try_from(end.duration_since(grant.issued_at)).unwrap_or_default();
            now.checked_add(BUFFER.min(life / 4)).is_ok_and(|then| then < end)
        });
        Some(HeldAccess { access, generation: grant.generation, is_fresh })
    }

    async fn call_once<C: Call>(&self, keeping: &Keeping, access: &Secret, call: &C) -> Result<C::Answer, CallFailure> {
        let fare = Fare { shared: self, keeping, has_called: AtomicBool::new(false), refused: OnceLock::new() };
        let result = call.make(&*keeping.vendor, access, &fare).await;
        if fare.has_called.into_inner() {
            let was_cut_off =
                matches!(&result, Err(failure) if matches!(failure.code, Code::Unreachable | Code::NoAnswer));
            keeping.note_present(|present| present.is_cloud_reached = Some(!was_cut_off));
            // How many there were is shown.
            keeping.changed();
        }
        // A toll that was refused is our own limit.
        if let Some(failure) = result.as_ref().err().filter(|_| fare.refused.get().is_none()) {
            self.heed(keeping, failure);
        }
        result.map_err(|failure| fare.refused.into_inner().map_or(CallFailure::Vendor(failure), CallFailure::NoRoom))
    }

    /// A usable access token, fetched where none is held. `rejected`: the generation whose token the vendor rejected.
    pub(super) async fn live_access(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        rejected: Option<u64>,
    ) -> Result<HeldAccess, CallFailure> {
        if let Some(held) = self.held_access(keeping, rejected).filter(|it| it.is_fresh) {
            return Ok(held);
        }
        let landing = self.refresh_for_call(keeping).await;
        // What is near its end still serves where a refresh fails.
        if let Some(renewed) = self.held_access(keeping, rejected) {
            return Ok(renewed);
        }
        let code = match landing.map_err(CallFailure::NoAccess)? {
            Landing::Renewed { .. } | Landing::LoggedIn { .. } | Landing::CheckedIn => Code::AccessRejected,
            Landing::Failed { code, .. } | Landing::CandidateRefused(code) => code,
        };
        Err(CallFailure::NoAccess(CommandError::new(code, &keeping.id)))
    }

    async fn refresh_for_call(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Result<Landing, CommandError> {
        let may_start = || {
            let record = keeping.record();
            let is_empty = record.current.as_ref().is_some_and(|it| it.access.is_none());
            let is_first_fill = is_empty && record.setbacks.consecutive == 0 && record.next_to_spend().is_some();
            match record.dead {
                None if is_first_fill => self.is_patience_over(keeping),
                _ => self.may_refresh_now(keeping),
            }
        };
        Ok(self.launch(keeping, Errand::Refresh(Trigger::Call), may_start)?.land().await)
    }
}

impl CallFailure {
    fn is_rejection(&self) -> bool {
        matches!(self, Self::Vendor(failure) if failure.class == Class::AccessRejected)
    }

    /// How long to wait at least.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoAccess(_) => None,
            Self::NoRoom(wait) => Some(*wait),
            Self::Vendor(failure) => match failure.class {
                Class::Throttled { retry_after } => retry_after,
                _ => None,
            },
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccess(error) => error.fmt(f),
            Self::Vendor(failure) => failure.fmt(f),
            Self::NoRoom(_) => f.write_str("the calls that the vendor allows are used"),
        }
    }
}

impl Toll for Fare<'_> {
    fn take(&self) -> Result<(), VendorError> {
        match self.shared.spend_call(self.keeping, Purpose::Call) {
            Ok(()) => {
                self.has_called.store(true, Relaxed);
                Ok(())
            }
            Err(wait) => {
                let wait = *self.refused.get_or_init(|| wait);
                Err(VendorError::new(Class::Throttled { retry_after: Some(wait) }, Code::Throttled))
            }
        }
    }
}
