//! The doors in what `userconf` answers (protocol/akuvox.md §3.6).
//!
//! The answer is full of SIP and RTSP passwords. The types here have no place for them, so they are skipped unread.

use std::{collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    account::{Class, Code, Target},
    vendor::{Answer, VendorError},
};

use super::answer;

/// People read names on a button.
const LONGEST_NAME: usize = 64;
const LONGEST_ID: usize = 32;

/// Reads the doors, one for each relay. A relay that the cloud calls disabled is among them: no client is known to go by
/// that.
///
/// Errors: `AccessRejected` for a refusal; `Protocol` where there is no list to be read, so that no door seems to have
/// vanished.
pub(super) fn read(answer: &Answer) -> Result<Vec<Target>, VendorError> {
    answer::accepted(answer)?;
    let configuration: UserConfiguration = serde_json::from_str(answer.body.expose())
        .map_err(|_| VendorError::new(Class::Protocol, Code::UnreadableAnswer))?;
    let mut keys = HashSet::new();
    let doors = configuration.datas.dev_list.iter().flat_map(Device::doors);
    Ok(doors.filter(|it| keys.insert(it.key.clone())).collect())
}

/// The device and the relay that a door's id is made of.
pub(super) fn parts(door_id: &str) -> Option<(&str, &str)> {
    door_id.split_once('/').filter(|(mac, relay)| is_plain(mac) && is_plain(relay))
}

#[derive(Deserialize)]
struct UserConfiguration {
    datas: Datas,
}

#[derive(Deserialize)]
struct Datas {
    dev_list: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    mac: Text,
    #[serde(default)]
    location: Text,
    /// Missing where there is none.
    #[serde(default)]
    relay: List<Relay>,
}

#[derive(Deserialize)]
struct Relay {
    /// Counts from 0.
    #[serde(default)]
    relay_id: Text,
    #[serde(default)]
    door_name: Text,
}

/// A text or a number, as text; empty for whatever else stands there.
#[derive(Default)]
struct Text(String);

/// A list; an empty one for whatever else stands there.
struct List<T>(Vec<T>);

impl Device {
    fn doors(&self) -> Vec<Target> {
        let relays =
            self.relay.0.iter().enumerate().filter(|(_, it)| is_plain(&self.mac.0) && is_plain(&it.relay_id.0));
        let door = |(number, relay): (usize, &Relay)| {
            let own = shown(&relay.door_name.0);
            let name = if own.is_empty() { shown(&format!("{} {}", shown(&self.location.0), number + 1)) } else { own };
            Target::discovered(format!("{}/{}", self.mac.0, relay.relay_id.0), &name)
        };
        relays.map(door).collect()
    }
}

/// A name as it may be shown: no control characters, no blanks around it, not too long.
fn shown(text: &str) -> String {
    let visible: String = text.chars().filter(|it| !it.is_control()).collect();
    let short: String = visible.trim().chars().take(LONGEST_NAME).collect();
    short.trim_end().to_owned()
}

fn is_plain(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.:".contains(&it))
}

// === impl Text and List ===

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E>(self, _number: i64) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_bool<E>(self, _is: bool) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Text, A::Error> {
        IgnoredAny.visit_seq(items).map(|_| Text::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Text, A::Error> {
        IgnoredAny.visit_map(entries).map(|_| Text::default())
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<List<T>, A::Error> {
        IgnoredAny.visit_map(entries).map(|_| List::default())
    }

    fn visit_str<E>(self, _text: &str) -> Result<List<T>, E> {
        Ok(List::default())
    }

    fn visit_unit<E>(self) -> Result<List<T>, E> {
        Ok(List::default())
    }
}
