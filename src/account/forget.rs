//! Forgetting: everything that is held is laid aside, sealed, and can be brought back for 30 days. A user asks for it, or the
//! account is given to another vendor.

use jiff::{SignedDuration, Timestamp};

use super::{Logins, Record};

const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How often an account may be forgotten within 30 days; then the oldest goes.
const MOST: usize = 8;

/// An account as it was before it was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    pub since: Timestamp,
    /// The account was given to another vendor. It comes back when the account does.
    pub by_move: bool,
    /// Nothing forgotten stands in it.
    pub record: Record,
}

impl Forgotten {
    /// Until when it can be brought back.
    pub fn until(&self) -> Timestamp {
        self.since.checked_add(KEPT_FOR).unwrap_or(Timestamp::MAX)
    }
}

impl Record {
    /// Lays everything aside. What must outlast it stays: the count of generations, what was spent, codes asked for.
    ///
    /// Gives false where there is nothing to forget.
    pub fn forget(&mut self, now: Timestamp) -> bool {
        if self.held().next().is_none() && self.logins.kept.is_none() {
            return false;
        }
        let forgotten = Forgotten { since: now, by_move: false, record: self.take_all() };
        self.keep_forgotten(forgotten);
        true
    }

    /// Brings back what was forgotten last of this vendor's. Gives false where there is nothing, or where new tokens are held.
    pub fn recall(&mut self) -> bool {
        if self.held().next().is_some() {
            return false;
        }
        let newest = self.forgotten.iter().rposition(|it| it.record.vendor == self.vendor);
        let Some(back) = newest.and_then(|it| self.forgotten.remove(it)) else { return false };
        self.put_back(back.record);
        true
    }

    /// Whether [`Record::recall`] would find something, were nothing held.
    pub fn has_forgotten(&self) -> bool {
        self.forgotten.iter().any(|it| it.record.vendor == self.vendor)
    }

    /// Leaves a blank record behind, but for what must outlast it.
    pub(super) fn take_all(&mut self) -> Record {
        let blank = Record {
            revision: self.revision,
            vendor: self.vendor.clone(),
            generation: self.generation,
            spent: std::mem::take(&mut self.spent),
            refresh_count: self.refresh_count,
            logins: Logins { code_requests: self.logins.code_requests.clone(), ..Logins::default() },
            forgotten: std::mem::take(&mut self.forgotten),
            ..Record::default()
        };
        // It is not committed again, so it has no revision.
        Record { revision: 0, ..std::mem::replace(self, blank) }
    }

    pub(super) fn keep_forgotten(&mut self, forgotten: Forgotten) {
        if self.forgotten.len() == MOST {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(forgotten);
    }

    /// Puts a record that was laid aside in the place of a blank one.
    pub(super) fn put_back(&mut self, back: Record) {
        let now = std::mem::take(self);
        *self = Record {
            revision: now.revision,
            generation: back.generation.max(now.generation),
            spent: now.spent,
            logins: Logins { code_requests: now.logins.code_requests, ..back.logins },
            forgotten: now.forgotten,
            ..back
        };
    }

    /// Ends what was forgotten more than 30 days ago.
    pub fn drop_long_forgotten(&mut self, now: Timestamp) {
        self.forgotten.retain(|it| now < it.until());
    }

    /// Whether there is something for [`Record::drop_long_forgotten`].
    pub fn has_long_forgotten(&self, now: Timestamp) -> bool {
        self.forgotten.iter().any(|it| it.until() <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{DAY, grant, holding, start},
        *,
    };

    #[test]
    fn what_is_forgotten_comes_back_as_it_was() {
        let mut record = Record { previous: Some(Box::new(grant(1))), ..holding(grant(2)) };
        let before = record.clone();
        assert!(record.forget(start()));
        assert_eq!((record.held().next(), record.next_to_spend()), (None, None));
        record.revision = 9;
        record.generation = 7;
        assert!(record.recall());
        assert_eq!(record, Record { revision: 9, generation: 7, ..before });
    }

    #[test]
    fn there_is_nothing_to_forget_and_nothing_to_bring_back_in_an_empty_account() {
        let mut record = Record::default();
        assert!(!record.forget(start()));
        assert!(!record.recall());
        assert_eq!(record, Record::default());
    }

    #[test]
    fn what_was_spent_meanwhile_stays_spent_when_the_rest_comes_back() {
        let mut record = holding(grant(1));
        record.forget(start());
        record.remember_spent(crate::account::Fingerprint::from_bytes([1; 8]));
        record.recall();
        assert_eq!(record.spent.len(), 1);
    }

    #[test]
    fn new_tokens_are_not_replaced_by_old_ones_and_each_forgetting_can_be_undone_in_turn() {
        let mut record = holding(grant(1));
        record.forget(start());
        record.current = Some(grant(2));
        assert!(!record.recall());
        record.forget(start() + DAY);
        assert!(record.recall());
        assert_eq!(record.current, Some(grant(2)));
        record.current = None;
        assert!(record.recall());
        assert_eq!((record.current.as_ref(), record.forgotten.len()), (Some(&grant(1)), 0));
    }

    #[test]
    fn an_account_that_is_forgotten_again_and_again_does_not_grow_for_ever() {
        let mut record = Record::default();
        for n in 0..20 {
            record.current = Some(grant(n));
            assert!(record.forget(start()));
        }
        assert_eq!(record.forgotten.len(), MOST);
        record.recall();
        assert_eq!(record.current, Some(grant(19)));
    }

    #[test]
    fn after_thirty_days_it_is_gone() {
        let mut record = holding(grant(1));
        record.forget(start());
        record.current = Some(grant(2));
        record.forget(start() + 20 * DAY);
        let almost = start() + 29 * DAY;
        assert!(!record.has_long_forgotten(almost));
        let later = start() + 30 * DAY;
        assert!(record.has_long_forgotten(later));
        record.drop_long_forgotten(later);
        assert!(!record.has_long_forgotten(later));
        let left: Vec<_> = record.forgotten.iter().map(|it| it.record.current.clone()).collect();
        assert_eq!(left, [Some(grant(2))]);
        record.drop_long_forgotten(start() + 50 * DAY);
        assert!(record.forgotten.is_empty());
    }
}
