//! The classes into which every failed vendor call falls. Vendors class by code and intent, never by free text.

use std::time::Duration;

use jiff::SignedDuration;

/// What a failed call means for the tokens and for what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It certainly had no effect; try again later.
    Transient,
    /// It may have had its effect: the answer is not there, or is not the vendor's own.
    Ambiguous,
    /// The vendor asks for patience.
    Throttled { retry_after: Option<Duration> },
    /// The access token is not accepted; a refresh may cure it.
    AccessRejected,
    /// The refresh token is refused for good.
    GrantDead { expired: bool },
    /// A refusal whose code is not known: it counts as definitive only when it lasts.
    Refused,
    /// The application's keys, the region or the request are refused; the tokens are not judged.
    ConfigFault,
    /// The vendor's time and ours differ too much.
    ClockSkew { vendor_ahead_by: Option<SignedDuration> },
    /// The caller named something that does not exist or cannot be done.
    Target,
    /// The vendor said yes and the answer was not understood.
    Protocol,
}
