//! A pair of tokens, made up.

use std::time::Duration;

use jiff::Timestamp;

use super::rules::{RefreshLife, RotationRules};

/// Both tokens of one generation.
#[derive(Clone)]
pub struct Pair {
    pub access_token: String,
    pub refresh_token: String,
    pub issued_at: Timestamp,
    pub access_expires_at: Timestamp,
    pub refresh_expires_at: Option<Timestamp>,
    /// 1 at login, one more at each rotation.
    pub generation: u64,
}

impl Pair {
    /// A pair that follows the one of this generation (0: none), with the life that was chosen or the rules' own.
    pub(super) fn new(
        generation_before: u64,
        access_life: Option<Duration>,
        now: Timestamp,
        rules: &RotationRules,
    ) -> Self {
        let access_expires_at = later(now, access_life.unwrap_or(rules.access_life));
        let refresh_expires_at = match rules.refresh_life {
            RefreshLife::Unlimited => None,
            RefreshLife::FromIssue(life) => Some(later(now, life)),
            RefreshLife::BeyondAccess(life) => Some(later(access_expires_at, life)),
        };
        Self {
            access_token: new_token(),
            refresh_token: new_token(),
            issued_at: now,
            access_expires_at,
            refresh_expires_at,
            generation: generation_before + 1,
        }
    }
}

/// A time that comes `by` after another, or the last that there is.
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// 32 lower-case hex digits, as Aqara's are; what Akuvox's look like is not known.
fn new_token() -> String {
    format!("{:032x}", fastrand::u128(..))
}
