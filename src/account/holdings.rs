//! What a record holds on to: no answer of a vendor, and no newer token, throws away one that may still be good.

use super::{Grant, Record, RefreshEnd, SET_ASIDE, Secret, Slot, UnreadAnswer, record::OLDER_UNREAD};

impl Record {
    /// Every grant that is held, wherever it stands.
    pub fn held(&self) -> impl Iterator<Item = &Grant> {
        let candidate = self.candidate.as_ref().map(|it| &it.grant);
        [candidate, self.current.as_ref(), self.previous.as_deref()].into_iter().flatten().chain(&self.set_aside)
    }

    pub(super) fn of_generation(&self, generation: u64) -> Option<&Grant> {
        self.held().find(|it| it.generation == generation)
    }

    /// Takes the grant of this generation from wherever it stands, if it is not the current one.
    pub(super) fn remove_beside(&mut self, generation: u64) {
        self.candidate.take_if(|it| it.grant.generation == generation);
        self.previous.take_if(|it| it.generation == generation);
        self.set_aside.retain(|it| it.generation != generation);
    }

    /// A refresh token was spent: no copy of it is ever sent again, whatever access token stands beside it.
    pub(super) fn end_as_spent(&mut self, refresh: &Secret) {
        for grant in self.held_mut().filter(|it| it.refresh.as_ref() == Some(refresh)) {
            grant.refresh_end = Some(RefreshEnd::Spent);
        }
        for forgotten in &mut self.forgotten {
            forgotten.record.end_as_spent(refresh);
        }
    }

    /// A pair was refused. The same refresh token beside another access token was not judged: some vendors want both.
    pub(super) fn end_as_refused(&mut self, refused: &Grant) {
        let is_same = |it: &&mut Grant| it.refresh == refused.refresh && it.access == refused.access;
        for grant in self.held_mut().filter(is_same).filter(|it| it.refresh_end.is_none()) {
            grant.refresh_end = Some(RefreshEnd::Refused);
        }
    }

    /// A grant made room for a newer one. The latest stands as the previous one, an unspent one before a spent one.
    pub(super) fn keep_as_previous(&mut self, replaced: Option<Grant>) {
        let Some(replaced) = replaced else { return };
        let is_better_kept = self.previous.as_deref().is_some_and(Grant::is_spendable) && !replaced.is_spendable();
        let displaced =
            if is_better_kept { Some(replaced) } else { self.previous.replace(Box::new(replaced)).map(|it| *it) };
        if let Some(displaced) = displaced {
            self.set_aside(displaced);
        }
    }

    /// Keeps a grant that no slot has room for. Where there are too many, the least useful one goes.
    pub(super) fn set_aside(&mut self, grant: Grant) {
        let expected = self.expected();
        let is_copy = |it: &Grant| it.refresh == grant.refresh && it.access == grant.access;
        self.set_aside.retain(|it| !is_copy(it) || expected.contains(&it.generation));
        self.set_aside.push_back(grant);
        self.drop_spent();
        if self.set_aside.len() <= SET_ASIDE {
            return;
        }
        let has_copy = |grant: &Grant| 1 < self.held().filter(|it| it.refresh == grant.refresh).count();
        let is_refused = |grant: &Grant| !grant.is_spendable();
        let position = |is_useless: &dyn Fn(&Grant) -> bool| {
            self.set_aside.iter().position(|it| is_useless(it) && !expected.contains(&it.generation))
        };
        let least_useful =
            position(&has_copy).or_else(|| position(&is_refused)).or_else(|| position(&|_| true)).unwrap_or_default();
        self.set_aside.remove(least_useful);
    }

    /// What was set aside and is of no use any more goes: it has no refresh token, or its successor was read.
    pub(super) fn drop_spent(&mut self) {
        let expected = self.expected();
        self.set_aside.retain(|it| {
            let is_spent = it.refresh_end == Some(RefreshEnd::Spent);
            it.refresh.is_some() && (!is_spent || expected.contains(&it.generation))
        });
    }

    /// The generations of which an answer may still come, or be read.
    fn expected(&self) -> Vec<u64> {
        let unread = self.unread.as_deref().into_iter().chain(&self.older_unread).map(|it| it.generation);
        unread.chain(self.attempt.as_ref().map(|it| it.generation)).collect()
    }

    /// Whether any slot has a refresh token that was neither spent nor refused.
    pub(super) fn has_spendable(&self) -> bool {
        [Slot::Candidate, Slot::Current, Slot::Previous]
            .iter()
            .any(|it| self.grant(*it).is_some_and(Grant::is_spendable))
    }

    /// Where no slot has anything left to try, what was set aside unspent gets its chance, the newest first.
    pub(super) fn bring_back(&mut self) {
        if self.has_spendable() {
            return;
        }
        let Some(newest) = self.set_aside.iter().rposition(Grant::is_spendable) else { return };
        let brought_back = self.set_aside.remove(newest).map(Box::new);
        if let Some(displaced) = std::mem::replace(&mut self.previous, brought_back) {
            self.set_aside(*displaced);
        }
    }

    /// Keeps an answer that could not be read. `is_yes`: the vendor accepted, so this one has the tokens.
    ///
    /// Of several that nobody can judge the first is kept: it came when the token was most likely still good.
    pub(super) fn keep_unread(&mut self, answer: UnreadAnswer, is_yes: bool) {
        if let Some(held) = self.unread.take() {
            let is_same = held.generation == answer.generation;
            if is_same && !is_yes {
                self.unread = Some(held);
                return;
            }
            if !is_same {
                self.older_unread.push_back(*held);
            }
        }
        if OLDER_UNREAD < self.older_unread.len() {
            self.older_unread.pop_front();
        }
        self.unread = Some(Box::new(answer));
    }

    /// Tokens were read that follow this generation: answers to refreshes of it, and of older ones, are superseded.
    pub(super) fn drop_unread_up_to(&mut self, generation: u64) {
        self.older_unread.retain(|it| generation < it.generation);
        self.unread.take_if(|it| it.generation <= generation);
        if self.unread.is_none() {
            self.unread = self.older_unread.pop_back().map(Box::new);
        }
    }

    fn held_mut(&mut self) -> impl Iterator<Item = &mut Grant> {
        let candidate = self.candidate.as_mut().map(|it| &mut it.grant);
        [candidate, self.current.as_mut(), self.previous.as_deref_mut()]
            .into_iter()
            .flatten()
            .chain(&mut self.set_aside)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{grant, holding, start},
        *,
    };

    fn ended(n: u64, end: RefreshEnd) -> Grant {
        Grant { refresh_end: Some(end), ..grant(n) }
    }

    fn answer(generation: u64, body: &str) -> UnreadAnswer {
        UnreadAnswer { received_at: start(), slot: Slot::Current, generation, body: Secret::new(body) }
    }

    #[test]
    fn a_spent_grant_does_not_displace_an_unspent_one() {
        let mut record = Record { previous: Some(Box::new(grant(1))), ..holding(grant(3)) };
        record.keep_as_previous(Some(ended(2, RefreshEnd::Spent)));
        assert_eq!(record.previous.as_deref(), Some(&grant(1)));
        record.keep_as_previous(Some(grant(4)));
        assert_eq!(record.previous.as_deref(), Some(&grant(4)));
        assert_eq!(record.set_aside, [grant(1)]);
    }

    #[test]
    fn every_copy_of_a_spent_token_ends_and_a_refusal_ends_the_pair_only() {
        let other_access = Grant { access: Some(Secret::new("A9")), generation: 2, ..grant(1) };
        let mut record = Record { previous: Some(Box::new(other_access)), ..holding(grant(1)) };
        record.end_as_refused(&grant(1));
        assert_eq!(record.next_to_spend(), Some(Slot::Previous));
        record.end_as_spent(&Secret::new("R1"));
        assert_eq!(record.next_to_spend(), None);
    }

    #[test]
    fn what_was_set_aside_comes_back_only_when_nothing_else_is_left() {
        let mut record = holding(grant(3));
        record.set_aside(grant(1));
        record.set_aside(grant(2));
        record.bring_back();
        assert_eq!(record.previous, None);
        record.end_as_refused(&grant(3));
        record.bring_back();
        assert_eq!(record.previous.as_deref(), Some(&grant(2)));
        assert_eq!(record.set_aside, [grant(1)]);
    }

    #[test]
    fn where_too_many_are_set_aside_copies_go_first_and_then_the_refused() {
        let mut record = holding(grant(100));
        record.set_aside(grant(1));
        record.set_aside(ended(2, RefreshEnd::Refused));
        let copy = Grant { access: None, generation: 99, ..grant(100) };
        record.set_aside(copy.clone());
        for n in 3..=17 {
            record.set_aside(grant(n));
        }
        assert_eq!(record.set_aside.len(), SET_ASIDE);
        assert!(record.set_aside.contains(&grant(1)));
        assert!(!record.set_aside.contains(&copy));
        assert!(!record.set_aside.contains(&ended(2, RefreshEnd::Refused)));
    }

    #[test]
    fn of_several_unread_answers_the_first_is_kept_unless_the_vendor_said_yes_in_a_later_one() {
        let mut record = holding(grant(1));
        record.keep_unread(answer(1, "first"), false);
        record.keep_unread(answer(1, "second"), false);
        assert_eq!(record.unread.as_deref(), Some(&answer(1, "first")));
        record.keep_unread(answer(1, "yes"), true);
        assert_eq!(record.unread.as_deref(), Some(&answer(1, "yes")));
    }

    #[test]
    fn an_unread_answer_makes_room_for_that_of_another_grant_and_comes_back() {
        let mut record = holding(grant(1));
        record.keep_unread(answer(4, "of the candidate"), true);
        record.keep_unread(answer(1, "of the current"), true);
        assert_eq!(record.older_unread, [answer(4, "of the candidate")]);
        record.drop_unread_up_to(1);
        assert_eq!(record.unread.as_deref(), Some(&answer(4, "of the candidate")));
        record.drop_unread_up_to(4);
        assert_eq!((record.unread, record.older_unread.len()), (None, 0));
    }
}
