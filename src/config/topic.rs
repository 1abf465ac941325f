//! Topics that a user may choose.

use std::{fmt, str::FromStr};

/// An MQTT topic without wildcards that starts and ends with a level: `latchkey`, `homeassistant/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(Box<str>);

/// What topics begin with: a [`Topic`] and a `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPrefix(Box<str>);

/// Why a text is no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("a topic here is 1 to 200 bytes long")]
    Length,
    #[error("a topic here has no wildcard (+ or #)")]
    Wildcard,
    #[error("a topic here starts with no $, which belongs to the broker")]
    Broker,
    #[error("a topic here has no empty level: no / at either end and no //")]
    EmptyLevel,
    #[error("a topic here has no blanks or control characters")]
    Blank,
}

impl Topic {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything below this topic.
    pub fn below(&self) -> TopicPrefix {
        TopicPrefix(format!("{}/", self.0).into())
    }

    /// `level` below this topic; the caller knows that it is one level, or several.
    pub(super) fn child(&self, level: &str) -> Topic {
        Topic(format!("{}/{level}", self.0).into())
    }
}

impl TopicPrefix {
    /// The prefix, with its `/` at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `topic` is a topic below this prefix, without wildcards or empty levels.
    pub fn covers(&self, topic: &str) -> bool {
        topic.starts_with(&*self.0) && topic.parse::<Topic>().is_ok()
    }

    /// Whether some topic could be below both.
    pub fn overlaps(&self, other: &TopicPrefix) -> bool {
        self.0.starts_with(&*other.0) || other.0.starts_with(&*self.0)
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() || 200 < text.len() {
            return Err(TopicError::Length);
        }
        if text.contains(['+', '#']) {
            return Err(TopicError::Wildcard);
        }
        if text.starts_with('$') {
            return Err(TopicError::Broker);
        }
        if text.split('/').any(str::is_empty) {
            return Err(TopicError::EmptyLevel);
        }
        if text.contains(|it: char| it.is_control() || it.is_whitespace()) {
            return Err(TopicError::Blank);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for TopicPrefix {
    type Err = TopicError;

    /// A topic, with or without a `/` at its end.
    fn from_str(text: &str) -> Result<Self, TopicError> {
        text.strip_suffix('/').unwrap_or(text).parse::<Topic>().map(|it| it.below())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TopicPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_no_wildcards_and_no_empty_levels() {
        assert_eq!("house/latchkey".parse::<Topic>().unwrap().as_str(), "house/latchkey");
        assert_eq!("".parse::<Topic>(), Err(TopicError::Length));
        assert_eq!("a".repeat(201).parse::<Topic>(), Err(TopicError::Length));
        assert_eq!("a/#".parse::<Topic>(), Err(TopicError::Wildcard));
        assert_eq!("a/+/b".parse::<Topic>(), Err(TopicError::Wildcard));
        assert_eq!("$SYS/a".parse::<Topic>(), Err(TopicError::Broker));
        for wrong in ["/a", "a/", "a//b", "/"] {
            assert_eq!(wrong.parse::<Topic>(), Err(TopicError::EmptyLevel), "{wrong}");
        }
        assert_eq!("a b".parse::<Topic>(), Err(TopicError::Blank));
        assert_eq!("a\0b".parse::<Topic>(), Err(TopicError::Blank));
    }

    #[test]
    fn a_prefix_covers_the_topics_below_it_and_nothing_else() {
        let prefix: TopicPrefix = "latchkey/reply".parse().unwrap();
        assert_eq!(prefix.as_str(), "latchkey/reply/");
        assert_eq!("latchkey/reply/".parse(), Ok(prefix.clone()));
        assert!(prefix.covers("latchkey/reply/me"));
        for other in ["latchkey/reply", "latchkey/reply/", "latchkey/reply2/a", "latchkey/reply/#", "homeassistant/a"] {
            assert!(!prefix.covers(other), "{other}");
        }
    }
}
