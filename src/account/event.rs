//! What happens to an account, as automations hear of it.

use std::fmt;

use serde::Serialize;

/// The kind of an event. The event types of the Home Assistant event entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A new grant is on disk.
    Refreshed,
    /// A refresh failed, and nothing is lost.
    RefreshFailed,
    /// The reply to a refresh was lost.
    InDoubt,
    /// A person must sign in again.
    ReauthRequired,
    /// Tokens that were handed in are in use.
    TokensUpdated,
    /// Tokens that were handed in are not.
    UpdateRefused,
    /// A refresh succeeded after trouble.
    Recovered,
    /// The application's keys or region are refused.
    ConfigFault,
    /// The vendor answered a refresh, and the answer could not be read. It is kept.
    UnreadableAnswer,
    /// The vendor was asked for a login code, and sends it.
    CodeRequested,
    /// Somebody signed in, or Latchkey did by itself.
    LoggedIn,
    /// The tokens were laid aside; they can be brought back for 30 days.
    Forgotten,
    /// What was forgotten is in use again.
    Recalled,
    /// Files of the store were damaged and were mended: nothing of this account is lost.
    StoreMended,
    /// Files of the store were damaged, and the newest record of this account may be gone: its tokens are tried once.
    StoreDamaged,
}

impl EventType {
    pub const ALL: [EventType; 15] = [
        Self::Refreshed,
        Self::RefreshFailed,
        Self::InDoubt,
        Self::ReauthRequired,
        Self::TokensUpdated,
        Self::UpdateRefused,
        Self::Recovered,
        Self::ConfigFault,
        Self::UnreadableAnswer,
        Self::CodeRequested,
        Self::LoggedIn,
        Self::Forgotten,
        Self::Recalled,
        Self::StoreMended,
        Self::StoreDamaged,
    ];
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
