//! The rotation of refresh tokens, which both vendors share: single use, expiry, revocation, grace.

mod book;
mod pair;
mod refusal;
mod rules;
mod seat;
#[cfg(test)]
mod tests;

pub use book::{GrantBook, Granted};
pub use pair::{Pair, later};
pub use refusal::{AccessRefusal, RefreshRefusal};
pub use rules::{RefreshLife, RotationRules};
pub use seat::Seat;
