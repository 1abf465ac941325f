//! Two accounts with one refresh token would spend it for each other. One of them is left alone until it has its own.

use std::sync::Arc;

use tokio::task::{spawn_blocking, yield_now};
use tracing::error;

use crate::{
    account::{AccountId, Code, EventType, Fingerprint, Grant, Record, Secret},
    store::StoreError,
};

use super::{AT_A_TIME, Shared, keeping::Keeping, notice::Trigger};

impl Shared {
    /// Another account that holds this refresh token and could still spend it.
    pub(super) fn other_holder(&self, keeping: &Keeping, refresh: &Secret) -> Option<AccountId> {
        let holds = |record: &Record| record.held().any(|it| it.is_spendable() && it.refresh.as_ref() == Some(refresh));
        let roster = self.roster();
        let mut others =
            self.common.mentions.of(self.fingerprints.of(refresh)).into_iter().filter(|it| *it != keeping.id);
        others.find(|id| roster.heart(id).is_some_and(|(heart, _)| holds(&heart.record())))
    }

    /// Whose token it is that this account would spend next: another one's that spent it already, or that comes first.
    pub(super) fn twin(&self, keeping: &Keeping) -> Option<AccountId> {
        self.twin_among(keeping, |_| true)
    }

    /// As [`Shared::twin`], of some accounts only. Those that are about to leave come before all others.
    fn twin_among(&self, keeping: &Keeping, is_meant: impl Fn(&AccountId) -> bool) -> Option<AccountId> {
        let record = keeping.record();
        let refresh = next_to_spend(&record)?;
        let fingerprint = self.fingerprints.of(refresh);
        let roster = self.roster();
        let mut others =
            self.common.mentions.of(fingerprint).into_iter().filter(|it| *it != keeping.id && is_meant(it));
        others.find(|id| {
            let Some((heart, is_leaving)) = roster.heart(id) else { return false };
            let held = heart.record();
            has_spent(&held, fingerprint) || ((is_leaving || *id < keeping.id) && is_in_use(&held, refresh))
        })
    }

    /// An earlier run, or another system before it, may have left two with one token.
    pub(super) fn look_for_twins_at_start(self: &Arc<Self>) {
        let suspects = self.common.mentions.shared().into_iter().filter_map(|it| self.kept(&it));
        for (keeping, twin) in suspects.filter_map(|it| self.twin(&it).map(|twin| (it, twin))) {
            let shared = self.clone();
            self.tasks.spawn(async move { shared.mark_twin(&keeping, &twin, Trigger::Schedule).await });
        }
    }

    /// Has the index of tokens know of no more than records mention, where it may be twice as much.
    pub(super) async fn tidy_mentions(self: Arc<Self>) {
        // What a reload adds is in no roster yet, and is not to be missed. There is another hour.
        let Ok(_turn) = self.proposals.try_lock() else { return };
        let Some(mut gathering) = self.common.mentions.begin_to_gather() else { return };
        let roster = self.roster();
        for (n_before, (_, heart, _)) in roster.hearts().enumerate() {
            if n_before % AT_A_TIME == 0 {
                yield_now().await;
            }
            if self.stopping.is_cancelled() {
                return;
            }
            self.common.mentions.gather(heart.number, &heart.record(), &mut gathering);
        }
        if let Ok(sorted) = spawn_blocking(|| gathering.sorted()).await {
            self.common.mentions.finish_gathering(sorted);
        }
    }

    /// After a reload: those that are new may be twins of others, and one whose twin went away is none any more. `removed`:
    /// the records of those that went away.
    pub(super) async fn look_at_twins(&self, added: &[AccountId], removed: &[Arc<Record>]) {
        if added.is_empty() && removed.is_empty() {
            return;
        }
        for keeping in self.roster().kept.values() {
            let is_added = added.contains(&keeping.id);
            match self.twin_among(keeping, |it| is_added || added.contains(it)) {
                Some(twin) => self.mark_twin(keeping, &twin, Trigger::Schedule).await,
                None if !removed.is_empty() && is_marked(&keeping.record()) => self.free_twin(keeping, removed).await,
                None => {}
            }
        }
    }

    /// A token that a removed account has spent is dead: that is found out when it is tried, as ever.
    async fn free_twin(&self, keeping: &Keeping, removed: &[Arc<Record>]) {
        let fingerprint = next_to_spend(&keeping.record()).map(|it| self.fingerprints.of(it));
        let is_dead = removed.iter().any(|it| fingerprint.is_some_and(|spent| has_spent(it, spent)));
        if is_dead || self.twin(keeping).is_some() {
            return;
        }
        let freed = keeping.change(|record| {
            record.fault = false;
            record.setbacks.not_before = None;
            Ok::<_, StoreError>(())
        });
        if let Err(trouble) = freed.await {
            error!(account = %keeping.id, "its twin is gone, which cannot be stored: {trouble}. {}", trouble.mend());
        }
        self.plan(&keeping.id);
    }

    /// Notes that this account's token is another one's, and tells it once.
    pub(super) async fn mark_twin(&self, keeping: &Keeping, twin: &AccountId, by: Trigger) {
        let now = self.clock().now();
        let marked = keeping.change(|record| {
            let was_marked = is_marked(record);
            if was_marked && record.setbacks.not_before.is_some_and(|it| now < it) {
                return Ok(true);
            }
            record.fault = true;
            record.setbacks.last_error = Some(Code::TokenInUse);
            if !was_marked {
                record.setbacks.last_error_at = Some(now);
            }
            record.setbacks.not_before = now.checked_add(keeping.policy.back_off.longest).ok();
            Ok::<_, StoreError>(was_marked)
        });
        match marked.await {
            Ok(true) => {}
            Ok(false) => {
                error!(account = %keeping.id, "{twin} holds the same refresh token: sign in once for each account");
                keeping.happened(EventType::ConfigFault, by, Some(Code::TokenInUse));
            }
            Err(trouble) => {
                error!(account = %keeping.id, "{twin} holds the same refresh token, which cannot be stored: {trouble}");
            }
        }
    }
}

/// The refresh token that the next refresh would send.
fn next_to_spend(record: &Record) -> Option<&Secret> {
    record.grant(record.next_to_spend()?)?.refresh.as_ref()
}

fn is_marked(record: &Record) -> bool {
    record.fault && record.setbacks.last_error == Some(Code::TokenInUse)
}

fn has_spent(record: &Record, fingerprint: Fingerprint) -> bool {
    record.spent.contains(&fingerprint)
}

/// A grant that was merely kept is not in use.
fn is_in_use(record: &Record, refresh: &Secret) -> bool {
    let candidate = record.candidate.as_ref().map(|it| &it.grant);
    let is_held = |it: &&Grant| it.is_spendable() && it.refresh.as_ref() == Some(refresh);
    [candidate, record.current.as_ref()].into_iter().flatten().any(|it| is_held(&it))
}
