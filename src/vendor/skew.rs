//! How far vendors' clocks are from ours, by the `Date` header of whatever they answer.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::SignedDuration;
use tracing::{info, warn};

/// Signatures are refused beyond a skew that nobody documents (protocol/aqara.md §3): this is worth a word before.
const FAR: SignedDuration = SignedDuration::from_secs(60);
/// A host that was far off is right again from here on.
const NEAR: SignedDuration = SignedDuration::from_secs(30);
/// `Date` has whole seconds, so a smaller change is none.
const GRAIN: SignedDuration = SignedDuration::from_secs(2);

/// What the clocks of the hosts read. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Skews {
    /// Hosts whose clock is far from ours. All accounts share them, so that each is told once.
    far_off: Arc<Mutex<HashSet<String>>>,
    last: Arc<Mutex<Option<SignedDuration>>>,
}

/// What is to be told of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    FarOff,
    RightAgain,
}

impl Skews {
    /// For another account: what is told once stays told.
    pub(super) fn apart(&self) -> Self {
        Self { far_off: self.far_off.clone(), last: Arc::default() }
    }

    pub(super) fn note(&self, host: &str, ahead_by: SignedDuration) {
        match self.turn(host, ahead_by) {
            Some(Turn::FarOff) => warn!(
                host,
                "the vendor's clock is {} s ahead of this machine's (behind it, if negative); it may refuse calls. \
                 Set this machine's clock, by NTP for example",
                ahead_by.as_secs()
            ),
            Some(Turn::RightAgain) => info!(host, "this machine's clock and the vendor's agree again"),
            None => {}
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|it| GRAIN <= (it - ahead_by).abs()) {
            *last = Some(ahead_by);
        }
    }

    pub(super) fn last(&self) -> Option<SignedDuration> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, host: &str, ahead_by: SignedDuration) -> Option<Turn> {
        let mut far_off = self.far_off.lock().unwrap_or_else(PoisonError::into_inner);
        if FAR < ahead_by.abs() {
            return far_off.insert(host.to_owned()).then_some(Turn::FarOff);
        }
        let is_right_again = ahead_by.abs() <= NEAR && far_off.remove(host);
        is_right_again.then_some(Turn::RightAgain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_clock_that_is_far_off_is_told_once_and_so_is_that_it_is_right_again() {
        let skews = Skews::default();
        let turns: Vec<_> = [0, 60, 61, 75, 59, 61, 30, 0].map(|it| skews.turn("gate", seconds(it))).into();
        let told: Vec<_> = turns.into_iter().flatten().collect();
        assert_eq!(told, [Turn::FarOff, Turn::RightAgain]);
        assert_eq!(skews.turn("gate", seconds(-61)), Some(Turn::FarOff));
        assert_eq!(skews.apart().turn("gate", seconds(-61)), None, "another account was told of it");
        assert_eq!(skews.turn("rest", seconds(-61)), Some(Turn::FarOff));
    }

    #[test]
    fn each_account_remembers_its_own_and_a_second_of_difference_is_none() {
        let skews = Skews::default();
        let other = skews.apart();
        assert_eq!(skews.last(), None);
        for ahead_by in [7, 8, 6, 7] {
            skews.note("gate", seconds(ahead_by));
            assert_eq!(skews.last(), Some(seconds(7)));
        }
        skews.note("gate", seconds(0));
        assert_eq!((skews.last(), other.last()), (Some(seconds(0)), None));
    }
}
