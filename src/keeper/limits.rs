//! How hard a vendor may be leaned on: refreshes and listings at one host, and calls that accounts share.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{clock::Clock, vendor::Budget};

/// The limits of all accounts together.
pub(super) struct Limits {
    at_once_per_host: usize,
    hosts: Mutex<HashMap<(String, Purpose), Arc<Semaphore>>>,
    windows: Mutex<HashMap<String, VecDeque<Duration>>>,
    clock: Clock,
}

/// What a call is for: a refresh always finds room.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Refresh,
    Call,
}

impl Limits {
    /// `at_once_per_host`: how many refreshes may run at one host at a time, and beside them how many listings.
    pub(super) fn new(at_once_per_host: usize, clock: Clock) -> Self {
        Self { at_once_per_host, hosts: Mutex::default(), windows: Mutex::default(), clock }
    }

    /// Waits for a turn at `host`, which ends when the permit is dropped. Calls do not stand in line with refreshes.
    pub(super) async fn turn_at(&self, host: &str, purpose: Purpose) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.at_once_per_host));
            hosts.entry((host.to_owned(), purpose)).or_insert_with(new).clone()
        };
        semaphore.acquire_owned().await.ok()
    }

    /// Takes one call from a budget, or tells how long until there is room.
    pub(super) fn spend(&self, budget: &Budget, purpose: Purpose) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(budget.key.clone()).or_default();
        while window.front().is_some_and(|it| budget.per <= now.saturating_sub(*it)) {
            window.pop_front();
        }
        let kept = if purpose == Purpose::Refresh { 0 } else { budget.kept_for_refreshes };
        let room = usize::try_from(budget.calls.saturating_sub(kept)).unwrap_or(usize::MAX);
        if window.len() < room {
            window.push_back(now);
            return Ok(());
        }
        let until = window.get(window.len() - room).map_or(budget.per, |it| (*it + budget.per).saturating_sub(now));
        Err(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_room_for_refreshes_and_the_window_slides() {
        let (clock, hand) = Clock::paused(jiff::Timestamp::UNIX_EPOCH);
        let limits = Limits::new(2, clock);
        let budget = Budget {
            key: "app".into(),
            calls: 10,
            per: Duration::from_secs(300),
            kept_for_refreshes: 3,
            per_month: 100,
            in_all: 100,
        };
        for _ in 0..7 {
            assert_eq!(limits.spend(&budget, Purpose::Call), Ok(()));
        }
        assert_eq!(limits.spend(&budget, Purpose::Call), Err(Duration::from_secs(300)));
        for _ in 0..3 {
            assert_eq!(limits.spend(&budget, Purpose::Refresh), Ok(()));
        }
        assert!(limits.spend(&budget, Purpose::Refresh).is_err());
        hand.advance(Duration::from_secs(300));
        assert_eq!(limits.spend(&budget, Purpose::Call), Ok(()));
    }
}
