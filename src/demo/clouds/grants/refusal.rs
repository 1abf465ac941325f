//! Why a token is not taken.

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
