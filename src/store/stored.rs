//! The parts of a stored record that are more than plain fields: secrets, grants, answers, times.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::account::{
    Extras, Grant, HandledLogin, KeptLogin, Logins, RefreshEnd, Secret, Slot, UnreadAnswer, UnreadLogin,
};

/// A secret on its way into or out of a sealed payload.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Stored(String);

impl Drop for Stored {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Stored {
    pub(super) fn of(secret: &Secret) -> Self {
        Self(secret.expose().to_owned())
    }

    pub(super) fn secret(&self) -> Secret {
        Secret::new(self.0.as_str())
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredGrant {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Stored>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<Stored>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_token: Option<Stored>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_id: Option<String>,
    issued_at: Time,
    refresh_updated_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_expires_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<Time>,
    generation: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    proven: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_end: Option<StoredEnd>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredUnread {
    received_at: Time,
    slot: StoredSlot,
    generation: u64,
    body: Stored,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredSlot {
    Candidate,
    Current,
    Previous,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredEnd {
    Spent,
    Refused,
}

/// Milliseconds since 1970 in UTC.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Time(i64);

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time.as_millisecond())
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Timestamp::from_millisecond(time.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoredLogins {
    #[serde(skip_serializing_if = "Option::is_none")]
    open_since: Option<Time>,
    /// When, the credential's fingerprint, the generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<(Time, String, u64)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    code_requests: Vec<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<StoredKeptLogin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<(Time, Stored)>,
}

#[derive(Serialize, Deserialize)]
struct StoredKeptLogin {
    password: Stored,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    is_refused: bool,
}

/// What reads as it is when it is left out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

// === impl StoredLogins ===

impl StoredLogins {
    pub(super) fn of(logins: &Logins) -> Self {
        Self {
            open_since: logins.open_since.map(Time::from),
            last: logins.last.map(|it| (it.at.into(), it.credential.to_string(), it.generation)),
            code_requests: logins.code_requests.iter().map(|it| Time::from(*it)).collect(),
            kept: logins.kept.as_ref().map(|it| StoredKeptLogin {
                password: Stored::of(&it.password),
                last_used_at: it.last_used_at.map(Time::from),
                is_refused: it.is_refused,
            }),
            unread: logins.unread.as_ref().map(|it| (it.received_at.into(), Stored::of(&it.body))),
        }
    }

    /// A last login that cannot be read costs nothing but the recognition of a repeated command.
    pub(super) fn into_logins(self) -> Logins {
        Logins {
            open_since: self.open_since.map(Timestamp::from),
            last: self.last.and_then(|(at, credential, generation)| {
                Some(HandledLogin { at: at.into(), credential: credential.parse().ok()?, generation })
            }),
            code_requests: self.code_requests.into_iter().map(Timestamp::from).collect(),
            kept: self.kept.map(|it| {
                Box::new(KeptLogin {
                    password: it.password.secret(),
                    last_used_at: it.last_used_at.map(Timestamp::from),
                    is_refused: it.is_refused,
                })
            }),
            unread: self.unread.map(|(at, body)| Box::new(UnreadLogin { received_at: at.into(), body: body.secret() })),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { open_since, last, code_requests, kept, unread } = self;
        open_since.is_none() && last.is_none() && code_requests.is_empty() && kept.is_none() && unread.is_none()
    }
}

// === impl StoredUnread ===

impl StoredUnread {
    pub(super) fn of(unread: &UnreadAnswer) -> Self {
        Self {
            received_at: unread.received_at.into(),
            slot: unread.slot.into(),
            generation: unread.generation,
            body: Stored::of(&unread.body),
        }
    }

    pub(super) fn into_unread(self) -> UnreadAnswer {
        UnreadAnswer {
            received_at: self.received_at.into(),
            slot: self.slot.into(),
            generation: self.generation,
            body: self.body.secret(),
        }
    }
}

// === impl StoredGrant ===

impl StoredGrant {
    pub(super) fn of(grant: &Grant, persist_access: bool) -> Self {
        Self {
            access: grant.access.as_ref().filter(|_| persist_access).map(Stored::of),
            refresh: grant.refresh.as_ref().map(Stored::of),
            auth_token: grant.extras.auth_token.as_ref().map(Stored::of),
            open_id: grant.extras.open_id.clone(),
            issued_at: grant.issued_at.into(),
            refresh_updated_at: grant.refresh_updated_at.into(),
            access_expires_at: grant.access_expires_at.map(Time::from),
            refresh_expires_at: grant.refresh_expires_at.map(Time::from),
            generation: grant.generation,
            proven: grant.proven,
            refresh_end: grant.refresh_end.map(|it| match it {
                RefreshEnd::Spent => StoredEnd::Spent,
                RefreshEnd::Refused => StoredEnd::Refused,
            }),
        }
    }

    pub(super) fn into_grant(self) -> Grant {
        Grant {
            access: self.access.as_ref().map(Stored::secret),
            refresh: self.refresh.as_ref().map(Stored::secret),
            extras: Extras { auth_token: self.auth_token.as_ref().map(Stored::secret), open_id: self.open_id },
            issued_at: self.issued_at.into(),
            refresh_updated_at: self.refresh_updated_at.into(),
            access_expires_at: self.access_expires_at.map(Timestamp::from),
            refresh_expires_at: self.refresh_expires_at.map(Timestamp::from),
            generation: self.generation,
            proven: self.proven,
            refresh_end: self.refresh_end.map(|it| match it {
                StoredEnd::Spent => RefreshEnd::Spent,
                StoredEnd::Refused => RefreshEnd::Refused,
            }),
        }
    }
}

// === impl StoredSlot ===

impl From<Slot> for StoredSlot {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::Candidate => Self::Candidate,
            Slot::Current => Self::Current,
            Slot::Previous => Self::Previous,
        }
    }
}

impl From<StoredSlot> for Slot {
    fn from(slot: StoredSlot) -> Self {
        match slot {
            StoredSlot::Candidate => Self::Candidate,
            StoredSlot::Current => Self::Current,
            StoredSlot::Previous => Self::Previous,
        }
    }
}
