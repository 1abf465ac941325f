//! Every token that was ever issued, and what it is still good for.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;

use super::{AccessRefusal, Pair, RefreshRefusal, RotationRules, Seat, later};

/// A refresh that was granted.
pub struct Granted {
    pub account: usize,
    pub pair: Pair,
    /// Whether this is the answer to a refresh token that was spent a moment ago.
    pub is_repeated: bool,
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
    /// Signs the owner of `account` in, with the life that was chosen for the access token, if one was.
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
        let pair = Pair::new(0, access_life, now, rules);
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

        let access_life = access_life.filter(|_| rules.refresh_keeps_chosen_life);
        let mut pair = Pair::new(generation, access_life, now, rules);
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

    /// The pairs of an account that a refresh would take at this moment, whoever holds them.
    pub fn honoured(&self, account: usize, now: Timestamp, rules: &RotationRules) -> Vec<&Pair> {
        let logins = self.logins.iter().enumerate().filter(|(_, it)| it.account == account && !it.is_revoked);
        let is_taken = |index: usize, pair: &Pair| {
            let is_in_time = rules.refreshes_after_access_expiry || !self.is_access_ended(index, now);
            is_in_time && pair.refresh_expires_at.is_none_or(|end| now < end)
        };
        logins.map(|(index, it)| (index, &it.pair)).filter(|it| is_taken(it.0, it.1)).map(|it| it.1).collect()
    }

    /// Every account whose owner ever signed in.
    pub fn accounts(&self) -> impl Iterator<Item = usize> {
        self.newest.keys().filter(|it| it.1 == Seat::Owner).map(|it| it.0)
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
