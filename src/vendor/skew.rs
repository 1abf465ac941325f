//! How far vendors' clocks are from ours, by the `Date` header of whatever they answer.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use jiff::SignedDuration;
use tracing::{info, warn};

/// Signatures are refused beyond a skew that nobody documents (protocol/aqara.md §3): this is worth a word before.
const FAR: SignedDuration = SignedDuration::from_secs(60);
/// A host that was far off is right again from here on.
const NEAR: SignedDuration = SignedDuration::from_secs(30);
/// `Date` has whole seconds, so a smaller change is none.
const GRAIN: SignedDuration = SignedDuration::from_secs(2);

/// Hosts whose clock is far from ours. All accounts share them, so that each is told once.
#[derive(Default)]
pub(super) struct FarOff(Mutex<HashSet<String>>);

/// How far the clock of whoever answered last is ahead of ours.
#[derive(Default)]
pub(super) struct Skew(Mutex<Option<SignedDuration>>);

/// What is to be told of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    FarOff,
    RightAgain,
}

impl FarOff {
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
    }

    fn turn(&self, host: &str, ahead_by: SignedDuration) -> Option<Turn> {
        let mut far_off = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if FAR < ahead_by.abs() {
            return far_off.insert(host.to_owned()).then_some(Turn::FarOff);
        }
        let is_right_again = ahead_by.abs() <= NEAR && far_off.remove(host);
        is_right_again.then_some(Turn::RightAgain)
    }
}

impl Skew {
    pub(super) fn note(&self, ahead_by: SignedDuration) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|it| GRAIN <= (it - ahead_by).abs()) {
            *last = Some(ahead_by);
        }
    }

    pub(super) fn last(&self) -> Option<SignedDuration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let far_off = FarOff::default();
        let turns: Vec<_> = [0, 60, 61, 75, 59, 61, 30, 0].map(|it| far_off.turn("gate", seconds(it))).into();
        let told: Vec<_> = turns.into_iter().flatten().collect();
        assert_eq!(told, [Turn::FarOff, Turn::RightAgain]);
        assert_eq!(far_off.turn("gate", seconds(-61)), Some(Turn::FarOff));
        assert_eq!(far_off.turn("gate", seconds(-61)), None);
        assert_eq!(far_off.turn("rest", seconds(-61)), Some(Turn::FarOff));
    }

    #[test]
    fn a_second_of_difference_is_none() {
        let skew = Skew::default();
        assert_eq!(skew.last(), None);
        for ahead_by in [7, 8, 6, 7] {
            skew.note(seconds(ahead_by));
            assert_eq!(skew.last(), Some(seconds(7)));
        }
        skew.note(seconds(0));
        assert_eq!(skew.last(), Some(seconds(0)));
    }
}
