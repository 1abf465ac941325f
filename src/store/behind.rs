//! What the journal has taken and sled is still to get: of each name the newest frame, and every fingerprint.
//!
//! sled follows a moment later, when a refresh that began is mostly over: whoever waits for the journal has the disk and the
//! processor for himself, and of what was written more than once by then sled gets the newest. A kill before leaves what was
//! promised in the journal alone, from which the next start gives sled what it lacks.

use std::{collections::HashMap, time::Duration};

use super::{frame::Name, seal::Sealed, spent::Spent};
use crate::account::{AccountId, Fingerprint};

/// sled follows when nothing was written for so long.
pub(super) const MOMENT: Duration = Duration::from_millis(100);
/// However much is written, sled follows after so long, or when it lacks so many names.
const LATEST: Duration = Duration::from_secs(1);
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct Behind {
    frames: HashMap<Name, Sealed>,
    spent: Spent,
    /// When the first of them came, and the last.
    since: Duration,
    last: Duration,
}

impl Behind {
    pub(super) fn add(&mut self, frames: Vec<Sealed>, now: Duration) {
        if self.frames.is_empty() {
            self.since = now;
        }
        self.last = now;
        self.frames.extend(frames.into_iter().map(|it| (it.name.clone(), it)));
    }

    /// Fingerprints that a frame carries which is added next.
    pub(super) fn add_spent(&mut self, account: &AccountId, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        self.spent.add(account, fingerprints);
    }

    pub(super) fn has_spent(&self, account: &AccountId, fingerprint: Fingerprint) -> bool {
        self.spent.of(account).contains(&fingerprint)
    }

    /// Whether sled is to follow now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        MOST <= self.frames.len() || self.due_in(now).is_some_and(|it| it.is_zero())
    }

    /// How long until sled is to follow; none where it lacks nothing.
    pub(super) fn due_in(&self, now: Duration) -> Option<Duration> {
        let quiet_at = self.last + MOMENT;
        (!self.frames.is_empty()).then(|| quiet_at.min(self.since + LATEST).saturating_sub(now))
    }

    /// All of it, after which sled lacks nothing; none where it did not.
    pub(super) fn take(&mut self) -> Option<(Vec<Sealed>, Spent)> {
        let Self { frames, spent, .. } = std::mem::take(self);
        (!frames.is_empty()).then(|| (frames.into_values().collect(), spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::seal::Sealer;

    fn frame(account: &str, revision: u64) -> Sealed {
        Sealer::new(&[1; 32]).seal(&Name::Account(account.parse().unwrap()), revision, b"x").unwrap()
    }

    #[test]
    fn the_newest_of_each_name_and_every_fingerprint_is_given_once() {
        let (mut behind, home) = (Behind::default(), "home".parse().unwrap());
        let spent = [1, 2, 3].map(|it| Fingerprint::from_bytes([it; 8]));
        for revision in 1..=3 {
            behind.add_spent(&home, spent[..revision].iter().copied());
            behind.add(vec![frame("home", revision as u64)], Duration::ZERO);
        }
        behind.add(vec![frame("work", 1)], Duration::ZERO);
        let (frames, all_spent) = behind.take().unwrap();
        let mut revisions = Vec::from_iter(frames.iter().map(|it| (it.name.text(), it.revision)));
        revisions.sort_unstable();
        assert_eq!(revisions, [("home", 3), ("work", 1)]);
        assert_eq!(all_spent.of(&home), spent);
        assert!(behind.take().is_none());
    }

    #[test]
    fn sled_follows_when_it_is_quiet_or_late_or_when_it_lacks_many() {
        let mut behind = Behind::default();
        let second = Duration::from_secs(1);
        assert!(!behind.is_due(second) && behind.due_in(second).is_none());
        behind.add(vec![frame("home", 1)], second);
        behind.add(vec![frame("home", 2)], second + MOMENT / 2);
        assert_eq!(behind.due_in(second + MOMENT), Some(MOMENT / 2));
        assert!(!behind.is_due(second + MOMENT) && behind.is_due(second + MOMENT * 3 / 2));
        behind.add(vec![frame("home", 3)], second + LATEST - MOMENT / 2);
        assert!(behind.is_due(second + LATEST), "it would never follow where much is written");
        let mut behind = Behind::default();
        for number in 0..MOST {
            assert!(!behind.is_due(second), "{number}");
            behind.add(vec![frame(&format!("account_{number}"), 1)], second);
        }
        assert!(behind.is_due(second));
    }
}
