//! The link keeps its promises with brokers that misbehave. Most of these were seen to break rumqttc 0.25.1 when it is
//! used as its examples show.
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{collections::BTreeSet, time::Duration};

use latchkey::{
    account::Secret,
    mqtt::{Link, LinkEvent, LinkFailure, LinkSettings, Outgoing, Qos, Subscription},
};
use support::{
    link::{SLOW, connected, disconnected, message, next_event, settings, start},
    scripted_broker::{
        CORRELATION_DATA, MAXIMUM_PACKET_SIZE, MESSAGE_EXPIRY, PATIENCE, Packet, Properties, Publish, RECEIVE_MAXIMUM,
        RESPONSE_TOPIC, SERVER_KEEP_ALIVE, SESSION_EXPIRY, ScriptedBroker,
    },
};
use tokio::time::timeout;

fn publish_numbers(link: &Link, numbers: std::ops::Range<usize>) {
    for number in numbers {
        link.publish(Outgoing::passing("base/event", number.to_string()));
    }
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|it| it.to_string()).collect()
}

fn command(packet_id: u16, payload: &str) -> Publish {
    Publish {
        topic: "base/commands/refresh".to_owned(),
        payload: payload.into(),
        qos: 1,
        packet_id,
        ..Publish::default()
    }
}

#[tokio::test]
async fn the_broker_is_told_what_we_want() {
    let broker = ScriptedBroker::start().await;
    let mut wanted = settings(broker.port);
    wanted.credentials = Some(("latchkey".to_owned(), Secret::new("canary-password-0123")));
    wanted
        .subscriptions
        .push(Subscription { send_retained: false, ..Subscription::new("homeassistant/status", Qos::AtMostOnce) });
    assert!(!format!("{wanted:?}").contains("canary-password"));
    let (_link, mut events, _task) = start(wanted);

    let mut peer = broker.accept().await;
    let connect = peer.expect_connect().await;
    assert_eq!(connect.client_id, "latchkey-test");
    assert!(!connect.clean_start);
    assert_eq!(connect.keep_alive, 30);
    assert_eq!(connect.properties.number(SESSION_EXPIRY), Some(300));
    assert_eq!(connect.properties.number(RECEIVE_MAXIMUM), Some(16));
    assert_eq!(connect.properties.number(MAXIMUM_PACKET_SIZE), Some(256 * 1024));
    assert_eq!(connect.will, Some(("base/bridge/state".to_owned(), b"offline".to_vec(), 10)));
    assert_eq!(connect.user.as_deref(), Some("latchkey"));
    assert_eq!(connect.password.as_deref(), Some("canary-password-0123"));

    peer.connack(true, 0, &Properties::default()).await;
    // No local, retain as published, and the QoS; 0x20 is 'send nothing retained'.
    let filters = peer.accept_subscriptions().await;
    assert_eq!(
        filters,
        [("base/commands/+".to_owned(), 0x04 | 0x08 | 1), ("homeassistant/status".to_owned(), 0x04 | 0x08 | 0x20)]
    );
    assert!(connected(&mut events).await);
}

#[tokio::test]
async fn connected_is_told_after_the_subscriptions_are_answered_and_anew_on_each_connection() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    link.publish(Outgoing::retained("base/state", "1"));

    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.connack(false, 0, &Properties::default()).await;
    let Packet::Subscribe { packet_id, .. } = peer.next().await else { panic!("expected SUBSCRIBE") };
    assert!(!link.is_connected());
    peer.suback(packet_id, &[1]).await;
    assert!(!connected(&mut events).await);
    assert!(link.is_connected());
    assert_eq!(peer.take(1).await, ["1"]);
    drop(peer);

    disconnected(&mut events).await;
    assert!(!link.is_connected());
    let _peer = broker.accept_ready(true).await;
    assert!(connected(&mut events).await);
}

#[tokio::test]
async fn work_accepted_before_a_reconnect_is_not_lost() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(false).await;
    connected(&mut events).await;
    publish_numbers(&link, 0..25);
    assert_eq!(peer.take(3).await, numbers(0..3));
    peer.expect_publish().await;
    drop(peer);

    let mut peer = broker.accept_ready(false).await;
    let mut arrived = BTreeSet::from(["0", "1", "2"].map(str::to_owned));
    while arrived.len() < 25 {
        arrived.extend(peer.take(1).await);
    }
    assert_eq!(arrived, BTreeSet::from_iter(numbers(0..25)));
    timeout(PATIENCE, link.idle()).await.unwrap();
}

#[tokio::test]
async fn the_last_value_of_a_retained_topic_wins_while_there_is_no_broker() {
    let broker = ScriptedBroker::start().await;
    let (link, _events, _task) = start(settings(broker.port));
    for number in 0..5 {
        link.publish(Outgoing::retained("base/state", format!("state {number}")));
        publish_numbers(&link, number..number + 1);
    }
    link.publish(Outgoing { qos: Qos::AtMostOnce, ..Outgoing::passing("base/event", "for now only") });
    let mut peer = broker.accept_ready(false).await;
    assert_eq!(peer.take(6).await, ["0", "1", "2", "3", "state 4", "4"]);
}

#[tokio::test]
async fn a_value_that_is_replaced_on_its_way_is_followed_by_the_newer_one() {
    let broker = ScriptedBroker::start().await;
    let (link, _events, _task) = start(settings(broker.port));
    link.publish(Outgoing::retained("base/state", "old"));
    let mut peer = broker.accept_ready(false).await;
    let old = peer.expect_publish().await;
    assert!(old.retain);
    link.publish(Outgoing::retained("base/state", "new"));
    peer.puback(old.packet_id, 0).await;
    assert_eq!(peer.take(1).await, ["new"]);
}

#[tokio::test]
async fn a_retained_message_of_200_kib_is_taken() {
    let broker = ScriptedBroker::start().await;
    let (_link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(false).await;
    let payload = vec![b'x'; 200 * 1024];
    peer.publish(&Publish { retain: true, payload: payload.clone(), ..command(1, "") }).await;
    let message = message(&mut events).await;
    assert!(message.retain);
    assert_eq!(message.payload, payload);
}

#[tokio::test]
async fn a_broker_that_ignores_our_limit_does_not_make_a_reconnect_loop() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(false).await;
    peer.publish(&Publish { retain: true, payload: vec![b'x'; 300 * 1024], ..command(1, "") }).await;
    let (reason, _) = disconnected(&mut events).await;
    assert!(matches!(reason, LinkFailure::TooLarge { .. }), "{reason}");

    let mut peer = broker.accept().await;
    assert!(peer.expect_connect().await.clean_start, "the session would bring the packet again");
    peer.connack(false, 0, &Properties::default()).await;
    let filters = peer.accept_subscriptions().await;
    assert!(filters.iter().all(|(_, options)| options & 0x30 == 0x20), "{filters:?} ask for retained messages");
    connected(&mut events).await;
    publish_numbers(&link, 0..1);
    assert_eq!(peer.take(1).await, ["0"]);
}

#[tokio::test]
async fn a_message_beyond_the_brokers_limit_is_dropped_and_the_rest_goes_on() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.connack(false, 0, &Properties::with_number(MAXIMUM_PACKET_SIZE, 1000)).await;
    peer.accept_subscriptions().await;
    connected(&mut events).await;
    link.publish(Outgoing::retained("base/state", vec![b'x'; 1000]));
    publish_numbers(&link, 0..1);
    assert_eq!(peer.take(1).await, ["0"]);
    assert_eq!(link.n_dropped(), 1);
}

#[tokio::test]
async fn a_broker_that_reads_no_more_is_given_up() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(LinkSettings { keep_alive: Duration::from_secs(5), ..settings(broker.port) });
    let _deaf = broker.accept_ready(false).await;
    connected(&mut events).await;
    // More than the buffers of both sockets hold.
    for _ in 0..80 {
        link.publish(Outgoing { qos: Qos::AtMostOnce, ..Outgoing::passing("base/event", vec![b'x'; 200 * 1024]) });
    }
    publish_numbers(&link, 0..1);
    let (reason, _) = disconnected(&mut events).await;
    assert_eq!(reason, LinkFailure::Silent);
    let mut peer = broker.accept_ready(false).await;
    assert_eq!(peer.take(1).await, ["0"]);
}

#[tokio::test]
async fn a_receive_maximum_that_shrinks_does_no_harm() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    for (receive_maximum, numbered) in [(50, 0..101), (5, 101..200), (1, 200..220)] {
        let mut peer = broker.accept().await;
        peer.expect_connect().await;
        peer.connack(true, 0, &Properties::with_number(RECEIVE_MAXIMUM, receive_maximum)).await;
        peer.accept_subscriptions().await;
        connected(&mut events).await;
        publish_numbers(&link, numbered.clone());
        assert_eq!(peer.take(numbered.len()).await, numbers(numbered));
        timeout(PATIENCE, link.idle()).await.unwrap();
    }
}

#[tokio::test]
async fn no_more_is_on_its_way_than_the_broker_allows() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    publish_numbers(&link, 0..5);
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.connack(false, 0, &Properties::with_number(RECEIVE_MAXIMUM, 2)).await;
    peer.accept_subscriptions().await;
    let first = peer.expect_publish().await;
    let second = peer.expect_publish().await;
    // What comes next would have come before the answer to this, which is sent after it.
    peer.publish(&command(1, "{}")).await;
    link.ack(message(&mut events).await.ack.unwrap());
    peer.puback(first.packet_id, 0).await;
    peer.puback(second.packet_id, 0).await;
    let mut payloads = Vec::new();
    while payloads.len() < 3 {
        if let Packet::Publish(publish) = peer.next().await {
            peer.puback(publish.packet_id, 0).await;
            payloads.push(String::from_utf8(publish.payload).unwrap());
        }
    }
    assert_eq!(payloads, ["2", "3", "4"]);
}

#[tokio::test]
async fn acknowledgements_out_of_order_and_a_lost_session_do_not_stop_the_rest() {
    let broker = ScriptedBroker::start().await;
    let (link, _events, _task) = start(settings(broker.port));
    publish_numbers(&link, 0..20);
    let mut peer = broker.accept_ready(false).await;
    peer.expect_publish().await;
    // The first is never acknowledged. A tenth more would get its packet id.
    assert_eq!(peer.take(9).await, numbers(1..10));
    timeout(Duration::from_millis(50), peer.read()).await.expect_err("a packet id was used twice");
    drop(peer);

    let mut peer = broker.accept_ready(false).await;
    let mut arrived = BTreeSet::new();
    while !numbers(10..20).iter().all(|it| arrived.contains(it)) {
        arrived.extend(peer.take(1).await);
    }
    assert!(arrived.contains("0"));
    publish_numbers(&link, 20..25);
    assert_eq!(peer.take(5).await, numbers(20..25));
}

#[tokio::test]
async fn a_late_refusal_of_the_first_message_lets_the_rest_go_on() {
    let broker = ScriptedBroker::start().await;
    let (link, _events, _task) = start(settings(broker.port));
    publish_numbers(&link, 0..20);
    let mut peer = broker.accept_ready(false).await;
    let first = peer.expect_publish().await;
    assert_eq!(peer.take(9).await, numbers(1..10));
    // rumqttc waits for ever for an id that it used twice, if the answer to the first use is a refusal.
    timeout(Duration::from_millis(50), peer.read()).await.expect_err("a packet id was used twice");
    peer.puback(first.packet_id, 0x87).await;
    assert_eq!(peer.take(10).await, numbers(10..20));
}

#[tokio::test]
async fn a_message_that_the_broker_refuses_does_not_hold_up_the_others() {
    let broker = ScriptedBroker::start().await;
    let (link, _events, _task) = start(settings(broker.port));
    publish_numbers(&link, 0..30);
    let mut peer = broker.accept_ready(false).await;
    for number in 0..30 {
        let publish = peer.expect_publish().await;
        assert_eq!(publish.payload, number.to_string().as_bytes());
        peer.puback(publish.packet_id, if number % 2 == 0 { 0x87 } else { 0 }).await;
    }
    timeout(PATIENCE, link.idle()).await.unwrap();
}

#[tokio::test]
async fn a_stray_pubrel_costs_one_connection_and_no_storm() {
    let broker = ScriptedBroker::start().await;
    let (_link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(true).await;
    peer.write(0x62, &[0, 7]).await;
    let (reason, _) = disconnected(&mut events).await;
    assert!(matches!(reason, LinkFailure::Protocol(_)), "{reason}");
    let mut peer = broker.accept().await;
    assert!(peer.expect_connect().await.clean_start, "the session would bring the PUBREL again");
}

#[tokio::test]
async fn five_hundred_messages_each_way_at_once_do_not_block_each_other() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(false).await;
    connected(&mut events).await;
    publish_numbers(&link, 0..500);
    for number in 0..500_u16 {
        peer.publish(&Publish { qos: 0, ..command(0, &number.to_string()) }).await;
    }
    peer.publish(&command(1, "last")).await;
    assert_eq!(peer.take(500).await, numbers(0..500));
    for number in 0..500 {
        assert_eq!(message(&mut events).await.payload, number.to_string());
    }
    link.ack(message(&mut events).await.ack.unwrap());
    assert_eq!(peer.next().await, Packet::PubAck { packet_id: 1 });
}

#[tokio::test]
async fn a_message_brings_its_reply_topic_and_a_reply_its_correlation_data() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(false).await;
    connected(&mut events).await;
    let properties = Properties {
        bytes: vec![(RESPONSE_TOPIC, b"base/reply/me".to_vec()), (CORRELATION_DATA, vec![0, 255])],
        ..Properties::default()
    };
    peer.publish(&Publish { properties, ..command(1, "{}") }).await;
    let request = message(&mut events).await;
    assert_eq!(request.topic, "base/commands/refresh");
    assert_eq!(request.response_topic.as_deref(), Some("base/reply/me"));
    link.publish(Outgoing {
        correlation_data: request.correlation_data,
        message_expiry: Some(Duration::from_secs(60)),
        ..Outgoing::passing(request.response_topic.unwrap(), "ok")
    });
    let reply = peer.expect_publish().await;
    assert_eq!(reply.topic, "base/reply/me");
    assert_eq!(reply.properties.bytes(CORRELATION_DATA), Some(&[0, 255][..]));
    assert!((1..=60).contains(&reply.properties.number(MESSAGE_EXPIRY).unwrap()));
    assert!(!reply.retain);
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_with_the_session_and_can_be_acknowledged_late() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(false).await;
    for (packet_id, payload) in [(1, "a"), (2, "b"), (3, "c")] {
        peer.publish(&command(packet_id, payload)).await;
    }
    link.ack(message(&mut events).await.ack.unwrap());
    let (old_b, _old_c) = (message(&mut events).await, message(&mut events).await);
    assert_eq!(peer.next().await, Packet::PubAck { packet_id: 1 });
    drop(peer);

    let mut peer = broker.accept_ready(true).await;
    for (packet_id, payload) in [(2, "b"), (3, "c")] {
        peer.publish(&Publish { dup: true, ..command(packet_id, payload) }).await;
    }
    let (b, c) = (message(&mut events).await, message(&mut events).await);
    assert!(b.dup && c.dup);
    link.ack(old_b.ack.unwrap());
    publish_numbers(&link, 0..1);
    assert_eq!(peer.take(1).await, ["0"], "an acknowledgement of the old connection was sent");
    link.ack(c.ack.unwrap());
    link.ack(b.ack.unwrap());
    assert_eq!(peer.next().await, Packet::PubAck { packet_id: 2 });
    assert_eq!(peer.next().await, Packet::PubAck { packet_id: 3 });
}

#[tokio::test]
async fn what_the_broker_kept_is_told_as_such_until_our_own_word_comes_back_behind_it() {
    let broker = ScriptedBroker::start().await;
    let wanted = LinkSettings { echo_topic: Some("base/echo".to_owned()), ..settings(broker.port) };
    let (link, mut events, _task) = start(wanted);
    publish_numbers(&link, 0..1);
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.connack(true, 0, &Properties::default()).await;
    let filters = peer.accept_subscriptions().await;
    assert_eq!(filters.last(), Some(&("base/echo".to_owned(), 0x08 | 0x20 | 1)), "{filters:?}");
    let called = peer.expect_publish().await;
    assert_eq!((called.topic.as_str(), called.qos, called.retain), ("base/echo", 1, false));
    assert!(!link.is_connected(), "nothing else is in flight yet");
    peer.puback(called.packet_id, 0).await;
    assert!(connected(&mut events).await);
    assert_eq!(peer.take(1).await, ["0"]);

    let echo = |packet_id, payload: &[u8]| Publish {
        topic: "base/echo".to_owned(),
        payload: payload.to_vec(),
        ..command(packet_id, "")
    };
    peer.publish(&command(1, "kept")).await;
    peer.publish(&echo(2, b"somebody else's")).await;
    peer.publish(&Publish { qos: 0, ..command(0, "kept, too") }).await;
    peer.publish(&echo(3, &called.payload)).await;
    peer.publish(&command(4, "new")).await;
    for (payload, was_kept) in [("kept", true), ("kept, too", true), ("new", false)] {
        let message = message(&mut events).await;
        assert_eq!((&message.payload[..], message.was_kept), (payload.as_bytes(), was_kept));
        message.ack.into_iter().for_each(|it| link.ack(it));
    }
    for packet_id in 1..=4 {
        assert_eq!(peer.next().await, Packet::PubAck { packet_id });
    }
}

#[tokio::test]
async fn without_a_session_or_the_right_to_speak_nothing_counts_as_kept() {
    let broker = ScriptedBroker::start().await;
    let wanted = LinkSettings { echo_topic: Some("base/echo".to_owned()), ..settings(broker.port) };
    let (link, mut events, _task) = start(wanted);
    let mut peer = broker.accept_ready(false).await;
    assert!(!connected(&mut events).await);
    peer.publish(&command(1, "new")).await;
    assert!(!message(&mut events).await.was_kept);
    drop(peer);

    let mut peer = broker.accept_ready(true).await;
    let called = peer.expect_publish().await;
    publish_numbers(&link, 0..1);
    peer.puback(called.packet_id, 0x87).await;
    assert!(connected(&mut events).await);
    assert_eq!(peer.take(1).await, ["0"]);
    peer.publish(&command(1, "new")).await;
    assert!(!message(&mut events).await.was_kept);
}

#[tokio::test]
async fn a_takeover_is_named_and_slows_us_down() {
    let broker = ScriptedBroker::start().await;
    let (_link, mut events, _task) = start(settings(broker.port));
    broker.accept_ready(false).await.disconnect(0x8e).await;
    let (reason, retry_in) = disconnected(&mut events).await;
    assert_eq!(reason, LinkFailure::TakenOver);
    assert!(reason.to_string().contains("client id"));
    assert_eq!(retry_in, SLOW);
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_for_long() {
    for code in [0x85, 0x86, 0x87, 0x8a] {
        let broker = ScriptedBroker::start().await;
        let (_link, mut events, _task) = start(settings(broker.port));
        let mut peer = broker.accept().await;
        peer.expect_connect().await;
        peer.connack(false, code, &Properties::default()).await;
        let (reason, retry_in) = disconnected(&mut events).await;
        assert!(matches!(reason, LinkFailure::LoginRefused(_) | LinkFailure::ClientIdRefused(_)), "{reason}");
        assert_eq!(retry_in, SLOW, "{reason}");
    }
}

#[tokio::test]
async fn a_broker_that_is_busy_is_tried_again_soon() {
    let broker = ScriptedBroker::start().await;
    let (_link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.connack(false, 0x89, &Properties::default()).await;
    drop(peer);
    let _peer = broker.accept_ready(false).await;
    connected(&mut events).await;
}

#[tokio::test]
async fn a_refused_subscription_is_reported_and_the_others_work() {
    let broker = ScriptedBroker::start().await;
    let mut wanted = settings(broker.port);
    wanted.subscriptions.push(Subscription::new("base/forbidden", Qos::AtLeastOnce));
    let (_link, mut events, _task) = start(wanted);
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.connack(false, 0, &Properties::default()).await;
    let Packet::Subscribe { packet_id, .. } = peer.next().await else { panic!("expected SUBSCRIBE") };
    peer.suback(packet_id, &[1, 0x87]).await;
    let LinkEvent::SubscriptionRefused { filter, reason } = next_event(&mut events).await else {
        panic!("the refusal was not told")
    };
    assert_eq!(filter, "base/forbidden");
    assert!(reason.contains("ACL"), "{reason}");
    connected(&mut events).await;
    peer.publish(&command(1, "{}")).await;
    message(&mut events).await;
}

#[tokio::test]
async fn a_broker_that_turns_keep_alive_off_is_not_flooded_with_pings() {
    let broker = ScriptedBroker::start().await;
    let (_link, mut events, _task) = start(settings(broker.port));
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.connack(false, 0, &Properties::with_number(SERVER_KEEP_ALIVE, 0)).await;
    peer.accept_subscriptions().await;
    connected(&mut events).await;
    let mut n_pings = 0;
    // One ping may come at once; the next is not due for seconds. Unanswered, a second one ends the connection.
    while let Ok(packet) = timeout(Duration::from_millis(300), peer.read()).await {
        assert_eq!(packet, Some(Packet::PingReq), "the connection did not hold");
        n_pings += 1;
    }
    assert!(n_pings <= 1, "{n_pings} pings");
}

#[tokio::test]
async fn stop_publishes_the_farewell_and_takes_leave_after_its_acknowledgement() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, task) = start(settings(broker.port));
    let mut peer = broker.accept_ready(false).await;
    connected(&mut events).await;
    publish_numbers(&link, 0..1);
    let stopping = tokio::spawn(link.stop(vec![Outgoing::retained("base/bridge/state", "offline")]));
    assert_eq!(peer.take(1).await, ["0"]);
    let farewell = peer.expect_publish().await;
    assert_eq!((farewell.topic.as_str(), &farewell.payload[..]), ("base/bridge/state", &b"offline"[..]));
    assert!(farewell.retain && farewell.qos == 1);
    peer.puback(farewell.packet_id, 0).await;
    assert_eq!(peer.next().await, Packet::Disconnect { reason: 0 });
    drop(peer);
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap();
    while let Some(event) = timeout(PATIENCE, events.next()).await.unwrap() {
        assert!(!matches!(event, LinkEvent::Disconnected { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn stop_does_not_wait_for_a_broker_that_is_away() {
    let port = ScriptedBroker::start().await.port;
    let (link, mut events, task) = start(settings(port));
    let (reason, _) = disconnected(&mut events).await;
    assert!(matches!(reason, LinkFailure::Unreachable(_)), "{reason}");
    timeout(PATIENCE, link.stop(vec![Outgoing::retained("base/bridge/state", "offline")])).await.unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_link_whose_task_was_killed_is_not_connected_and_nobody_waits_for_it() {
    let broker = ScriptedBroker::start().await;
    let (link, mut events, task) = start(settings(broker.port));
    let _peer = broker.accept_ready(false).await;
    connected(&mut events).await;
    task.abort();
    while events.next().await.is_some() {}
    assert!(!link.is_connected());
    publish_numbers(&link, 0..1);
    timeout(PATIENCE, link.idle()).await.unwrap();
    timeout(PATIENCE, link.stop(Vec::new())).await.unwrap();
}
