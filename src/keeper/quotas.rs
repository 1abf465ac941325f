//! Calls of a month and of all time, counted over restarts, where a vendor limits them (protocol/aqara.md §6).

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    store::{Store, StoreError},
    vendor::Budget,
};

/// The name under which the store keeps the counts.
const NOTE: &str = "quotas";
/// So many calls may be missing from the counts after a crash: they are not worth a write each.
const SAVE_EVERY: u64 = 50;

/// The counts of all budgets, by their key.
pub(super) struct Quotas(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    by_key: BTreeMap<String, Count>,
    n_unsaved: u64,
}

/// How many calls of one quota are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) this_month: u64,
    pub(super) in_all: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    /// As `2026-11`, in UTC.
    month: String,
    this_month: u64,
    in_all: u64,
}

impl Quotas {
    /// What an earlier run has counted.
    pub(super) fn load(store: &dyn Store) -> Self {
        let by_key = store.note(NOTE).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self(Mutex::new(Counts { by_key, n_unsaved: 0 }))
    }

    /// Counts one call; warns when four fifths of a quota, and when all of it, are used.
    pub(super) fn count(&self, budget: &Budget, now: Timestamp) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.n_unsaved += 1;
        let count = counts.by_key.entry(budget.key.clone()).or_default();
        let month = month_of(now);
        if count.month != month {
            *count = Count { month, this_month: 0, in_all: count.in_all };
        }
        count.this_month += 1;
        count.in_all += 1;
        for (used, quota, span) in
            [(count.this_month, budget.per_month, "this month"), (count.in_all, budget.in_all, "in all")]
        {
            if used == quota / 5 * 4 || used == quota {
                warn!(budget = budget.key, "{used} of the vendor's {quota} calls {span} are used");
            }
        }
    }

    pub(super) fn used(&self, budget: &Budget, now: Timestamp) -> Used {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.by_key.get(&budget.key);
        let this_month = count.filter(|it| it.month == month_of(now)).map_or(0, |it| it.this_month);
        Used { this_month, in_all: count.map_or(0, |it| it.in_all) }
    }

    /// Makes the counts durable, once enough has come together, or `at_once`.
    pub(super) async fn save(&self, store: &dyn Store, at_once: bool) -> Result<(), StoreError> {
        let bytes = {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.n_unsaved < if at_once { 1 } else { SAVE_EVERY } {
                return Ok(());
            }
            counts.n_unsaved = 0;
            serde_json::to_vec(&counts.by_key).expect("counts of plain fields are JSON")
        };
        store.put_note(NOTE, bytes).await
    }
}

fn month_of(time: Timestamp) -> String {
    time.strftime("%Y-%m").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_month_begins_anew_and_all_time_goes_on() {
        let quotas = Quotas(Mutex::default());
        let budget = Budget {
            key: "app".into(),
            calls: 300,
            per: Duration::from_secs(300),
            kept_for_refreshes: 30,
            per_month: 100,
            in_all: 1000,
        };
        for time in ["2026-11-30T23:59:58Z", "2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z"] {
            quotas.count(&budget, time.parse().unwrap());
        }
        let used_at = |time: &str| quotas.used(&budget, time.parse().unwrap());
        assert_eq!(used_at("2026-12-31T23:59:59Z"), Used { this_month: 1, in_all: 3 });
        assert_eq!(used_at("2027-01-01T00:00:00Z"), Used { this_month: 0, in_all: 3 });
    }
}
