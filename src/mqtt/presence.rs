//! What was said on one connection to the broker, so that nothing is said twice and nobody else speaks for us unnoticed.

use std::collections::HashMap;

use crate::account::AccountId;

/// Of what was said before this many messages, nothing comes back any more.
const LONGEST_WAY: usize = 32;

/// What holds for one connection to the broker.
#[derive(Default)]
pub(super) struct Presence {
    /// We have said that we are online.
    pub(super) is_announced: bool,
    /// What was published, so that nothing is said twice.
    published: HashMap<AccountId, Said>,
    /// The checksums of states that may still come back to us, the oldest first; accounts that have some.
    on_their_way: HashMap<AccountId, Vec<u32>>,
    /// How many accounts are still to be looked at, and the place of the one that was looked at last.
    pub(super) n_unseen: usize,
    pub(super) seen_last: usize,
}

/// What was published of one account, as checksums.
#[derive(Default)]
struct Said {
    advice: Option<u32>,
    state: Option<u32>,
}

impl Presence {
    pub(super) fn is_news_of_advice(&mut self, account: &AccountId, advice: &[u8]) -> bool {
        let checksum = Some(crc32fast::hash(advice));
        std::mem::replace(&mut self.said(account).advice, checksum) != checksum
    }

    pub(super) fn is_news(&mut self, account: &AccountId, state: &[u8]) -> bool {
        let checksum = crc32fast::hash(state);
        if self.said(account).state.replace(checksum) == Some(checksum) {
            return false;
        }
        let on_its_way = self.on_their_way.entry(account.clone()).or_default();
        if on_its_way.len() == LONGEST_WAY {
            on_its_way.remove(0);
        }
        on_its_way.push(checksum);
        true
    }

    pub(super) fn say_all_again(&mut self) {
        self.published.values_mut().for_each(|it| *it = Said::default());
    }

    pub(super) fn forget(&mut self, account: &AccountId) {
        self.published.remove(account);
        self.on_their_way.remove(account);
    }

    /// What somebody else said on a topic of ours is overruled when we look at everything next. Not at once, lest two who
    /// hold the topic for theirs shout each other down.
    pub(super) fn heard(&mut self, account: &AccountId, state: &[u8]) {
        let Some(said) = self.published.get_mut(account) else { return };
        let checksum = crc32fast::hash(state);
        let on_its_way = self.on_their_way.get_mut(account);
        if let Some((own, ours)) = on_its_way.and_then(|it| Some((it.iter().position(|it| *it == checksum)?, it))) {
            // What was overtaken in the outbox does not come any more.
            ours.drain(..=own);
            if ours.is_empty() {
                self.on_their_way.remove(account);
            }
        } else if said.state != Some(checksum) {
            said.state = None;
        }
    }

    fn said(&mut self, account: &AccountId) -> &mut Said {
        self.published.entry(account.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_says_for_us_is_overruled_and_our_own_echo_is_not() {
        let mut presence = Presence::default();
        let home: AccountId = "home".parse().unwrap();
        let say = |presence: &mut Presence, state: &[u8]| presence.is_news(&"home".parse().unwrap(), state);
        presence.heard(&home, b"of an earlier run");
        for own in [b"a", b"b", b"c"] {
            assert!(say(&mut presence, own));
        }
        // The second was overtaken in the outbox; the third comes twice, as anything at QoS 1 may.
        for echo in [b"a", b"c", b"c"] {
            presence.heard(&home, echo);
            assert!(!say(&mut presence, b"c"));
        }
        presence.heard(&home, b"forged");
        assert!(say(&mut presence, b"c"));
        presence.heard(&home, b"c");
        presence.heard(&home, b"a");
        assert!(say(&mut presence, b"c"), "an older word of ours is as false as another's");
    }
}
