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

use crate::{account::AccountId, clock::Clock, vendor::Budget};

/// One turn in so many is not for those who stand in line.
const KEPT_PART: usize = 4;

/// The limits of all accounts together.
pub(super) struct Limits {
    at_once_per_host: usize,
    lanes: Mutex<BTreeMap<(String, Purpose), Lane>>,
    lines: Mutex<HashMap<String, Line>>,
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

/// The accounts that are due at one host, in the order in which they fell due.
#[derive(Default)]
struct Line {
    accounts: VecDeque<AccountId>,
    /// How many tasks take from its front.
    n_served: usize,
}

/// Somebody who waits, or gives up.
struct Waiter(Arc<AtomicUsize>);

impl Limits {
    /// `at_once_per_host`: how many refreshes may run at one host at a time, and beside them how many listings.
    pub(super) fn new(at_once_per_host: usize, clock: Clock) -> Self {
        Self { at_once_per_host, lanes: Mutex::default(), lines: Mutex::default(), windows: Mutex::default(), clock }
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

    /// Puts an account at the end of the line at `host`. Gives whether one more task has to serve that line, since there are
    /// fewer than may be there at a time: three quarters of the turns at a host, and all where there are few.
    pub(super) fn line_up(&self, host: &str, account: AccountId) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(host.to_owned()).or_default();
        line.accounts.push_back(account);
        // The other turns are for refreshes that somebody asked for, which so need not wait until one of many is over.
        let has_room = line.n_served < self.at_once_per_host - self.at_once_per_host / KEPT_PART;
        line.n_served += usize::from(has_room);
        has_room
    }

    /// Who comes next, for a task that serves the line; none: it is not needed any more.
    pub(super) fn next_in_line(&self, host: &str) -> Option<AccountId> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.get_mut(host)?;
        let next = line.accounts.pop_front();
        if next.is_none() {
            line.n_served -= 1;
        }
        next
    }

    pub(super) fn queues(&self) -> Vec<HostQueue> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let n_in_line = |host: &str, purpose| match purpose {
            Purpose::Refresh => lines.get(host).map_or(0, |it| it.accounts.len()),
            Purpose::Call => 0,
        };
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = |((host, purpose), lane): (&(String, Purpose), &Lane)| HostQueue {
            host: host.clone(),
            purpose: *purpose,
            n_waiting: lane.n_waiting.load(Relaxed) + n_in_line(host, *purpose),
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
    use futures_util::FutureExt;

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
        assert!(waits.as_mut().now_or_never().is_none() && gives_up.as_mut().now_or_never().is_none());
        assert_eq!(count(), [(2, 1)]);
        drop(gives_up);
        assert_eq!(count(), [(1, 1)]);
        drop(turn);
        let turn = waits.await;
        assert_eq!(count(), [(0, 1)]);
        drop(turn);
        assert_eq!(count(), [(0, 0)]);
    }

    #[test]
    fn a_line_is_served_by_as_many_as_may_be_at_the_host_and_in_its_order() {
        let limits = Limits::new(2, Clock::paused(jiff::Timestamp::UNIX_EPOCH).0);
        let account = |name: &str| name.parse::<AccountId>().unwrap();
        let is_served_anew = ["a", "b", "c"].map(|it| limits.line_up("gate", account(it)));
        assert_eq!(is_served_anew, [true, true, false]);
        assert!(limits.line_up("another", account("d")), "no host waits for another");
        for next in [Some("a"), Some("b"), Some("c"), None] {
            assert_eq!(limits.next_in_line("gate"), next.map(account));
        }
        assert!(limits.line_up("gate", account("e")), "one of the two who served it is gone");
    }

    #[test]
    fn those_in_line_leave_some_of_many_turns_to_whoever_asks() {
        for (at_once, n_served) in [(1, 1), (2, 2), (3, 3), (4, 3), (8, 6)] {
            let limits = Limits::new(at_once, Clock::paused(jiff::Timestamp::UNIX_EPOCH).0);
            let accounts = (0..20).map(|it| format!("a{it}").parse().unwrap());
            assert_eq!(accounts.filter(|it: &AccountId| limits.line_up("gate", it.clone())).count(), n_served);
        }
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
