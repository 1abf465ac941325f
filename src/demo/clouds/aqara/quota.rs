//! How many calls a project may make: in a window, in a calendar month, in all (protocol/aqara.md §6).

use std::{collections::VecDeque, time::Duration};

use jiff::tz::TimeZone;

use super::{envelope::Refused, knobs::AqaraKnobs};
use crate::demo::clouds::simulation::Desk;

/// What one project has used up. All its accounts draw on it.
#[derive(Default)]
pub(super) struct Quota {
    /// When the calls within the rate limit's window came, by the clock that never goes back.
    recent: VecDeque<Duration>,
    /// As `2026-11`, in UTC.
    month: String,
    n_this_month: u64,
    n_in_all: u64,
}

impl Quota {
    /// Counts a call, or refuses it.
    pub(super) fn count(&mut self, desk: &mut Desk<'_, AqaraKnobs>) -> Result<(), Refused> {
        let counted = self.check(desk);
        match counted {
            Ok(()) => *desk.counters.calls_by_month.entry(self.month.clone()).or_default() += 1,
            Err(_) => desk.counters.throttled += 1,
        }
        counted
    }

    fn check(&mut self, desk: &Desk<'_, AqaraKnobs>) -> Result<(), Refused> {
        let knobs = desk.knobs;
        let month = desk.now.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string();
        if self.month != month {
            (self.month, self.n_this_month) = (month, 0);
        }
        if knobs.monthly_quota.is_some_and(|it| it <= self.n_this_month) {
            return Err(Refused::new(429, "the month's quota is used up"));
        }
        if knobs.total_quota.is_some_and(|it| it <= self.n_in_all) {
            return Err(Refused::new(429, "the quota in all is used up"));
        }
        if let Some(limit) = knobs.rate_limit_calls {
            let window = Duration::from_secs(knobs.rate_limit_window_seconds);
            while self.recent.front().is_some_and(|it| window <= desk.monotonic.saturating_sub(*it)) {
                self.recent.pop_front();
            }
            if limit <= self.recent.len() {
                return Err(Refused::new(429, "too many requests"));
            }
            self.recent.push_back(desk.monotonic);
        }
        self.n_this_month += 1;
        self.n_in_all += 1;
        Ok(())
    }
}
