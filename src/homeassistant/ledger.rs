//! What was ever announced and may still be known to Home Assistant, so that what is gone can be taken back.
//!
//! Home Assistant forgets an entity only when it is told to, while it is running, about a device that it has met since
//! it started (homeassistant.md §1.7). It never says that it did. So a removal that was sent when it was not known to
//! listen stays in the ledger as withdrawn, and is repeated after its next start.
//!
//! It also remembers what the user deleted there, so that it does not come back on its own, be it days or starts later.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{announcement::Announcement, component::Platform};

/// By discovery topic, the entities that Home Assistant may know. A small document, kept beside the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    pub(super) devices: BTreeMap<String, Trace>,
}

/// What of a device Home Assistant may know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trace {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) announced: BTreeSet<Part>,
    /// Taken back, perhaps while nobody listened.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) withdrawn: BTreeSet<Part>,
    /// The user deleted it when it had this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted_as: Option<String>,
}

/// One entity of a device, `sensor.condition`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Part {
    pub(super) platform: Platform,
    pub(super) key: String,
}

/// A text that is no entity's note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entity is noted as `platform.key`")]
pub(super) struct PartError;

impl Ledger {
    /// Notes what is about to be announced. Returns whether that is news.
    pub(super) fn announce(&mut self, announcement: &Announcement) -> bool {
        let parts = announcement.parts();
        let trace = self.devices.entry(announcement.topic.clone()).or_default();
        let before = trace.clone();
        trace.withdrawn.retain(|it| !parts.contains(it));
        trace.announced.extend(parts);
        trace.deleted_as = None;
        *trace != before
    }

    /// Notes that the removals of what is no longer wanted were sent. Returns whether that is news.
    ///
    /// `is_certain`: whether Home Assistant listened, and knew what to remove.
    pub(super) fn withdraw(&mut self, topic: &str, wanted: Option<&Announcement>, is_certain: bool) -> bool {
        let Some(trace) = self.devices.get_mut(topic) else { return false };
        let before = trace.clone();
        let wanted = wanted.map(Announcement::parts).unwrap_or_default();
        let (kept, gone) = std::mem::take(&mut trace.announced).into_iter().partition(|it| wanted.contains(it));
        trace.announced = kept;
        trace.withdrawn.extend::<BTreeSet<Part>>(gone);
        if is_certain {
            trace.withdrawn.clear();
        }
        let is_news = *trace != before;
        self.drop_blank(topic);
        is_news
    }

    /// Notes that the user deleted a device, with all that Home Assistant knew of it. Returns whether that is news.
    pub(super) fn delete(&mut self, announcement: &Announcement) -> bool {
        let trace = Trace { deleted_as: Some(announcement.device.name.clone()), ..Trace::default() };
        self.devices.insert(announcement.topic.clone(), trace.clone()) != Some(trace)
    }

    /// Whether the user deleted this device, and nothing has brought it back since.
    pub(super) fn is_deleted(&self, topic: &str) -> bool {
        self.devices.get(topic).is_some_and(|it| it.deleted_as.is_some())
    }

    /// Forgets that the user deleted a device. Returns whether that is news.
    pub(super) fn bring_back(&mut self, topic: &str) -> bool {
        let is_news = self.devices.get_mut(topic).is_some_and(|it| it.deleted_as.take().is_some());
        self.drop_blank(topic);
        is_news
    }

    /// Forgets deletions that the user has taken back by the configuration: the account has another name there, or was
    /// taken out. Returns whether that is news.
    pub(super) fn take_back_deletions(&mut self, wanted: &[Announcement]) -> bool {
        let is_as_deleted =
            |topic: &str, name: &str| wanted.iter().any(|it| it.topic == *topic && it.device.name == *name);
        let mut is_news = false;
        for (topic, trace) in &mut self.devices {
            is_news |= trace.deleted_as.take_if(|name| !is_as_deleted(topic, name)).is_some();
        }
        self.devices.retain(|_, it| *it != Trace::default());
        is_news
    }

    /// A trace that says nothing is none.
    fn drop_blank(&mut self, topic: &str) {
        if self.devices.get(topic).is_some_and(|it| *it == Trace::default()) {
            self.devices.remove(topic);
        }
    }
}

impl Trace {
    /// What was announced and is not wanted, and with `withdrawn` also what was taken back without certainty.
    pub(super) fn leftovers(&self, wanted: &BTreeSet<Part>, withdrawn: bool) -> BTreeSet<Part> {
        let others = self.withdrawn.iter().filter(|_| withdrawn);
        self.announced.iter().chain(others).filter(|it| !wanted.contains(it)).cloned().collect()
    }
}

impl TryFrom<String> for Part {
    type Error = PartError;

    fn try_from(text: String) -> Result<Self, PartError> {
        let (domain, key) = text.split_once('.').ok_or(PartError)?;
        let platform = Platform::ALL.into_iter().find(|it| it.as_str() == domain).ok_or(PartError)?;
        Ok(Self { platform, key: key.to_owned() })
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        format!("{}.{}", part.platform.as_str(), part.key)
    }
}
