//! Other accounts than before, while everything goes on.

use std::{sync::Arc, time::Duration};

use latchkey::{
    account::{Code, Condition},
    config::AccountSettings,
    demo::clouds::{Fault, FaultKind},
    keeper::{Account, Command, ReplyData},
    store::{Commit, Packed},
    vendor::{Http, Vendor, connect},
};

use super::{
    bench::{Bench, CABIN, DAY, FRONT, HOME, HOUR, SIDE, code, id, in_time},
    doubles::Altered,
    twins::seed_twins,
};

/// Accounts as they are configured, with the vendor as it is.
fn accounts(bench: &Bench, names: &[&str]) -> Vec<Account> {
    of(bench, names.iter().map(|it| bench.settings_of(it)).collect())
}

fn of(bench: &Bench, settings: Vec<AccountSettings>) -> Vec<Account> {
    bench.accounts(settings, |_, vendor| vendor)
}

/// A refresh whose token is spent at the cloud, and whose answer takes its time.
fn slow() -> Fault {
    Fault::new(FaultKind::Slow).after().lasting(0.5)
}

#[tokio::test]
async fn an_account_that_is_taken_out_in_flight_and_put_back_has_one_flight() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT, HOME]).await;
    let before = bench.akuvox.counters();
    bench.akuvox.inject(slow());
    let first = house.submit_refresh(FRONT);
    in_time(bench.akuvox.wait_for(|it| it.refreshes == before.refreshes + 1)).await;

    let gone = house.reload(accounts(&bench, &[HOME])).await;
    assert_eq!((gone.added, gone.removed), (vec![], vec![id(FRONT)]));
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::UnknownAccount));
    let back = house.reload(accounts(&bench, &[FRONT, HOME])).await;
    assert_eq!((back.added, back.removed), (vec![id(FRONT)], vec![]));

    let second = house.submit_refresh(FRONT);
    let renewed = Ok(ReplyData::Refreshed { entry_id: id(FRONT), generation: 3 });
    for ticket in [first, second] {
        assert_eq!(in_time(ticket.reply).await.unwrap(), renewed);
    }
    let counters = bench.akuvox.counters();
    assert_eq!((counters.calls, counters.replays), (before.calls + 1, before.replays));
    house.stop().await;
}

#[tokio::test]
async fn a_refresh_that_ends_after_its_account_was_taken_out_is_stored() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let before = bench.akuvox.counters();
    bench.akuvox.inject(slow());
    let ticket = house.submit_refresh(FRONT);
    in_time(bench.akuvox.wait_for(|it| it.refreshes == before.refreshes + 1)).await;
    house.reload(accounts(&bench, &[])).await;
    assert!(in_time(ticket.reply).await.unwrap().is_ok());
    bench.hand.advance(30 * DAY);

    house.reload(accounts(&bench, &[FRONT])).await;
    assert_eq!(house.status(FRONT).generation, 3, "as the store has it");
    house.stop().await;
    let house = bench.start(&[FRONT]);
    assert_eq!(house.status(FRONT).generation, 3);
    house.stop().await;
    assert_eq!(bench.akuvox.counters().replays, 0);
}

#[tokio::test]
async fn an_account_that_was_taken_out_is_not_refreshed_when_its_time_comes_and_is_when_it_is_back() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT, HOME]).await;
    house.reload(accounts(&bench, &[HOME])).await;
    let before = bench.akuvox.counters().calls;
    bench.hand.advance(6 * DAY);
    house.refresh(HOME).await.unwrap();
    assert_eq!(bench.akuvox.counters().calls, before);
    house.reload(accounts(&bench, &[FRONT, HOME])).await;
    house.until(FRONT, |it| it.refresh_count == 2 && it.condition == Condition::Ok).await;
    house.stop().await;
}

#[tokio::test]
async fn a_changed_interval_counts_at_once_keeps_everything_and_costs_no_call() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT, HOME]).await;
    let before = house.status(FRONT);
    let n_calls = bench.akuvox.counters().calls + bench.aqara.counters().calls;
    let tally = house.keeper.tally(&id(FRONT));
    let often = AccountSettings {
        name: Some("The front".to_owned()),
        refresh_every: Some(2 * DAY),
        jitter: Duration::ZERO,
        ..bench.settings_of(FRONT)
    };
    let reloaded = house.reload(of(&bench, vec![often, bench.settings_of(HOME)])).await;
    assert!(reloaded.changed.contains(&id(FRONT)) && reloaded.added.is_empty() && reloaded.removed.is_empty());
    let after = house.status(FRONT);
    let wait = after.next_refresh_at.unwrap().duration_since(before.last_refresh_at.unwrap());
    assert_eq!(Duration::try_from(wait).unwrap(), 2 * DAY);
    assert_eq!((after.generation, after.refresh_count), (before.generation, before.refresh_count));
    assert_eq!(house.keeper.card(&id(FRONT)).unwrap().name.as_deref(), Some("The front"));
    assert_eq!(house.keeper.tally(&id(FRONT)), tally);
    assert_eq!(bench.akuvox.counters().calls + bench.aqara.counters().calls, n_calls);
    house.stop().await;
}

#[tokio::test]
async fn nothing_is_changed_where_nothing_is_different() {
    let bench = Bench::new().await;
    let http = Http::new(Duration::from_secs(2), bench.clock.clone()).unwrap();
    let plain = |name: &str| {
        let settings = bench.settings_of(name);
        Account { vendor: connect(&settings, &http), settings }
    };
    let house = bench.start(&[]);
    let first = house.reload(vec![plain(FRONT), plain(HOME)]).await;
    assert_eq!(first.added, [id(FRONT), id(HOME)]);
    assert_eq!(house.reload(vec![plain(FRONT), plain(HOME)]).await, Default::default());
    let other = AccountSettings { vendor: bench.settings_of(SIDE).vendor, ..bench.settings_of(FRONT) };
    let other = Account { vendor: connect(&other, &http), settings: other };
    assert_eq!(house.reload(vec![other, plain(HOME)]).await.changed, [id(FRONT)]);
    house.stop().await;
}

#[tokio::test]
async fn a_refresh_that_began_by_the_old_configuration_ends_by_it_and_the_next_goes_by_the_new_one() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT]).await;
    let before = bench.akuvox.counters().refreshes;
    bench.akuvox.inject(slow());
    let ticket = house.submit_refresh(FRONT);
    in_time(bench.akuvox.wait_for(|it| it.refreshes == before + 1)).await;
    let often = AccountSettings { refresh_every: Some(DAY), jitter: Duration::ZERO, ..bench.settings_of(FRONT) };
    let nowhere = |_: &AccountSettings, vendor: Arc<dyn Vendor>| -> Arc<dyn Vendor> {
        Arc::new(Altered::new(vendor).before_refresh(|_| panic!("the new one was asked")))
    };
    house.reload(bench.accounts(vec![often], nowhere)).await;
    assert!(in_time(ticket.reply).await.unwrap().is_ok(), "the old one answers");
    // It was planned anew by the new interval when it ended.
    let status = house.until(FRONT, |it| it.refresh_count == 2).await;
    let wait = status.next_refresh_at.unwrap().duration_since(status.last_refresh_at.unwrap());
    assert_eq!(Duration::try_from(wait).unwrap(), DAY);
    bench.hand.advance(DAY);
    house.until(FRONT, |it| it.last_error == Some(Code::Internal)).await;
    house.stop().await;
}

#[tokio::test]
async fn twins_are_looked_at_again() {
    let bench = Bench::new().await;
    seed_twins(&bench).await;
    let mut house = bench.start(&[HOME]);
    assert_eq!(house.status(HOME).condition, Condition::Ok);

    house.reload(accounts(&bench, &[CABIN, HOME])).await;
    let status = house.until(HOME, |it| it.condition == Condition::ConfigFault).await;
    assert_eq!(status.last_error, Some(Code::TokenInUse));
    assert_eq!(house.status(CABIN).condition, Condition::Ok);
    house.reload(accounts(&bench, &[HOME])).await;
    assert_eq!(house.status(HOME).condition, Condition::Ok, "the other one is gone and has spent nothing");

    house.reload(accounts(&bench, &[CABIN, HOME])).await;
    house.refresh(CABIN).await.unwrap();
    bench.hand.advance(2 * HOUR);
    house.reload(accounts(&bench, &[HOME])).await;
    assert_eq!(house.status(HOME).condition, Condition::ConfigFault, "what the other one spent is dead");
    house.stop().await;
    assert_eq!(bench.aqara.counters().replays, 0);
}

#[tokio::test]
async fn a_token_that_an_account_about_to_leave_is_spending_is_nobody_elses() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let before = bench.akuvox.counters();
    let held = bench.akuvox.credentials(0);
    bench.akuvox.inject(slow());
    let ticket = house.submit_refresh(FRONT);
    in_time(bench.akuvox.wait_for(|it| it.refreshes == before.refreshes + 1)).await;
    // The same login under another name.
    let renamed = AccountSettings { id: id(SIDE), ..bench.settings_of(FRONT) };
    house.reload(of(&bench, vec![renamed])).await;
    let reply = house.update(SIDE, super::bench::both(&held.token, &held.refresh_token)).await;
    assert_eq!(code(&reply), Some(Code::TokenInUse));
    assert!(in_time(ticket.reply).await.unwrap().is_ok());
    house.stop().await;
    assert_eq!(bench.akuvox.counters().replays, 0);
}

#[tokio::test]
async fn an_account_keeps_its_vendor() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let moved = AccountSettings { id: id(FRONT), ..bench.settings_of(HOME) };
    assert_eq!(house.reload(of(&bench, vec![moved])).await, Default::default());
    bench.hand.advance(HOUR);
    house.refresh(FRONT).await.unwrap();
    assert_eq!(bench.aqara.counters().calls, 0, "no token of the one cloud is shown to the other");
    house.stop().await;
}

#[tokio::test]
async fn an_account_whose_record_cannot_be_read_is_not_added_and_the_others_are() {
    let bench = Bench::new().await;
    let (store, grounds) = bench.open();
    let house = bench.start_on(grounds, &[], |_, vendor| vendor);
    let record = Packed::new(&[], b"of a version to come").unwrap();
    store.commit(Commit { account: id(FRONT), expected: 0, record, needs_room: false }).await.unwrap();
    assert_eq!(house.reload(accounts(&bench, &[FRONT, HOME])).await.added, [id(HOME)]);
    let reply = in_time(house.keeper.ask(Command::Status { entry_id: id(FRONT) })).await;
    assert_eq!(code(&reply), Some(Code::UnknownAccount));
    house.stop().await;
}
