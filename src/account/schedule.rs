//! When an account is to be refreshed next. Wall-clock time in UTC throughout.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    AccountId, AmbiguousPolicy, BackOff, Code, Grant, Policy, Record, Slot,
    refresh::{FOUND_OPEN_AGAIN, LONGEST_PAUSE},
};

const DEAD_PROBE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Times this far ahead of the clock cannot be right.
const FUTURE: SignedDuration = SignedDuration::from_mins(5);

/// When the next refresh is due; none while there is nothing to spend or a person has to act first.
///
/// The result may lie in the past. It depends on the record alone and not on chance, so that it can be shown; `now`
/// matters only where the record speaks of times ahead of it, which some clock must have got wrong.
pub fn next_refresh(record: &Record, policy: &Policy, account: &AccountId, now: Timestamp) -> Option<Timestamp> {
    let gap_end = record.last_attempt_at.filter(|it| *it <= now).map(|it| later(it, policy.min_refresh_gap));
    let due = due(record, policy, account, now)?;
    Some(gap_end.map_or(due, |gap_end| due.max(gap_end)))
}

/// As [`next_refresh`], for people: a refresh under way does not move what was due by its own start.
pub(super) fn shown_next_refresh(
    record: &Record,
    policy: &Policy,
    account: &AccountId,
    now: Timestamp,
) -> Option<Timestamp> {
    let reckon = if record.attempt.is_some() { due } else { next_refresh };
    reckon(record, policy, account, now)
}

/// When a refresh is due, before the least gap between two of them is minded.
fn due(record: &Record, policy: &Policy, account: &AccountId, now: Timestamp) -> Option<Timestamp> {
    let slot = record.next_to_spend()?;
    let grant = record.grant(slot)?;
    let is_odd = record.is_from_the_future(now);
    // A doubted candidate is tried again whatever the policy, while its end is what the current grant waits for.
    let holds_up = slot == Slot::Candidate && record.current.as_ref().is_some_and(Grant::is_spendable);
    let doubted_since = record.doubted_since(slot).filter(|_| grant.is_spendable() && !holds_up);
    let due = if let Some(since) = doubted_since {
        match policy.ambiguous {
            AmbiguousPolicy::RetryOnce => since.min(now),
            AmbiguousPolicy::WaitUntilExpiry if is_odd => since.min(now),
            // The access token in use is the current grant's, whichever refresh token is in doubt.
            AmbiguousPolicy::WaitUntilExpiry => {
                record.current.as_ref().and_then(|it| it.access_expires_at).unwrap_or(since)
            }
            AmbiguousPolicy::Manual => return None,
        }
    } else if slot == Slot::Candidate {
        grant.refresh_updated_at.min(now)
    } else if let Some(dead) = record.dead.filter(|_| !grant.is_spendable()) {
        match record.last_attempt_at {
            Some(last) if is_ahead(last, now) => now,
            Some(last) => later(last, DEAD_PROBE_EVERY),
            // Something new is known since: the probe need not wait for its day.
            None => dead.since.min(now),
        }
    } else if slot == Slot::Previous || record.unproven || record.fault || is_odd {
        grant.issued_at.min(now)
    } else {
        regular_due(grant, policy, account)
    };
    // A wait beyond the longest is a clock that jumped.
    let longest = if record.is_throttled() { LONGEST_PAUSE } else { policy.back_off.longest.max(FOUND_OPEN_AGAIN) };
    let longest = SignedDuration::try_from(longest.min(LONGEST_PAUSE)).unwrap_or_default();
    let patience = record.setbacks.not_before.filter(|it| it.duration_since(now) <= longest + FUTURE);
    Some(patience.map_or(due, |patience| due.max(patience)))
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
        times.into_iter().flatten().any(|it| is_ahead(it, now))
    }

    /// Whether the wait that was noted last is the vendor's wish.
    pub(super) fn is_throttled(&self) -> bool {
        self.setbacks.last_error == Some(Code::Throttled)
    }
}

fn is_ahead(time: Timestamp, now: Timestamp) -> bool {
    FUTURE < time.duration_since(now)
}

fn regular_due(grant: &Grant, policy: &Policy, account: &AccountId) -> Timestamp {
    let by_interval = policy.refresh_every.map(|every| later(grant.issued_at, every));
    let usual = || {
        let life = SignedDuration::try_from(policy.usual_lifetime).unwrap_or(SignedDuration::MAX);
        later(grant.issued_at, policy.usual_lifetime.saturating_sub(unsigned(margin(life, policy))))
    };
    let by_expiry = expiring_from(grant, policy).unwrap_or_else(usual);
    let by_refresh_age = grant.refresh_expires_at.map(|end| {
        let life = end.duration_since(grant.refresh_updated_at);
        end.checked_sub(life / 4).unwrap_or(end)
    });
    let due = [by_interval, by_refresh_age].into_iter().flatten().fold(by_expiry, Timestamp::min);
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

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Dead, Doubt, RefreshEnd, Secret,
            fixture::{DAY, HOUR, MINUTE, akuvox, aqara, grant, holding, home, start},
        },
        *,
    };

    fn due(record: &Record, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        next_refresh(record, policy, &home(), now)
    }

    fn living(life: Duration) -> Record {
        holding(Grant { access_expires_at: Some(start() + life), ..grant(1) })
    }

    fn assert_within(time: Option<Timestamp>, latest: Timestamp, at_most_before: Duration) {
        let time = time.expect("a refresh is due some time");
        assert!(
            time <= latest && latest - at_most_before <= time,
            "{time} is not within {at_most_before:?} of {latest}"
        );
    }

    #[test]
    fn akuvox_is_refreshed_every_six_days_less_the_jitter() {
        assert_within(due(&holding(grant(1)), &akuvox(), start()), start() + 6 * DAY, 10 * MINUTE);
    }

    #[test]
    fn a_shorter_life_than_usual_is_obeyed_with_a_margin_of_a_quarter_at_most() {
        for life in [2 * DAY, DAY, HOUR, 4 * MINUTE] {
            assert_within(due(&living(life), &akuvox(), start()), start() + life * 3 / 4, life / 20);
        }
        assert_within(due(&living(DAY), &aqara(), start()), start() + DAY - 5 * MINUTE, Duration::from_secs(30));
    }

    #[test]
    fn where_the_expiry_is_unknown_the_usual_life_counts_even_beside_a_longer_interval() {
        let unknown = holding(Grant { access_expires_at: None, ..grant(1) });
        assert_within(due(&unknown, &aqara(), start()), start() + 7 * DAY - 5 * MINUTE, Duration::from_secs(30));
        let monthly = Policy { refresh_every: Some(30 * DAY), ..akuvox() };
        assert_within(due(&unknown, &monthly, start()), start() + 6 * DAY, 10 * MINUTE);
    }

    #[test]
    fn a_long_lived_access_token_does_not_let_the_refresh_token_age_out() {
        let record = holding(Grant {
            access_expires_at: Some(start() + 365 * DAY),
            refresh_expires_at: Some(start() + 40 * DAY),
            ..grant(1)
        });
        assert_within(due(&record, &aqara(), start()), start() + 30 * DAY, Duration::from_secs(30));
    }

    #[test]
    fn accounts_are_spread_within_the_jitter() {
        let record = holding(grant(1));
        let times: std::collections::BTreeSet<_> = (0..50)
            .map(|n| next_refresh(&record, &akuvox(), &format!("home{n}").parse().unwrap(), start()).unwrap())
            .collect();
        assert!(40 < times.len());
        assert!(5 * MINUTE < unsigned(times.last().unwrap().duration_since(*times.first().unwrap())));
    }

    #[test]
    fn the_answer_does_not_change_while_time_passes() {
        let refused = Grant { refresh_end: Some(RefreshEnd::Refused), ..grant(1) };
        let dead = Some(Dead { since: start(), why: Code::RefreshRefused });
        let doubt = Some(Doubt { since: start(), generation: 1 });
        let mut failing = holding(grant(1));
        failing.setbacks.not_before = Some(start() + HOUR);
        let records = [
            holding(grant(1)),
            Record { doubt, ..holding(grant(1)) },
            Record { dead, ..holding(refused.clone()) },
            Record { dead, last_attempt_at: Some(start()), ..holding(refused) },
            Record { unproven: true, ..holding(grant(1)) },
            Record { previous: Some(Box::new(grant(1))), ..Record::default() },
            failing,
        ];
        for record in records {
            let first = due(&record, &akuvox(), start());
            for later in [MINUTE, HOUR, DAY, 14 * DAY, 900 * DAY] {
                assert_eq!(due(&record, &akuvox(), start() + later), first, "{record:?}");
            }
        }
    }

    #[test]
    fn what_is_due_is_due_at_a_start_and_after_two_weeks_of_sleep() {
        let now = start() + 14 * DAY;
        assert!(due(&holding(grant(1)), &akuvox(), now).unwrap() <= now);
    }

    #[test]
    fn a_minute_lies_between_two_refreshes_however_urgent() {
        let mut record = living(MINUTE);
        record.last_attempt_at = Some(start());
        assert_eq!(due(&record, &akuvox(), start()), Some(start() + MINUTE));
    }

    #[test]
    fn the_first_pause_is_the_shortest_and_the_longest_is_a_ceiling() {
        let back_off = akuvox().back_off;
        assert_eq!(back_off.pause(1, 0.0), Duration::from_secs(30));
        assert_eq!(back_off.pause(1, 1.0), Duration::from_secs(60));
        assert_eq!(back_off.pause(3, 1.0), Duration::from_secs(240));
        for n_failures in [10, 31, 32, 33, u32::MAX] {
            assert_eq!(back_off.pause(n_failures, 1.0), HOUR);
            assert_eq!(back_off.pause(n_failures, 0.0), Duration::from_secs(30));
        }
    }

    #[test]
    fn a_wait_that_no_failure_can_have_asked_for_is_a_clock_that_jumped() {
        let mut record = living(MINUTE);
        record.setbacks.not_before = Some(start() + 10 * HOUR);
        assert!(due(&record, &akuvox(), start()).unwrap() <= start() + MINUTE);
        record.setbacks.last_error = Some(Code::Throttled);
        assert_eq!(due(&record, &akuvox(), start()), Some(start() + 10 * HOUR));
        record.setbacks.not_before = Some(start() + 365 * DAY);
        assert!(due(&record, &akuvox(), start()).unwrap() <= start() + MINUTE);
    }

    #[test]
    fn records_from_the_future_are_due_once_and_not_in_a_year() {
        let refused = Grant { refresh_end: Some(RefreshEnd::Refused), ..grant(1) };
        let now = start() - 365 * DAY;
        let records = [
            Record { last_refresh_at: Some(start()), ..holding(grant(1)) },
            Record { doubt: Some(Doubt { since: start(), generation: 1 }), ..holding(grant(1)) },
            Record {
                dead: Some(Dead { since: start(), why: Code::RefreshRefused }),
                last_attempt_at: Some(start()),
                ..holding(refused.clone())
            },
        ];
        for mut record in records {
            for policy in [akuvox(), Policy { ambiguous: AmbiguousPolicy::WaitUntilExpiry, ..akuvox() }] {
                assert_eq!(due(&record, &policy, now), Some(now), "{record:?}");
                assert!(due(&record, &policy, Timestamp::UNIX_EPOCH).unwrap() <= Timestamp::UNIX_EPOCH);
            }
            // The attempt that follows does not become a storm, whatever came of it.
            record.last_attempt_at = Some(now);
            assert_eq!(due(&record, &akuvox(), now).unwrap().max(now + MINUTE), due(&record, &akuvox(), now).unwrap());
        }
    }

    #[test]
    fn a_dead_grant_is_probed_once_a_day() {
        let record = Record {
            dead: Some(Dead { since: start(), why: Code::RefreshRefused }),
            last_attempt_at: Some(start() + HOUR),
            ..holding(Grant { refresh_end: Some(RefreshEnd::Refused), ..grant(1) })
        };
        assert_eq!(due(&record, &akuvox(), start() + 2 * HOUR), Some(start() + HOUR + DAY));
    }

    #[test]
    fn a_doubt_is_treated_as_the_policy_says() {
        let doubt = Some(Doubt { since: start() + HOUR, generation: 1 });
        let record = Record { doubt, ..holding(grant(1)) };
        let with = |ambiguous| due(&record, &Policy { ambiguous, ..akuvox() }, start() + 2 * HOUR);
        assert_eq!(with(AmbiguousPolicy::RetryOnce), Some(start() + HOUR));
        assert_eq!(with(AmbiguousPolicy::WaitUntilExpiry), Some(start() + 7 * DAY));
        assert_eq!(with(AmbiguousPolicy::Manual), None);
    }

    #[test]
    fn a_doubted_candidate_does_not_hold_up_the_current_grant_by_policy() {
        let mut record = holding(grant(1));
        record.candidate = Some(Box::new(super::super::Candidate {
            grant: grant(2),
            received_at: start(),
            doubted_since: Some(start()),
            failing_since: Some(start()),
            refusals: Default::default(),
        }));
        let manual = Policy { ambiguous: AmbiguousPolicy::Manual, ..akuvox() };
        assert_eq!(due(&record, &manual, start() + HOUR), Some(start()));
        record.current = None;
        assert_eq!(due(&record, &manual, start() + HOUR), None);
    }

    #[test]
    fn without_a_refresh_token_nothing_is_due() {
        assert_eq!(due(&Record::default(), &akuvox(), start()), None);
        assert_eq!(due(&holding(Grant { refresh: None, ..grant(1) }), &akuvox(), start()), None);
        let spent = Grant { refresh_end: Some(RefreshEnd::Spent), refresh: Some(Secret::new("R")), ..grant(1) };
        assert_eq!(due(&holding(spent), &akuvox(), start()), None);
    }
}
