//! What the matrix needs to know of a vendor beside its cloud.

use latchkey::{
    account::{AccountId, Code, Secret},
    demo::clouds::{Cloud, Counters, Simulation},
    keeper::Command,
};
use serde_json::Value;

use crate::case::{Case, Leg, Place};

/// One vendor.
pub(crate) trait Side: Simulation<Knobs: Sync, Credentials: Send> {
    /// The legs that this vendor has.
    const LEGS: &'static [Leg];
    /// Whether an access token is kept beside its refresh token.
    const KEEPS_ACCESS: bool;
    /// How a target that is not there is refused.
    const UNKNOWN_TARGET: Code;
    const AUTH_TOKEN: Option<fn(&Self::Credentials) -> Secret>;

    fn cases() -> Vec<Case>;

    /// Of each switch that takes one of a few words: which.
    fn choices() -> Vec<(&'static str, Vec<Value>)>;

    /// The lines of an account's section in the configuration.
    fn account_lines(cloud: &Cloud<Self>, place: Place) -> String;

    /// Access and refresh token.
    fn pair(credentials: &Self::Credentials) -> (String, String);

    /// The right password of who signs in by one.
    fn password(credentials: &Self::Credentials) -> Option<Secret>;

    /// Something that acts on the house; `is_known`: whether the vendor knows the target.
    fn act(account: AccountId, is_known: bool) -> Command;

    /// How often something acted on the house.
    fn n_acts(counters: &Counters) -> u64;

    fn token_lifetime_seconds(knobs: &Self::Knobs) -> u64;
}
