//! Signing in: what a person hands over, once, for a new grant.

use super::Secret;

/// What a login is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The code that the vendor sent to the configured phone or address; it works once.
    Code(Secret),
    /// The password of the configured user. `keep`: it is kept, sealed, so that Latchkey may sign in again by itself.
    Password { password: Secret, keep: bool },
}
