//! One device as it is announced: a retained message that holds all its entities (homeassistant.md §1.2).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    component::Platform,
    component::{Availability, Component},
    house::{House, key_in_topic},
    ledger::Part,
};

/// A device and its entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The discovery topic. It names the device, too.
    pub topic: String,
    pub(super) device: Device,
    pub(super) origin: Origin,
    /// For every entity that does not say otherwise.
    pub(super) availability: Option<[Availability; 1]>,
    /// By a key of `[a-z0-9_]+`: Home Assistant splits on spaces.
    pub(super) components: BTreeMap<String, Component>,
}

/// What is to be published, retained and at QoS 1. An empty payload takes the device back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
}

/// The registry entry of a device. One key that Home Assistant does not know would cost all entities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Device {
    pub(super) identifiers: [String; 1],
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manufacturer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sw_version: Option<&'static str>,
    /// The bridge's identifier. Naming a device that nobody announces leaves a nameless one behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) via_device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) configuration_url: Option<String>,
}

/// Who announces, for Home Assistant's log and its MQTT information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Origin {
    pub(super) name: &'static str,
    pub(super) sw_version: &'static str,
}

#[derive(Serialize)]
struct Document<'a> {
    device: &'a Device,
    origin: &'a Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability: &'a Option<[Availability; 1]>,
    qos: u8,
    components: BTreeMap<&'a str, Slot<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Slot<'a> {
    Held(&'a Component),
    Ghost(Box<Component>),
    /// Nothing but its platform: that takes an entity back.
    Reduced {
        platform: Platform,
    },
}

/// Announcements, to be looked up where there are thousands.
pub(super) fn by_topic(announcements: &[Announcement]) -> BTreeMap<&str, &Announcement> {
    announcements.iter().map(|it| (it.topic.as_str(), it)).collect()
}

impl Announcement {
    /// The device as it is.
    pub fn message(&self) -> Message {
        self.encode([])
    }

    /// The device as it is, and these entities again, although they are gone: so that Home Assistant, which has started
    /// without them, knows them and can be told to remove them.
    pub(super) fn with_ghosts(&self, gone: &BTreeSet<Part>) -> Message {
        let key = key_in_topic(&self.topic);
        self.encode(
            gone.iter().map(|it| (it.key.as_str(), Slot::Ghost(Box::new(Component::ghost(key, it.platform, &it.key))))),
        )
    }

    /// The device as it is, with the order to remove these entities.
    pub(super) fn without(&self, gone: &BTreeSet<Part>) -> Message {
        self.encode(gone.iter().map(|it| (it.key.as_str(), Slot::Reduced { platform: it.platform })))
    }

    pub(super) fn parts(&self) -> BTreeSet<Part> {
        self.components.iter().map(|(key, it)| Part { platform: it.platform(), key: key.clone() }).collect()
    }

    fn encode<'a>(&'a self, others: impl IntoIterator<Item = (&'a str, Slot<'a>)>) -> Message {
        let held = self.components.iter().map(|(key, it)| (key.as_str(), Slot::Held(it)));
        let document = Document {
            device: &self.device,
            origin: &self.origin,
            availability: &self.availability,
            qos: 1,
            components: held.chain(others).collect(),
        };
        let payload = serde_json::to_vec(&document).expect("structs with text keys always make JSON");
        Message { topic: self.topic.clone(), payload }
    }
}

impl Message {
    /// Takes a device back.
    pub(super) fn removal(topic: &str) -> Self {
        Self { topic: topic.to_owned(), payload: Vec::new() }
    }

    /// A device of which nothing is left but the ledger's note, announced so that it can be taken back.
    pub(super) fn ghost_device(topic: &str, parts: &BTreeSet<Part>) -> Self {
        let key = key_in_topic(topic);
        let device = Device {
            identifiers: [key.to_owned()],
            name: key.to_owned(),
            manufacturer: None,
            model: None,
            sw_version: None,
            via_device: None,
            configuration_url: None,
        };
        let bare = Announcement {
            topic: topic.to_owned(),
            device,
            origin: Origin::of(env!("CARGO_PKG_VERSION")),
            availability: None,
            components: BTreeMap::new(),
        };
        bare.with_ghosts(parts)
    }
}

impl Origin {
    pub(super) fn of(version: &'static str) -> Self {
        Self { name: "Latchkey", sw_version: version }
    }
}

impl Availability {
    /// Latchkey's own: the one topic that every entity's availability hangs on. A vendor's trouble is a state instead.
    pub(super) fn of(house: &House) -> Self {
        Self { topic: house.topic(&["bridge", "state"]), value_template: None }
    }
}
