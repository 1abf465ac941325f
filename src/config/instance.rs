//! Which Latchkey this is, where several share a broker.

use std::{fmt, str::FromStr};

use super::topic::Topic;

/// The name of this Latchkey: 1 to 32 characters of `[a-z0-9_]`; `default` where there is only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance(Box<str>);

/// A text that is no instance name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instance's name is 1 to 32 characters of a-z, 0-9 and _")]
pub struct InstanceError;

impl Instance {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The MQTT client id, `latchkey-<instance>`. It is stable, so that the broker keeps the session over a blip.
    pub fn client_id(&self) -> String {
        format!("latchkey-{}", self.0)
    }

    /// The base topic where none is configured: `latchkey`, or `latchkey_<instance>` for a named one.
    pub fn base_topic(&self) -> Topic {
        let topic = if self.is_default() { "latchkey".to_owned() } else { format!("latchkey_{}", self.0) };
        topic.parse().expect("an instance's name has only characters that a topic may have")
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self("default".into())
    }
}

impl FromStr for Instance {
    type Err = InstanceError;

    fn from_str(text: &str) -> Result<Self, InstanceError> {
        if is_slug(text, 32) { Ok(Self(text.into())) } else { Err(InstanceError) }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` is 1 to `longest` characters of `[a-z0-9_]`: a topic level and a part of an entity id.
pub(super) fn is_slug(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_instance_has_topics_of_its_own() {
        let default: Instance = "default".parse().unwrap();
        assert_eq!(default, Instance::default());
        assert_eq!((default.client_id().as_str(), default.base_topic().as_str()), ("latchkey-default", "latchkey"));
        let cabin: Instance = "cabin".parse().unwrap();
        assert_eq!((cabin.client_id().as_str(), cabin.base_topic().as_str()), ("latchkey-cabin", "latchkey_cabin"));
        for wrong in ["", "Cabin", "a/b", "a-b", &"a".repeat(33)] {
            assert_eq!(wrong.parse::<Instance>(), Err(InstanceError), "{wrong}");
        }
    }
}
