//! `[accounts.<id>.door_names]`: names of the user's choice for an Akuvox account's doors.

use std::{fmt, str::FromStr};

use super::instance::is_slug;

/// The user's name of a door: 1 to 64 characters of `[a-z0-9_]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoorKey(Box<str>);

/// A device and one of its relays: `0C1105AABBCC/0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoorId(Box<str>);

/// A text that is no door's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a door's name is 1 to 64 characters of a-z, 0-9 and _")]
pub struct DoorKeyError;

/// A text that is no door's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a door's id is the 12 hexadecimal digits of the device's MAC address, a slash and the number of the relay")]
pub struct DoorIdError;

impl DoorKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DoorKey {
    type Err = DoorKeyError;

    fn from_str(text: &str) -> Result<Self, DoorKeyError> {
        if is_slug(text, 64) { Ok(Self(text.into())) } else { Err(DoorKeyError) }
    }
}

impl DoorId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DoorId {
    type Err = DoorIdError;

    /// Takes a MAC address as people copy it, with `:` or `-`; the cloud has it without.
    fn from_str(text: &str) -> Result<Self, DoorIdError> {
        let (mac, relay) = text.split_once('/').ok_or(DoorIdError)?;
        let mac: String = mac.chars().filter(|it| !matches!(it, ':' | '-')).collect();
        let is_mac = mac.len() == 12 && mac.bytes().all(|it| it.is_ascii_hexdigit());
        let is_relay = (1..=4).contains(&relay.len()) && relay.bytes().all(|it| it.is_ascii_digit());
        if is_mac && is_relay { Ok(Self(format!("{mac}/{relay}").into())) } else { Err(DoorIdError) }
    }
}

impl fmt::Display for DoorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_a_mac_address_and_a_relay() {
        for right in ["0C1105AABBCC/0", "0c:11:05:aa:bb:cc/1", "0C-11-05-AA-BB-CC/12"] {
            let id: DoorId = right.parse().unwrap();
            assert_eq!(id.as_str().find('/'), Some(12), "{right}");
        }
        for wrong in
            ["", "0C1105AABBCC", "0C1105AABBCC/", "0C1105AABBC/0", "0C1105AABBCG/0", "0C1105AABBCC/0/1", "gate/0"]
        {
            assert_eq!(wrong.parse::<DoorId>(), Err(DoorIdError), "{wrong}");
        }
    }
}
