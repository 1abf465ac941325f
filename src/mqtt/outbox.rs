//! What waits to be published. Our own queue, because rumqttc forgets what it has accepted when a connection ends and
//! the broker did not keep the session.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use tracing::{debug, error, warn};

use super::message::{Outgoing, Qos};

/// Messages in the order in which they were given, until the broker has acknowledged them.
///
/// Of a retained topic only the last value counts: a newer one takes a waiting one out of the queue. What was on its
/// way when a connection ended goes first on the next one. When the queue is full, the oldest message goes that says
/// nothing lasting. Those have a limit of their own in bytes, since others choose what answers to them weigh.
pub(super) struct Outbox {
    limit: usize,
    is_online: bool,
    waiting: Queue,
    /// What was handed to the connection, in order. An acknowledged one leaves a gap until those before it are done,
    /// so the length is also the distance between the oldest and the newest packet id: rumqttc re-uses an id before
    /// its acknowledgement, and then hangs, if that grows beyond its limit.
    in_flight: VecDeque<Slot>,
    n_dropped: u64,
    has_warned: bool,
}

/// Why a message was not taken by the connection.
pub(super) enum NotSent {
    /// It cannot take more just now.
    Busy,
    /// This broker will never take this message.
    Impossible(String),
}

/// Entries in order, and where a retained topic's is, so that thousands may wait and none costs more for it.
#[derive(Default)]
struct Queue {
    entries: BTreeMap<i64, Entry>,
    retained: HashMap<String, i64>,
    /// Where those are that say nothing lasting.
    passing: BTreeSet<i64>,
    /// What those that say nothing lasting weigh together, in bytes.
    passing_weight: usize,
}

struct Entry {
    message: Outgoing,
    /// Monotonic time.
    since: Duration,
}

struct Slot {
    /// None until rumqttc says which id it chose.
    packet_id: Option<u16>,
    /// None when acknowledged.
    entry: Option<Entry>,
}

/// How much messages that say nothing lasting may weigh together, in bytes.
const MAX_PASSING_WEIGHT: usize = 16 << 20;

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            is_online: false,
            waiting: Queue::default(),
            in_flight: VecDeque::new(),
            n_dropped: 0,
            has_warned: false,
        }
    }

    pub(super) fn push(&mut self, mut message: Outgoing, now: Duration) {
        if !message.has_valid_topic() {
            error!(topic = %message.topic.escape_debug(), "a message for a topic that no broker takes was dropped");
            self.n_dropped += 1;
            return;
        }
        if message.retain {
            message.qos = Qos::AtLeastOnce;
            self.waiting.remove_retained(&message.topic);
        } else if message.qos == Qos::AtMostOnce && !self.is_online {
            debug!(topic = message.topic, "not published: there is no connection, and the message is for now only");
            return;
        }
        self.waiting.push_back(Entry { message, since: now });
        while self.limit < self.waiting.entries.len() || MAX_PASSING_WEIGHT < self.waiting.passing_weight {
            self.drop_one();
        }
    }

    /// Offers the messages in order, as long as `send` takes them and fewer than `window` are in flight.
    pub(super) fn hand_over(
        &mut self,
        now: Duration,
        window: usize,
        mut send: impl FnMut(&Outgoing) -> Result<(), NotSent>,
    ) {
        while let Some(mut entry) = self.waiting.pop_front() {
            let is_certain = entry.message.qos == Qos::AtLeastOnce;
            if is_certain && window <= self.in_flight.len() {
                self.waiting.push_front(entry);
                return;
            }
            if !entry.age(now) {
                debug!(topic = entry.message.topic, "not published: the message expired in the outbox");
                continue;
            }
            match send(&entry.message) {
                Ok(()) if is_certain => self.in_flight.push_back(Slot { packet_id: None, entry: Some(entry) }),
                Ok(()) => {}
                Err(NotSent::Busy) => {
                    self.waiting.push_front(entry);
                    return;
                }
                Err(NotSent::Impossible(reason)) => {
                    error!(topic = entry.message.topic, reason, "a message was dropped");
                    self.n_dropped += 1;
                }
            }
        }
        self.has_warned = false;
    }

    /// The oldest message without an id got this one: ids are chosen in the order in which messages were handed over.
    pub(super) fn was_sent(&mut self, packet_id: u16) {
        if let Some(slot) = self.in_flight.iter_mut().find(|it| it.packet_id.is_none()) {
            slot.packet_id = Some(packet_id);
        }
    }

    /// The broker has answered for this message, one way or the other: it is done. Gives the topic.
    pub(super) fn was_answered(&mut self, packet_id: u16) -> Option<String> {
        let answered = |it: &&mut Slot| it.packet_id == Some(packet_id) && it.entry.is_some();
        let entry = self.in_flight.iter_mut().find(answered)?.entry.take();
        while self.in_flight.front().is_some_and(|it| it.entry.is_none()) {
            self.in_flight.pop_front();
        }
        entry.map(|it| it.message.topic)
    }

    pub(super) fn went_online(&mut self) {
        self.is_online = true;
    }

    /// What was in flight waits again, in its old order and before everything else, unless it has been overtaken.
    pub(super) fn went_offline(&mut self) {
        self.is_online = false;
        self.waiting.drop_fleeting();
        for entry in std::mem::take(&mut self.in_flight).into_iter().rev().filter_map(|it| it.entry) {
            let is_overtaken = entry.message.retain && self.waiting.retained.contains_key(&entry.message.topic);
            if !is_overtaken {
                self.waiting.push_front(entry);
            }
        }
    }

    /// Nothing waits and everything is acknowledged.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.entries.is_empty() && self.in_flight.is_empty()
    }

    /// Everything that was handed over is acknowledged.
    pub(super) fn is_nothing_in_flight(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Messages that wait, and those on their way that were not acknowledged yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.entries.len() + self.in_flight.iter().filter(|it| it.entry.is_some()).count()
    }

    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    fn drop_one(&mut self) {
        let dropped = self.waiting.remove_oldest_passing().or_else(|| self.waiting.pop_front());
        self.n_dropped += 1;
        if !self.has_warned {
            self.has_warned = true;
            warn!(
                limit = self.limit,
                n_dropped = self.n_dropped,
                "more messages wait for the MQTT broker than the outbox holds; the oldest are dropped"
            );
        }
        if let Some(entry) = dropped {
            debug!(topic = entry.message.topic, "dropped: the outbox is full");
        }
    }
}

// === impl Queue ===

impl Queue {
    fn push_back(&mut self, entry: Entry) {
        let place = self.entries.last_key_value().map_or(0, |(place, _)| place + 1);
        self.put(place, entry);
    }

    fn push_front(&mut self, entry: Entry) {
        let place = self.entries.first_key_value().map_or(0, |(place, _)| place - 1);
        self.put(place, entry);
    }

    fn pop_front(&mut self) -> Option<Entry> {
        let (place, _) = self.entries.first_key_value()?;
        self.take(*place)
    }

    fn remove_retained(&mut self, topic: &str) {
        if let Some(place) = self.retained.get(topic) {
            self.take(*place);
        }
    }

    fn remove_oldest_passing(&mut self) -> Option<Entry> {
        self.take(*self.passing.first()?)
    }

    /// Nothing at QoS 0 lasts.
    fn drop_fleeting(&mut self) {
        let is_fleeting = |it: &i64| self.entries.get(it).is_some_and(|it| it.message.qos == Qos::AtMostOnce);
        for place in Vec::from_iter(self.passing.iter().copied().filter(is_fleeting)) {
            self.take(place);
        }
    }

    fn put(&mut self, place: i64, entry: Entry) {
        self.passing_weight += entry.passing_weight();
        if !entry.message.is_lasting() {
            self.passing.insert(place);
        }
        if entry.message.retain {
            self.retained.insert(entry.message.topic.clone(), place);
        }
        self.entries.insert(place, entry);
    }

    fn take(&mut self, place: i64) -> Option<Entry> {
        let entry = self.entries.remove(&place)?;
        self.passing.remove(&place);
        self.passing_weight -= entry.passing_weight();
        if entry.message.retain {
            self.retained.remove(&entry.message.topic);
        }
        Some(entry)
    }
}

// === impl Entry ===

impl Entry {
    /// What it weighs among those that say nothing lasting, in bytes.
    fn passing_weight(&self) -> usize {
        if self.message.is_lasting() { 0 } else { size_of::<Self>() + self.message.weight() }
    }

    /// Takes the time that has passed off the message's expiry. False when nothing is left of it.
    fn age(&mut self, now: Duration) -> bool {
        let Some(expiry) = &mut self.message.message_expiry else { return true };
        let waited = now.saturating_sub(self.since);
        if *expiry <= waited {
            return false;
        }
        *expiry -= waited;
        self.since = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn outbox(limit: usize) -> Outbox {
        let mut outbox = Outbox::new(limit);
        outbox.went_online();
        outbox
    }

    fn retained(topic: &str, payload: &'static str) -> Outgoing {
        Outgoing::retained(topic, payload)
    }

    fn passing(payload: &'static str) -> Outgoing {
        Outgoing::passing("events", payload)
    }

    fn hand_over(outbox: &mut Outbox, now: Duration, window: usize) -> Vec<String> {
        let mut sent = Vec::new();
        outbox.hand_over(now, window, |message| {
            sent.push(String::from_utf8(message.payload.to_vec()).unwrap());
            Ok(())
        });
        sent
    }

    #[test]
    fn the_last_value_of_a_retained_topic_wins_and_keeps_its_place_in_history() {
        let mut outbox = outbox(10);
        outbox.push(retained("a", "a1"), NOW);
        outbox.push(passing("event"), NOW);
        outbox.push(retained("b", "b1"), NOW);
        outbox.push(retained("a", "a2"), NOW);
        assert_eq!(hand_over(&mut outbox, NOW, 10), ["event", "b1", "a2"]);
    }

    #[test]
    fn a_value_on_its_way_is_followed_by_the_newer_one() {
        let mut outbox = outbox(10);
        outbox.push(retained("a", "a1"), NOW);
        assert_eq!(hand_over(&mut outbox, NOW, 10), ["a1"]);
        outbox.push(retained("a", "a2"), NOW);
        assert_eq!(hand_over(&mut outbox, NOW, 10), ["a2"]);
    }

    #[test]
    fn what_was_on_its_way_goes_first_again_unless_it_was_overtaken() {
        let mut outbox = outbox(10);
        for message in [passing("1"), retained("a", "a1"), passing("2")] {
            outbox.push(message, NOW);
        }
        assert_eq!(hand_over(&mut outbox, NOW, 10), ["1", "a1", "2"]);
        outbox.push(passing("3"), NOW);
        outbox.push(retained("a", "a2"), NOW);
        outbox.went_offline();
        assert_eq!(hand_over(&mut outbox, NOW, 10), ["1", "2", "3", "a2"]);
    }

    #[test]
    fn an_acknowledged_message_keeps_its_slot_until_those_before_it_are_done() {
        let mut outbox = outbox(10);
        for payload in ["1", "2", "3"] {
            outbox.push(passing(payload), NOW);
        }
        assert_eq!(hand_over(&mut outbox, NOW, 2), ["1", "2"]);
        outbox.was_sent(7);
        outbox.was_sent(8);
        assert_eq!(outbox.was_answered(8), Some("events".to_owned()));
        assert!(hand_over(&mut outbox, NOW, 2).is_empty());
        assert_eq!(outbox.was_answered(7), Some("events".to_owned()));
        assert_eq!(hand_over(&mut outbox, NOW, 2), ["3"]);
        assert!(!outbox.is_idle());
        outbox.was_sent(9);
        outbox.was_answered(9);
        assert!(outbox.is_idle());
    }

    #[test]
    fn an_answer_for_nothing_is_ignored() {
        let mut outbox = outbox(10);
        outbox.push(passing("1"), NOW);
        hand_over(&mut outbox, NOW, 10);
        assert_eq!(outbox.was_answered(1), None);
        assert!(!outbox.is_idle());
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_message_that_is_not_retained() {
        let mut outbox = outbox(3);
        for message in [retained("a", "a"), passing("1"), passing("2"), retained("b", "b"), retained("c", "c")] {
            outbox.push(message, NOW);
        }
        assert_eq!(outbox.n_dropped(), 2);
        assert_eq!(hand_over(&mut outbox, NOW, 10), ["a", "b", "c"]);
    }

    #[test]
    fn what_others_make_us_say_does_not_outweigh_what_lasts() {
        let mut outbox = outbox(100_000);
        outbox.push(retained("a", "a"), NOW);
        for number in 0..1000 {
            outbox.push(Outgoing::passing("events", vec![b'x'; 64 * 1024]), NOW);
            outbox.push(retained(&format!("cleared/{number}"), ""), NOW);
        }
        assert!(outbox.len() < 600 && 0 < outbox.n_dropped(), "{} wait", outbox.len());
        assert_eq!(hand_over(&mut outbox, NOW, 1), ["a"], "what lasts was dropped");
        outbox.went_offline();
        hand_over(&mut outbox, NOW, usize::MAX);
        assert_eq!(outbox.waiting.passing_weight, 0);
        assert!(outbox.waiting.retained.is_empty());
    }

    #[test]
    fn what_is_for_now_only_is_not_kept_for_later() {
        let mut outbox = Outbox::new(10);
        let fleeting = |payload| Outgoing { qos: Qos::AtMostOnce, ..passing(payload) };
        outbox.push(fleeting("offline"), NOW);
        outbox.went_online();
        outbox.push(fleeting("before the cut"), NOW);
        outbox.went_offline();
        outbox.went_online();
        outbox.push(fleeting("online"), NOW);
        assert_eq!(hand_over(&mut outbox, NOW, 0), ["online"]);
        assert!(outbox.is_idle());
    }

    #[test]
    fn a_message_that_expired_in_the_outbox_is_not_sent_and_another_tells_what_is_left() {
        let mut outbox = outbox(10);
        for (payload, seconds) in [("short", 10), ("long", 60)] {
            outbox.push(Outgoing { message_expiry: Some(Duration::from_secs(seconds)), ..passing(payload) }, NOW);
        }
        let mut left = Vec::new();
        outbox.hand_over(Duration::from_secs(20), 10, |message| {
            left.push(message.message_expiry.unwrap());
            Ok(())
        });
        assert_eq!(left, [Duration::from_secs(40)]);
    }

    #[test]
    fn a_busy_connection_loses_nothing() {
        let mut outbox = outbox(10);
        outbox.push(passing("1"), NOW);
        outbox.hand_over(NOW, 10, |_| Err(NotSent::Busy));
        assert_eq!(hand_over(&mut outbox, NOW, 10), ["1"]);
    }

    #[test]
    fn a_message_that_this_broker_never_takes_does_not_hold_up_the_others() {
        let mut outbox = outbox(10);
        outbox.push(passing("too big"), NOW);
        outbox.push(passing("2"), NOW);
        outbox.hand_over(NOW, 10, |message| match &message.payload[..] {
            b"too big" => Err(NotSent::Impossible("too big".to_owned())),
            _ => Ok(()),
        });
        outbox.was_sent(1);
        outbox.was_answered(1);
        assert!(outbox.is_idle());
        assert_eq!(outbox.n_dropped(), 1);
    }

    #[test]
    fn a_topic_that_would_make_the_broker_hang_up_is_never_sent() {
        let mut outbox = outbox(10);
        outbox.push(Outgoing::passing("latchkey/reply/#", "x"), NOW);
        assert!(outbox.is_idle());
        assert_eq!(outbox.n_dropped(), 1);
    }
}
