//! How long a vendor takes to answer, by what was asked of it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The limits that calls are counted by. A call is given up after `keeper.call_timeout`, 15 s unless told otherwise.
pub const BOUNDS: [Duration; 9] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

/// The calls of one kind since the start: those that were answered, and those that were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// As the vendor names it.
    pub call: &'static str,
    /// How many took no longer than each of [`BOUNDS`].
    pub within: [u32; BOUNDS.len()],
    pub n_calls: u32,
    pub sum: Duration,
}

/// Those of one account. There are a few kinds at most, so they stand in a row.
#[derive(Default)]
pub(super) struct Latencies(Mutex<Vec<Latency>>);

impl Latencies {
    pub(super) fn note(&self, call: &'static str, took: Duration) {
        let mut latencies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = latencies.iter().position(|it| it.call == call).unwrap_or_else(|| {
            latencies.push(Latency { call, within: [0; BOUNDS.len()], n_calls: 0, sum: Duration::ZERO });
            latencies.len() - 1
        });
        let latency = &mut latencies[place];
        latency.n_calls += 1;
        latency.sum += took;
        for (count, _) in latency.within.iter_mut().zip(BOUNDS).filter(|it| took <= it.1) {
            *count += 1;
        }
    }

    pub(super) fn read(&self) -> Vec<Latency> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_call_is_counted_within_all_limits_that_it_kept() {
        let latencies = Latencies::default();
        for (call, milliseconds) in [("refresh", 50), ("scene", 60), ("refresh", 700), ("refresh", 30_000)] {
            latencies.note(call, Duration::from_millis(milliseconds));
        }
        let read = latencies.read();
        assert_eq!(read.iter().map(|it| (it.call, it.n_calls)).collect::<Vec<_>>(), [("refresh", 3), ("scene", 1)]);
        assert_eq!(read[0].within, [1, 1, 1, 1, 2, 2, 2, 2, 2]);
        assert_eq!(read[0].sum, Duration::from_millis(30_750));
        assert_eq!(read[1].within, [0, 1, 1, 1, 1, 1, 1, 1, 1]);
    }
}
