//! Wrong keys are counted by the address that they come from, and too many of them make it wait.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::clock::Clock;

/// So many wrong keys within [`WINDOW`], then none is looked at until the oldest of them is past.
const ALLOWED: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Whoever has more addresses than this is not stopped by counting them.
const MOST_ADDRESSES: usize = 1024;

pub(super) struct Attempts {
    wrong: Mutex<HashMap<IpAddr, VecDeque<Duration>>>,
    clock: Clock,
}

/// What came of showing a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// The key was not looked at; seconds until one is.
    TooMany(u64),
}

impl Attempts {
    pub(super) fn new(clock: Clock) -> Self {
        Self { wrong: Mutex::default(), clock }
    }

    /// Looks at a key from `address`, unless too many wrong ones came from there.
    pub(super) fn judge(&self, address: IpAddr, is_right: impl FnOnce() -> bool) -> Verdict {
        let now = self.clock.monotonic();
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let who = network_of(address);
        if let Some(times) = wrong.get_mut(&who) {
            times.retain(|it| now.saturating_sub(*it) < WINDOW);
            if let Some(oldest) = times.front().filter(|_| ALLOWED <= times.len()) {
                return Verdict::TooMany((*oldest + WINDOW).saturating_sub(now).as_secs() + 1);
            }
        }
        if is_right() {
            return Verdict::Right;
        }
        if wrong.len() == MOST_ADDRESSES && !wrong.contains_key(&who) {
            make_room(&mut wrong, now);
        }
        wrong.entry(who).or_default().push_back(now);
        Verdict::Wrong
    }
}

/// Forgets whom nothing is held against any more, or else whose last wrong key is the oldest.
fn make_room(wrong: &mut HashMap<IpAddr, VecDeque<Duration>>, now: Duration) {
    wrong.retain(|_, times| times.back().is_some_and(|it| now.saturating_sub(*it) < WINDOW));
    if wrong.len() == MOST_ADDRESSES
        && let Some(oldest) = wrong.iter().min_by_key(|it| it.1.back().copied()).map(|it| *it.0)
    {
        wrong.remove(&oldest);
    }
}

/// Whoever has one IPv6 address has 64 bits of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_ten_wrong_keys_an_address_waits_and_others_do_not() {
        let (clock, hand) = Clock::paused(jiff::Timestamp::UNIX_EPOCH);
        let attempts = Attempts::new(clock);
        let [here, there]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse().unwrap());
        for _ in 0..ALLOWED {
            assert_eq!(attempts.judge(here, || false), Verdict::Wrong);
        }
        assert_eq!(attempts.judge(here, || panic!("it is looked at")), Verdict::TooMany(61));
        assert_eq!(attempts.judge(there, || true), Verdict::Right);
        hand.advance(WINDOW);
        assert_eq!(attempts.judge(here, || true), Verdict::Right);
    }

    #[test]
    fn a_network_of_one_owner_is_one_address_and_memory_is_bounded() {
        let attempts = Attempts::new(Clock::paused(jiff::Timestamp::UNIX_EPOCH).0);
        for number in 0..ALLOWED {
            attempts.judge(format!("2001:db8::{number:x}").parse().unwrap(), || false);
        }
        assert!(matches!(attempts.judge("2001:db8::ffff".parse().unwrap(), || true), Verdict::TooMany(_)));
        for number in 0..2 * MOST_ADDRESSES {
            attempts.judge(Ipv6Addr::from_bits((number as u128) << 64).into(), || false);
        }
        assert_eq!(attempts.wrong.lock().unwrap().len(), MOST_ADDRESSES);
    }
}
