//! A live access token for another program, by the path that our own calls use.

use jiff::Timestamp;

use crate::account::{AccountId, Code, Secret};

use super::{Keeper, command::CommandError};

/// An access token that lives.
pub struct LiveAccess {
    pub access: Secret,
    /// None where the vendor did not say.
    pub expires_at: Option<Timestamp>,
    pub generation: u64,
}

impl Keeper {
    /// The access token of an account, refreshed before where it ended or is about to.
    ///
    /// Errors are those of a call: `UnknownAccount`, `NoRefreshToken`, `TooSoon`, what the refresh came to.
    pub async fn live_access(&self, account: &AccountId) -> Result<LiveAccess, CommandError> {
        let Some(keeping) = self.0.kept(account) else {
            return Err(CommandError::new(Code::UnknownAccount, account));
        };
        if self.0.stopping.is_cancelled() {
            return Err(CommandError::new(Code::ShuttingDown, account));
        }
        let held = self.0.live_access(&keeping, None).await.map_err(|failure| self.0.not_done(&keeping, failure))?;
        let (access, generation) = (held.access, held.generation);
        let record = keeping.record();
        let expires_at =
            record.current.as_ref().filter(|it| it.generation == generation).and_then(|it| it.access_expires_at);
        Ok(LiveAccess { access, expires_at, generation })
    }
}
