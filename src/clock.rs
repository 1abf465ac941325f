//! The one place that asks for the time, so that tests and the simulated clouds can stop it and make it jump.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;

/// A deadline is looked at again after this long at the latest: timers stop while a machine sleeps, and wall clocks jump.
pub const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Wall-clock time in UTC, and time that only moves forward.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(Instant),
    Adjustable(Arc<Shared>),
}

/// Moves the time of an adjustable [`Clock`] and of all its clones.
#[derive(Clone)]
pub struct Hand(Arc<Shared>);

struct Shared {
    face: Mutex<Face>,
    moved: watch::Sender<()>,
}

struct Face {
    wall: Timestamp,
    monotonic: Duration,
    /// When the two above were true, if time runs on from there; none where it stands still.
    running_since: Option<Instant>,
}

impl Clock {
    /// The machine's own time.
    pub fn system() -> Self {
        Self(Source::System(now()))
    }

    /// A clock that starts at `wall` and stands still until its [`Hand`] moves it.
    pub fn paused(wall: Timestamp) -> (Self, Hand) {
        Self::adjustable(wall, None)
    }

    /// A clock that starts at the machine's time and runs, and can be advanced by its [`Hand`].
    pub fn running() -> (Self, Hand) {
        Self::adjustable(wall_now(), Some(now()))
    }

    /// Wall-clock time. It may jump either way.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(_) => wall_now(),
            Source::Adjustable(shared) => shared.read().0,
        }
    }

    /// Time since this clock was made. It never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System(start) => now().duration_since(*start),
            Source::Adjustable(shared) => shared.read().1,
        }
    }

    /// Waits until the wall clock reads `deadline`, but no longer than [`LOOK_AGAIN`], and returns early when an
    /// adjustable clock was moved: the caller looks at the time again and decides.
    pub async fn wait(&self, deadline: Timestamp) {
        let wait_for =
            |now: Timestamp| Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO).min(LOOK_AGAIN);
        match &self.0 {
            Source::System(_) => tokio::time::sleep(wait_for(wall_now())).await,
            Source::Adjustable(shared) => {
                let mut moved = shared.moved.subscribe();
                let (now, _, is_running) = shared.read();
                if now >= deadline {
                    return;
                }
                let real_wait = if is_running { wait_for(now) } else { LOOK_AGAIN };
                tokio::select! {
                    _ = moved.changed() => {}
                    () = tokio::time::sleep(real_wait) => {}
                }
            }
        }
    }

    /// Waits for a short span of real time. On an adjustable clock it is over, too, when so much has passed by its hand.
    pub async fn rest(&self, span: Duration) {
        let slept = tokio::time::sleep(span);
        let Source::Adjustable(shared) = &self.0 else { return slept.await };
        let mut moved = shared.moved.subscribe();
        let end = self.monotonic() + span;
        let passed = async { while self.monotonic() < end && moved.changed().await.is_ok() {} };
        tokio::select! {
            () = slept => {}
            () = passed => {}
        }
    }

    fn adjustable(wall: Timestamp, running_since: Option<Instant>) -> (Self, Hand) {
        let face = Face { wall, monotonic: Duration::ZERO, running_since };
        let shared = Arc::new(Shared { face: Mutex::new(face), moved: watch::channel(()).0 });
        (Self(Source::Adjustable(shared.clone())), Hand(shared))
    }
}

impl Hand {
    /// Lets `by` pass, on the wall and monotonically.
    pub fn advance(&self, by: Duration) {
        self.0.change(|face| {
            face.wall += by;
            face.monotonic += by;
        });
    }

    /// Makes the wall clock jump to `wall`, as NTP does after a boot; monotonic time does not notice.
    pub fn jump(&self, wall: Timestamp) {
        self.0.change(|face| face.wall = wall);
    }
}

// === impl Shared ===

impl Shared {
    fn read(&self) -> (Timestamp, Duration, bool) {
        let face = self.face.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = face.running_since.map_or(Duration::ZERO, |since| now().duration_since(since));
        (face.wall + passed, face.monotonic + passed, face.running_since.is_some())
    }

    fn change(&self, change: impl FnOnce(&mut Face)) {
        let mut face = self.face.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = face.running_since.replace(now()) {
            let passed = now().duration_since(since);
            face.wall += passed;
            face.monotonic += passed;
        } else {
            face.running_since = None;
        }
        change(&mut face);
        drop(face);
        self.moved.send_replace(());
    }
}

#[allow(clippy::disallowed_methods, reason = "this file is where the time comes from")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "this file is where the time comes from")]
fn wall_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_clock_moves_only_by_its_hand() {
        let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let (clock, hand) = Clock::paused(start);
        assert_eq!(clock.now(), start);
        hand.advance(Duration::from_secs(60));
        assert_eq!(clock.now(), start + Duration::from_secs(60));
        hand.jump(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        assert_eq!(clock.monotonic(), Duration::from_secs(60));
    }

    #[tokio::test]
    async fn a_rest_ends_by_itself_and_when_the_hand_has_moved_so_far() {
        let (clock, hand) = Clock::paused(Timestamp::UNIX_EPOCH);
        clock.rest(Duration::from_millis(1)).await;
        let resting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.rest(Duration::from_secs(1_000_000)).await }
        });
        tokio::task::yield_now().await;
        hand.advance(Duration::from_secs(999_999));
        tokio::task::yield_now().await;
        assert!(!resting.is_finished());
        hand.advance(Duration::from_secs(1));
        resting.await.unwrap();
    }

    #[tokio::test]
    async fn a_waiter_wakes_when_the_hand_moves() {
        let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let (clock, hand) = Clock::paused(start);
        let waiter = tokio::spawn({
            let clock = clock.clone();
            async move {
                while clock.now() < start + Duration::from_secs(604_800) {
                    clock.wait(start + Duration::from_secs(604_800)).await;
                }
            }
        });
        tokio::task::yield_now().await;
        hand.advance(Duration::from_secs(604_800));
        waiter.await.unwrap();
    }
}
