//! The domain: what an account is and how it may change. No IO, no clock of its own, nothing asynchronous.
//!
//! Read [`Record`] first: it is all that is known of an account. [`Record::begin`] and [`Record::settle`] carry it
//! through a refresh, [`Record::propose`] through an update, [`next_refresh`] says when, [`Status`] says how it is.

mod belonging;
mod code;
mod event;
mod failure;
mod fingerprint;
#[cfg(test)]
pub(crate) mod fixture;
mod forget;
mod grant;
mod holdings;
mod id;
mod inventory;
mod login;
mod policy;
mod record;
mod refresh;
mod schedule;
mod secret;
mod secret_buffer;
mod status;
mod update;

pub use code::Code;
pub use event::EventType;
pub use failure::Class;
pub use fingerprint::{Fingerprint, FingerprintError, FingerprintKey};
pub use forget::Forgotten;
pub use grant::{Extras, FreshTokens, Grant, RefreshEnd};
pub use id::{AccountId, AccountIdError};
pub use inventory::{Inventory, Target, find_shown_or_listed, find_target, slug};
pub use login::{Credential, HandledLogin, KeptLogin, Logins, UnreadLogin, next_login};
pub use policy::{AmbiguousPolicy, BackOff, Policy};
pub use record::{
    Attempt, Candidate, Dead, Doubt, HandledUpdate, OLDER_UNREAD, RECENT_SPENT, Record, Refusals, SET_ASIDE, Setbacks,
    Slot, UnreadAnswer, UpdateOutcome,
};
pub use refresh::{Ending, Patience, Settlement};
pub use schedule::next_refresh;
pub use secret::{Masked, Secret, SecretDocument};
pub use secret_buffer::SecretBuffer;
pub use status::{AccessTokenStatus, Circumstances, Condition, Status};
pub(crate) use status::{rfc3339, shown_time};
pub use update::{Proposal, ProposedTokens, Taken};
