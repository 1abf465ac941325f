//! What a vendor gave: a pair of tokens, when they were issued and when they end.

use jiff::Timestamp;

use super::Secret;

/// One login's tokens as they are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Held in memory only for vendors whose access tokens are not to be stored.
    pub access: Option<Secret>,
    pub refresh: Option<Secret>,
    pub extras: Extras,
    /// When the vendor issued it, as far as we know; due times count from here.
    pub issued_at: Timestamp,
    /// When the refresh token was last replaced.
    pub refresh_updated_at: Timestamp,
    /// None: the vendor did not say, or said something absurd.
    pub access_expires_at: Option<Timestamp>,
    pub refresh_expires_at: Option<Timestamp>,
    /// Counts the grants of an account: one more for each that was committed.
    pub generation: u64,
    /// Whether the vendor has accepted one of its tokens since we hold it.
    pub proven: bool,
    /// Why its refresh token is not to be sent any more, if so.
    pub refresh_end: Option<RefreshEnd>,
}

/// How a refresh token came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshEnd {
    /// Its successor was received. Sending it again would be a double spend.
    Spent,
    /// The vendor definitively refused it.
    Refused,
}

/// What vendors hand out beside the two tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Akuvox, from an SMS login only (protocol/akuvox.md §4).
    pub auth_token: Option<Secret>,
    /// Aqara's id of the user (protocol/aqara.md §5.2).
    pub open_id: Option<String>,
}

/// What was read from a vendor's answer to a refresh or a login. Lifetimes count from the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreshTokens {
    pub access: Option<Secret>,
    /// None: the vendor did not rotate, and the old one stays.
    pub refresh: Option<Secret>,
    /// None: expiry unknown.
    pub access_lifetime: Option<std::time::Duration>,
    /// How long the refresh token outlives the access token, where the vendor's rules say so.
    pub refresh_outlives_access: Option<std::time::Duration>,
    pub extras: Extras,
}

impl Grant {
    /// The grant that follows this one when `fresh` arrived at `now`. Tokens that `fresh` leaves out are kept.
    ///
    /// Times are not: an old access token's end beside a new refresh token would make the new grant due at once, and the
    /// next one after it. Without a lifetime the expiry is unknown.
    pub fn succeeded_by(&self, fresh: FreshTokens, now: Timestamp, generation: u64) -> Grant {
        let has_new_refresh = fresh.refresh.is_some();
        let access_expires_at = fresh.access_lifetime.and_then(|it| now.checked_add(it).ok());
        let refresh_expires_at = if has_new_refresh {
            access_expires_at.zip(fresh.refresh_outlives_access).and_then(|(end, by)| end.checked_add(by).ok())
        } else {
            self.refresh_expires_at
        };
        Grant {
            access: fresh.access.or_else(|| self.access.clone()),
            refresh: fresh.refresh.or_else(|| self.refresh.clone()),
            extras: Extras {
                auth_token: fresh.extras.auth_token.or_else(|| self.extras.auth_token.clone()),
                open_id: fresh.extras.open_id.or_else(|| self.extras.open_id.clone()),
            },
            issued_at: now,
            refresh_updated_at: if has_new_refresh { now } else { self.refresh_updated_at },
            access_expires_at,
            refresh_expires_at,
            generation,
            proven: false,
            refresh_end: None,
        }
    }

    /// What fresh tokens follow where the grant that they renew is not held any more.
    pub(super) fn blank(now: Timestamp) -> Grant {
        Grant {
            access: None,
            refresh: None,
            extras: Extras::default(),
            issued_at: now,
            refresh_updated_at: now,
            access_expires_at: None,
            refresh_expires_at: None,
            generation: 0,
            proven: false,
            refresh_end: None,
        }
    }

    /// The access token, if it is not known to have ended.
    pub fn live_access(&self, now: Timestamp) -> Option<&Secret> {
        self.access.as_ref().filter(|_| self.access_expires_at.is_none_or(|end| now < end))
    }

    /// Whether its refresh token may still be spent, as far as the vendor has told.
    pub fn is_spendable(&self) -> bool {
        self.refresh.is_some() && self.refresh_end.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{DAY, HOUR, grant, start},
        *,
    };

    fn fresh(access: Option<&str>, refresh: Option<&str>) -> FreshTokens {
        FreshTokens {
            access: access.map(Secret::new),
            refresh: refresh.map(Secret::new),
            access_lifetime: Some(DAY),
            ..FreshTokens::default()
        }
    }

    #[test]
    fn a_successor_has_both_new_tokens_and_their_times() {
        let now = start() + 6 * DAY;
        let fresh = FreshTokens { refresh_outlives_access: Some(30 * DAY), ..fresh(Some("A2"), Some("R2")) };
        let next = grant(1).succeeded_by(fresh, now, 2);
        assert_eq!((next.access, next.refresh), (Some(Secret::new("A2")), Some(Secret::new("R2"))));
        assert_eq!((next.issued_at, next.refresh_updated_at, next.generation), (now, now, 2));
        assert_eq!(next.access_expires_at, Some(now + DAY));
        assert_eq!(next.refresh_expires_at, Some(now + 31 * DAY));
    }

    #[test]
    fn what_an_answer_leaves_out_is_kept() {
        let now = start() + 6 * DAY;
        let extras = Extras { auth_token: Some(Secret::new("T")), open_id: Some("o".into()) };
        let old = Grant { extras: extras.clone(), refresh_expires_at: Some(start() + 37 * DAY), ..grant(1) };
        let next = old.succeeded_by(fresh(Some("A2"), None), now, 2);
        assert_eq!((next.refresh, next.refresh_updated_at), (old.refresh.clone(), old.refresh_updated_at));
        assert_eq!((next.refresh_expires_at, next.extras), (old.refresh_expires_at, extras));
        assert_eq!(old.succeeded_by(fresh(None, Some("R2")), now, 2).access, old.access);
    }

    #[test]
    fn an_answer_without_a_lifetime_leaves_the_expiry_unknown_and_not_the_old_one() {
        let no_lifetime = FreshTokens { access_lifetime: None, ..fresh(None, Some("R2")) };
        let next = grant(1).succeeded_by(no_lifetime, start() + 7 * DAY, 2);
        assert_eq!(next.access_expires_at, None);
        assert_eq!(next.issued_at, start() + 7 * DAY);
    }

    #[test]
    fn an_access_token_lives_until_its_end_and_without_one_as_far_as_we_know() {
        let held = Grant { access_expires_at: Some(start() + HOUR), ..grant(1) };
        assert!(held.live_access(start()).is_some());
        assert!(held.live_access(start() + HOUR).is_none());
        assert!(Grant { access_expires_at: None, ..grant(1) }.live_access(start() + 900 * DAY).is_some());
    }
}
