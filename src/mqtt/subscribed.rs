//! What the broker sends us: the filters that it was asked for, and what is left to ask when others are wanted.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use rumqttc::v5::mqttbytes::v5::Filter;

use super::settings::Subscription;

/// Outlives a connection, as the broker's session does.
#[derive(Default)]
pub(super) struct Subscribed {
    wanted: Arc<[Subscription]>,
    without_retained: bool,
    /// The filters that the broker's session may have of us.
    held: BTreeSet<String>,
    /// Those that it has and that are not wanted.
    unwanted: VecDeque<String>,
    /// The filters of each SUBSCRIBE that waits for its SUBACK, oldest first.
    unanswered: VecDeque<Vec<String>>,
}

impl Subscribed {
    /// Before a connection is made.
    pub(super) fn begin(&mut self, wanted: Arc<[Subscription]>, without_retained: bool) {
        self.wanted = wanted;
        self.without_retained = without_retained;
        self.unanswered.clear();
    }

    /// All filters for the SUBSCRIBE of a new connection, which also has the broker send what it retained.
    pub(super) fn everything(&mut self, session_present: bool) -> Vec<Filter> {
        if !session_present {
            self.held.clear();
        }
        let filters: Vec<Filter> = self.wanted.iter().map(|it| it.to_filter(self.without_retained)).collect();
        self.note(&filters);
        filters
    }

    /// Whether there is something to ask for while the connection stands.
    pub(super) fn has_news(&self, wanted: &Arc<[Subscription]>) -> bool {
        !Arc::ptr_eq(wanted, &self.wanted) || !self.unwanted.is_empty()
    }

    /// Hands out the filters for one more SUBSCRIBE, if others are wanted than before. False where `send` did not take
    /// them: then nothing has changed.
    pub(super) fn subscribe(&mut self, wanted: Arc<[Subscription]>, send: impl FnOnce(Vec<Filter>) -> bool) -> bool {
        if Arc::ptr_eq(&wanted, &self.wanted) {
            return true;
        }
        let new = wanted.iter().filter(|it| !self.held.contains(&it.filter));
        let filters: Vec<Filter> = new.map(|it| it.to_filter(self.without_retained)).collect();
        if !filters.is_empty() && !send(filters.clone()) {
            return false;
        }
        self.wanted = wanted;
        self.note(&filters);
        true
    }

    /// Hands out what to unsubscribe from, as long as `send` takes it.
    pub(super) fn unsubscribe(&mut self, mut send: impl FnMut(&str) -> bool) {
        while let Some(filter) = self.unwanted.pop_front() {
            if !send(&filter) {
                self.unwanted.push_front(filter);
                return;
            }
            self.held.remove(&filter);
        }
    }

    /// A SUBACK came: the filters that it is about.
    pub(super) fn answered(&mut self) -> Vec<String> {
        self.unanswered.pop_front().unwrap_or_default()
    }

    fn note(&mut self, asked: &[Filter]) {
        if !asked.is_empty() {
            let names: Vec<String> = asked.iter().map(|it| it.path.clone()).collect();
            self.held.extend(names.iter().cloned());
            self.unanswered.push_back(names);
        }
        let wanted: BTreeSet<&str> = self.wanted.iter().map(|it| it.filter.as_str()).collect();
        self.unwanted = self.held.iter().filter(|it| !wanted.contains(it.as_str())).cloned().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Qos;

    fn wanted(names: &[&str]) -> Arc<[Subscription]> {
        names.iter().map(|it| Subscription::new(*it, Qos::AtMostOnce)).collect()
    }

    fn paths(filters: &[Filter]) -> Vec<&str> {
        filters.iter().map(|it| it.path.as_str()).collect()
    }

    fn subscribe(subscribed: &mut Subscribed, wanted: &Arc<[Subscription]>) -> Vec<String> {
        let mut sent = Vec::new();
        let is_sent = subscribed.subscribe(wanted.clone(), |filters| {
            sent.extend(filters.into_iter().map(|it| it.path));
            true
        });
        assert!(is_sent);
        sent
    }

    fn unsubscribed(subscribed: &mut Subscribed) -> Vec<String> {
        let mut sent = Vec::new();
        subscribed.unsubscribe(|it| {
            sent.push(it.to_owned());
            true
        });
        sent
    }

    #[test]
    fn only_what_is_new_is_asked_for_and_only_what_is_held_is_given_back() {
        let mut subscribed = Subscribed::default();
        subscribed.begin(wanted(&["a", "b"]), false);
        assert_eq!(paths(&subscribed.everything(false)), ["a", "b"]);
        let next = wanted(&["b", "c"]);
        assert!(subscribed.has_news(&next));
        assert!(!subscribed.subscribe(next.clone(), |_| false), "the client was busy");
        assert_eq!(subscribe(&mut subscribed, &next), ["c"]);
        assert_eq!(unsubscribed(&mut subscribed), ["a"]);
        assert!(!subscribed.has_news(&next));
        assert_eq!([subscribed.answered(), subscribed.answered()], [vec!["a", "b"], vec!["c"]]);
    }

    #[test]
    fn what_was_given_up_between_two_connections_is_given_back_where_the_session_was_kept() {
        for (session_present, expected) in [(true, vec!["a".to_owned()]), (false, vec![])] {
            let mut subscribed = Subscribed::default();
            subscribed.begin(wanted(&["a", "b"]), false);
            subscribed.everything(false);
            subscribed.begin(wanted(&["b"]), false);
            assert_eq!(paths(&subscribed.everything(session_present)), ["b"]);
            assert_eq!(unsubscribed(&mut subscribed), expected);
        }
    }

    #[test]
    fn what_is_wanted_again_before_it_was_given_back_stays() {
        let mut subscribed = Subscribed::default();
        subscribed.begin(wanted(&["a"]), false);
        subscribed.everything(false);
        assert!(subscribe(&mut subscribed, &wanted(&[])).is_empty());
        subscribed.unsubscribe(|_| false);
        assert!(subscribe(&mut subscribed, &wanted(&["a"])).is_empty());
        assert!(unsubscribed(&mut subscribed).is_empty());
    }
}
