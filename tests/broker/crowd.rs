//! Many at once: everybody gets an answer, and nobody waits for another's vendor.

use std::{collections::BTreeSet, time::Duration};

use latchkey::{
    demo::clouds::{AkuvoxCloud, AqaraCloud, Fault, FaultKind, Options, Scope},
    mqtt::{Inbound, Outgoing},
};
use serde_json::{Value, json};

use crate::support::{
    latchkey::{Bench, text},
    mosquitto::Mosquitto,
};

#[tokio::test]
async fn a_thousand_commands_that_the_broker_kept_lead_to_one_refresh_and_a_thousand_replies() {
    let mut bench = Bench::new().await;
    bench.keeper = "min_refresh_gap = \"1s\"\n".to_owned();
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    latchkey.kill().await;

    let (mark, before) = (client.mark(), bench.akuvox.counters().refreshes);
    for number in 0..1000 {
        let request = json!({ "transaction": number }).to_string();
        client.link.publish(Outgoing::passing("latchkey/front_door/refresh_tokens", request));
    }
    client.link.idle().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Long enough for all of them to arrive, on a machine that is busy as well.
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(8.0));
    let _latchkey = bench.run().await;
    let is_answer = |it: &Inbound| it.topic == "latchkey/front_door/response/refresh_tokens";
    let replies = client.heard_times(1000, mark, "the replies", is_answer).await;
    client.round().await;
    assert_eq!(client.since(mark).iter().filter(|it| is_answer(it)).count(), 1000);
    let parse = |it: &Inbound| serde_json::from_slice::<Value>(&it.payload).unwrap();
    let first = parse(&replies[0])["data"]["generation"].clone();
    assert!(first.is_u64(), "{}", text(&replies[0]));
    let mut numbers = BTreeSet::new();
    for reply in replies.iter().map(parse) {
        assert_eq!(reply["data"]["generation"], first, "{reply}");
        numbers.insert(reply["transaction"].as_u64().unwrap());
    }
    assert_eq!(numbers.len(), 1000);
    assert_eq!(bench.akuvox.counters().refreshes, before + 1);
}

#[tokio::test]
async fn accounts_whose_calls_hang_do_not_keep_the_others_at_their_host_waiting() {
    let address = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let akuvox = Options { n_accounts: 4, ..Options::default() };
    let akuvox = AkuvoxCloud::start(address, akuvox).await.unwrap();
    let mut bench = Bench::with(Mosquitto::start(), akuvox, AqaraCloud::start_default().await.unwrap());
    let gate = bench.akuvox.url().to_owned();
    for number in 1..4 {
        bench.more += &format!("\n[accounts.door_{number}]\nvendor = \"akuvox\"\ngate = {gate:?}\n");
    }
    let _latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    for number in 1..4 {
        let held = bench.akuvox.credentials(number);
        let tokens = json!({ "token": held.token, "refresh_token": held.refresh_token }).to_string();
        client.request(&format!("latchkey/door_{number}/update_tokens"), tokens.as_bytes()).await;
    }
    // As many as may refresh at one host at a time hang, for twice the 15 s that a call may take.
    bench.akuvox.inject(Fault::new(FaultKind::Hang).on(Scope::Refresh, 4));
    let (mark, calls) = (client.mark(), bench.akuvox.counters().calls);
    for account in ["front_door", "door_1"] {
        client.link.publish(Outgoing::passing(format!("latchkey/{account}/refresh_tokens"), "{}"));
    }
    bench.akuvox.wait_for(|it| calls + 2 <= it.calls).await;
    bench.akuvox.clear_faults();
    for account in ["door_2", "door_3"] {
        let reply = client.request(&format!("latchkey/{account}/refresh_tokens"), b"{}").await;
        assert_eq!(reply["status"], "ok", "{reply}");
    }
    let is_stuck =
        |it: &Inbound| ["front_door", "door_1"].iter().any(|of| it.topic.contains(&format!("{of}/response")));
    assert!(!client.since(mark).iter().any(is_stuck), "they waited until the calls that hang were given up");
}
