//! How an account stands at the vendor, as the control API shows it.

use std::ops::Deref;

use serde::Serialize;
use serde_json::Value;

use super::{
    engine::Engine,
    grants::{Pair, Seat},
    simulation::Simulation,
};

/// How an account stands: it reads as its owner's session, and has a family member's beside it where one signed in.
#[derive(Clone, Debug, Serialize)]
pub struct AccountState {
    pub account: usize,
    /// The region that it lives in.
    pub region: usize,
    #[serde(flatten)]
    pub owner: SessionState,
    /// None unless a family member signed in.
    pub family: Option<SessionState>,
    /// Codes that were sent, doors, scenes.
    pub extras: Value,
}

/// One session: the newest pair of a login.
#[derive(Clone, Debug, Serialize)]
pub struct SessionState {
    /// 1 after a login, one more for each refresh since.
    pub generation: u64,
    pub access_token: String,
    pub refresh_token: String,
    /// RFC 3339 in UTC, by the cloud's clock, like those below.
    pub issued_at: String,
    pub access_expires_at: String,
    /// None where the refresh token has no end.
    pub refresh_expires_at: Option<String>,
    /// Whether the grant was revoked.
    pub revoked: bool,
}

impl Deref for AccountState {
    type Target = SessionState;

    fn deref(&self) -> &SessionState {
        &self.owner
    }
}

impl<S: Simulation> Engine<S> {
    pub(super) fn account(&self, account: usize) -> AccountState {
        let core = self.core();
        let (pair, is_revoked) = core.grants.newest(account);
        AccountState {
            account,
            region: account % self.addresses.n_regions(),
            owner: SessionState::new(pair, is_revoked),
            family: core.grants.newest_of(account, Seat::Family).map(|it| SessionState::new(it.0, it.1)),
            extras: core.simulation.extras(account),
        }
    }
}

impl SessionState {
    fn new(pair: &Pair, is_revoked: bool) -> Self {
        Self {
            generation: pair.generation,
            access_token: pair.access_token.clone(),
            refresh_token: pair.refresh_token.clone(),
            issued_at: pair.issued_at.to_string(),
            access_expires_at: pair.access_expires_at.to_string(),
            refresh_expires_at: pair.refresh_expires_at.map(|it| it.to_string()),
            revoked: is_revoked,
        }
    }
}
