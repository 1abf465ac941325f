//! How a vendor may treat its grants: lives, graces, what a refresh wants.

use std::time::Duration;

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
    /// Whether a refresh keeps the life that was chosen for the access token at login, or falls back to `access_life`.
    pub refresh_keeps_chosen_life: bool,
}

/// How long a refresh token lives.
#[derive(Clone, Copy, Debug)]
pub enum RefreshLife {
    Unlimited,
    FromIssue(Duration),
    /// This long after the end of its access token.
    BeyondAccess(Duration),
}
