//! Whether this machine is fit to refresh: its clock, its disk, and no other account with the same token. All of it is
//! asked before a token is spent.

use std::time::Duration;

use jiff::SignedDuration;
use tracing::error;

use crate::{account::Code, store::StoreError};

use super::{Shared, flight::Landing, keeping::Keeping, notice::Trigger};

/// How long this machine's troubles are left alone before the next look.
const BLOCKED_FOR: Duration = Duration::from_secs(60);
/// How long until a vendor is asked again for its time. A clock that is set meanwhile is noticed at once.
const SKEWED_FOR: Duration = Duration::from_secs(600);
/// A vendor's clock this far from ours makes ours suspect.
const SUSPECT_SKEW: SignedDuration = SignedDuration::from_mins(10);

impl Shared {
    /// Looks whether what stood in the way of an account is gone; no refresh is due.
    pub(super) async fn look_again(&self, keeping: &Keeping) {
        if self.is_fit(keeping).await.is_ok() {
            keeping.unblock();
        }
        self.plan(&keeping.id);
    }

    pub(super) fn hold(&self, keeping: &Keeping, wait: Duration) {
        let until = self.clock().now().checked_add(wait).ok();
        keeping.note_present(|present| present.hold_until = until);
    }

    /// Whether a refresh may be tried: this machine is fit, and nobody else holds the token.
    pub(super) async fn may_start(&self, keeping: &Keeping, by: Trigger) -> Result<(), Landing> {
        if self.stopping.is_cancelled() {
            return Err(Landing::grounded(Code::ShuttingDown));
        }
        // Where nothing stood in the way, the attempt's own commit asks for room, which spares a way to the store and back.
        if keeping.present().blocked.is_some() {
            self.is_fit(keeping).await?;
        } else {
            self.is_clock_fit(keeping)?;
        }
        let now = self.clock().now();
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
    pub(super) async fn is_fit(&self, keeping: &Keeping) -> Result<(), Landing> {
        self.is_clock_fit(keeping)?;
        self.store().check_room().await.map_err(|trouble| self.blocked_by_disk(keeping, &trouble))
    }

    fn is_clock_fit(&self, keeping: &Keeping) -> Result<(), Landing> {
        if self.clock().now() < super::built_at() {
            let why = "the clock reads a time before this version was built";
            return Err(self.block(keeping, why, "Set the clock.", BLOCKED_FOR));
        }
        Ok(())
    }

    pub(super) fn blocked_by_disk(&self, keeping: &Keeping, trouble: &StoreError) -> Landing {
        self.block(keeping, &trouble.to_string(), trouble.mend(), BLOCKED_FOR)
    }

    fn block(&self, keeping: &Keeping, why: &str, mend: &str, wait: Duration) -> Landing {
        if keeping.present().blocked.is_none() {
            error!(account = %keeping.id, "no token was spent: {why}. {mend}");
        }
        self.hold(keeping, wait);
        keeping.note_present(|present| present.blocked = Some(why.to_owned()));
        Landing::grounded(Code::Blocked)
    }
}
