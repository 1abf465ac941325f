//! In which order things are said, and what must not be said together (homeassistant.md §1.6 and §1.7).

use std::collections::{BTreeSet, VecDeque};

use super::{
    announcement::{Announcement, Message, by_topic},
    house::is_bridge_topic,
    ledger::Ledger,
};

/// Messages that may be sent in one go, in this order. Between two waves Home Assistant needs a pause: never do two payloads
/// for one device stand in the same wave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wave {
    pub(super) messages: VecDeque<Message>,
    /// Once it is sent, everything wanted is announced, and the states may follow.
    pub(super) is_announced: bool,
}

/// What is known when a plan is made.
pub(super) struct Situation<'a> {
    pub(super) discovery_prefix: &'a str,
    /// The bridge, then the accounts.
    pub(super) wanted: &'a [Announcement],
    /// The topics of those wanted devices that have to be announced.
    pub(super) unsent: &'a BTreeSet<String>,
    /// Home Assistant has just started: what was taken back while it may have been away is taken back again.
    pub(super) is_birth: bool,
}

impl Ledger {
    /// Removals of devices, then the bridge, then the accounts, then in two steps the removals of single entities.
    ///
    /// The bridge comes right before the devices that name it, since Home Assistant takes one message after the other, and
    /// goes after them. Old devices go before new ones come, so that a new one may have their entity ids. After a birth, each
    /// removal is preceded by an announcement of what is to be removed: Home Assistant passes over a removal of what it has
    /// not met since it started.
    pub(super) fn plan(&self, situation: &Situation<'_>) -> VecDeque<Wave> {
        let Situation { discovery_prefix, wanted, unsent, is_birth } = *situation;
        let mut ghosts = Wave::default();
        let mut removals = Wave::default();
        let mut last_removals = Wave::default();
        let wanted_by_topic = by_topic(wanted);
        for (topic, trace) in &self.devices {
            let leftovers = trace.leftovers(&BTreeSet::new(), is_birth);
            if leftovers.is_empty() || wanted_by_topic.contains_key(topic.as_str()) {
                continue;
            }
            if is_birth && is_heard(topic, discovery_prefix) {
                ghosts.messages.push_back(Message::ghost_device(topic, &leftovers));
            }
            let wave = if is_bridge_topic(topic) { &mut last_removals } else { &mut removals };
            wave.messages.push_back(Message::removal(topic));
        }
        let mut first = Wave { is_announced: true, ..Wave::default() };
        let mut second = Wave::default();
        let mut third = Wave::default();
        for announcement in wanted.iter().filter(|it| !self.is_deleted(&it.topic)) {
            let trace = self.devices.get(&announcement.topic);
            let leftovers = trace.map(|it| it.leftovers(&announcement.parts(), is_birth)).unwrap_or_default();
            if leftovers.is_empty() {
                if unsent.contains(&announcement.topic) {
                    first.messages.push_back(announcement.message());
                }
                continue;
            }
            if is_birth {
                first.messages.push_back(announcement.with_ghosts(&leftovers));
                second.messages.push_back(announcement.without(&leftovers));
            } else {
                first.messages.push_back(announcement.without(&leftovers));
            }
            third.messages.push_back(announcement.message());
        }
        [ghosts, removals, last_removals, first, second, third]
            .into_iter()
            .filter(|it| it.is_announced || !it.messages.is_empty())
            .collect()
    }
}

/// Whether Home Assistant listens to a discovery topic: the prefix may have been another one once.
pub(super) fn is_heard(topic: &str, discovery_prefix: &str) -> bool {
    topic.strip_prefix(discovery_prefix).is_some_and(|it| it.starts_with("/device/"))
}
