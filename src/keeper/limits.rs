//! How hard a vendor may be leaned on: refreshes and listings at one host, and calls that accounts share.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{clock::Clock, vendor::Budget};

/// The limits of all accounts together.
pub(super) struct Limits {
    at_once_per_host: usize,
    lanes: Mutex<BTreeMap<(String, Purpose), Lane>>,
    windows: Mutex<HashMap<String, Window>>,
    clock: Clock,
}

/// The calls of one budget, by the clock that never goes back.
#[derive(Default)]
struct Window {
    calls: VecDeque<Duration>,
    /// The vendor asked to be left alone until then.
    paused_until: Duration,
}

/// What a call is for: a refresh always finds room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To renew or to sign in.
    Refresh,
    Call,
}

/// How full one host is, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostQueue {
    pub host: String,
    pub purpose: Purpose,
    /// Accounts that wait for a turn.
    pub n_waiting: usize,
    /// Accounts that have one.
    pub n_running: usize,
}

/// The turns at one host.
#[derive(Clone)]
struct Lane {
    turns: Arc<Semaphore>,
    n_waiting: Arc<AtomicUsize>,
}

/// Somebody who waits, or gives up.
struct Waiter(Arc<AtomicUsize>);

impl Limits {
    /// `at_once_per_host`: how many refreshes may run at one host at a time, and beside them how many listings.
    pub(super) fn new(at_once_per_host: usize, clock: Clock) -> Self {
        Self { at_once_per_host, lanes: Mutex::default(), windows: Mutex::default(), clock }
    }

    /// Waits for a turn at `host`, which ends when the permit is dropped. Calls do not stand in line with refreshes.
    pub(super) async fn turn_at(&self, host: &str, purpose: Purpose) -> Option<OwnedSemaphorePermit> {
        let lane = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Lane { turns: Arc::new(Semaphore::new(self.at_once_per_host)), n_waiting: Arc::default() };
            lanes.entry((host.to_owned(), purpose)).or_insert_with(new).clone()
        };
        let _waiter = Waiter::come(lane.n_waiting);
        lane.turns.acquire_owned().await.ok()
    }

    pub(super) fn queues(&self) -> Vec<HostQueue> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = |((host, purpose), lane): (&(String, Purpose), &Lane)| HostQueue {
            host: host.clone(),
            purpose: *purpose,
            n_waiting: lane.n_waiting.load(Relaxed),
            n_running: self.at_once_per_host - lane.turns.available_permits(),
        };
        lanes.iter().map(queue).collect()
    }

    /// Takes one call from a budget, or tells how long until there is room.
    pub(super) fn spend(&self, budget: &Budget, purpose: Purpose) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(budget.key.clone()).or_default();
        if now < window.paused_until {
            return Err(window.paused_until - now);
        }
        let window = &mut window.calls;
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

    /// Nobody of this budget calls for so long, refreshes included.
    pub(super) fn pause(&self, budget: &Budget, pause: Duration) {
        let until = self.clock.monotonic() + pause;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(budget.key.clone()).or_default();
        window.paused_until = window.paused_until.max(until);
    }
}

// === impl Waiter ===

impl Waiter {
    fn come(n_waiting: Arc<AtomicUsize>) -> Self {
        n_waiting.fetch_add(1, Relaxed);
        Self(n_waiting)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_at_a_host_is_counted_until_it_has_a_turn_or_gives_up() {
        let limits = Arc::new(Limits::new(1, Clock::paused(jiff::Timestamp::UNIX_EPOCH).0));
        let count = || limits.queues().iter().map(|it| (it.n_waiting, it.n_running)).collect::<Vec<_>>();
        assert_eq!(count(), []);
        let turn = limits.turn_at("gate", Purpose::Refresh).await;
        assert_eq!(count(), [(0, 1)]);
        let mut waits = Box::pin(limits.turn_at("gate", Purpose::Refresh));
        let mut gives_up = Box::pin(limits.turn_at("gate", Purpose::Refresh));
        assert!(is_pending(&mut waits).await && is_pending(&mut gives_up).await);
        assert_eq!(count(), [(2, 1)]);
        drop(gives_up);
        assert_eq!(count(), [(1, 1)]);
        drop(turn);
        let turn = waits.await;
        assert_eq!(count(), [(0, 1)]);
        drop(turn);
        assert_eq!(count(), [(0, 0)]);
    }

    async fn is_pending<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

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
        limits.pause(&budget, Duration::from_secs(60));
        limits.pause(&budget, Duration::from_secs(5));
        for purpose in [Purpose::Call, Purpose::Refresh] {
            assert_eq!(limits.spend(&budget, purpose), Err(Duration::from_secs(60)), "the vendor asked for it");
        }
        hand.advance(Duration::from_secs(60));
        assert_eq!(limits.spend(&budget, Purpose::Refresh), Ok(()));
    }
}
