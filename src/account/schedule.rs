//! When an account is to be refreshed next. Wall-clock time in UTC throughout.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{AccountId, AmbiguousPolicy, BackOff, Grant, Policy, Record, Slot};

/// A wait beyond this is a clock that jumped, not a back-off.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(25);
const DEAD_PROBE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Times this far ahead of the clock cannot be right.
const FUTURE: SignedDuration = SignedDuration::from_mins(5);

/// When the next refresh is due; none while there is nothing to spend or a person has to act first.
///
/// The result may lie in the past. It depends on the record alone and not on chance, so that it can be shown.
pub fn next_refresh(record: &Record, policy: &Policy, account: &AccountId, now: Timestamp) -> Option<Timestamp> {
    let slot = record.next_to_spend()?;
    let grant = record.grant(slot)?;
    let due = if slot == Slot::Candidate {
        grant.refresh_updated_at
    } else if record.dead.is_some() && !grant.is_spendable() {
        later(record.last_attempt_at.unwrap_or(now), DEAD_PROBE_EVERY)
    } else if let Some(doubt) = record.doubt.filter(|it| it.generation == grant.generation) {
        match policy.ambiguous {
            AmbiguousPolicy::RetryOnce => doubt.since,
            AmbiguousPolicy::WaitUntilExpiry => grant.access_expires_at.unwrap_or(doubt.since),
            AmbiguousPolicy::Manual => return None,
        }
    } else if record.unproven || record.is_from_the_future(now) {
        grant.issued_at.min(now)
    } else {
        regular_due(grant, policy, account)
    };
    let patience = record.setbacks.not_before.filter(|it| it.duration_since(now) < LONGEST_WAIT);
    let gap_end = record.last_attempt_at.filter(|it| *it <= now).map(|it| later(it, policy.min_refresh_gap));
    Some([patience, gap_end].into_iter().flatten().fold(due, Timestamp::max))
}

impl BackOff {
    /// How long to wait after failure number `n_failures`; `chance` in 0..1 picks between the first pause and the
    /// ceiling, which doubles with each failure.
    pub fn pause(&self, n_failures: u32, chance: f64) -> Duration {
        let ceiling = self.first.saturating_mul(2u32.saturating_pow(n_failures)).min(self.longest).max(self.first);
        self.first + (ceiling - self.first).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// From when on a grant whose access token still lives counts as expiring: refreshing it is overdue.
pub(super) fn expiring_from(grant: &Grant, policy: &Policy) -> Option<Timestamp> {
    let end = grant.access_expires_at?;
    end.checked_sub(margin(end.duration_since(grant.issued_at), policy)).ok()
}

impl Record {
    /// Whether it speaks of refreshes that have not happened yet: some clock was wrong, then or now.
    pub fn is_from_the_future(&self, now: Timestamp) -> bool {
        let times = [self.current.as_ref().map(|it| it.issued_at), self.last_refresh_at, self.last_attempt_at];
        times.into_iter().flatten().any(|it| it.duration_since(now) > FUTURE)
    }
}

fn regular_due(grant: &Grant, policy: &Policy, account: &AccountId) -> Timestamp {
    let by_interval = policy.refresh_every.map(|every| later(grant.issued_at, every));
    let by_expiry = expiring_from(grant, policy);
    let by_refresh_age = grant.refresh_expires_at.map(|end| {
        let life = end.duration_since(grant.refresh_updated_at);
        end.checked_sub(life / 4).unwrap_or(end)
    });
    let usual = || {
        let life = SignedDuration::try_from(policy.usual_lifetime).unwrap_or(SignedDuration::MAX);
        later(grant.issued_at, policy.usual_lifetime.saturating_sub(unsigned(margin(life, policy))))
    };
    let due = [by_interval, by_expiry, by_refresh_age].into_iter().flatten().min().unwrap_or_else(usual);
    let wait = unsigned(due.duration_since(grant.issued_at));
    let jitter = policy.jitter.min(wait / 20);
    due.checked_sub(jitter.mul_f64(share(account, grant.generation))).unwrap_or(due)
}

/// The safety margin before the end of a token that lives for `life`: never more than a quarter of it.
fn margin(life: SignedDuration, policy: &Policy) -> SignedDuration {
    let wanted = SignedDuration::try_from(policy.safety_margin).unwrap_or(SignedDuration::MAX);
    wanted.min(life / 4).max(SignedDuration::ZERO)
}

/// A number in 0..1 that differs between accounts and between their generations.
fn share(account: &AccountId, generation: u64) -> f64 {
    let hash = crc32fast::hash(format!("{account} {generation}").as_bytes());
    f64::from(hash) / f64::from(u32::MAX)
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::ZERO)
}
