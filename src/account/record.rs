//! Everything that is known of an account and must survive: the unit of every commit.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{Code, Fingerprint, Forgotten, Grant, Logins, RefreshEnd, Secret};

/// How many of the newest spent fingerprints a record carries itself; the store keeps all.
pub const RECENT_SPENT: usize = 64;
/// How many grants without a slot a record carries.
pub const SET_ASIDE: usize = 16;
/// How many unread answers a record carries beside the newest.
pub const OLDER_UNREAD: usize = 4;

/// An account's whole durable state. It changes only by the transitions of this module's siblings.
///
/// What an account at rest does not have takes no room in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Counts commits; the store compares and swaps on it.
    pub revision: u64,
    /// Whose tokens these are, by the vendor's name. Records of earlier versions do not say so until they are read.
    pub vendor: Option<Box<str>>,
    /// The highest generation that any grant of this account ever had.
    pub generation: u64,
    pub current: Option<Grant>,
    /// The grant before, until the current one has worked once, or as long as its refresh token is unspent.
    pub previous: Option<Box<Grant>>,
    /// Tokens that somebody proposed and the vendor has not yet accepted.
    pub candidate: Option<Box<Candidate>>,
    /// Grants that lost their slot without being spent, oldest first, at most [`SET_ASIDE`]: no answer of a vendor throws
    /// a token away. Those that were not refused are tried before a person is asked.
    pub set_aside: VecDeque<Grant>,
    /// A refresh that was started and has no outcome on disk.
    pub attempt: Option<Box<Attempt>>,
    /// An answer that could not be read. Nothing is thrown away; a later version may finish it.
    pub unread: Option<Box<UnreadAnswer>>,
    /// Unread answers to refreshes of other grants, oldest first, at most [`OLDER_UNREAD`].
    pub older_unread: VecDeque<UnreadAnswer>,
    /// The reply to a refresh was lost, so the refresh token of a grant that was in use may be spent.
    pub doubt: Option<Doubt>,
    /// The vendor refuses the refresh token for good; a person must sign in again.
    pub dead: Option<Dead>,
    /// The vendor refuses the application's keys or the request, not the tokens.
    pub fault: bool,
    pub setbacks: Setbacks,
    /// Of the grants that were in use; a candidate has its own.
    pub refusals: Refusals,
    pub last_attempt_at: Option<Timestamp>,
    pub last_refresh_at: Option<Timestamp>,
    pub refresh_count: u64,
    /// The newest fingerprints of spent refresh tokens, oldest first, at most [`RECENT_SPENT`]. New ones come behind those
    /// that are known, whatever becomes of the record; what is forgotten has none of its own.
    pub spent: VecDeque<Fingerprint>,
    /// The update that was handled last, so that the same command delivered again gets the same reply.
    pub last_update: Option<HandledUpdate>,
    /// The tokens may be older than the vendor's (a restored or rolled-back store): try them once, soon.
    pub unproven: bool,
    pub last_login_at: Option<Timestamp>,
    pub logins: Logins,
    /// What was held before a user had it forgotten, oldest first.
    pub forgotten: VecDeque<Forgotten>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub grant: Grant,
    pub received_at: Timestamp,
    /// Since when the reply to a refresh of it is lost. What is unknown of it says nothing of the grants in use.
    pub doubted_since: Option<Timestamp>,
    /// Since when it fails by what may be its own fault.
    pub failing_since: Option<Timestamp>,
    pub refusals: Refusals,
}

/// The write-ahead mark of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Random; names the attempt in logs.
    pub id: u64,
    pub started_at: Timestamp,
    pub slot: Slot,
    /// The generation of the grant whose refresh token is being spent.
    pub generation: u64,
    pub fingerprint: Fingerprint,
}

/// Which of the held grants a refresh spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Candidate,
    Current,
    Previous,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadAnswer {
    pub received_at: Timestamp,
    pub slot: Slot,
    pub generation: u64,
    /// The body as it came, less what must not be stored.
    pub body: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub since: Timestamp,
    /// Of the grant whose refresh token's fate is unknown.
    pub generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead {
    pub since: Timestamp,
    pub why: Code,
}

/// Failures since the last success, and until when to leave the vendor alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setbacks {
    pub consecutive: u32,
    pub not_before: Option<Timestamp>,
    pub last_error: Option<Code>,
    pub last_error_at: Option<Timestamp>,
}

/// Refusals of a vendor whose codes are unknown: only three over a day count as definitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    pub count: u32,
    pub first_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandledUpdate {
    /// Of the refresh token that was proposed.
    pub proposal: Fingerprint,
    pub outcome: UpdateOutcome,
    pub generation: u64,
}

/// What became of proposed tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateOutcome {
    /// The vendor accepted them in a refresh; their successors are the current grant.
    Proved,
    /// Taken as they are, without asking the vendor.
    Adopted,
    /// Stored; the vendor could not be asked yet and will be.
    Pending,
    /// They are the tokens already held.
    Unchanged,
    /// The vendor refused them; the grant before is back.
    Refused,
}

impl Record {
    pub fn grant(&self, slot: Slot) -> Option<&Grant> {
        match slot {
            Slot::Candidate => self.candidate.as_ref().map(|it| &it.grant),
            Slot::Current => self.current.as_ref(),
            Slot::Previous => self.previous.as_deref(),
        }
    }

    /// The grant whose refresh token the next refresh spends: a candidate first, then the current one, then what is
    /// left unspent; and where all were refused, the current one again (a probe).
    pub fn next_to_spend(&self) -> Option<Slot> {
        let slots = [Slot::Candidate, Slot::Current, Slot::Previous];
        slots.into_iter().find(|slot| self.grant(*slot).is_some_and(Grant::is_spendable)).or_else(|| {
            let current = self.current.as_ref()?;
            (current.refresh.is_some() && current.refresh_end != Some(RefreshEnd::Spent)).then_some(Slot::Current)
        })
    }

    /// Whether there is anything to spend, now or when it is tried again.
    pub fn has_refresh_token(&self) -> bool {
        self.next_to_spend().is_some() || self.current.as_ref().is_some_and(|it| it.refresh.is_some())
    }

    /// Whether it holds answers that could not be read.
    pub fn has_unread(&self) -> bool {
        self.unread.is_some() || !self.older_unread.is_empty() || self.logins.unread.is_some()
    }

    /// Since when the reply to a refresh of this slot's grant is lost.
    pub fn doubted_since(&self, slot: Slot) -> Option<Timestamp> {
        if slot == Slot::Candidate {
            return self.candidate.as_ref()?.doubted_since;
        }
        let generation = self.grant(slot)?.generation;
        self.doubt.filter(|it| it.generation == generation).map(|it| it.since)
    }

    /// The store may hold an older copy: what is held, and what is laid aside, is tried once before it counts.
    pub fn doubt_all(&mut self) {
        self.unproven = true;
        self.forgotten.iter_mut().for_each(|it| it.record.unproven = true);
    }

    pub(super) fn remember_spent(&mut self, fingerprint: Fingerprint) {
        if self.spent.contains(&fingerprint) {
            return;
        }
        if self.spent.len() == RECENT_SPENT {
            self.spent.pop_front();
        }
        self.spent.push_back(fingerprint);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{grant, holding, start},
        *,
    };

    fn candidate(grant: Grant) -> Box<Candidate> {
        Box::new(Candidate {
            grant,
            received_at: start(),
            doubted_since: None,
            failing_since: None,
            refusals: Refusals::default(),
        })
    }

    #[test]
    fn a_candidate_is_spent_first_then_the_current_grant_then_the_previous() {
        let mut record =
            Record { previous: Some(Box::new(grant(1))), candidate: Some(candidate(grant(3))), ..holding(grant(2)) };
        for (slot, generation) in [(Slot::Candidate, 3), (Slot::Current, 2), (Slot::Previous, 1)] {
            assert_eq!(record.next_to_spend(), Some(slot));
            record.end_as_refused(&grant(generation));
        }
    }

    #[test]
    fn where_all_were_refused_the_current_one_is_probed_and_a_spent_one_never() {
        let refused = Grant { refresh_end: Some(RefreshEnd::Refused), ..grant(1) };
        assert_eq!(holding(refused).next_to_spend(), Some(Slot::Current));
        let spent = Grant { refresh_end: Some(RefreshEnd::Spent), ..grant(1) };
        assert_eq!(holding(spent).next_to_spend(), None);
        assert_eq!(holding(Grant { refresh: None, ..grant(1) }).next_to_spend(), None);
        assert_eq!(Record::default().next_to_spend(), None);
    }

    #[test]
    fn a_doubt_is_about_one_grant() {
        let doubt = Some(Doubt { since: start(), generation: 1 });
        let mut record = Record { previous: Some(Box::new(grant(1))), doubt, ..holding(grant(2)) };
        assert_eq!(record.doubted_since(Slot::Previous), Some(start()));
        assert_eq!(record.doubted_since(Slot::Current), None);
        record.candidate = Some(Box::new(Candidate { doubted_since: Some(start()), ..*candidate(grant(3)) }));
        assert_eq!(record.doubted_since(Slot::Candidate), Some(start()));
    }

    #[test]
    fn the_newest_spent_fingerprints_are_remembered_once_each() {
        let mut record = Record::default();
        for n in 0..=u8::try_from(RECENT_SPENT).unwrap() {
            record.remember_spent(Fingerprint::from_bytes([n; 8]));
            record.remember_spent(Fingerprint::from_bytes([n; 8]));
        }
        assert_eq!(record.spent.len(), RECENT_SPENT);
        assert_eq!(record.spent.front(), Some(&Fingerprint::from_bytes([1; 8])));
    }
}
