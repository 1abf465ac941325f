//! Who is due when, in order.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::account::AccountId;

/// At most one deadline for each account. Planning and taking cost O(log n).
#[derive(Default)]
pub struct Deadlines {
    by_time: BTreeSet<(Timestamp, AccountId)>,
    by_account: HashMap<AccountId, Timestamp>,
}

impl Deadlines {
    /// Gives an account this deadline in place of any other; none takes it out.
    pub fn plan(&mut self, account: &AccountId, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_account.insert(account.clone(), at),
            None => self.by_account.remove(account),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.by_time.remove(&(old, account.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, account.clone()));
        }
    }

    /// Takes out the account that has been due for longest, or tells when the next one will be.
    pub fn take_due(&mut self, now: Timestamp) -> Result<AccountId, Option<Timestamp>> {
        match self.by_time.first() {
            Some((at, _)) if *at <= now => {}
            later => return Err(later.map(|(at, _)| *at)),
        }
        let Some((_, account)) = self.by_time.pop_first() else { return Err(None) };
        self.by_account.remove(&account);
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> AccountId {
        name.parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn who_has_been_due_for_longest_comes_first_and_once() {
        let mut deadlines = Deadlines::default();
        for (name, second) in [("late", 30), ("early", 10), ("moved", 5), ("gone", 1)] {
            deadlines.plan(&id(name), Some(at(second)));
        }
        deadlines.plan(&id("moved"), Some(at(20)));
        deadlines.plan(&id("moved"), Some(at(20)));
        deadlines.plan(&id("gone"), None);
        assert_eq!(deadlines.take_due(at(9)), Err(Some(at(10))));
        for name in ["early", "moved", "late"] {
            assert_eq!(deadlines.take_due(at(30)), Ok(id(name)));
        }
        assert_eq!(deadlines.take_due(at(30)), Err(None));
    }
}
