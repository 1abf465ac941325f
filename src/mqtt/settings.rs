//! What the link has to know, and how it is told to rumqttc.

use std::{net::Ipv6Addr, sync::Arc, time::Duration};

use rumqttc::{
    NetworkOptions, TlsConfiguration, Transport,
    v5::{
        MqttOptions,
        mqttbytes::{
            QoS,
            v5::{Filter, LastWill, LastWillProperties, RetainForwardRule},
        },
    },
};
use rustls::ClientConfig;

use super::{message::Qos, tls::TlsSettings};
use crate::account::Secret;

/// The shortest keep-alive: rumqttc panics below it.
pub const MIN_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The biggest packet that we take, announced to the broker: rumqttc's own limit of 10 KiB makes a bigger retained
/// message an endless loop of reconnects.
pub const MAX_INCOMING_PACKET: u32 = 256 * 1024;
/// How many publishes of ours may wait for their acknowledgement. Low, since rumqttc keeps 14 MiB of slots without a
/// limit, and below what any broker allows, since it loses count when the broker's limit shrinks below ours.
pub const MAX_IN_FLIGHT: u16 = 10;

const RECEIVE_MAXIMUM: u16 = 16;
const CONNECTION_TIMEOUT_SECONDS: u64 = 10;

/// Where the broker is and what we want of it.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// A name or an address; an IPv6 address with or without brackets.
    pub host: String,
    pub port: u16,
    /// Has to be the same after a restart and nobody else's: the broker keeps our session under it.
    pub client_id: String,
    pub credentials: Option<(String, Secret)>,
    /// None for plain TCP.
    pub tls: Option<TlsSettings>,
    /// At least [`MIN_KEEP_ALIVE`], to which a shorter one is raised.
    pub keep_alive: Duration,
    /// How long the broker keeps commands for us while we are away.
    pub session_expiry: Duration,
    pub will: Option<Will>,
    pub subscriptions: Vec<Subscription>,
    /// A topic of our own, to find the end of what the broker kept for us while we were away: what we say there comes
    /// back behind all of that. Without it, what comes after the answer to our subscriptions counts as new.
    pub echo_topic: Option<String>,
    /// How many messages wait for the broker at most; beyond that the oldest that is not retained goes.
    pub outbox_limit: usize,
    pub backoff: Backoff,
}

/// What the broker says for us when we are gone without a farewell: retained, at least once.
#[derive(Clone, Debug)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
    /// So that a blip is not shown to anybody.
    pub delay: Duration,
}

/// A filter to subscribe to. Always retain-as-published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub filter: String,
    pub qos: Qos,
    /// Whether the broker sends what it has retained, at each connection.
    pub send_retained: bool,
    /// Whether the broker spares us what we published ourselves. Some then keep back what we retained in an earlier
    /// life, too, since the client id is the same.
    pub no_local: bool,
}

/// How long to wait between two connections: a random time from `min` to a ceiling that doubles up to `max`, or from
/// `slow_min` to `slow_max` where a person has to change something first.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
    pub slow_min: Duration,
    pub slow_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(500),
            max: Duration::from_secs(30),
            slow_min: Duration::from_secs(60),
            slow_max: Duration::from_secs(300),
        }
    }
}

impl Will {
    fn to_last_will(&self) -> LastWill {
        let properties = LastWillProperties {
            delay_interval: Some(whole_seconds(self.delay)),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        LastWill::new(&self.topic, self.payload.clone(), QoS::AtLeastOnce, true, Some(properties))
    }
}

impl Subscription {
    /// A subscription that also gets what others retained.
    pub fn new(filter: impl Into<String>, qos: Qos) -> Self {
        Self { filter: filter.into(), qos, send_retained: true, no_local: true }
    }

    /// A subscription to what we say to ourselves. At QoS 0 it might overtake what is kept.
    pub(super) fn echo(topic: String) -> Self {
        Self { send_retained: false, no_local: false, ..Self::new(topic, Qos::AtLeastOnce) }
    }

    pub(super) fn to_filter(&self, without_retained: bool) -> Filter {
        Filter {
            path: self.filter.clone(),
            qos: self.qos.into(),
            nolocal: self.no_local,
            preserve_retain: true,
            retain_forward_rule: if self.send_retained && !without_retained {
                RetainForwardRule::OnEverySubscribe
            } else {
                RetainForwardRule::Never
            },
        }
    }

    /// A subscription to what is published from now on, and to nothing that waits for us.
    pub fn live(filter: impl Into<String>) -> Self {
        Self { send_retained: false, ..Self::new(filter, Qos::AtMostOnce) }
    }
}

impl LinkSettings {
    pub(super) fn keep_alive(&self) -> Duration {
        self.keep_alive.clamp(MIN_KEEP_ALIVE, Duration::from_secs(u16::MAX.into()))
    }

    /// The result holds the password and prints it: it must never meet a formatter.
    pub(super) fn to_mqtt_options(&self, tls: Option<Arc<ClientConfig>>, clean_start: bool) -> MqttOptions {
        let mut options = MqttOptions::new(&self.client_id, plain_host(&self.host), self.port);
        let mut network_options = NetworkOptions::new();
        network_options.set_tcp_nodelay(true);
        options
            .set_keep_alive(self.keep_alive())
            .set_clean_start(clean_start)
            .set_session_expiry_interval(Some(whole_seconds(self.session_expiry)))
            .set_receive_maximum(Some(RECEIVE_MAXIMUM))
            .set_max_packet_size(Some(MAX_INCOMING_PACKET))
            .set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT)
            .set_manual_acks(true)
            .set_connection_timeout(CONNECTION_TIMEOUT_SECONDS)
            .set_network_options(network_options);
        if let Some(will) = &self.will {
            options.set_last_will(will.to_last_will());
        }
        if let Some((user, password)) = &self.credentials {
            options.set_credentials(user, password.expose());
        }
        if let Some(config) = tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
        }
        options
    }
}

impl From<Qos> for QoS {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
        }
    }
}

pub(super) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// rumqttc puts `:port` behind the host, which the resolver reads from the right: an IPv6 address goes without
/// brackets, and only then is it also a name that TLS can check.
fn plain_host(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.filter(|it| it.parse::<Ipv6Addr>().is_ok()).unwrap_or(host)
}
