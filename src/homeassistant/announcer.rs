//! When to say what to Home Assistant. It is told what happens and what time it is, and hands out what to publish.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    announcement::{Announcement, Message, by_topic},
    ledger::Ledger,
    plan::{Situation, Wave, is_heard},
};

/// Two different payloads for one device lose entities when they come closer than this (homeassistant.md §1.6).
const PAUSE_BETWEEN_WAVES: Duration = Duration::from_secs(2);
/// So many devices at a time, and so long apart, keep a small Home Assistant responsive.
const BATCH: usize = 20;
const PAUSE_BETWEEN_BATCHES: Duration = Duration::from_millis(100);
/// The least delay after a birth, if the user did not set a shorter one.
const LEAST_BIRTH_DELAY: Duration = Duration::from_secs(1);

/// What a user may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncerSettings {
    pub discovery_prefix: String,
    /// What Home Assistant says on its birth topic when it has started.
    pub birth_payload: String,
    /// The longest random delay of an announcement after a birth.
    pub announce_delay: Duration,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// To be stored, and before the messages are published: what nobody remembers cannot be taken back.
    pub ledger: Option<Ledger>,
    /// At most 20.
    pub messages: Vec<Message>,
    /// With these messages everything is announced: Latchkey's `online` and the states are to follow.
    pub is_announced: bool,
}

/// Announces devices after a connect, a birth and a change, in the order and at the pace that Home Assistant needs.
///
/// Times are [`Clock::monotonic`](crate::clock::Clock::monotonic).
#[derive(Debug)]
pub struct Announcer {
    settings: AnnouncerSettings,
    ledger: Ledger,
    is_ledger_stored: bool,
    /// The bridge, then the accounts.
    wanted: Vec<Announcement>,
    /// The topics of wanted devices that were not announced since there was last a reason to.
    unsent: BTreeSet<String>,
    is_connected: bool,
    /// Home Assistant was born since the connect, and has not said goodbye since.
    is_heard: bool,
    start: Option<Start>,
    round: Option<Round>,
    last_sent_at: Option<Duration>,
    /// When to ask what is wanted; none where nothing has changed.
    look_at: Option<Duration>,
    last_look_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    at: Duration,
    is_birth: bool,
}

#[derive(Debug)]
struct Round {
    waves: VecDeque<Wave>,
    next_at: Duration,
    is_birth: bool,
    /// Home Assistant was heard before it began and has not said goodbye since.
    is_heard: bool,
}

impl Announcer {
    /// `ledger`: what an earlier run announced. `wanted`: the bridge, then the accounts. Says nothing until connected.
    pub fn new(settings: AnnouncerSettings, mut ledger: Ledger, wanted: Vec<Announcement>) -> Self {
        let is_news = ledger.take_back_deletions(&wanted);
        let mut announcer = Self {
            settings,
            ledger,
            is_ledger_stored: !is_news,
            wanted,
            unsent: BTreeSet::new(),
            is_connected: false,
            is_heard: false,
            start: None,
            round: None,
            last_sent_at: None,
            look_at: None,
            last_look_at: None,
        };
        announcer.bring_back_bridge();
        announcer
    }

    /// The broker was reached. It may have lost what it retained, so everything is announced again.
    pub fn connected(&mut self, now: Duration) {
        self.disconnected();
        self.is_connected = true;
        self.everything_is_unsent();
        self.begin(now, false);
    }

    /// The broker is gone, and with it what was under way.
    pub fn disconnected(&mut self) {
        self.is_connected = false;
        self.is_heard = false;
        self.start = None;
        self.round = None;
    }

    /// Something came on Home Assistant's birth topic. `chance` in 0..1 spreads the answers of many bridges.
    pub fn home_assistant_said(&mut self, payload: &[u8], chance: f64, now: Duration) {
        let is_birth = payload.trim_ascii().eq_ignore_ascii_case(self.settings.birth_payload.trim().as_bytes());
        self.is_heard = is_birth && self.is_connected;
        if !self.is_heard {
            if let Some(round) = &mut self.round {
                round.is_heard = false;
            }
            return;
        }
        let is_awaited = self.start.is_some_and(|it| it.is_birth);
        if !is_awaited {
            let least = LEAST_BIRTH_DELAY.min(self.settings.announce_delay);
            let delay = least + (self.settings.announce_delay - least).mul_f64(chance.clamp(0.0, 1.0));
            self.begin(now + delay, true);
        }
    }

    /// A device may be another one now: [`Self::want`] is to be told, at once or two seconds after the last time. All are
    /// compared then, which takes a while where they are thousands.
    pub fn something_changed(&mut self, now: Duration) {
        let earliest = self.last_look_at.map_or(now, |it| now.max(it + PAUSE_BETWEEN_WAVES));
        self.look_at.get_or_insert(earliest);
    }

    /// Whether [`Self::want`] is to be told now.
    pub fn is_to_be_told(&self, now: Duration) -> bool {
        self.look_at.is_some_and(|it| it <= now)
    }

    /// The accounts or their inventories changed. Announces what differs. `wanted`: the bridge, then the accounts.
    ///
    /// A device that the user deleted stays away: a scene more at the vendor is no reason to bring it back.
    pub fn want(&mut self, wanted: Vec<Announcement>, now: Duration) {
        self.look_at = None;
        self.last_look_at = Some(now);
        if wanted == self.wanted {
            return;
        }
        let before = by_topic(&self.wanted);
        let changed = wanted.iter().filter(|it| before.get(it.topic.as_str()) != Some(it)).map(|it| it.topic.clone());
        let changed: BTreeSet<String> = changed.collect();
        self.is_ledger_stored &= !self.ledger.take_back_deletions(&wanted);
        self.wanted = wanted;
        if changed.iter().any(|it| !self.ledger.is_deleted(it)) {
            self.bring_back_bridge();
        }
        self.unsent.extend(changed);
        let wanted = by_topic(&self.wanted);
        self.unsent.retain(|topic| wanted.contains_key(topic.as_str()));
        if self.is_connected {
            // What is under way was planned for other accounts; what it did not get to is planned again.
            let round = self.round.take().map(|it| Start { at: now, is_birth: it.is_birth });
            let Start { at, is_birth } = self.start.or(round).unwrap_or(Start { at: now, is_birth: false });
            self.begin(at, is_birth);
        }
    }

    /// Something that is not ours came on a discovery topic. If it is empty, the user deleted the device: it stays away
    /// until its account gets another name, or is taken out of the configuration for a while.
    ///
    /// Returns the name of the device that was deleted.
    pub fn heard_discovery(&mut self, topic: &str, payload: &[u8]) -> Option<&str> {
        let deleted = self.wanted.iter().find(|it| payload.is_empty() && it.topic == topic)?;
        self.is_ledger_stored &= !self.ledger.delete(deleted);
        for wave in self.round.iter_mut().flat_map(|it| &mut it.waves) {
            wave.messages.retain(|it| it.topic != topic);
        }
        Some(&deleted.device.name)
    }

    /// When to ask [`Self::is_to_be_told`] and [`Self::due`] next; none while there is nothing to wait for.
    pub fn next_due(&self) -> Option<Duration> {
        let store = (!self.is_ledger_stored).then_some(Duration::ZERO);
        let start = self.start.map(|it| it.at);
        let round = self.round.as_ref().map(|it| it.next_at);
        [store, start, round, self.look_at].into_iter().flatten().min()
    }

    /// What to store and to publish now; an empty batch where nothing is due.
    pub fn due(&mut self, now: Duration) -> Batch {
        if let Some(start) = self.start.take_if(|it| it.at <= now) {
            self.start_round(start, now);
        }
        let (messages, is_announced) = self.next_messages(now);
        let is_news = !std::mem::replace(&mut self.is_ledger_stored, true);
        Batch { ledger: is_news.then(|| self.ledger.clone()), messages, is_announced }
    }

    fn everything_is_unsent(&mut self) {
        self.unsent = self.wanted.iter().map(|it| it.topic.clone()).collect();
    }

    /// An account must not name a bridge that is not there, even if the user deleted it.
    fn bring_back_bridge(&mut self) {
        let [bridge, accounts @ ..] = self.wanted.as_slice() else { return };
        let is_named = accounts.iter().any(|it| !self.ledger.is_deleted(&it.topic));
        if is_named && self.ledger.bring_back(&bridge.topic) {
            self.is_ledger_stored = false;
            self.unsent.insert(bridge.topic.clone());
        }
    }

    fn begin(&mut self, at: Duration, is_birth: bool) {
        self.start = Some(Start { at, is_birth });
    }

    /// Takes the place of a round that is under way: what that did not get to is planned again.
    fn start_round(&mut self, start: Start, now: Duration) {
        if start.is_birth {
            self.everything_is_unsent();
            self.bring_back_bridge();
        }
        let waves = self.ledger.plan(&Situation {
            discovery_prefix: &self.settings.discovery_prefix,
            wanted: &self.wanted,
            unsent: &self.unsent,
            is_birth: start.is_birth,
        });
        for announcement in &self.wanted {
            if !self.ledger.is_deleted(&announcement.topic) {
                self.is_ledger_stored &= !self.ledger.announce(announcement);
            }
        }
        let next_at = self.last_sent_at.map_or(now, |it| now.max(it + PAUSE_BETWEEN_WAVES));
        self.round = Some(Round { waves, next_at, is_birth: start.is_birth, is_heard: self.is_heard });
    }

    fn next_messages(&mut self, now: Duration) -> (Vec<Message>, bool) {
        let Some(round) = self.round.as_mut().filter(|it| it.next_at <= now) else { return Default::default() };
        let Some(wave) = round.waves.front_mut() else {
            self.end_round();
            return Default::default();
        };
        let n_messages = wave.messages.len().min(BATCH);
        let messages: Vec<Message> = wave.messages.drain(..n_messages).collect();
        let is_finished = wave.messages.is_empty();
        let is_announced = is_finished && wave.is_announced;
        if is_finished {
            round.waves.pop_front();
        }
        if !messages.is_empty() {
            round.next_at = now + if is_finished { PAUSE_BETWEEN_WAVES } else { PAUSE_BETWEEN_BATCHES };
            self.last_sent_at = Some(now);
        }
        for message in &messages {
            self.unsent.remove(&message.topic);
        }
        (messages, is_announced)
    }

    /// A pause after the last message, with the connection still there: the removals are done.
    fn end_round(&mut self) {
        let Some(round) = self.round.take() else { return };
        let topics: Vec<String> = self.ledger.devices.keys().cloned().collect();
        let wanted = by_topic(&self.wanted);
        for topic in topics {
            let wanted = wanted.get(topic.as_str()).copied();
            // Of a prefix that Home Assistant no longer listens to, clearing the broker is all that can be done.
            let is_certain = round.is_heard || !is_heard(&topic, &self.settings.discovery_prefix);
            self.is_ledger_stored &= !self.ledger.withdraw(&topic, wanted, is_certain);
        }
    }
}
