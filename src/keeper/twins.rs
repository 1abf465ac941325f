//! Two accounts with one refresh token would spend it for each other. One of them is left alone until it has its own.

use tracing::error;

use crate::{
    account::{AccountId, Code, EventType, Fingerprint, Grant, Record, Secret},
    store::StoreError,
};

use super::{Shared, keeping::Keeping, notice::Trigger};

impl Shared {
    /// Another account that holds this refresh token and could still spend it.
    pub(super) fn other_holder(&self, keeping: &Keeping, refresh: &Secret) -> Option<AccountId> {
        let holds = |record: &Record| record.held().any(|it| it.is_spendable() && it.refresh.as_ref() == Some(refresh));
        let other = self.accounts.values().find(|it| it.id != keeping.id && holds(&it.record()));
        other.map(|it| it.id.clone())
    }

    /// Whose token it is that this account would spend next: another one's that spent it already, or that comes first.
    pub(super) fn twin(&self, keeping: &Keeping) -> Option<AccountId> {
        let record = keeping.record();
        let refresh = record.grant(record.next_to_spend()?)?.refresh.as_ref()?;
        let fingerprint = self.fingerprints.of(refresh);
        let others = self.accounts.values().filter(|it| it.id != keeping.id);
        let twin = others.into_iter().find(|other| {
            let held = other.record();
            has_spent(&held, fingerprint) || (other.id < keeping.id && is_in_use(&held, refresh))
        });
        twin.map(|it| it.id.clone())
    }

    /// Notes that this account's token is another one's, and tells it once.
    pub(super) async fn mark_twin(&self, keeping: &Keeping, twin: &AccountId, by: Trigger) {
        let now = self.clock.now();
        let marked = keeping.change(|record| {
            let was_marked = record.fault && record.setbacks.last_error == Some(Code::TokenInUse);
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

fn has_spent(record: &Record, fingerprint: Fingerprint) -> bool {
    record.spent.contains(&fingerprint)
}

/// A grant that was merely kept is not in use.
fn is_in_use(record: &Record, refresh: &Secret) -> bool {
    let candidate = record.candidate.as_ref().map(|it| &it.grant);
    let is_held = |it: &&Grant| it.is_spendable() && it.refresh.as_ref() == Some(refresh);
    [candidate, record.current.as_ref()].into_iter().flatten().any(|it| is_held(&it))
}
