//! Doors and scenes are never done late, however much the broker kept for us.

use latchkey::mqtt::{Inbound, Outgoing};
use serde_json::Value;

use crate::support::{
    latchkey::{Bench, text},
    mosquitto::{Mosquitto, MosquittoOptions},
};

#[tokio::test]
async fn a_door_that_the_broker_kept_behind_many_commands_is_not_opened() {
    // As brokers do that keep what is subscribed to at QoS 0 for those who are away, in one queue with the rest.
    let more = vec!["queue_qos0_messages true".to_owned(), "max_inflight_messages 5".to_owned()];
    let mosquitto = Mosquitto::start_with(&MosquittoOptions { more, ..MosquittoOptions::default() });
    let mut bench = Bench { mosquitto, ..Bench::new().await };
    bench.front_door = "doors = true".to_owned();
    let latchkey = bench.run().await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    latchkey.kill().await;

    let mark = client.mark();
    for number in 0..200 {
        let request = format!("{{\"entry_id\": \"home\", \"transaction\": {number}}}");
        client.link.publish(Outgoing::passing("latchkey/bridge/request/status", request));
    }
    client.link.publish(Outgoing::passing("latchkey/front_door/open_door", "Gate"));
    client.link.publish(Outgoing::passing("latchkey/home/scene/tv_warning/set", "ON"));
    client.link.idle().await;
    let _latchkey = bench.run().await;
    let is_answer = |it: &Inbound| it.topic.ends_with("/response/open_door") || it.topic.ends_with("/trigger_scene");
    for late in client.heard_times(2, mark, "the late ones' replies", is_answer).await {
        let reply: Value = serde_json::from_slice(&late.payload).unwrap();
        assert_eq!(reply["error"]["code"], "too_late", "{}", text(&late));
    }
    assert_eq!(bench.akuvox.counters().door_openings.len(), 0);
    assert!(bench.aqara.counters().scene_runs.is_empty());
    // And the next one is on time.
    let reply = client.request("latchkey/front_door/open_door", b"Gate").await;
    assert_eq!(reply["status"], "ok", "{reply}");
}
