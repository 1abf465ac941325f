//! What it costs to give an account another deadline and to take one that is due, among few and among many.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use latchkey::{account::AccountId, keeper::Deadlines};

use crate::{
    Form,
    row::{Row, Samples, ratio},
};

const WEEK: i64 = 7 * 24 * 3600;
const START: i64 = 1_800_000_000;

pub(crate) fn schedule(form: Form) -> Vec<Row> {
    let sizes = [1000, 10_000, 100_000];
    let mut benches = sizes.map(Bench::new);
    let mut samples: [Samples; 3] = Default::default();
    for _ in 0..form.of(200, 20) {
        for (bench, samples) in benches.iter_mut().zip(&mut samples) {
            samples.add_batch(vec![bench.events(1000)]);
        }
    }
    let [small, middle, large] = samples.each_ref().map(Samples::median);
    let nanoseconds = [small, middle, large].map(|it| format!("{:.0}", it.as_secs_f64() * 1e9));
    let times = ratio(large, small);
    vec![Row::new(
        "scheduling, one event among 1k, 10k and 100k accounts",
        "O(log n)",
        format!("{} ns: 100 times as many cost {times:.1} times as much", nanoseconds.join(", ")),
        // 17 levels over 10, and caches that a hundred thousand do not fit into.
        times <= 10.0,
    )]
}

struct Bench {
    deadlines: Deadlines,
    accounts: Vec<AccountId>,
    now: i64,
}

impl Bench {
    fn new(n_accounts: usize) -> Self {
        let accounts: Vec<AccountId> = (0..n_accounts).map(|it| format!("account_{it}").parse().unwrap()).collect();
        let mut deadlines = Deadlines::default();
        for account in &accounts {
            deadlines.plan(account, Some(second(START + fastrand::i64(0..WEEK))));
        }
        Self { deadlines, accounts, now: START }
    }

    /// The time of one event, on average: an account is planned anew, as after a command, or is due, taken and planned.
    fn events(&mut self, n_events: u32) -> Duration {
        let began = Instant::now();
        for _ in 0..n_events / 2 {
            let account = &self.accounts[fastrand::usize(..self.accounts.len())];
            self.deadlines.plan(account, Some(second(self.now + fastrand::i64(0..WEEK))));
            if let Err(Some(next)) = self.deadlines.take_due(second(self.now)) {
                self.now = next.as_second();
            }
            if let Ok(account) = self.deadlines.take_due(second(self.now)) {
                self.deadlines.plan(&account, Some(second(self.now + WEEK)));
            }
        }
        began.elapsed() / n_events
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}
