//! Whose tokens a record holds. An account whose configuration names another vendor begins anew there: what it holds would be
//! shown to a stranger.

use jiff::Timestamp;

use super::{Forgotten, Record};

impl Record {
    /// Makes it a record of the vendor that its account is configured for. What is another vendor's is laid aside as if it
    /// were forgotten, and what was laid aside when the account left this vendor is back. One that does not say whose it is
    /// was written when nobody asked, and is this vendor's.
    ///
    /// Gives the vendor that it left.
    pub fn belong_to(&mut self, vendor: &str, now: Timestamp) -> Option<Box<str>> {
        let Some(before) = self.vendor.replace(vendor.into()) else {
            for forgotten in self.forgotten.iter_mut().filter(|it| it.record.vendor.is_none()) {
                forgotten.record.vendor = Some(vendor.into());
            }
            return None;
        };
        if *before == *vendor {
            return None;
        }
        let left = Record { vendor: Some(before.clone()), ..self.take_all() };
        let of_this = |it: &Forgotten| it.by_move && it.record.vendor.as_deref() == Some(vendor);
        let back = self.forgotten.iter().rposition(of_this).and_then(|it| self.forgotten.remove(it));
        if left.has_of_its_vendor() {
            self.keep_forgotten(Forgotten { since: now, by_move: true, record: left });
        }
        if let Some(back) = back {
            self.put_back(back.record);
        }
        Some(before)
    }

    /// Whether the vendor gave anything that is still here, read or not, or may be signed in at.
    fn has_of_its_vendor(&self) -> bool {
        self.held().next().is_some() || self.logins.kept.is_some() || self.has_unread()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Code, Dead, KeptLogin, Logins, Secret, Slot, UnreadAnswer, UnreadLogin,
            fixture::{DAY, HOUR, grant, holding, start},
        },
        *,
    };

    fn of(vendor: &str, record: Record) -> Record {
        Record { vendor: Some(vendor.into()), ..record }
    }

    #[test]
    fn what_is_one_vendors_is_laid_aside_at_another_and_back_at_the_first() {
        let dead = Some(Dead { since: start(), why: Code::RefreshRefused });
        let mut record =
            of("akuvox", Record { previous: Some(Box::new(grant(1))), dead, revision: 7, ..holding(grant(2)) });
        let before = record.clone();
        assert_eq!(record.belong_to("akuvox", start()), None);
        assert_eq!(record, before);

        assert_eq!(record.belong_to("aqara", start() + HOUR).as_deref(), Some("akuvox"));
        assert_eq!((record.held().next(), record.next_to_spend(), record.dead), (None, None, None));
        assert_eq!((record.revision, record.generation, record.vendor.as_deref()), (7, 2, Some("aqara")));
        assert!(!record.recall(), "it is not this vendor's");
        assert!(!record.has_forgotten());
        record.current = Some(grant(3));
        record.generation = 3;

        // Long after what is forgotten has ended, if nobody looked meanwhile.
        assert_eq!(record.belong_to("akuvox", start() + 40 * DAY).as_deref(), Some("aqara"));
        assert_eq!(record.forgotten.len(), 1);
        let laid_aside = record.forgotten.clone();
        assert_eq!(record, Record { generation: 3, forgotten: laid_aside, ..before });

        record.belong_to("aqara", start() + 41 * DAY);
        assert_eq!(record.current, Some(grant(3)));
        assert_eq!(record.forgotten.len(), 1);
    }

    #[test]
    fn whatever_a_vendor_gave_is_kept_and_an_empty_account_leaves_nothing() {
        let secret = || Secret::new("given");
        let unread = UnreadAnswer { received_at: start(), slot: Slot::Current, generation: 1, body: secret() };
        let kept = KeptLogin { password: secret(), last_used_at: None, is_refused: false };
        let login = UnreadLogin { received_at: start(), body: secret() };
        for record in [
            Record { unread: Some(Box::new(unread.clone())), ..Record::default() },
            Record { older_unread: [unread].into(), ..Record::default() },
            Record { logins: Logins { kept: Some(Box::new(kept)), ..Logins::default() }, ..Record::default() },
            Record { logins: Logins { unread: Some(Box::new(login)), ..Logins::default() }, ..Record::default() },
        ] {
            let mut moved = of("akuvox", record);
            let before = moved.clone();
            moved.belong_to("aqara", start());
            assert_eq!((&moved.unread, moved.older_unread.len(), &moved.logins), (&None, 0, &Logins::default()));
            moved.belong_to("akuvox", start());
            assert_eq!(moved, before);
        }
        let mut empty = of("akuvox", Record::default());
        empty.belong_to("aqara", start());
        assert_eq!(empty, of("aqara", Record::default()));
    }

    #[test]
    fn what_a_user_had_forgotten_does_not_come_back_by_itself() {
        let mut record = of("akuvox", holding(grant(1)));
        record.forget(start());
        record.belong_to("aqara", start());
        record.belong_to("akuvox", start());
        assert_eq!(record.held().next(), None);
        assert!(record.recall());
        assert_eq!(record.current, Some(grant(1)));
    }

    #[test]
    fn a_record_of_an_earlier_version_is_its_accounts_vendors_with_all_that_it_had_forgotten() {
        let mut record = holding(grant(1));
        record.forget(start());
        record.current = Some(grant(2));
        assert_eq!(record.belong_to("akuvox", start()), None);
        assert_eq!((record.vendor.as_deref(), record.current.as_ref()), (Some("akuvox"), Some(&grant(2))));
        assert!(record.has_forgotten());
        record.belong_to("aqara", start());
        assert!(!record.has_forgotten());
    }
}
