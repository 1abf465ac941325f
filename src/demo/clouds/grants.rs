//! The rotation of refresh tokens, which both vendors share: single use, expiry, revocation, grace.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;

/// How a cloud treats its grants.
#[derive(Clone, Copy, Debug)]
pub struct RotationRules {
    pub access_life: Duration,
    pub refresh_life: RefreshLife,
    /// How long after its use a refresh token is answered again, with the same successor.
    pub refresh_grace: Duration,
    /// How long a superseded access token still works.
    pub access_grace: Duration,
    /// Whether a spent refresh token, presented again, ends the whole login.
    pub replay_revokes_family: bool,
    /// Whether a refresh must bear the access token that was issued with the refresh token.
    pub wants_matching_access_token: bool,
    /// Whether a refresh is granted when the access token has already ended.
    pub refreshes_after_access_expiry: bool,
    /// Whether a new login ends the one before.
    pub login_ends_the_one_before: bool,
}

/// How long a refresh token lives.
#[derive(Clone, Copy, Debug)]
pub enum RefreshLife {
    Unlimited,
    FromIssue(Duration),
    /// This long after the end of its access token.
    BeyondAccess(Duration),
}

/// Whose login of an account it is. The two live side by side (protocol/akuvox.md §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seat {
    /// Who was signed in from the start, with the app on a phone.
    Owner,
    /// A family member with a password of their own, who signs in later or never.
    Family,
}

/// Both tokens of one generation.
#[derive(Clone)]
pub struct Pair {
    pub access_token: String,
    pub refresh_token: String,
    pub issued_at: Timestamp,
    pub access_expires_at: Timestamp,
    pub refresh_expires_at: Option<Timestamp>,
    /// 1 at login, one more at each rotation.
    pub generation: u64,
}

/// A refresh that was granted.
pub struct Granted {
    pub account: usize,
    pub pair: Pair,
    /// Whether this is the answer to a refresh token that was spent a moment ago.
    pub is_repeated: bool,
}

/// Why a refresh was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshRefusal {
    Unknown,
    /// It was used before: a replay.
    Spent,
    Expired,
    Revoked,
    /// The access token beside it is not the one it was issued with.
    WrongAccessToken,
    AccessTokenEnded,
}

/// Why an access token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRefusal {
    Unknown,
    Expired,
    /// Superseded by a refresh or a new login, or revoked.
    Ended,
}

/// Every token that was ever issued.
#[derive(Default)]
pub struct GrantBook {
    logins: Vec<Login>,
    /// The newest login of each seat.
    newest: BTreeMap<(usize, Seat), usize>,
    access_tokens: HashMap<String, AccessToken>,
    refresh_tokens: HashMap<String, RefreshToken>,
}

struct Login {
    account: usize,
    pair: Pair,
    is_revoked: bool,
    /// What the user chose at login, else the rules' own.
    access_life: Option<Duration>,
}

struct AccessToken {
    login: usize,
    expires_at: Timestamp,
    superseded_at: Option<Timestamp>,
    is_revoked: bool,
}

struct RefreshToken {
    login: usize,
    access_token: String,
    expires_at: Option<Timestamp>,
    spent: Option<Spent>,
}

#[derive(Clone, Copy)]
struct Spent {
    at: Timestamp,
    successor: u64,
}

impl GrantBook {
    /// Signs the owner of `account` in. Accounts count from 0, and a new one is the next number.
    pub fn log_in(
        &mut self,
        account: usize,
        access_life: Option<Duration>,
        now: Timestamp,
        rules: &RotationRules,
    ) -> Pair {
        self.log_in_to(Seat::Owner, account, access_life, now, rules)
    }

    /// Signs somebody in, which may end the login before on the same seat, and no other.
    pub fn log_in_to(
        &mut self,
        seat: Seat,
        account: usize,
        access_life: Option<Duration>,
        now: Timestamp,
        rules: &RotationRules,
    ) -> Pair {
        let login = self.logins.len();
        let pair = new_pair(0, access_life, now, rules);
        self.logins.push(Login { account, pair: pair.clone(), is_revoked: false, access_life });
        let before = self.newest.insert((account, seat), login);
        if let Some(before) = before.filter(|_| rules.login_ends_the_one_before) {
            self.logins[before].is_revoked = true;
        }
        self.enter(login, &pair);
        pair
    }

    /// Spends a refresh token. With `keeps_refresh_token` only the access token is renewed.
    ///
    /// # Errors
    /// Nothing was changed, unless the rules let a replay revoke the login.
    pub fn refresh(
        &mut self,
        refresh_token: &str,
        access_token: Option<&str>,
        keeps_refresh_token: bool,
        now: Timestamp,
        rules: &RotationRules,
    ) -> Result<Granted, RefreshRefusal> {
        let presented = self.refresh_tokens.get(refresh_token).ok_or(RefreshRefusal::Unknown)?;
        let index = presented.login;
        let login = &mut self.logins[index];
        if let Some(spent) = presented.spent {
            let is_in_grace = now < later(spent.at, rules.refresh_grace);
            let is_answerable = !login.is_revoked && login.pair.generation == spent.successor;
            let is_from_the_holder = !rules.wants_matching_access_token
                || access_token == Some(&presented.access_token)
                || access_token == Some(&login.pair.access_token);
            if is_in_grace && is_answerable && is_from_the_holder {
                return Ok(Granted { account: login.account, pair: login.pair.clone(), is_repeated: true });
            }
            login.is_revoked |= rules.replay_revokes_family;
            return Err(RefreshRefusal::Spent);
        }
        if login.is_revoked {
            return Err(RefreshRefusal::Revoked);
        }
        if presented.expires_at.is_some_and(|it| it <= now) {
            return Err(RefreshRefusal::Expired);
        }
        if rules.wants_matching_access_token && access_token != Some(&login.pair.access_token) {
            return Err(RefreshRefusal::WrongAccessToken);
        }
        let (account, generation, access_life) = (login.account, login.pair.generation, login.access_life);
        if !rules.refreshes_after_access_expiry && self.is_access_ended(index, now) {
            return Err(RefreshRefusal::AccessTokenEnded);
        }

        let mut pair = new_pair(generation, access_life, now, rules);
        if keeps_refresh_token {
            pair.refresh_token = refresh_token.to_owned();
        } else if let Some(spent) = self.refresh_tokens.get_mut(refresh_token) {
            spent.spent = Some(Spent { at: now, successor: pair.generation });
        }
        let before = std::mem::replace(&mut self.logins[index].pair, pair.clone());
        if let Some(superseded) = self.access_tokens.get_mut(&before.access_token) {
            superseded.superseded_at = Some(now);
        }
        self.enter(index, &pair);
        Ok(Granted { account, pair, is_repeated: false })
    }

    /// The account that an access token opens.
    ///
    /// # Errors
    /// The token opens nothing, for this reason.
    pub fn check_access(&self, token: &str, now: Timestamp, rules: &RotationRules) -> Result<usize, AccessRefusal> {
        let access = self.access_tokens.get(token).ok_or(AccessRefusal::Unknown)?;
        let login = &self.logins[access.login];
        if login.is_revoked || access.is_revoked {
            return Err(AccessRefusal::Ended);
        }
        if access.superseded_at.is_some_and(|it| later(it, rules.access_grace) <= now) {
            return Err(AccessRefusal::Ended);
        }
        if access.expires_at <= now {
            return Err(AccessRefusal::Expired);
        }
        Ok(login.account)
    }

    /// The account that a refresh token was issued to, alive or not.
    pub fn holder(&self, refresh_token: &str) -> Option<usize> {
        self.refresh_tokens.get(refresh_token).map(|it| self.logins[it.login].account)
    }

    /// The newest pair of the login that an access token, alive or not, belongs to.
    pub fn session(&self, access_token: &str) -> Option<&Pair> {
        self.access_tokens.get(access_token).map(|it| &self.logins[it.login].pair)
    }

    /// Ends the access tokens of an account's newest logins, and nothing else.
    pub fn revoke_access(&mut self, account: usize) {
        for seat in [Seat::Owner, Seat::Family] {
            let login = self.newest.get(&(account, seat)).map(|it| &self.logins[*it]);
            let access = login.and_then(|it| self.access_tokens.get_mut(&it.pair.access_token));
            if let Some(access) = access {
                access.is_revoked = true;
            }
        }
    }

    /// Ends both tokens of an account's newest logins.
    pub fn revoke_grant(&mut self, account: usize) {
        for seat in [Seat::Owner, Seat::Family] {
            self.end(account, seat);
        }
    }

    /// Ends the newest login of one seat, if there is one.
    pub fn end(&mut self, account: usize, seat: Seat) {
        if let Some(login) = self.newest.get(&(account, seat)) {
            self.logins[*login].is_revoked = true;
        }
    }

    /// The newest pair of an account's owner, and whether it was revoked.
    ///
    /// # Panics
    /// There is no such account.
    pub fn newest(&self, account: usize) -> (&Pair, bool) {
        self.newest_of(account, Seat::Owner).expect("owners are signed in from the start")
    }

    /// The newest pair of one seat, and whether it was revoked; none if nobody ever signed in there.
    pub fn newest_of(&self, account: usize, seat: Seat) -> Option<(&Pair, bool)> {
        let login = &self.logins[*self.newest.get(&(account, seat))?];
        Some((&login.pair, login.is_revoked))
    }

    pub fn n_accounts(&self) -> usize {
        self.newest.keys().filter(|it| it.1 == Seat::Owner).count()
    }

    fn is_access_ended(&self, login: usize, now: Timestamp) -> bool {
        let access = self.access_tokens.get(&self.logins[login].pair.access_token);
        access.is_none_or(|it| it.is_revoked || it.expires_at <= now)
    }

    fn enter(&mut self, login: usize, pair: &Pair) {
        let Pair { access_token, refresh_token, access_expires_at: expires_at, .. } = pair.clone();
        let access = AccessToken { login, expires_at, superseded_at: None, is_revoked: false };
        self.access_tokens.insert(access_token.clone(), access);
        let refresh = RefreshToken { login, access_token, expires_at: pair.refresh_expires_at, spent: None };
        self.refresh_tokens.insert(refresh_token, refresh);
    }
}

fn new_pair(generation_before: u64, access_life: Option<Duration>, now: Timestamp, rules: &RotationRules) -> Pair {
    let access_expires_at = later(now, access_life.unwrap_or(rules.access_life));
    let refresh_expires_at = match rules.refresh_life {
        RefreshLife::Unlimited => None,
        RefreshLife::FromIssue(life) => Some(later(now, life)),
        RefreshLife::BeyondAccess(life) => Some(later(access_expires_at, life)),
    };
    Pair {
        access_token: new_token(),
        refresh_token: new_token(),
        issued_at: now,
        access_expires_at,
        refresh_expires_at,
        generation: generation_before + 1,
    }
}

/// 32 lower-case hex digits, as Aqara's are; what Akuvox's look like is not known.
fn new_token() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// A time that comes `by` after another, or the last that there is.
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn strict() -> RotationRules {
        RotationRules {
            access_life: 7 * DAY,
            refresh_life: RefreshLife::BeyondAccess(30 * DAY),
            refresh_grace: Duration::ZERO,
            access_grace: Duration::ZERO,
            replay_revokes_family: false,
            wants_matching_access_token: false,
            refreshes_after_access_expiry: true,
            login_ends_the_one_before: true,
        }
    }

    fn start() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_refresh_token_works_once_and_its_access_token_dies_with_it() {
        let (mut book, rules) = (GrantBook::default(), strict());
        let first = book.log_in(0, None, start(), &rules);
        let second = book.refresh(&first.refresh_token, None, false, start(), &rules).ok().unwrap().pair;
        assert_eq!(second.generation, 2);
        assert_eq!(book.check_access(&first.access_token, start(), &rules), Err(AccessRefusal::Ended));
        assert_eq!(book.check_access(&second.access_token, start(), &rules), Ok(0));
        let replay = book.refresh(&first.refresh_token, None, false, start(), &rules);
        assert_eq!(replay.err(), Some(RefreshRefusal::Spent));
        assert_eq!(book.check_access(&second.access_token, start(), &rules), Ok(0));
    }

    #[test]
    fn tokens_end_at_the_second() {
        let (mut book, rules) = (GrantBook::default(), strict());
        let pair = book.log_in(0, None, start(), &rules);
        let (access_end, refresh_end) = (start() + 7 * DAY, start() + 37 * DAY);
        let instant = Duration::from_nanos(1);
        assert_eq!(book.check_access(&pair.access_token, access_end - instant, &rules), Ok(0));
        assert_eq!(book.check_access(&pair.access_token, access_end, &rules), Err(AccessRefusal::Expired));
        let late = book.refresh(&pair.refresh_token, None, false, refresh_end, &rules);
        assert_eq!(late.err(), Some(RefreshRefusal::Expired));
        assert!(book.refresh(&pair.refresh_token, None, false, refresh_end - instant, &rules).is_ok());
    }

    #[test]
    fn within_the_grace_a_spent_token_is_answered_with_the_same_successor() {
        let rules = RotationRules { refresh_grace: Duration::from_secs(60), ..strict() };
        let mut book = GrantBook::default();
        let first = book.log_in(0, None, start(), &rules);
        let second = book.refresh(&first.refresh_token, None, false, start(), &rules).ok().unwrap().pair;
        let soon = start() + Duration::from_secs(59);
        let again = book.refresh(&first.refresh_token, None, false, soon, &rules).ok().unwrap();
        assert!(again.is_repeated);
        assert_eq!(again.pair.refresh_token, second.refresh_token);
        let too_late = book.refresh(&first.refresh_token, None, false, start() + Duration::from_secs(60), &rules);
        assert_eq!(too_late.err(), Some(RefreshRefusal::Spent));
        // Once the successor was spent too, there is nothing left to repeat.
        book.refresh(&second.refresh_token, None, false, soon, &rules).ok().unwrap();
        assert!(book.refresh(&first.refresh_token, None, false, soon, &rules).is_err());
    }

    #[test]
    fn a_replay_ends_the_login_where_the_rules_say_so() {
        let rules = RotationRules { replay_revokes_family: true, ..strict() };
        let mut book = GrantBook::default();
        let first = book.log_in(0, None, start(), &rules);
        let second = book.refresh(&first.refresh_token, None, false, start(), &rules).ok().unwrap().pair;
        let replay = book.refresh(&first.refresh_token, None, false, start(), &rules);
        assert_eq!(replay.err(), Some(RefreshRefusal::Spent));
        assert_eq!(book.check_access(&second.access_token, start(), &rules), Err(AccessRefusal::Ended));
        let orphan = book.refresh(&second.refresh_token, None, false, start(), &rules);
        assert_eq!(orphan.err(), Some(RefreshRefusal::Revoked));
    }

    #[test]
    fn a_new_login_ends_the_one_before_unless_told_otherwise() {
        for ends in [true, false] {
            let rules = RotationRules { login_ends_the_one_before: ends, ..strict() };
            let mut book = GrantBook::default();
            let first = book.log_in(0, None, start(), &rules);
            let second = book.log_in(0, None, start(), &rules);
            assert_eq!(book.check_access(&first.access_token, start(), &rules).is_err(), ends);
            assert!(book.check_access(&second.access_token, start(), &rules).is_ok());
            assert_eq!(book.refresh(&first.refresh_token, None, false, start(), &rules).is_err(), ends);
        }
    }

    #[test]
    fn a_refresh_may_want_the_access_token_it_was_issued_with() {
        let rules = RotationRules { wants_matching_access_token: true, ..strict() };
        let mut book = GrantBook::default();
        let pair = book.log_in(0, None, start(), &rules);
        for wrong in [None, Some("another")] {
            let refused = book.refresh(&pair.refresh_token, wrong, false, start(), &rules);
            assert_eq!(refused.err(), Some(RefreshRefusal::WrongAccessToken));
        }
        assert!(book.refresh(&pair.refresh_token, Some(&pair.access_token), false, start(), &rules).is_ok());
    }
}
