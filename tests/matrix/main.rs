//! Every switch of the simulated clouds in all of its positions × refresh, call, login: Latchkey ends in the right
//! condition, never loses a pair that the cloud still honours, never spends a refresh token twice, never calls more than
//! it may.
//!
//! The switches stand for what nobody outside knows of the vendors (protocol/, 'Open questions'), so what is expected of
//! each position is reasoned from the facts: `akuvox` and `aqara` have the tables, `journey` the legs, `audit` what must
//! hold everywhere.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod akuvox;
mod aqara;
mod audit;
mod case;
mod journey;
mod memory;
mod side;
mod world;

use std::sync::Arc;

use latchkey::demo::clouds::{
    akuvox::{Akuvox, AkuvoxKnobs},
    aqara::{Aqara, AqaraKnobs},
};
use tokio::{sync::Semaphore, task::JoinSet};

use side::Side;

/// Most of a case's time is the second that Latchkey waits before it tries again, so many go at once.
const AT_ONCE: usize = 32;

#[test]
fn no_switch_is_left_out_and_none_of_its_positions() {
    let usual = serde_json::to_value(AkuvoxKnobs::default()).unwrap();
    case::assert_complete(&Akuvox::cases(), &usual, &Akuvox::choices());
    let usual = serde_json::to_value(AqaraKnobs::default()).unwrap();
    case::assert_complete(&Aqara::cases(), &usual, &Aqara::choices());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn akuvox_in_every_position_of_every_switch() {
    go_through_all::<Akuvox>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aqara_in_every_position_of_every_switch() {
    go_through_all::<Aqara>().await;
}

async fn go_through_all<S: Side>() {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut cases = JoinSet::new();
    for case in S::cases() {
        let turns = turns.clone();
        cases.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            journey::travel::<S>(&case).await
        });
    }
    let n_cases = cases.len();
    let mut faults: Vec<String> = cases.join_all().await.into_iter().flatten().collect();
    faults.sort();
    assert!(faults.is_empty(), "{} faults in {n_cases} cases:\n{}", faults.len(), faults.join("\n"));
}
