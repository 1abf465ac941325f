//! Latchkey itself, as a device.

use std::collections::BTreeMap;

use super::{
    announcement::{Announcement, Device, Origin},
    component::{Availability, BinarySensor, BinarySensorClass, Common, Component, Platform, Sensor, SensorClass},
    house::House,
};

/// The device of Latchkey itself. The devices of its accounts hang on it, so it is announced before them.
pub fn bridge_device(house: &House) -> Announcement {
    let key = house.bridge_key();
    let components = BTreeMap::from([
        ("connection".to_owned(), connection(house, &key)),
        ("version".to_owned(), version(house, &key)),
        ("started".to_owned(), started(house, &key)),
    ]);
    Announcement {
        topic: house.discovery_topic(&key),
        device: Device {
            identifiers: [key],
            name: house.instance.as_ref().map_or_else(|| "Latchkey".to_owned(), |it| format!("Latchkey {it}")),
            manufacturer: Some("Latchkey"),
            model: Some("MQTT bridge"),
            sw_version: Some(house.version),
            via_device: None,
            configuration_url: house.public_url.clone(),
        },
        origin: Origin::of(house.version),
        availability: None,
        components,
    }
}

/// It has no availability: it is to read 'disconnected' when Latchkey is away, not 'unavailable'.
fn connection(house: &House, key: &str) -> Component {
    Component::BinarySensor(BinarySensor {
        common: Common::new(key, Platform::BinarySensor, "connection", "Connection").diagnostic(),
        device_class: Some(BinarySensorClass::Connectivity),
        state_topic: house.topic(&["bridge", "state"]),
        value_template: None,
        payload_on: "online",
        payload_off: "offline",
        json_attributes_topic: None,
    })
}

fn version(house: &House, key: &str) -> Component {
    let common = Common::new(key, Platform::Sensor, "version", "Version").diagnostic().icon("mdi:tag-outline");
    info(house, common, None, "version")
}

fn started(house: &House, key: &str) -> Component {
    let common = Common::new(key, Platform::Sensor, "started", "Started").diagnostic().icon("mdi:clock-start");
    info(house, common, Some(SensorClass::Timestamp), "started")
}

fn info(house: &House, common: Common, class: Option<SensorClass>, field: &str) -> Component {
    Component::Sensor(Sensor {
        common: Common { availability: Some(vec![Availability::of(house)]), ..common },
        class,
        state_class: None,
        state_topic: house.topic(&["bridge", "info"]),
        value_template: Some(format!("{{{{ value_json.{field} }}}}")),
        json_attributes_topic: None,
        json_attributes_template: None,
    })
}
