//! The domain: what an account is and how it may change. No IO, no clock of its own, nothing asynchronous.

mod fingerprint;
mod id;
mod secret;

pub use fingerprint::{Fingerprint, FingerprintError, FingerprintKey};
pub use id::{AccountId, AccountIdError};
pub use secret::{Masked, Secret};
