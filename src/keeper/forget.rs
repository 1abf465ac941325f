//! Forgetting an account, and bringing it back.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::yield_now;
use tracing::{error, info};

use crate::{
    account::{AccountId, Code, EventType, Forgotten, Record},
    store::StoreError,
};

use super::{
    AT_A_TIME, Shared,
    command::{CommandError, Reply, ReplyData},
    flight::Flight,
    keeping::Keeping,
    notice::Trigger,
    update::blocked,
};

impl Shared {
    /// Lays everything that is held aside; the vendor is told nothing.
    pub(super) async fn forget(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Reply {
        let now = self.clock().now();
        let forgotten = self.change_in_peace(keeping, |record| record.forget(now)).await;
        match forgotten {
            Ok(false) => Err(CommandError::new(Code::NoRefreshToken, &keeping.id)),
            Ok(true) => {
                info!(account = %keeping.id, "everything that was held is laid aside, and can be brought back for 30 days");
                keeping.happened(EventType::Forgotten, Trigger::Command, None);
                self.plan(&keeping.id);
                let until = keeping.record().forgotten.back().map(Forgotten::until);
                Ok(ReplyData::Forgotten { entry_id: keeping.id.clone(), until })
            }
            Err(trouble) => Err(blocked(keeping, &trouble)),
        }
    }

    pub(super) async fn recall(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Reply {
        match self.change_in_peace(keeping, Record::recall).await {
            Ok(false) if keeping.record().has_forgotten() => {
                let error = CommandError::new(Code::NotForgotten, &keeping.id);
                Err(error.because("new tokens are held; forget them first"))
            }
            Ok(false) => Err(CommandError::new(Code::NotForgotten, &keeping.id)),
            Ok(true) => {
                info!(account = %keeping.id, "what was forgotten is back");
                keeping.happened(EventType::Recalled, Trigger::Command, None);
                self.plan(&keeping.id);
                let generation = keeping.record().current.as_ref().map_or(0, |it| it.generation);
                Ok(ReplyData::Recalled { entry_id: keeping.id.clone(), generation })
            }
            Err(trouble) => Err(blocked(keeping, &trouble)),
        }
    }

    /// Ends what was forgotten long ago. Of very many accounts, a few are looked at in one go.
    pub(super) async fn drop_long_forgotten(self: Arc<Self>, now: Timestamp) {
        let accounts: Vec<AccountId> = self.roster().kept.keys().cloned().collect();
        for some in accounts.chunks(AT_A_TIME).take_while(|_| !self.stopping.is_cancelled()) {
            for keeping in some.iter().filter_map(|it| self.kept(it)).filter(|it| it.record().has_long_forgotten(now)) {
                let dropped = keeping.change(|record| {
                    record.drop_long_forgotten(now);
                    Ok::<_, StoreError>(())
                });
                if let Err(trouble) = dropped.await {
                    error!(account = %keeping.id, "what was forgotten cannot be ended: {trouble}. {}", trouble.mend());
                }
            }
            yield_now().await;
        }
    }

    /// Changes a record while no answer of the vendor is expected for what it holds.
    async fn change_in_peace<T>(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        change: impl Fn(&mut Record) -> T,
    ) -> Result<T, StoreError> {
        loop {
            let changed = keeping.change(|record| {
                let is_expected = record.attempt.is_some() || record.logins.open_since.is_some();
                match self.running(keeping).filter(|_| is_expected) {
                    Some(flight) => Err(Interruption::Flying(flight)),
                    None => Ok(change(record)),
                }
            });
            match changed.await {
                Ok(result) => return Ok(result),
                Err(Interruption::Flying(flight)) => drop(flight.land().await),
                Err(Interruption::Store(trouble)) => return Err(trouble),
            }
        }
    }
}

enum Interruption {
    Flying(Flight),
    Store(StoreError),
}

impl From<StoreError> for Interruption {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}
