//! The closed list of codes by which an error is known: in replies, in `last_error`, in metrics.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, as one word for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    // The request itself.
    NotUtf8,
    NotJson,
    WrongType,
    UnknownField,
    MissingField,
    ForbiddenCharacter,
    TooLarge,
    UnknownAccount,
    UnknownScene,
    UnknownDoor,
    DoorsOff,
    NotSupported,
    Retained,
    TooLate,
    // What is held.
    NoRefreshToken,
    TokenRequired,
    AlreadySpent,
    TokenInUse,
    TooSoon,
    NotForgotten,
    // A login.
    LoginNotSet,
    WrongCode,
    LoginRefused,
    // What the vendor said, or did not say.
    Unreachable,
    NoAnswer,
    VendorBusy,
    Throttled,
    AccessRejected,
    RefreshRefused,
    RefreshTokenExpired,
    ReplyLost,
    SignedInElsewhere,
    ConfigFault,
    ClockSkew,
    TargetRefused,
    UnreadableAnswer,
    OutcomeUnknown,
    // This machine.
    Blocked,
    Busy,
    ShuttingDown,
    Internal,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
