//! What is due to be told of one account. Times are monotonic.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    NeedsAttention,
    WellAgain,
}

/// What was told, and what is being tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    is_told: bool,
    /// Since when things are other than what was told.
    since: Option<Duration>,
    failures: u32,
    not_before: Duration,
}

impl Watch {
    pub(super) fn new(is_told: bool) -> Self {
        Self { is_told, ..Self::default() }
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// What is to be told and when, if it stays so. A trouble that passes within `after` is never told.
    pub(super) fn due(&mut self, is_troubled: bool, after: Duration, now: Duration) -> Option<(News, Duration)> {
        if is_troubled == self.is_told {
            *self = Self::new(self.is_told);
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let (news, at) = if is_troubled { (News::NeedsAttention, since + after) } else { (News::WellAgain, since) };
        Some((news, at.max(self.not_before)))
    }

    pub(super) fn told(&mut self, news: News) {
        *self = Self::new(news == News::NeedsAttention);
    }

    /// It could not be told. Returns the pause before it is tried again: 1 s, four times as long with each failure, up to
    /// an hour.
    pub(super) fn failed(&mut self, now: Duration) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(4_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.not_before = now + pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_trouble_that_stands_is_told_once_and_so_is_its_end() {
        let mut watch = Watch::new(false);
        assert_eq!(watch.due(false, AFTER, seconds(0)), None);
        assert_eq!(watch.due(true, AFTER, seconds(10)), Some((News::NeedsAttention, seconds(70))));
        assert_eq!(watch.due(true, AFTER, seconds(70)), Some((News::NeedsAttention, seconds(70))));
        watch.told(News::NeedsAttention);
        assert_eq!(watch.due(true, AFTER, seconds(500)), None);
        assert_eq!(watch.due(false, AFTER, seconds(600)), Some((News::WellAgain, seconds(600))));
        watch.told(News::WellAgain);
        assert_eq!(watch.due(false, AFTER, seconds(601)), None);
    }

    #[test]
    fn a_trouble_that_passes_soon_is_not_told_and_starts_anew() {
        let mut watch = Watch::new(false);
        watch.due(true, AFTER, seconds(10));
        assert_eq!(watch.due(false, AFTER, seconds(30)), None);
        assert_eq!(watch.due(true, AFTER, seconds(50)), Some((News::NeedsAttention, seconds(110))));
    }

    #[test]
    fn failures_are_tried_again_ever_more_slowly() {
        let mut watch = Watch::new(false);
        let pauses: Vec<u64> = (0..8).map(|_| watch.failed(seconds(5)).as_secs()).collect();
        assert_eq!(pauses, [1, 4, 16, 64, 256, 1024, 3600, 3600]);
        assert_eq!(watch.due(true, Duration::ZERO, seconds(5)), Some((News::NeedsAttention, seconds(3605))));
    }
}
