//! A refresh on its way: one for an account at a time, in a task of its own, whoever asked and whoever still waits.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    account::{
        AmbiguousPolicy, Attempt, Class, Code, Ending, EventType, FreshTokens, Patience, Secret, Settlement, Slot,
        UpdateOutcome,
    },
    store::StoreError,
    vendor::{Answer, Spend, VendorError},
};

use super::{Shared, keeping::Keeping, limits::Purpose, notice::Trigger};

/// The prompt second try after a lost reply: grace windows are short where they exist.
const PROMPT: Duration = Duration::from_secs(1);
/// How long this machine's troubles are left alone before the next look.
const BLOCKED_FOR: Duration = Duration::from_secs(60);
/// Between two tries to put an answer on disk.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);
/// A vendor's clock this far from ours makes ours suspect.
const SUSPECT_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// A handle to a running refresh; clones wait for the same one.
#[derive(Clone)]
pub(super) struct Flight(watch::Receiver<Option<Landing>>);

/// What came of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    Renewed {
        slot: Slot,
        generation: u64,
    },
    /// Proposed tokens were refused; the grant before them is untouched.
    CandidateRefused(Code),
    /// No new tokens.
    Failed(Code),
}

impl Flight {
    /// Waits for its end.
    pub(super) async fn land(mut self) -> Landing {
        match self.0.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Landing::Failed(Code::Internal)),
            // Its task is gone without a word: the attempt stays open on disk and is found at the next start.
            Err(_) => Landing::Failed(Code::Internal),
        }
    }

    fn is_running(&self) -> bool {
        self.0.borrow().is_none() && self.0.has_changed().is_ok()
    }
}

impl Shared {
    /// Joins the refresh of this account that is running, or starts one.
    pub(super) fn refresh(self: &Arc<Self>, keeping: &Arc<Keeping>, by: Trigger) -> Flight {
        let mut flight = keeping.flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = flight.as_ref().filter(|it| it.is_running()) {
            return running.clone();
        }
        let (landing, handle) = watch::channel(None);
        let started = Flight(handle);
        *flight = Some(started.clone());
        drop(flight);
        let (shared, keeping) = (self.clone(), keeping.clone());
        self.tasks.spawn(async move {
            let flown = tokio::spawn({
                let (shared, keeping) = (shared.clone(), keeping.clone());
                async move { shared.fly(&keeping, by).await }
            });
            let landed = match flown.await {
                Ok(landed) => landed,
                Err(_) => shared.crashed(&keeping).await,
            };
            shared.replan(&keeping, &landed);
            landing.send_replace(Some(landed));
        });
        started
    }

    /// The refresh that is running, if there is one.
    pub(super) fn running(&self, keeping: &Keeping) -> Option<Flight> {
        let flight = keeping.flight.lock().unwrap_or_else(PoisonError::into_inner).clone();
        flight.filter(Flight::is_running)
    }

    /// Waits for the refresh that is running, if there is one.
    pub(super) async fn wait_for_flight(&self, keeping: &Keeping) {
        if let Some(flight) = self.running(keeping) {
            flight.land().await;
        }
    }

    /// A fault of ours ended the task: its request may have been sent.
    async fn crashed(&self, keeping: &Keeping) -> Landing {
        error!(account = %keeping.id, "a refresh ended by a fault inside Latchkey; it counts as in doubt");
        let now = self.clock.now();
        let marked = keeping.change(|record| {
            record.find_open_attempt(now);
            Ok::<_, StoreError>(())
        });
        if let Err(trouble) = marked.await {
            error!(account = %keeping.id, "the doubt cannot be stored: {trouble}. {}", trouble.mend());
        }
        Landing::Failed(Code::Internal)
    }

    /// Back on the agenda; what failed without leaving a time to wait for waits all the same.
    fn replan(&self, keeping: &Keeping, landed: &Landing) {
        let now = self.clock.now();
        let is_due_again = keeping.next_look(now).is_some_and(|it| it <= now);
        if is_due_again && matches!(landed, Landing::Failed(_)) {
            self.hold(keeping, BLOCKED_FOR);
        }
        self.agenda.plan(keeping, now);
    }

    async fn fly(&self, keeping: &Keeping, by: Trigger) -> Landing {
        let mut has_retried = false;
        loop {
            let was_in_doubt = keeping.record().doubt.is_some();
            let leg = self.leg(keeping, by).await;
            match leg {
                Leg::Landed(landing) => return landing,
                Leg::FellBack => {}
                Leg::InDoubt(code) => {
                    let is_prompt = keeping.policy.ambiguous == AmbiguousPolicy::RetryOnce;
                    if has_retried || was_in_doubt || !is_prompt || self.stopping.is_cancelled() {
                        return Landing::Failed(code);
                    }
                    has_retried = true;
                    tokio::time::sleep(PROMPT).await;
                }
            }
        }
    }

    /// One attempt: begun durably, sent, settled durably.
    async fn leg(&self, keeping: &Keeping, by: Trigger) -> Leg {
        if let Some(leg) = self.finish_unread(keeping, by).await {
            return leg;
        }
        let Some(_turn) = self.limits.turn_at(keeping.vendor.host()).await else {
            return Leg::failed(Code::ShuttingDown);
        };
        if let Err(leg) = self.may_start(keeping).await {
            return leg;
        }
        if let Some(budget) = keeping.vendor.budget()
            && let Err(wait) = self.limits.spend(&budget, Purpose::Refresh)
        {
            self.hold(keeping, wait);
            return Leg::failed(Code::Throttled);
        }
        let began = keeping.change(|record| {
            let slot = record.next_to_spend().ok_or(Obstacle::NothingToSpend)?;
            let grant = record.grant(slot).ok_or(Obstacle::NothingToSpend)?;
            let refresh = grant.refresh.clone().ok_or(Obstacle::NothingToSpend)?;
            let access = grant.access.clone();
            if keeping.policy.refresh_needs_access && access.is_none() {
                return Err(Obstacle::NoAccess);
            }
            let fingerprint = self.fingerprints.of(&refresh);
            let attempt = record.begin(fastrand::u64(..), slot, fingerprint, self.clock.now());
            Ok((attempt, refresh, access))
        });
        let (attempt, refresh, access) = match began.await {
            Ok(began) => began,
            Err(Obstacle::NothingToSpend) => {
                warn!(account = %keeping.id, "no refresh token configured");
                return Leg::failed(Code::NoRefreshToken);
            }
            Err(Obstacle::NoAccess) => return Leg::failed(Code::TokenRequired),
            Err(Obstacle::Store(trouble)) => return self.block(keeping, &trouble.to_string(), trouble.mend()),
        };
        info!(account = %keeping.id, ?by, token = %refresh.masked(), "refresh needed, asking the vendor");
        let spend = Spend { refresh: &refresh, access: access.as_ref() };
        let sent = keeping.vendor.refresh(spend).await;
        let (ending, answer) = self.read(keeping, sent, access.as_ref()).await;
        self.settle(keeping, by, &attempt, ending, answer).await
    }

    /// An answer that an earlier version could not read is finished before anything else.
    async fn finish_unread(&self, keeping: &Keeping, by: Trigger) -> Option<Leg> {
        let record = keeping.record();
        let unread = record.unread.as_ref()?;
        let answer = Answer { body: unread.body.clone(), vendor_ahead_by: None };
        let fresh = read_refresh(keeping, &answer).ok()?;
        let grant = record.grant(unread.slot).filter(|it| it.generation == unread.generation)?;
        let attempt = Attempt {
            id: fastrand::u64(..),
            started_at: unread.received_at,
            slot: unread.slot,
            generation: unread.generation,
            fingerprint: self.fingerprints.of(grant.refresh.as_ref()?),
        };
        info!(account = %keeping.id, "an answer that was kept can be read now");
        Some(self.settle(keeping, by, &attempt, Ending::Renewed(fresh), None).await)
    }

    /// Whether this machine is fit to refresh: its clock, its disk, and no other account with the same token.
    async fn may_start(&self, keeping: &Keeping) -> Result<(), Leg> {
        if keeping.present().twin.is_some() {
            return Err(Leg::failed(Code::TokenInUse));
        }
        let now = self.clock.now();
        if now < super::built_at() {
            return Err(self.block(keeping, "the clock reads a time before this version was built", "Set the clock."));
        }
        if keeping.record().is_from_the_future(now)
            && let Some(vendor_time) = keeping.vendor.server_time().await
            && SUSPECT_SKEW < vendor_time.duration_since(now).abs()
        {
            return Err(self.block(
                keeping,
                "the clock differs from the vendor's by over ten minutes",
                "Set the clock.",
            ));
        }
        if let Err(trouble) = self.store.check_room().await {
            return Err(self.block(keeping, &trouble.to_string(), trouble.mend()));
        }
        keeping.note_present(|present| {
            present.blocked = None;
            present.hold_until = None;
        });
        Ok(())
    }

    /// Turns what came back into an ending, and into what may be stored of the answer.
    async fn read(
        &self,
        keeping: &Keeping,
        sent: Result<Answer, VendorError>,
        access: Option<&Secret>,
    ) -> (Ending, Option<Secret>) {
        let failed = |error: VendorError, body| Ending::Failed { class: error.class, code: error.code, body };
        let answer = match sent {
            Ok(answer) => answer,
            Err(failure) => {
                let was_reached = !matches!(failure.code, Code::Unreachable | Code::NoAnswer);
                keeping.note_present(|present| present.is_cloud_reached = Some(was_reached));
                warn!(account = %keeping.id, code = %failure.code, "refresh failed: {failure}");
                return (failed(failure, None), None);
            }
        };
        keeping.note_present(|present| present.is_cloud_reached = Some(true));
        let storable = keeping.vendor.storable(&answer);
        match read_refresh(keeping, &answer) {
            Ok(fresh) => (Ending::Renewed(fresh), storable),
            Err(failure) => {
                warn!(account = %keeping.id, code = %failure.code, "refresh failed: {failure}");
                let is_unread = failure.code == Code::UnreadableAnswer;
                if is_unread && storable.is_none() {
                    keeping.note_present(|present| present.unstorable = Some(answer.body.clone()));
                }
                let failure = self.judge_refusal(keeping, failure, access).await;
                (failed(failure, storable.filter(|_| is_unread)), None)
            }
        }
    }

    /// A refusal of unknown meaning is definitive at once when the access token is refused as well.
    async fn judge_refusal(&self, keeping: &Keeping, failure: VendorError, access: Option<&Secret>) -> VendorError {
        let (Class::Refused, Some(access)) = (failure.class, access) else { return failure };
        match keeping.vendor.check_access(access).await {
            Some(Err(verdict)) if verdict.class == Class::AccessRejected => {
                VendorError { class: Class::GrantDead { expired: false }, ..failure }
            }
            _ => failure,
        }
    }

    /// Puts the ending on disk, however long that takes: a grant that was received is not given up.
    async fn settle(
        &self,
        keeping: &Keeping,
        by: Trigger,
        attempt: &Attempt,
        ending: Ending,
        answer: Option<Secret>,
    ) -> Leg {
        let patience = Patience { back_off: keeping.policy.back_off, chance: fastrand::f64() };
        let was_troubled = keeping.record().setbacks.consecutive > 0;
        let settlement = loop {
            let (ending, now) = (ending.clone(), self.clock.now());
            let settled = keeping.change_with(answer.as_ref(), |record| {
                let settlement = record.settle(attempt, ending, now, patience);
                match settlement {
                    Settlement::Renewed { slot: Slot::Candidate } => {
                        record.handled(Some(attempt.fingerprint), UpdateOutcome::Proved);
                    }
                    Settlement::CandidateRefused => {
                        record.handled(Some(attempt.fingerprint), UpdateOutcome::Refused);
                    }
                    _ => {}
                }
                Ok::<_, StoreError>(settlement)
            });
            match settled.await {
                Ok(settlement) => break settlement,
                Err(trouble) => {
                    error!(account = %keeping.id, "the vendor's answer cannot be stored yet: {trouble}. {}", trouble.mend());
                    keeping.note_present(|present| present.blocked = Some(trouble.to_string()));
                    tokio::time::sleep(COMMIT_AGAIN).await;
                }
            }
        };
        keeping.note_present(|present| present.blocked = None);
        self.tell(keeping, by, settlement, &ending, was_troubled);
        let code = match &ending {
            Ending::Renewed(_) => Code::Internal,
            Ending::Failed { code, .. } => *code,
        };
        match settlement {
            Settlement::Renewed { slot } => {
                let generation = keeping.record().current.as_ref().map_or(0, |it| it.generation);
                Leg::Landed(Landing::Renewed { slot, generation })
            }
            Settlement::CandidateRefused => Leg::Landed(Landing::CandidateRefused(code)),
            Settlement::FellBack => Leg::FellBack,
            Settlement::InDoubt if matches!(ending, Ending::Failed { class: Class::Ambiguous, .. }) => {
                Leg::InDoubt(code)
            }
            Settlement::ReauthRequired => Leg::failed(keeping.record().dead.map_or(code, |it| it.why)),
            Settlement::InDoubt | Settlement::Failed | Settlement::Superseded => Leg::failed(code),
        }
    }

    fn tell(&self, keeping: &Keeping, by: Trigger, settlement: Settlement, ending: &Ending, was_troubled: bool) {
        let account = &keeping.id;
        let (error, class) = match ending {
            Ending::Failed { code, class, .. } => (Some(*code), Some(*class)),
            Ending::Renewed(_) => (None, None),
        };
        let record = keeping.record();
        match settlement {
            Settlement::Renewed { .. } => {
                let tokens = record.current.as_ref();
                let masked = |it: Option<&Secret>| it.map_or("none".to_owned(), |it| it.masked().to_string());
                let token = masked(tokens.and_then(|it| it.access.as_ref()));
                let refresh_token = masked(tokens.and_then(|it| it.refresh.as_ref()));
                let generation = tokens.map_or(0, |it| it.generation);
                info!(%account, ?by, generation, token, refresh_token, "tokens refreshed");
                if let Ending::Renewed(FreshTokens { refresh: None, .. }) = ending {
                    warn!(%account, "no refresh token came with the answer; the old one stays");
                }
                keeping.happened(EventType::Refreshed, by, None);
                if was_troubled {
                    keeping.happened(EventType::Recovered, by, None);
                }
            }
            Settlement::CandidateRefused => {
                warn!(%account, "the vendor refused the proposed tokens; the grant before them is kept");
                keeping.happened(EventType::UpdateRefused, by, error);
            }
            Settlement::FellBack => {
                warn!(%account, "the vendor refused this refresh token; trying the other one that is held");
            }
            Settlement::ReauthRequired => {
                let why = record.dead.map(|it| it.why);
                match why {
                    Some(Code::RefreshTokenExpired) => {
                        error!(%account, "refresh token has expired: sign in again and give the new tokens");
                    }
                    Some(Code::ReplyLost) => error!(
                        %account,
                        "the reply was lost during rotation: sign in again and give the new tokens"
                    ),
                    _ => {
                        error!(%account, "the vendor refuses the refresh token: sign in again and give the new tokens")
                    }
                }
                keeping.happened(EventType::ReauthRequired, by, why);
            }
            Settlement::InDoubt if error == Some(Code::UnreadableAnswer) && class == Some(Class::Protocol) => {
                error!(%account, "the vendor renewed the tokens in an answer that cannot be read; it is kept, sealed");
                keeping.happened(EventType::UnreadableAnswer, by, error);
            }
            Settlement::InDoubt => {
                warn!(%account, "no usable answer came: the refresh token may be spent");
                keeping.happened(EventType::InDoubt, by, error);
            }
            Settlement::Failed if class == Some(Class::ConfigFault) => {
                error!(%account, "the vendor refuses the application's keys or signature: check app_key, key_id and region");
                keeping.happened(EventType::ConfigFault, by, error);
            }
            Settlement::Failed => keeping.happened(EventType::RefreshFailed, by, error),
            Settlement::Superseded => info!(%account, "a refusal came for tokens that are no longer held"),
        }
    }

    fn block(&self, keeping: &Keeping, why: &str, mend: &str) -> Leg {
        if keeping.present().blocked.is_none() {
            error!(account = %keeping.id, "no token was spent: {why}. {mend}");
        }
        keeping.note_present(|present| present.blocked = Some(why.to_owned()));
        self.hold(keeping, BLOCKED_FOR);
        Leg::failed(Code::Blocked)
    }

    fn hold(&self, keeping: &Keeping, wait: Duration) {
        let until = self.clock.now().checked_add(wait).ok();
        keeping.note_present(|present| present.hold_until = until);
    }
}

/// How one attempt of a flight ended.
enum Leg {
    Landed(Landing),
    /// Another refresh token is left to try.
    FellBack,
    /// The reply was lost; one prompt retry is allowed.
    InDoubt(Code),
}

impl Leg {
    fn failed(code: Code) -> Self {
        Self::Landed(Landing::Failed(code))
    }
}

/// Why an attempt did not begin.
enum Obstacle {
    NothingToSpend,
    NoAccess,
    Store(StoreError),
}

impl From<StoreError> for Obstacle {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}

/// Reads an answer; a parser that panics has not read it, and the vendor may have rotated.
fn read_refresh(keeping: &Keeping, answer: &Answer) -> Result<FreshTokens, VendorError> {
    catch_unwind(AssertUnwindSafe(|| keeping.vendor.read_refresh(answer)))
        .unwrap_or_else(|_| Err(VendorError::new(Class::Protocol, Code::UnreadableAnswer)))
}
