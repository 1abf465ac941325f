//! `[home_assistant]`: how accounts are announced there.

use std::time::Duration;

use super::{section::Section, topic::Topic};

/// How Latchkey announces itself to Home Assistant by MQTT discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeAssistantSettings {
    /// Whether anything is announced; true by default.
    pub discovery: bool,
    /// `homeassistant` by default, as in Home Assistant.
    pub discovery_prefix: Topic,
    /// Where Home Assistant tells that it has started; `<discovery prefix>/status` by default.
    pub birth_topic: Topic,
    /// What it says there; `online` by default, and compared without regard to case.
    pub birth_payload: String,
    /// The longest random delay of an announcement after a birth; 5 s by default.
    pub announce_delay: Duration,
}

pub(super) fn read(mut section: Section<'_>, base_topic: &Topic) -> HomeAssistantSettings {
    let discovery_prefix: Topic = section.parsed("discovery_prefix", "homeassistant").unwrap_or_else(default_prefix);
    let birth_topic = section.parsed("birth_topic", "homeassistant/status");
    let settings = HomeAssistantSettings {
        discovery: section.boolean("discovery", true),
        birth_topic: birth_topic.unwrap_or_else(|| discovery_prefix.child("status")),
        birth_payload: section.text("birth_payload", "online").unwrap_or_else(|| "online".to_owned()),
        announce_delay: section.duration(
            "announce_delay",
            Duration::ZERO..=Duration::from_secs(300),
            Duration::from_secs(5),
        ),
        discovery_prefix,
    };
    if settings.discovery_prefix.below().overlaps(&base_topic.below()) {
        let why = "Latchkey's base topic and the discovery prefix must not be one below the other";
        section.report_invalid("discovery_prefix", why, "change it, or `mqtt.base_topic`");
    }
    section.finish();
    settings
}

fn default_prefix() -> Topic {
    "homeassistant".parse().expect("the default is a topic")
}
