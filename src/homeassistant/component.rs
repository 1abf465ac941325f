//! The entities of a device, as MQTT discovery wants them: one closed type for each platform.
//!
//! Home Assistant ignores a key of a component that it does not know and drops the entity over a bad value, both without
//! a word to us; so there are no free-form maps here, and golden files hold what comes out.

use serde::{Deserialize, Serialize};

use crate::account::{Condition, EventType};

/// The platform of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    Sensor,
    BinarySensor,
    Button,
    Scene,
    Text,
    Event,
}

/// One entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "platform", rename_all = "snake_case")]
pub(super) enum Component {
    Sensor(Sensor),
    BinarySensor(BinarySensor),
    Button(Button),
    Scene(Scene),
    Text(Text),
    Event(Event),
}

/// What every entity has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Common {
    pub(super) unique_id: String,
    /// With its domain. Home Assistant uses it only when it first meets the entity.
    pub(super) default_entity_id: String,
    /// Without the device's name, which Home Assistant puts before it.
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) icon: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity_category: Option<Category>,
    #[serde(skip_serializing_if = "is_true")]
    pub(super) enabled_by_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) availability: Option<Vec<Availability>>,
    /// Where `availability` has more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) availability_mode: Option<AvailabilityMode>,
}

/// None for what people use daily: a category hides an entity from areas and voice assistants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Category {
    /// Something that acts or changes a setting. Sensors must not have it.
    Config,
    Diagnostic,
}

/// A topic that says `online` or `offline`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Availability {
    pub(super) topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_template: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AvailabilityMode {
    /// One that says `offline`, or has said nothing yet, is enough to make it unavailable.
    All,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sensor {
    #[serde(flatten)]
    pub(super) common: Common,
    #[serde(flatten)]
    pub(super) class: Option<SensorClass>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_class: Option<StateClass>,
    pub(super) state_topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json_attributes_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json_attributes_template: Option<&'static str>,
}

/// The device class, with what only that class may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "device_class", rename_all = "snake_case")]
pub(super) enum SensorClass {
    Enum { options: [Condition; Condition::ALL.len()] },
    Timestamp,
    Duration { unit_of_measurement: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateClass {
    Measurement,
    /// It only grows, or starts again at nothing.
    TotalIncreasing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct BinarySensor {
    #[serde(flatten)]
    pub(super) common: Common,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_class: Option<BinarySensorClass>,
    pub(super) state_topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_template: Option<String>,
    pub(super) payload_on: &'static str,
    pub(super) payload_off: &'static str,
    /// Holds a JSON object, all of which is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json_attributes_topic: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BinarySensorClass {
    Connectivity,
    Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Button {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) command_topic: String,
    pub(super) payload_press: &'static str,
    pub(super) qos: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Scene {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) command_topic: String,
    /// The schema lets it be left out, and activation then fails (homeassistant.md §1.3).
    pub(super) payload_on: &'static str,
    pub(super) qos: u8,
}

/// A field to type into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Text {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) command_topic: String,
    /// Without one Home Assistant shows, and keeps, what was typed.
    pub(super) state_topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_template: Option<&'static str>,
    pub(super) mode: TextMode,
    /// What may be typed; a state that does not match is an error in Home Assistant's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<&'static str>,
    pub(super) max: u8,
    pub(super) qos: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TextMode {
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Event {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) event_types: [EventType; EventType::ALL.len()],
    pub(super) state_topic: String,
}

impl Platform {
    pub(super) const ALL: [Platform; 6] =
        [Self::Sensor, Self::BinarySensor, Self::Button, Self::Scene, Self::Text, Self::Event];

    /// The domain of its entity ids.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::BinarySensor => "binary_sensor",
            Self::Button => "button",
            Self::Scene => "scene",
            Self::Text => "text",
            Self::Event => "event",
        }
    }
}

impl Common {
    /// An entity without icon or category, enabled, and as available as its device.
    ///
    /// The dash before `key` keeps unique ids apart as it keeps device keys apart: neither side of it holds one.
    pub(super) fn new(device_key: &str, platform: Platform, key: &str, name: &str) -> Self {
        let entity = if platform == Platform::Scene { key.strip_prefix("scene_").unwrap_or(key) } else { key };
        Self {
            unique_id: format!("{device_key}-{key}"),
            default_entity_id: format!("{}.{}_{entity}", platform.as_str(), device_key.replace('-', "_")),
            name: name.to_owned(),
            icon: None,
            entity_category: None,
            enabled_by_default: true,
            availability: None,
            availability_mode: None,
        }
    }

    pub(super) fn diagnostic(self) -> Self {
        Self { entity_category: Some(Category::Diagnostic), ..self }
    }

    pub(super) fn config(self) -> Self {
        Self { entity_category: Some(Category::Config), ..self }
    }

    pub(super) fn icon(self, icon: &'static str) -> Self {
        Self { icon: Some(icon), ..self }
    }
}

impl Component {
    /// A stand-in for an entity of which only this much is known any more: enough for Home Assistant to recognise it.
    pub(super) fn ghost(device_key: &str, platform: Platform, key: &str) -> Self {
        let common = Common::new(device_key, platform, key, key);
        // Nobody publishes there.
        let topic = format!("{device_key}/gone");
        match platform {
            Platform::Sensor => Self::Sensor(Sensor {
                common,
                class: None,
                state_class: None,
                state_topic: topic,
                value_template: None,
                json_attributes_topic: None,
                json_attributes_template: None,
            }),
            Platform::BinarySensor => Self::BinarySensor(BinarySensor {
                common,
                device_class: None,
                state_topic: topic,
                value_template: None,
                payload_on: "ON",
                payload_off: "OFF",
                json_attributes_topic: None,
            }),
            Platform::Button => Self::Button(Button { common, command_topic: topic, payload_press: "PRESS", qos: 0 }),
            Platform::Scene => Self::Scene(Scene { common, command_topic: topic, payload_on: "ON", qos: 0 }),
            Platform::Text => Self::Text(Text {
                common,
                command_topic: topic.clone(),
                state_topic: topic,
                value_template: None,
                mode: TextMode::Text,
                pattern: None,
                max: u8::MAX,
                qos: 0,
            }),
            Platform::Event => Self::Event(Event { common, event_types: EventType::ALL, state_topic: topic }),
        }
    }

    pub(super) fn platform(&self) -> Platform {
        match self {
            Self::Sensor(_) => Platform::Sensor,
            Self::BinarySensor(_) => Platform::BinarySensor,
            Self::Button(_) => Platform::Button,
            Self::Scene(_) => Platform::Scene,
            Self::Text(_) => Platform::Text,
            Self::Event(_) => Platform::Event,
        }
    }
}

fn is_true(flag: &bool) -> bool {
    *flag
}
