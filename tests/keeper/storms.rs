//! Everything at once, by chance: as long as no reply is lost, no token is spent twice and no login is lost.

use std::time::Duration;

use latchkey::{
    account::Condition,
    demo::clouds::{Fault, FaultKind, Scope},
};

use super::bench::{Bench, FRONT, HOME, House, in_time, proposal};

const NAMES: &[&str] = &[FRONT, HOME];

/// Mishaps in which nothing was done.
const MISHAPS: &[FaultKind] = &[
    FaultKind::ResetBefore,
    FaultKind::Http500,
    FaultKind::Html,
    FaultKind::VendorBusy,
    FaultKind::Throttled429,
    FaultKind::MissingRefreshToken,
    FaultKind::Slow,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_whatever_whenever_no_token_is_spent_twice() {
    for seed in 0..6 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let bench = Bench::new().await;
        let mut house = bench.settled(NAMES).await;
        let mut pending = Vec::new();
        for _ in 0..60 {
            let name = NAMES[dice.usize(..NAMES.len())];
            match dice.u32(..10) {
                0..=2 => pending.push(house.submit_refresh(name).reply),
                3 => {
                    let fault = Fault::new(MISHAPS[dice.usize(..MISHAPS.len())]).lasting(0.05).on(Scope::Refresh, 1);
                    if name == FRONT { bench.akuvox.inject(fault) } else { bench.aqara.inject(fault) }
                }
                4 => {
                    // What the account holds already, a new login, or what it held a while ago.
                    if dice.bool() {
                        sign_in(&bench, name);
                    }
                    pending.push(house.submit(name, proposal(bench.pair_of(name))).reply);
                }
                5 => drop(house.submit_refresh(name)),
                6 | 7 => bench.hand.advance(Duration::from_secs(dice.u64(1..100_000))),
                8 => tokio::task::yield_now().await,
                _ => {
                    house.stop().await;
                    house = bench.start(NAMES);
                }
            }
        }
        for reply in pending {
            // Each command has exactly one answer.
            assert!(in_time(reply).await.is_ok(), "seed {seed}");
        }
        bench.akuvox.clear_faults();
        bench.aqara.clear_faults();
        settle_down(&bench, &mut house, seed).await;
        house.stop().await;
        assert_eq!((bench.akuvox.counters().replays, bench.aqara.counters().replays), (0, 0), "seed {seed}");
    }
}

/// A new login that the keeper is told of cures whatever is left; without one, what is held still works.
async fn settle_down(bench: &Bench, house: &mut House, seed: u64) {
    for name in NAMES {
        bench.hand.advance(Duration::from_secs(3 * 3600));
        if house.status(name).condition != Condition::Ok {
            sign_in(bench, name);
            house.update(name, bench.pair_of(name)).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        let status = bench.wait_out(house, name, |it| it.condition == Condition::Ok).await;
        assert_eq!(status.condition, Condition::Ok, "seed {seed}");
    }
}

fn sign_in(bench: &Bench, name: &str) {
    if name == FRONT {
        bench.akuvox.sign_in(0);
    } else {
        bench.aqara.sign_in(0);
    }
}
