//! Signing in: what a person hands over, once, for a new grant; and how often.

use std::{collections::VecDeque, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Code, Doubt, Fingerprint, FreshTokens, Grant, Policy, Record, Secret};

/// Codes may be asked for this often.
const BETWEEN_CODES: SignedDuration = SignedDuration::from_mins(1);
const CODES_A_DAY: usize = 5;
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The same code within this time is the same command delivered again: codes do not live longer.
const SAME_CODE: SignedDuration = SignedDuration::from_mins(15);
/// Latchkey signs in by itself at most this often.
const BETWEEN_LOGINS: Duration = Duration::from_secs(24 * 3600);

/// What a login is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The code that the vendor sent to the configured phone or address; it works once.
    Code(Secret),
    /// The password of the configured user. `keep`: it is kept, sealed, so that Latchkey may sign in again by itself.
    Password { password: Secret, keep: bool },
}

/// What is known of an account's logins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logins {
    /// A login that was started and has no outcome on disk.
    pub open_since: Option<Timestamp>,
    pub last: Option<HandledLogin>,
    /// When codes were asked for, oldest first, at most those of a day.
    pub code_requests: VecDeque<Timestamp>,
    pub kept: Option<Box<KeptLogin>>,
    /// A login's answer that could not be read. A later version may.
    pub unread: Option<Box<UnreadLogin>>,
}

/// The login that succeeded last, so that the same command delivered again gets the same reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandledLogin {
    pub at: Timestamp,
    /// Of the code or password.
    pub credential: Fingerprint,
    pub generation: u64,
}

/// What Latchkey may sign in with by itself, where the user chose that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLogin {
    /// What the vendor makes of the password.
    pub password: Secret,
    pub last_used_at: Option<Timestamp>,
    /// The vendor did not accept it; it is not tried again.
    pub is_refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadLogin {
    pub received_at: Timestamp,
    pub body: Secret,
}

/// When Latchkey is to sign in by itself; none where it may not, or need not.
pub fn next_login(record: &Record) -> Option<Timestamp> {
    let kept = record.logins.kept.as_ref().filter(|it| !it.is_refused)?;
    let current = record.current.as_ref()?;
    let needed_from = match record.dead {
        Some(dead) => dead.since,
        None if record.next_to_spend().is_none() => current.access_expires_at?,
        None => return None,
    };
    let allowed_from = kept.last_used_at.and_then(|it| it.checked_add(BETWEEN_LOGINS).ok());
    Some(allowed_from.map_or(needed_from, |it| it.max(needed_from)))
}

impl Record {
    /// Counts a request for a code, to be durable before it is sent. Fails with how long to wait: one a minute, five a day.
    pub fn request_code(&mut self, now: Timestamp) -> Result<(), SignedDuration> {
        let requests = &mut self.logins.code_requests;
        // One that lies ahead was noted by a clock that was wrong.
        requests.retain(|it| *it <= now && now.duration_since(*it) < DAY);
        let wait_for = |since: Option<&Timestamp>, span: SignedDuration| {
            since.map(|it| span - now.duration_since(*it)).filter(|it| it.is_positive())
        };
        let by_day = wait_for(requests.front().filter(|_| CODES_A_DAY <= requests.len()), DAY);
        if let Some(wait) = by_day.or(wait_for(requests.back(), BETWEEN_CODES)) {
            return Err(wait);
        }
        requests.push_back(now);
        Ok(())
    }

    /// The request of this time was certainly not sent. What is stored has milliseconds.
    pub fn uncount_code_request(&mut self, at: Timestamp) {
        self.logins.code_requests.retain(|it| it.as_millisecond() != at.as_millisecond());
    }

    /// The generation that this very credential gave, if the command is delivered again.
    pub fn repeated_login(&self, credential: Fingerprint, now: Timestamp) -> Option<u64> {
        let last = self.logins.last.filter(|it| it.credential == credential)?;
        (now.duration_since(last.at).abs() < SAME_CODE).then_some(last.generation)
    }

    /// Marks a login as started. To be durable before the request leaves. `by_itself`: with what is kept.
    pub fn begin_login(&mut self, by_itself: bool, now: Timestamp) {
        self.logins.open_since = Some(now);
        if let Some(kept) = self.logins.kept.as_mut().filter(|_| by_itself) {
            kept.last_used_at = Some(now);
        }
    }

    /// A login gave fresh tokens at `now`. What was held before is not thrown away, though the vendor may have ended it.
    pub fn sign_in(&mut self, fresh: FreshTokens, policy: &Policy, now: Timestamp) {
        self.logins.open_since = None;
        self.generation += 1;
        let generation = self.generation;
        let is_whole = fresh.refresh.is_some();
        let held = self.current.take();
        let base = match &held {
            // Without a refresh token of its own the new access token stands beside the one there is.
            Some(held) if !is_whole => {
                self.keep_pair(held, policy);
                self.renumber(held.generation, generation);
                held.clone()
            }
            _ => Grant::blank(now),
        };
        let refresh_end = if is_whole { None } else { base.refresh_end };
        let grant = Grant { refresh_end, proven: true, ..base.succeeded_by(fresh, now, generation) };
        self.keep_as_previous(held.filter(|_| is_whole));
        self.current = Some(grant);
        self.wake();
        self.logins.unread = None;
        self.last_login_at = Some(now);
    }

    /// A login failed. `may_have_happened`: no usable answer came, so the tokens that are held may be dead by it.
    pub fn fail_login(&mut self, may_have_happened: bool, unread: Option<UnreadLogin>, now: Timestamp) {
        self.logins.open_since = None;
        if unread.is_some() {
            self.logins.unread = unread.map(Box::new);
        }
        if !may_have_happened {
            return;
        }
        if let Some(current) = self.current.as_ref().filter(|it| it.is_spendable()) {
            self.doubt.get_or_insert(Doubt { since: now, generation: current.generation });
        }
    }

    /// A login that was open when Latchkey stopped: its request may have been sent.
    pub fn find_open_login(&mut self, now: Timestamp) -> bool {
        let was_open = self.logins.open_since.is_some();
        if was_open {
            self.fail_login(true, None, now);
        }
        was_open
    }

    /// What was shown to the vendor by a check-in was accepted, and `fresh` came back; most often nothing new.
    /// Gives whether there is a new grant.
    pub fn check_in(&mut self, fresh: FreshTokens, policy: &Policy, now: Timestamp) -> bool {
        let Some(current) = &mut self.current else { return false };
        current.proven = true;
        let is_new = |new: &Option<Secret>, old: &Option<Secret>| new.is_some() && new != old;
        if !is_new(&fresh.refresh, &current.refresh) && !is_new(&fresh.access, &current.access) {
            return false;
        }
        let lifetime = fresh.access_lifetime;
        let (end, issued_at) = (current.access_expires_at, current.issued_at);
        self.sign_in(fresh, policy, now);
        if let Some(current) = self.current.as_mut().filter(|_| lifetime.is_none()) {
            // The vendor did not say how old the session is.
            (current.access_expires_at, current.issued_at) = (end, issued_at);
        }
        true
    }

    /// The vendor does not accept an access token that was brought alone: the pair before it is back, if there was one.
    /// Where there is no refresh token either, a person has to sign in.
    pub fn withdraw_access(&mut self, generation: u64, now: Timestamp) {
        let Some(refused) = self.current.as_ref().filter(|it| it.generation == generation) else { return };
        let is_pair_before = |it: &Grant| it.refresh.is_some() && it.refresh == refused.refresh && it.is_spendable();
        match self.set_aside.iter().rposition(is_pair_before).and_then(|it| self.set_aside.remove(it)) {
            Some(before) => {
                self.generation += 1;
                self.renumber(generation, self.generation);
                self.current = Some(Grant { generation: self.generation, ..before });
            }
            None => {
                self.bring_back();
                if !self.has_spendable() {
                    self.dead.get_or_insert(super::Dead { since: now, why: Code::AccessRejected });
                }
            }
        }
    }

    /// The vendor does not accept what is kept.
    pub fn refuse_kept_login(&mut self) {
        if let Some(kept) = &mut self.logins.kept {
            kept.is_refused = true;
        }
    }

    /// The login with what is kept was certainly not sent.
    pub fn uncount_kept_login(&mut self) {
        if let Some(kept) = &mut self.logins.kept {
            kept.last_used_at = None;
        }
    }

    /// Keeps what Latchkey may sign in with by itself, or stops keeping it.
    pub fn keep_login(&mut self, password: Option<Secret>, now: Timestamp) {
        let kept = |password| KeptLogin { password, last_used_at: Some(now), is_refused: false };
        self.logins.kept = password.map(kept).map(Box::new);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            RefreshEnd, Slot,
            fixture::{DAY, HOUR, MINUTE, akuvox, grant, holding, start},
        },
        *,
    };

    fn fresh(refresh: Option<&str>) -> FreshTokens {
        FreshTokens {
            access: Some(Secret::new("A9")),
            refresh: refresh.map(Secret::new),
            access_lifetime: Some(7 * DAY),
            ..FreshTokens::default()
        }
    }

    fn with_kept_login(record: Record) -> Record {
        let kept = KeptLogin { password: Secret::new("kept"), last_used_at: None, is_refused: false };
        Record { logins: Logins { kept: Some(Box::new(kept)), ..Logins::default() }, ..record }
    }

    #[test]
    fn codes_are_asked_for_once_a_minute_and_five_times_a_day() {
        let mut record = Record::default();
        for n in 0..5 {
            let now = start() + n * MINUTE;
            assert_eq!(record.request_code(now), Ok(()));
            assert!(record.request_code(now + MINUTE / 2).is_err());
        }
        let wait = record.request_code(start() + HOUR).unwrap_err();
        assert_eq!(wait, SignedDuration::from_hours(23));
        assert_eq!(record.request_code(start() + DAY), Ok(()));
    }

    #[test]
    fn a_request_that_was_not_sent_does_not_count_and_a_clock_that_was_wrong_blocks_nothing() {
        let mut record = Record::default();
        record.request_code(start() + 400 * DAY).unwrap();
        assert_eq!(record.request_code(start()), Ok(()));
        record.uncount_code_request(start());
        assert_eq!(record.request_code(start()), Ok(()));
    }

    #[test]
    fn a_login_gives_a_new_grant_and_throws_the_old_one_away_no_more_than_a_refresh_does() {
        let mut record = holding(grant(1));
        record.dead = Some(super::super::Dead { since: start(), why: Code::RefreshRefused });
        record.begin_login(false, start() + HOUR);
        record.sign_in(fresh(Some("R9")), &akuvox(), start() + HOUR);
        let current = record.current.as_ref().unwrap();
        assert_eq!((current.refresh.as_ref(), current.generation), (Some(&Secret::new("R9")), 2));
        assert_eq!(current.access_expires_at, Some(start() + HOUR + 7 * DAY));
        assert_eq!(record.previous.as_deref(), Some(&grant(1)));
        assert_eq!((record.dead, record.logins.open_since), (None, None));
        assert_eq!(record.next_to_spend(), Some(Slot::Current));
    }

    #[test]
    fn a_login_without_a_refresh_token_leaves_the_one_there_is_beside_the_new_access_token() {
        let mut record = holding(grant(1));
        record.sign_in(fresh(None), &akuvox(), start() + HOUR);
        let current = record.current.as_ref().unwrap();
        assert_eq!(
            (current.access.as_ref(), current.refresh.as_ref()),
            (Some(&Secret::new("A9")), Some(&Secret::new("R1")))
        );
        // The pair as it was is at hand, should the new one be refused.
        assert!(record.set_aside.iter().any(|it| it.access == grant(1).access));
    }

    #[test]
    fn a_login_whose_reply_was_lost_makes_what_is_held_doubtful_and_one_that_was_refused_does_not() {
        let mut record = holding(grant(1));
        record.begin_login(false, start());
        record.fail_login(false, None, start());
        assert_eq!(record.doubt, None);
        record.begin_login(false, start());
        assert!(record.find_open_login(start() + HOUR));
        assert_eq!(record.doubted_since(Slot::Current), Some(start() + HOUR));
        assert!(!record.find_open_login(start() + HOUR));
    }

    #[test]
    fn the_same_code_soon_after_is_the_same_command() {
        let mut record = holding(grant(1));
        let credential = Fingerprint::from_bytes([3; 8]);
        record.logins.last = Some(HandledLogin { at: start(), credential, generation: 1 });
        assert_eq!(record.repeated_login(credential, start() + MINUTE), Some(1));
        assert_eq!(record.repeated_login(credential, start() + HOUR), None);
        assert_eq!(record.repeated_login(Fingerprint::from_bytes([4; 8]), start()), None);
    }

    #[test]
    fn latchkey_signs_in_by_itself_when_a_grant_is_dead_and_once_a_day_at_most() {
        let refused = Grant { refresh_end: Some(RefreshEnd::Refused), ..grant(1) };
        let mut record = with_kept_login(holding(refused));
        assert_eq!(next_login(&with_kept_login(holding(grant(1)))), None);
        record.dead = Some(super::super::Dead { since: start(), why: Code::RefreshRefused });
        assert_eq!(next_login(&record), Some(start()));
        record.begin_login(true, start() + HOUR);
        assert_eq!(next_login(&record), Some(start() + HOUR + DAY));
        record.refuse_kept_login();
        assert_eq!(next_login(&record), None);
    }

    #[test]
    fn a_login_without_any_refresh_token_is_done_again_when_its_access_token_ends() {
        let record = with_kept_login(holding(Grant { refresh: None, ..grant(1) }));
        assert_eq!(next_login(&record), grant(1).access_expires_at);
    }

    #[test]
    fn what_a_check_in_brings_is_taken_and_nothing_costs_nothing() {
        let mut record = holding(grant(1));
        assert!(!record.check_in(FreshTokens::default(), &akuvox(), start() + HOUR));
        assert_eq!(record.generation, 1);
        let both = FreshTokens { access_lifetime: None, ..fresh(Some("R9")) };
        assert!(record.check_in(both, &akuvox(), start() + HOUR));
        let current = record.current.as_ref().unwrap();
        assert_eq!((current.refresh.as_ref(), current.generation), (Some(&Secret::new("R9")), 2));
        assert_eq!(current.access_expires_at, grant(1).access_expires_at);
    }

    #[test]
    fn an_access_token_that_is_refused_makes_room_for_the_pair_before_it() {
        let mut record = holding(grant(1));
        record.sign_in(fresh(None), &akuvox(), start());
        record.withdraw_access(record.generation, start());
        let current = record.current.as_ref().unwrap();
        assert_eq!((current.access.as_ref(), current.generation), (grant(1).access.as_ref(), 3));
        assert_eq!(record.dead, None);
        let mut alone = holding(Grant { refresh: None, ..grant(1) });
        alone.withdraw_access(1, start());
        assert_eq!(alone.dead.map(|it| it.why), Some(Code::AccessRejected));
        assert!(alone.current.is_some());
    }
}
