//! What of two settings is different and can only be taken up by a start.

use super::{HomeAssistantSettings, KeeperSettings, LogSettings, MqttSettings, Settings, StoreSettings, WebSettings};

impl Settings {
    /// The keys, as a user writes them, whose values differ: all but the accounts, and what accounts take from `[keeper]`.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        // Every field is named here, so that one that comes new is not forgotten.
        let Self { instance, mqtt, store, home_assistant, log, keeper, web, alert, accounts: _ } = self;
        let mut keys = Vec::new();
        let mut note = |key, is_same: bool| {
            if !is_same {
                keys.push(key);
            }
        };
        note("instance", *instance == other.instance);
        let MqttSettings { host, port, username, password, client_id: _, base_topic, reply_prefix, keep_alive, tls } =
            mqtt;
        note("mqtt.host", *host == other.mqtt.host);
        note("mqtt.port", *port == other.mqtt.port);
        note("mqtt.username", *username == other.mqtt.username);
        note("mqtt.password", *password == other.mqtt.password);
        note("mqtt.keep_alive", *keep_alive == other.mqtt.keep_alive);
        note("mqtt.tls", *tls == other.mqtt.tls);
        // Another instance has other topics unless it is told otherwise: that is said once.
        if *instance == other.instance {
            note("mqtt.base_topic", *base_topic == other.mqtt.base_topic);
            note("mqtt.reply_prefix", *reply_prefix == other.mqtt.reply_prefix);
        }
        let StoreSettings { path, key } = store;
        note("store.path", *path == other.store.path);
        note("store.key", *key == other.store.key);
        let HomeAssistantSettings { discovery, discovery_prefix, birth_topic, birth_payload, announce_delay } =
            home_assistant;
        note("home_assistant.discovery", *discovery == other.home_assistant.discovery);
        note("home_assistant.discovery_prefix", *discovery_prefix == other.home_assistant.discovery_prefix);
        note("home_assistant.birth_topic", *birth_topic == other.home_assistant.birth_topic);
        note("home_assistant.birth_payload", *birth_payload == other.home_assistant.birth_payload);
        note("home_assistant.announce_delay", *announce_delay == other.home_assistant.announce_delay);
        let LogSettings { filter, format } = log;
        note("log.level", *filter == other.log.filter);
        note("log.format", *format == other.log.format);
        let KeeperSettings { min_refresh_gap: _, refreshes_per_host, call_timeout, back_off: _ } = keeper;
        note("keeper.refreshes_per_host", *refreshes_per_host == other.keeper.refreshes_per_host);
        note("keeper.call_timeout", *call_timeout == other.keeper.call_timeout);
        let WebSettings { listen, public_url, key, allowed_hosts, metrics_public, ingress_from } = web;
        note("web.listen", *listen == other.web.listen);
        note("web.public_url", *public_url == other.web.public_url);
        note("web.key", *key == other.web.key);
        note("web.allowed_hosts", *allowed_hosts == other.web.allowed_hosts);
        note("web.metrics_public", *metrics_public == other.web.metrics_public);
        note("web.ingress_from", *ingress_from == other.web.ingress_from);
        note("alert", *alert == other.alert);
        keys
    }
}
