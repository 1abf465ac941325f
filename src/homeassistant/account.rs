//! An account, as a device.

use std::collections::BTreeMap;

use crate::{
    account::{AccountId, Condition, EventType},
    vendor::VendorKind,
};

use super::{
    announcement::{Announcement, Device, Origin},
    component::{
        Availability, BinarySensor, BinarySensorClass, Button, Category, Common, Component, Event, Platform, Scene,
        Sensor, SensorClass, StateClass,
    },
    house::House,
};

/// What Home Assistant is to know of an account beside its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCard {
    pub id: AccountId,
    /// What the user calls it.
    pub name: Option<String>,
    pub vendor: VendorKind,
    /// One entity each. (Doors will come beside them, in the same way.)
    pub scenes: Vec<SceneCard>,
}

/// A scene of the vendor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneCard {
    /// The configured name or a slug of the vendor's id, `[a-z0-9_]+`. It outlives a change of the display name.
    pub key: String,
    pub name: String,
}

/// The device of an account. Its entities read the state document, [`Status`](crate::account::Status).
pub fn account_device(house: &House, card: &AccountCard) -> Announcement {
    let key = house.account_key(&card.id);
    let maker = Maker { house, account: card.id.as_str(), key: &key };
    let login = maker.login(card.vendor);
    let scenes = card.scenes.iter().map(|it| maker.scene(it));
    let components: BTreeMap<String, Component> = login.into_iter().chain(scenes).collect();
    Announcement {
        topic: house.discovery_topic(&key),
        device: Device {
            identifiers: [key],
            name: card.name.clone().unwrap_or_else(|| default_name(card)),
            manufacturer: Some(manufacturer(card.vendor)),
            model: Some(model(card.vendor)),
            sw_version: None,
            via_device: Some(house.bridge_key()),
            configuration_url: house.public_url.clone(),
        },
        origin: Origin::of(house.version),
        availability: Some([Availability::of(house)]),
        components,
    }
}

/// Makes entities, each with its key.
struct Maker<'a> {
    house: &'a House,
    account: &'a str,
    key: &'a str,
}

impl Maker<'_> {
    /// What every account has: how its login is.
    fn login(&self, vendor: VendorKind) -> Vec<(String, Component)> {
        let mut components = vec![
            self.condition(),
            self.time("access_token_expires", "Access token expires", "mdi:timer-sand"),
            self.time("last_refresh", "Last refresh", "mdi:history"),
            self.time("next_refresh", "Next refresh", "mdi:update"),
            self.time("refresh_token_updated", "Refresh token updated", "mdi:key-change"),
            self.consecutive_failures(),
            self.last_error(),
            self.binary("needs_attention", "Needs attention", BinarySensorClass::Problem, "problem"),
            self.binary("cloud", "Cloud connection", BinarySensorClass::Connectivity, "cloud"),
            self.refresh_now(),
            self.event(),
        ];
        // Akuvox does not say when a refresh token ends (protocol/akuvox.md §4), so there is nothing to show.
        if vendor != VendorKind::Akuvox {
            components.push(self.time("refresh_token_expires", "Refresh token expires", "mdi:calendar-end"));
        }
        components
    }

    fn condition(&self) -> (String, Component) {
        let common = self.common(Platform::Sensor, "condition", "Condition").diagnostic().icon("mdi:key");
        let class = Some(SensorClass::Enum { options: Condition::ALL });
        ("condition".to_owned(), Component::Sensor(Sensor { class, ..self.sensor(common, "value_json.condition") }))
    }

    /// A time of the state document, whose field is `key` and `_at`.
    fn time(&self, key: &str, name: &str, icon: &'static str) -> (String, Component) {
        let common = self.common(Platform::Sensor, key, name).diagnostic().icon(icon);
        let sensor = self.sensor(common, &format!("value_json.{key}_at"));
        (key.to_owned(), Component::Sensor(Sensor { class: Some(SensorClass::Timestamp), ..sensor }))
    }

    fn consecutive_failures(&self) -> (String, Component) {
        let key = "consecutive_failures";
        let common = self.common(Platform::Sensor, key, "Consecutive failures").diagnostic().icon("mdi:counter");
        let common = Common { enabled_by_default: false, ..common };
        let sensor = self.sensor(common, "value_json.consecutive_failures");
        (key.to_owned(), Component::Sensor(Sensor { state_class: Some(StateClass::Measurement), ..sensor }))
    }

    /// A code, or `none`: an error that never happened is not an unknown one.
    fn last_error(&self) -> (String, Component) {
        let key = "last_error";
        let common = self.common(Platform::Sensor, key, "Last error").diagnostic().icon("mdi:alert-circle-outline");
        let sensor = Sensor {
            json_attributes_topic: Some(self.house.topic(&[self.account, "state"])),
            json_attributes_template: Some("{{ {'at': value_json.last_error_at} | tojson }}"),
            ..self.sensor(common, "value_json.last_error or 'none'")
        };
        (key.to_owned(), Component::Sensor(sensor))
    }

    fn binary(&self, key: &str, name: &str, class: BinarySensorClass, field: &str) -> (String, Component) {
        let sensor = BinarySensor {
            common: self.common(Platform::BinarySensor, key, name).diagnostic(),
            device_class: Some(class),
            state_topic: self.house.topic(&[self.account, "state"]),
            value_template: Some(format!("{{{{ value_json.{field} }}}}")),
            payload_on: "ON",
            payload_off: "OFF",
        };
        (key.to_owned(), Component::BinarySensor(sensor))
    }

    fn refresh_now(&self) -> (String, Component) {
        let key = "refresh_now";
        let common = self.common(Platform::Button, key, "Refresh now").icon("mdi:refresh");
        let button = Button {
            common: Common { entity_category: Some(Category::Config), ..common },
            command_topic: self.house.topic(&[self.account, "refresh_tokens"]),
            payload_press: "{}",
            qos: 1,
        };
        (key.to_owned(), Component::Button(button))
    }

    fn event(&self) -> (String, Component) {
        let event = Event {
            common: self.common(Platform::Event, "event", "Event").diagnostic().icon("mdi:bell-outline"),
            event_types: EventType::ALL,
            state_topic: self.house.topic(&[self.account, "event"]),
        };
        ("event".to_owned(), Component::Event(event))
    }

    /// QoS 0: what acts on the house is never queued for later.
    fn scene(&self, card: &SceneCard) -> (String, Component) {
        let key = format!("scene_{}", card.key);
        let scene = Scene {
            common: self.common(Platform::Scene, &key, &card.name),
            command_topic: self.house.topic(&[self.account, "scene", &card.key, "set"]),
            payload_on: "ON",
            qos: 0,
        };
        (key, Component::Scene(scene))
    }

    fn common(&self, platform: Platform, key: &str, name: &str) -> Common {
        Common::new(self.key, platform, key, name)
    }

    /// A plain sensor on the state document. `value`: an expression of Home Assistant's templates.
    fn sensor(&self, common: Common, value: &str) -> Sensor {
        Sensor {
            common,
            class: None,
            state_class: None,
            state_topic: self.house.topic(&[self.account, "state"]),
            value_template: Some(format!("{{{{ {value} }}}}")),
            json_attributes_topic: None,
            json_attributes_template: None,
        }
    }
}

/// `Akuvox front door` for the account `front_door`, and no vendor's name twice.
fn default_name(card: &AccountCard) -> String {
    let vendor = card.vendor.to_string();
    let words: Vec<&str> = card.id.as_str().split('_').filter(|it| !it.is_empty() && *it != vendor).collect();
    [manufacturer(card.vendor)].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

fn manufacturer(vendor: VendorKind) -> &'static str {
    match vendor {
        VendorKind::Akuvox => "Akuvox",
        VendorKind::Aqara => "Aqara",
    }
}

fn model(vendor: VendorKind) -> &'static str {
    match vendor {
        VendorKind::Akuvox => "SmartPlus account",
        VendorKind::Aqara => "Open API account",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_a_name_is_called_after_its_vendor_and_its_id() {
        for (id, name) in [
            ("home", "Akuvox home"),
            ("front_door", "Akuvox front door"),
            ("akuvox", "Akuvox"),
            ("akuvox_front", "Akuvox front"),
            ("_", "Akuvox"),
        ] {
            let card =
                AccountCard { id: id.parse().unwrap(), name: None, vendor: VendorKind::Akuvox, scenes: Vec::new() };
            assert_eq!(default_name(&card), name);
        }
    }
}
