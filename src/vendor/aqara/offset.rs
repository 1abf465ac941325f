//! How far this machine's clock is off, once that has mattered: requests are then signed with the vendor's time.

use std::sync::{Mutex, PoisonError};

use jiff::SignedDuration;
use tracing::{info, warn};

/// The `Date` header counts whole seconds and ages on the way: less than this is no difference.
const NOTHING: SignedDuration = SignedDuration::from_secs(30);

/// How far the vendor's clock is ahead of ours. Zero as long as our own time is accepted.
#[derive(Default)]
pub(super) struct Offset(Mutex<SignedDuration>);

impl Offset {
    /// What requests add to our own time.
    pub(super) fn known(&self) -> SignedDuration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that added `ahead` was let in, and its answer measured `measured`.
    pub(super) fn served(&self, ahead: SignedDuration, measured: Option<SignedDuration>, host: &str) {
        // Where our own time was let in, there is nothing to mend, whatever the header says.
        let next = if ahead.is_zero() { ahead } else { measured.map_or(ahead, |it| followed(ahead, it)) };
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next);
        let seconds = next.as_secs();
        if before.is_zero() && !next.is_zero() {
            let (behind, by) = (if seconds < 0 { "ahead of" } else { "behind" }, seconds.unsigned_abs());
            warn!(
                host,
                "this machine's clock is {by} s {behind} the vendor's, whose time is used meanwhile. Set the clock"
            );
        } else if !before.is_zero() && next.is_zero() {
            info!(host, "this machine's clock agrees with the vendor's again");
        }
    }

    /// What was known of it did not help.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = SignedDuration::ZERO;
    }
}

/// Our clock may have been set meanwhile, a little or altogether.
fn followed(ahead: SignedDuration, measured: SignedDuration) -> SignedDuration {
    if measured.abs() < NOTHING {
        SignedDuration::ZERO
    } else if (measured - ahead).abs() < NOTHING {
        ahead
    } else {
        measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    #[test]
    fn our_own_time_is_used_until_it_was_refused_and_again_when_the_clock_was_set() {
        let offset = Offset::default();
        offset.served(SignedDuration::ZERO, Some(HOUR), "host");
        assert_eq!(offset.known(), SignedDuration::ZERO, "our time was let in");
        offset.served(HOUR, Some(HOUR), "host");
        offset.served(HOUR, Some(HOUR + SignedDuration::from_secs(2)), "host");
        assert_eq!(offset.known(), HOUR);
        offset.served(HOUR, None, "host");
        assert_eq!(offset.known(), HOUR);
        offset.served(HOUR, Some(-HOUR), "host");
        assert_eq!(offset.known(), -HOUR);
        offset.served(-HOUR, Some(SignedDuration::from_secs(-1)), "host");
        assert_eq!(offset.known(), SignedDuration::ZERO);
    }

    #[test]
    fn what_did_not_help_is_forgotten() {
        let offset = Offset::default();
        offset.served(HOUR, Some(HOUR), "host");
        offset.forget();
        assert_eq!(offset.known(), SignedDuration::ZERO);
    }
}
