//! How long to wait before the next connection.

use std::time::Duration;

use super::settings::Backoff;

/// What kind of wait a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It may work again any moment.
    Soon,
    /// A person has to change something first; trying often only fills the broker's log, or gets us banned.
    Slow,
}

/// Counts the failures in a row and draws the waits.
#[derive(Debug)]
pub(super) struct Waits {
    settings: Backoff,
    n_failures: u32,
}

impl Waits {
    pub(super) fn new(settings: Backoff) -> Self {
        Self { settings, n_failures: 0 }
    }

    /// The connection held long enough to count as good: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.n_failures = 0;
    }

    /// Full jitter, so that everybody whom a broker's restart cut off does not come back at the same moment.
    pub(super) fn next(&mut self, pace: Pace) -> Duration {
        self.n_failures = self.n_failures.saturating_add(1);
        let Backoff { min, max, slow_min, slow_max } = self.settings;
        match pace {
            Pace::Soon => {
                let doubled = min.saturating_mul(2_u32.saturating_pow(self.n_failures));
                between(min, doubled.min(max))
            }
            Pace::Slow => between(slow_min, slow_max),
        }
    }
}

fn between(low: Duration, high: Duration) -> Duration {
    low + high.saturating_sub(low).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_anew_after_a_good_connection() {
        let settings = Backoff::default();
        let mut waits = Waits::new(settings);
        for n_failures in 1..100 {
            let wait = waits.next(Pace::Soon);
            let ceiling = settings.min.saturating_mul(2_u32.saturating_pow(n_failures)).min(settings.max);
            assert!(settings.min <= wait && wait <= ceiling, "{wait:?} after {n_failures}");
        }
        waits.reset();
        assert!(waits.next(Pace::Soon) <= settings.min * 2);
    }

    #[test]
    fn a_failure_that_needs_a_person_waits_for_minutes_from_the_first_time() {
        let mut waits = Waits::new(Backoff::default());
        let wait = waits.next(Pace::Slow);
        assert!(Duration::from_secs(60) <= wait && wait <= Duration::from_secs(300), "{wait:?}");
    }
}
