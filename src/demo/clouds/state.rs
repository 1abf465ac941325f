//! How an account stands at the vendor, as the control API shows it.

use serde::Serialize;
use serde_json::Value;

use super::{
    engine::Engine,
    grants::{Pair, Seat},
    simulation::Simulation,
};

/// How an account stands: its owner's session, and beside it a family member's where one signed in.
#[derive(Clone, Debug, Serialize)]
pub struct AccountState {
    pub account: usize,
    /// The region that it lives in.
    pub region: usize,
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
    /// None unless a family member signed in.
    pub family: Option<SessionState>,
    /// Codes that were sent, doors, scenes.
    pub extras: Value,
}

/// One session; see [`AccountState`].
#[derive(Clone, Debug, Serialize)]
pub struct SessionState {
    pub generation: u64,
    pub access_token: String,
    pub refresh_token: String,
    pub issued_at: String,
    pub access_expires_at: String,
    pub refresh_expires_at: Option<String>,
    pub revoked: bool,
}

impl<S: Simulation> Engine<S> {
    pub(super) fn account(&self, account: usize) -> AccountState {
        let core = self.core();
        let (pair, is_revoked) = core.grants.newest(account);
        let owner = session(pair, is_revoked);
        AccountState {
            account,
            region: account % self.addresses.n_regions(),
            generation: owner.generation,
            access_token: owner.access_token,
            refresh_token: owner.refresh_token,
            issued_at: owner.issued_at,
            access_expires_at: owner.access_expires_at,
            refresh_expires_at: owner.refresh_expires_at,
            revoked: owner.revoked,
            family: core.grants.newest_of(account, Seat::Family).map(|it| session(it.0, it.1)),
            extras: core.simulation.extras(account),
        }
    }
}

fn session(pair: &Pair, is_revoked: bool) -> SessionState {
    SessionState {
        generation: pair.generation,
        access_token: pair.access_token.clone(),
        refresh_token: pair.refresh_token.clone(),
        issued_at: pair.issued_at.to_string(),
        access_expires_at: pair.access_expires_at.to_string(),
        refresh_expires_at: pair.refresh_expires_at.map(|it| it.to_string()),
        revoked: is_revoked,
    }
}
