//! The domain: what an account is and how it may change. No IO, no clock of its own, nothing asynchronous.

mod id;
mod secret;

pub use id::{AccountId, AccountIdError};
pub use secret::{Masked, Secret};
