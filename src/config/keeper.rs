//! `[keeper]`: how gently the clouds are treated. For those who know why; the defaults suit everyone else.

use std::time::Duration;

use super::section::Section;
use crate::account::BackOff;

/// How gently the clouds are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperSettings {
    /// The shortest time between two refreshes of one account, whoever asks; 1 min by default.
    pub min_refresh_gap: Duration,
    /// How many refreshes may be under way at one host; 2 by default. From 4 on, one in four is only for those that
    /// somebody asks for.
    pub refreshes_per_host: usize,
    /// How long one call to a cloud may take in all; 15 s by default.
    pub call_timeout: Duration,
    /// The pauses after failures: 30 s, doubled up to 1 h by default.
    pub back_off: BackOff,
}

pub(super) const MIN_REFRESH_GAP: &str = "min_refresh_gap";

pub(super) fn read(mut section: Section<'_>) -> KeeperSettings {
    let seconds = Duration::from_secs;
    let settings = KeeperSettings {
        min_refresh_gap: read_min_refresh_gap(&mut section, seconds(60)),
        refreshes_per_host: section.whole_number("refreshes_per_host", 1..=64, 2).into(),
        call_timeout: section.duration("call_timeout", seconds(1)..=seconds(120), seconds(15)),
        back_off: BackOff {
            first: section.duration("backoff_first", Duration::from_millis(10)..=seconds(3600), seconds(30)),
            longest: section.duration("backoff_longest", seconds(1)..=seconds(86_400), seconds(3600)),
        },
    };
    if settings.back_off.longest < settings.back_off.first {
        let why = "it is shorter than `backoff_first`";
        section.report_invalid("backoff_longest", why, "make it as long as `backoff_first`, or longer");
    }
    section.finish();
    settings
}

/// Also a setting of each account.
pub(super) fn read_min_refresh_gap(section: &mut Section<'_>, default: Duration) -> Duration {
    section.duration(MIN_REFRESH_GAP, Duration::ZERO..=Duration::from_secs(86_400), default)
}
