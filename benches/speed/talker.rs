//! A bare MQTT client: what somebody who gives commands has, and nothing on top.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{
    NetworkOptions,
    v5::{
        AsyncClient, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{QoS, v5::Filter},
    },
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

const STUCK: Duration = Duration::from_secs(120);

/// A message that came in.
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
}

/// A client that has subscribed.
pub(crate) struct Talker {
    client: AsyncClient,
    heard: mpsc::UnboundedReceiver<Heard>,
    task: JoinHandle<()>,
}

/// A connection with the settings that both the service and the talker have.
pub(crate) fn connect(port: u16, name: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(format!("{name}-{:08x}", fastrand::u32(..)), "127.0.0.1", port);
    options.set_clean_start(true).set_outgoing_inflight_upper_limit(100);
    options.set_max_packet_size(Some(256 * 1024));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    AsyncClient::new(options, 64)
}

impl Talker {
    pub(crate) async fn connect(port: u16, filters: &[&str]) -> Self {
        let (client, mut eventloop) = connect(port, "speed");
        let filters: Vec<Filter> = filters.iter().map(|it| Filter::new(*it, QoS::AtLeastOnce)).collect();
        client.subscribe_many(filters).await.unwrap();
        let (sender, heard) = mpsc::unbounded_channel();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let mut ready = Some(ready);
        let task = tokio::spawn(async move {
            loop {
                match eventloop.poll().await.expect("the broker does not answer") {
                    Event::Incoming(Incoming::SubAck(_)) => drop(ready.take().map(|it| it.send(()))),
                    Event::Incoming(Incoming::Publish(publish)) => {
                        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                        let _ = sender.send(Heard { at: Instant::now(), topic, payload: publish.payload });
                    }
                    _ => {}
                }
            }
        });
        is_ready.await.unwrap();
        Self { client, heard, task }
    }

    pub(crate) async fn say(&self, topic: &str, payload: impl Into<Bytes>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.into()).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Heard {
        timeout(STUCK, self.heard.recv()).await.expect("nothing comes").expect("the connection ended")
    }

    /// Says something and waits for the next message; how long that took.
    pub(crate) async fn ask(&mut self, topic: &str, payload: impl Into<Bytes>) -> (Duration, Heard) {
        let asked = Instant::now();
        self.say(topic, payload).await;
        let heard = self.hear().await;
        (heard.at - asked, heard)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.task.abort();
    }
}
