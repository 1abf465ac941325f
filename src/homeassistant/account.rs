//! An account, as a device.

use std::collections::BTreeMap;

use crate::{
    account::{Condition, EventType, Inventory, Target},
    keeper::Card,
    vendor::VendorKind,
};

use super::{
    announcement::{Announcement, Device, Origin},
    component::{
        Availability, AvailabilityMode, BinarySensor, BinarySensorClass, Button, Common, Component, Event, Platform,
        Scene, Sensor, SensorClass, StateClass, Text, TextMode,
    },
    house::House,
};

/// The device of an account. Its entities read the state document, [`Status`](crate::account::Status), and act on what is
/// in its inventory.
pub fn account_device(house: &House, card: &Card, inventory: &Inventory) -> Announcement {
    let key = house.account_key(&card.id);
    let maker = Maker { house, account: card.id.as_str(), key: &key };
    let doors = inventory.doors.iter().filter(|_| card.opens_doors).map(|it| maker.door(it));
    let scenes = inventory.scenes.iter().map(|it| maker.scene(it));
    let mut components: BTreeMap<String, Component> = maker.login(card).into_iter().collect();
    for (key, component) in doors.chain(scenes) {
        // Of two with one key, commands mean the first.
        components.entry(key).or_insert(component);
    }
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
    fn login(&self, card: &Card) -> Vec<(String, Component)> {
        let mut components = vec![
            self.condition(),
            self.time("access_token_expires", "Access token expires", "mdi:timer-sand"),
            self.time("last_refresh", "Last refresh", "mdi:history"),
            self.time("next_refresh", "Next refresh", "mdi:update"),
            self.time("refresh_token_updated", "Refresh token updated", "mdi:key-change"),
            self.number("consecutive_failures", "Consecutive failures", "mdi:counter", StateClass::Measurement),
            self.clock_skew(),
            self.last_error(),
            self.needs_attention(),
            self.advice(),
            self.cloud(),
            self.refresh_now(),
            self.event(),
        ];
        // Akuvox does not say when a refresh token ends (protocol/akuvox.md §4), so there is nothing to show.
        if card.vendor != VendorKind::Akuvox {
            components.push(self.time("refresh_token_expires", "Refresh token expires", "mdi:calendar-end"));
        }
        // Nor how many calls it allows.
        if card.vendor == VendorKind::Aqara {
            components.push(self.number(
                "calls_this_month",
                "Calls this month",
                "mdi:cloud-upload-outline",
                StateClass::TotalIncreasing,
            ));
        }
        if card.logs_in_by_code {
            components.extend([self.request_login_code(), self.login_code()]);
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

    /// A number of the state document, whose field is `key`. It is for those who look closely, so it is not enabled.
    fn number(&self, key: &str, name: &str, icon: &'static str, class: StateClass) -> (String, Component) {
        let common = self.common(Platform::Sensor, key, name).diagnostic().icon(icon);
        let common = Common { enabled_by_default: false, ..common };
        let sensor = self.sensor(common, &format!("value_json.{key}"));
        (key.to_owned(), Component::Sensor(Sensor { state_class: Some(class), ..sensor }))
    }

    /// How far the vendor's clock is ahead of this machine's.
    fn clock_skew(&self) -> (String, Component) {
        let key = "clock_skew";
        let common = self.common(Platform::Sensor, key, "Clock skew").diagnostic().icon("mdi:clock-alert-outline");
        let common = Common { enabled_by_default: false, ..common };
        let sensor = Sensor {
            class: Some(SensorClass::Duration { unit_of_measurement: "s" }),
            state_class: Some(StateClass::Measurement),
            ..self.sensor(common, "value_json.clock_skew_seconds")
        };
        (key.to_owned(), Component::Sensor(sensor))
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

    /// Its attribute says what to do.
    fn needs_attention(&self) -> (String, Component) {
        let sensor = self.binary("needs_attention", "Needs attention", BinarySensorClass::Problem, "problem");
        let attributes = Some(self.house.topic(&[self.account, "advice"]));
        let sensor = BinarySensor { json_attributes_topic: attributes, ..sensor };
        ("needs_attention".to_owned(), Component::BinarySensor(sensor))
    }

    /// Why attention is needed and what to do, in a sentence or two.
    fn advice(&self) -> (String, Component) {
        let common = self.common(Platform::Sensor, "advice", "Advice").diagnostic().icon("mdi:lightbulb-on-outline");
        let sensor = Sensor {
            state_topic: self.house.topic(&[self.account, "advice"]),
            ..self.sensor(common, "value_json.advice or 'Nothing to do.'")
        };
        ("advice".to_owned(), Component::Sensor(sensor))
    }

    fn cloud(&self) -> (String, Component) {
        let sensor = self.binary("cloud", "Cloud connection", BinarySensorClass::Connectivity, "cloud");
        ("cloud".to_owned(), Component::BinarySensor(sensor))
    }

    fn binary(&self, key: &str, name: &str, class: BinarySensorClass, field: &str) -> BinarySensor {
        BinarySensor {
            common: self.common(Platform::BinarySensor, key, name).diagnostic(),
            device_class: Some(class),
            state_topic: self.house.topic(&[self.account, "state"]),
            value_template: Some(format!("{{{{ value_json.{field} }}}}")),
            payload_on: "ON",
            payload_off: "OFF",
            json_attributes_topic: None,
        }
    }

    fn refresh_now(&self) -> (String, Component) {
        self.command("refresh_now", "Refresh now", "mdi:refresh", "refresh_tokens")
    }

    fn request_login_code(&self) -> (String, Component) {
        self.command("request_login_code", "Request login code", "mdi:message-lock-outline", "request_login_code")
    }

    /// A button for a command without arguments.
    fn command(&self, key: &str, name: &str, icon: &'static str, verb: &str) -> (String, Component) {
        let button = Button {
            common: self.common(Platform::Button, key, name).config().icon(icon),
            command_topic: self.house.topic(&[self.account, verb]),
            payload_press: "{}",
            qos: 1,
        };
        (key.to_owned(), Component::Button(button))
    }

    /// Where the code that arrived is typed. Its state is always an empty text, so no code is ever shown or recorded as
    /// one; it is JSON, since a retained message cannot be empty. While a login is under way the field is unavailable,
    /// which also empties it of what was typed.
    fn login_code(&self) -> (String, Component) {
        let state_topic = self.house.topic(&[self.account, "login", "state"]);
        let field = Availability { topic: state_topic.clone(), value_template: Some("{{ value_json.availability }}") };
        let common = self.common(Platform::Text, "login_code", "Login code").config().icon("mdi:form-textbox-password");
        let text = Text {
            common: Common {
                availability: Some(vec![Availability::of(self.house), field]),
                availability_mode: Some(AvailabilityMode::All),
                ..common
            },
            command_topic: self.house.topic(&[self.account, "login"]),
            state_topic,
            value_template: Some("{{ value_json.code }}"),
            mode: TextMode::Text,
            pattern: Some("^([0-9]{4,8})?$"),
            max: 8,
            qos: 1,
        };
        ("login_code".to_owned(), Component::Text(text))
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
    fn scene(&self, target: &Target) -> (String, Component) {
        let key = format!("scene_{}", target.key);
        let scene = Scene {
            common: self.common(Platform::Scene, &key, shown_name(target)),
            command_topic: self.house.topic(&[self.account, "scene", &target.key, "set"]),
            payload_on: "ON",
            qos: 0,
        };
        (key, Component::Scene(scene))
    }

    /// QoS 0, as a scene.
    fn door(&self, target: &Target) -> (String, Component) {
        let key = format!("open_{}", target.key);
        let button = Button {
            common: self.common(Platform::Button, &key, shown_name(target)).icon("mdi:door"),
            command_topic: self.house.topic(&[self.account, "door", &target.key, "press"]),
            payload_press: "PRESS",
            qos: 0,
        };
        (key, Component::Button(button))
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

/// What the vendor calls it, which may be nothing.
fn shown_name(target: &Target) -> &str {
    Some(target.name.trim()).filter(|it| !it.is_empty()).unwrap_or(&target.key)
}

/// `Akuvox front door` for the account `front_door`, and no vendor's name twice.
fn default_name(card: &Card) -> String {
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
            let card = Card {
                id: id.parse().unwrap(),
                name: None,
                vendor: VendorKind::Akuvox,
                opens_doors: false,
                logs_in_by_code: false,
                logs_in_by_password: false,
                shares_access_token: false,
            };
            assert_eq!(default_name(&card), name);
        }
    }
}
