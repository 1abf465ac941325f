//! A week at a real Mosquitto, on one virtual clock that Latchkey and the simulated clouds share.
#![cfg(feature = "demo")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use latchkey::{
    clock::Clock,
    config,
    demo::clouds::{AkuvoxCloud, AqaraCloud, Options},
    service::Service,
};
use serde_json::{Value, json};
use support::{
    latchkey::{Bench, Client},
    mosquitto::Mosquitto,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_week_passes_and_each_account_is_renewed_once_at_its_time_and_tells_so_by_mqtt() {
    let (clock, hand) = Clock::running();
    let time = || Some((clock.clone(), hand.clone()));
    let free = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let akuvox = AkuvoxCloud::start(free, Options { time: time(), ..Options::default() }).await.unwrap();
    let aqara = AqaraCloud::start(free, Options { time: time(), ..Options::default() }).await.unwrap();
    let bench = Bench::with(Mosquitto::start(), akuvox, aqara);
    let settings = config::load(Some(&bench.configuration()), std::iter::empty()).unwrap();
    let client = bench.client().await;
    let service = Service::start(settings, clock.clone()).unwrap();
    client.heard(0, "`online`", |it| it.topic == "latchkey/bridge/state" && it.payload == "online").await;
    bench.sign_in(&client).await;
    let begun_at = clock.now();
    let mark = client.mark();

    // Hour by hour; what became due in an hour is done before the next one begins.
    let mut renewed_after: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut n_refreshes = BTreeMap::from([("front_door", 1), ("home", 1)]);
    for _ in 0..7 * 24 {
        hand.advance(HOUR);
        for (account, n_refreshes) in &mut n_refreshes {
            let status = settled(&client, account, &clock).await;
            if *n_refreshes < status["refresh_count"].as_u64().unwrap() {
                *n_refreshes += 1;
                renewed_after.entry(account).or_default().push(clock.now().duration_since(begun_at).as_hours());
            }
        }
    }
    assert_eq!(renewed_after["front_door"], [6 * 24], "Akuvox after six days of seven");
    assert_eq!(renewed_after["home"], [7 * 24], "Aqara five minutes before its week is over");

    // The first one proved the tokens that were handed in; beside them the scenes were listed, and nothing else was asked.
    let listing = ["query.position.info", "query.scene.listByPositionId"];
    for (counters, renewal) in
        [(bench.akuvox.counters(), "refresh_token"), (bench.aqara.counters(), "config.auth.refreshToken")]
    {
        assert_eq!((counters.refreshes, counters.refusals), (2, 0), "{renewal}");
        assert_eq!(counters.calls_by_name[renewal], 2);
        let others: Vec<_> = counters.calls_by_name.keys().filter(|it| *it != renewal).collect();
        assert!(others.iter().all(|it| listing.contains(&it.as_str())), "{others:?}");
        // Four positions, listed when tokens came, and once more where it was asked for.
        assert!(counters.calls_by_name.get(listing[1]).is_none_or(|it| *it <= 3 * 4), "{:?}", counters.calls_by_name);
    }
    for account in ["front_door", "home"] {
        let topic = format!("latchkey/{account}/event");
        let is_event = |it: &latchkey::mqtt::Inbound| {
            let event: Value = serde_json::from_slice(&it.payload).unwrap_or_default();
            it.topic == topic && event["event_type"] == json!("refreshed") && event["by"] == json!("schedule")
        };
        assert_eq!(client.heard_times(1, mark, &topic, is_event).await.len(), 1);
        let state = client.state(account, |it| it["refresh_count"] == 2).await;
        assert_eq!((&state["condition"], &state["problem"]), (&json!("ok"), &json!("OFF")), "{state}");
    }
    service.stop().await;
    client.heard(mark, "`offline`", |it| it.topic == "latchkey/bridge/state" && it.payload == "offline").await;
}

/// The account's status once nothing is due any more.
async fn settled(client: &Client, account: &str, clock: &Clock) -> Value {
    loop {
        let status = client.request(&format!("latchkey/{account}/status"), b"{}").await["data"].clone();
        let next: Timestamp = status["next_refresh_at"].as_str().expect("a time").parse().expect("RFC 3339");
        if clock.now() < next {
            return status;
        }
    }
}
