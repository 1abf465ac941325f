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
    /// When the access token was issued, as far as we know.
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
    /// The grant that follows this one when `fresh` arrived at `now`. What `fresh` leaves out is kept.
    pub fn succeeded_by(&self, fresh: FreshTokens, now: Timestamp, generation: u64) -> Grant {
        let has_new_access = fresh.access.is_some();
        let has_new_refresh = fresh.refresh.is_some();
        let access_expires_at = match (has_new_access, fresh.access_lifetime) {
            (_, Some(lifetime)) => now.checked_add(lifetime).ok(),
            (true, None) => None,
            (false, None) => self.access_expires_at,
        };
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
            issued_at: if has_new_access { now } else { self.issued_at },
            refresh_updated_at: if has_new_refresh { now } else { self.refresh_updated_at },
            access_expires_at,
            refresh_expires_at,
            generation,
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
