//! The schedule: who is due when, and the task that wakes them.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Notify, task::yield_now};
use tracing::{debug, warn};

use crate::{account::AccountId, clock::LOOK_AGAIN};

use super::{AT_A_TIME, Shared, deadlines::Deadlines, keeping::Keeping};

/// How often what was forgotten is looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Wall and monotonic time that drift apart by more than this between two looks: the clock jumped.
const JUMP: Duration = Duration::from_secs(60);

/// Who is due when, and a word to whoever waits for it when that changes.
#[derive(Default)]
pub(super) struct Agenda {
    deadlines: Mutex<Deadlines>,
    changed: Notify,
}

impl Agenda {
    /// Puts an account where its record says it belongs.
    pub(super) fn plan(&self, keeping: &Keeping, now: Timestamp) {
        let at = keeping.next_look(now);
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).plan(&keeping.id, at);
        self.changed.notify_one();
    }

    pub(super) fn strike(&self, account: &AccountId) {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).plan(account, None);
    }

    fn take_due(&self, now: Timestamp) -> Result<AccountId, Option<Timestamp>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).take_due(now)
    }
}

impl Shared {
    /// Runs until Latchkey stops: starts what is due, sleeps until the next deadline or change.
    pub(super) async fn run_agenda(self: Arc<Self>) {
        let mut look = (self.clock().now(), self.clock().monotonic());
        let mut was_sane = true;
        let mut swept_at = look.1;
        while !self.stopping.is_cancelled() {
            let now = self.clock().now();
            self.looked_at.store(u64::try_from(self.clock().monotonic().as_millis()).unwrap_or(u64::MAX), Relaxed);
            let has_jumped = self.has_jumped(&mut look);
            let is_sane = super::built_at() <= now;
            if has_jumped || is_sane != was_sane {
                was_sane = is_sane;
                self.after_jump(is_sane).await;
            }
            if SWEEP_EVERY <= look.1.saturating_sub(swept_at) {
                swept_at = look.1;
                self.tasks.spawn(self.clone().drop_long_forgotten(now));
                self.tasks.spawn(self.clone().tidy_mentions());
            }
            let next = if is_sane { self.start_due(now) } else { None };
            if let Err(trouble) = self.quotas.save(self.store(), false).await {
                debug!("the counted calls are not stored yet: {trouble}");
            }
            let deadline = next.or_else(|| now.checked_add(LOOK_AGAIN).ok()).unwrap_or(now);
            tokio::select! {
                () = self.clock().wait(deadline) => {}
                () = self.agenda.changed.notified() => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    fn start_due(self: &Arc<Self>, now: Timestamp) -> Option<Timestamp> {
        loop {
            match self.agenda.take_due(now) {
                Ok(account) => {
                    let Some(keeping) = self.kept(&account) else { continue };
                    if keeping.is_login_due(now) {
                        self.login_by_itself(&keeping);
                    } else if keeping.is_due(now) {
                        self.line_up(&keeping);
                    } else {
                        let shared = self.clone();
                        self.tasks.spawn(async move { shared.look_again(&keeping).await });
                    }
                }
                Err(next) => return next,
            }
        }
    }

    fn has_jumped(&self, look: &mut (Timestamp, Duration)) -> bool {
        let (wall, monotonic) = (self.clock().now(), self.clock().monotonic());
        let passed = wall.duration_since(look.0);
        let expected = jiff::SignedDuration::try_from(monotonic.saturating_sub(look.1)).unwrap_or_default();
        *look = (wall, monotonic);
        Duration::try_from((passed - expected).abs()).is_ok_and(|drift| JUMP < drift)
    }

    /// Deadlines were reckoned by a clock that read otherwise: reckon them again.
    async fn after_jump(&self, is_sane: bool) {
        if !is_sane {
            warn!("the clock reads a time before this version was built; nothing is refreshed until it is set");
        }
        let accounts: Vec<AccountId> = self.roster().kept.keys().cloned().collect();
        for some in accounts.chunks(AT_A_TIME) {
            for keeping in some.iter().filter_map(|it| self.kept(it)) {
                if !is_sane || keeping.heart.is_touched() {
                    keeping.note_present(|present| {
                        present.hold_until = None;
                        if !is_sane {
                            present.blocked = Some("the clock is not set".to_owned());
                        }
                    });
                }
                self.plan(&keeping.id);
            }
            yield_now().await;
        }
    }
}
