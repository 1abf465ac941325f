//! A refresh on its way: one for an account at a time, in a task of its own, whoever asked and whoever still waits.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::watch;
use tracing::error;

use crate::{
    account::{AmbiguousPolicy, Class, Code, Ending, EventType, Patience, Slot},
    store::StoreError,
};

use super::{Shared, attempt::Leg, keeping::Keeping, limits::Purpose, login::Login, notice::Trigger};

/// How long a flight keeps others waiting for their turn at its host. What hangs is let hang, beside them.
pub(super) const LONGEST_TURN: Duration = Duration::from_secs(5);
/// The prompt second try after a lost reply: grace windows are short where they exist.
const PROMPT: Duration = Duration::from_secs(1);
/// What ended and is due again at once waits all the same, so that nothing runs hot.
const BREATHER: Duration = Duration::from_secs(60);

/// A handle to a running flight; clones wait for the same one.
#[derive(Clone)]
pub(super) struct Flight(watch::Receiver<Option<Landing>>);

/// What a flight is for.
#[derive(Clone)]
pub(super) enum Errand {
    Refresh(Trigger),
    /// To read an answer that an earlier version could not read. Asks the vendor nothing.
    FinishUnread,
    Login(Arc<Login>),
    /// To show the vendor an access token that a user brought.
    CheckIn,
}

/// What came of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    Renewed {
        slot: Slot,
        generation: u64,
    },
    /// A login gave a new grant.
    LoggedIn {
        generation: u64,
        has_refresh_token: bool,
    },
    /// The vendor accepts an access token that was brought; it may have given others for it.
    CheckedIn,
    /// Proposed tokens were refused; the grant before them is untouched.
    CandidateRefused(Code),
    /// No new tokens. `slot`: whose refresh token was sent last; none where none was.
    Failed {
        code: Code,
        slot: Option<Slot>,
    },
}

impl Landing {
    /// Nothing was sent.
    pub(super) fn grounded(code: Code) -> Self {
        Self::Failed { code, slot: None }
    }
}

impl Flight {
    /// Waits for its end.
    pub(super) async fn land(mut self) -> Landing {
        match self.0.wait_for(Option::is_some).await {
            Ok(landing) => landing.unwrap_or(Landing::grounded(Code::Internal)),
            // Its task is gone without a word: the attempt stays open on disk and is found at the next start.
            Err(_) => Landing::grounded(Code::Internal),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.borrow().is_none() && self.0.has_changed().is_ok()
    }
}

impl Shared {
    /// Joins the flight of this account that is under way, or starts a refresh.
    pub(super) fn refresh(self: &Arc<Self>, keeping: &Arc<Keeping>, by: Trigger) -> Flight {
        match self.launch(keeping, Errand::Refresh(by), || Ok::<_, Infallible>(())) {
            Ok(flight) => flight,
            Err(never) => match never {},
        }
    }

    /// Joins the flight of this account that is under way, or starts one if `may_start` does not object.
    ///
    /// The objection is asked for while nothing else can start or land, so that of many who ask at once one starts.
    pub(super) fn launch<E>(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        errand: Errand,
        may_start: impl FnOnce() -> Result<(), E>,
    ) -> Result<Flight, E> {
        let mut flight = keeping.heart.doings().flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = flight.as_ref().filter(|it| it.is_running()) {
            return Ok(running.clone());
        }
        may_start()?;
        Ok(flight.insert(self.start(keeping, errand)).clone())
    }

    /// Starts a flight of one's own, or gives the one that is in the way.
    pub(super) fn launch_own(self: &Arc<Self>, keeping: &Arc<Keeping>, errand: Errand) -> Result<Flight, Flight> {
        let mut flight = keeping.heart.doings().flight.lock().unwrap_or_else(PoisonError::into_inner);
        match flight.as_ref().filter(|it| it.is_running()) {
            Some(running) => Err(running.clone()),
            None => Ok(flight.insert(self.start(keeping, errand)).clone()),
        }
    }

    fn start(self: &Arc<Self>, keeping: &Arc<Keeping>, errand: Errand) -> Flight {
        self.common.desk.open(&keeping.heart);
        let (landing, handle) = watch::channel(None);
        let started = Flight(handle);
        let (shared, keeping) = (self.clone(), keeping.clone());
        // In a box: a task lies at a multiple of 128 bytes, and where a big one was the allocator has no room for the next.
        self.tasks.spawn(Box::pin(async move {
            // What a panic leaves half done is the flight's own: a record is replaced as a whole.
            let flown = AssertUnwindSafe(shared.fly(&keeping, errand.clone())).catch_unwind();
            let landed = match flown.await {
                Ok(landed) => landed,
                Err(_) => shared.crashed(&keeping, &errand).await,
            };
            // In this order: whoever is taken from the agenda until here joins this flight, and is planned again below.
            landing.send_replace(Some(landed));
            shared.replan(&keeping);
            keeping.heart.forget_landed();
            // As it is configured now, if it still is.
            if let Some(keeping) = shared.kept(&keeping.id) {
                shared.look_at_inventory(&keeping, landed);
            }
        }));
        started
    }

    /// The flight that is under way, if there is one.
    pub(super) fn running(&self, keeping: &Keeping) -> Option<Flight> {
        let flight = keeping.heart.doings().flight.lock().unwrap_or_else(PoisonError::into_inner).clone();
        flight.filter(Flight::is_running)
    }

    pub(super) fn patience(&self, keeping: &Keeping) -> Patience {
        Patience { back_off: keeping.policy.back_off, chance: fastrand::f64() }
    }

    async fn fly(&self, keeping: &Keeping, errand: Errand) -> Landing {
        if let Errand::FinishUnread = errand {
            return self.finish_unread(keeping).await;
        }
        // Not given back before a prompt retry, which so does not queue behind other accounts.
        let turn = tokio::select! {
            turn = self.limits.turn_at(keeping.vendor.host(), Purpose::Refresh) => turn,
            () = self.stopping.cancelled() => None,
        };
        if turn.is_none() {
            return Landing::grounded(Code::ShuttingDown);
        }
        let flown = async {
            match errand {
                Errand::Refresh(by) => self.legs(keeping, by).await,
                Errand::Login(login) => self.sign_in(keeping, &login).await,
                Errand::CheckIn => self.check_in(keeping).await,
                Errand::FinishUnread => Landing::grounded(Code::Internal),
            }
        };
        tokio::pin!(flown);
        tokio::select! {
            landing = &mut flown => return landing,
            () = tokio::time::sleep(LONGEST_TURN) => drop(turn),
        }
        flown.await
    }

    /// One attempt, a prompt second one after a lost reply, and those of what there is to fall back to.
    async fn legs(&self, keeping: &Keeping, by: Trigger) -> Landing {
        let mut has_retried = false;
        loop {
            match self.leg(keeping, by).await {
                Leg::Landed(landing) => return landing,
                Leg::FellBack => has_retried = false,
                Leg::InDoubt { code, slot, was_in_doubt } => {
                    let is_prompt = keeping.policy.ambiguous == AmbiguousPolicy::RetryOnce;
                    if has_retried || was_in_doubt || !is_prompt || !self.pause(PROMPT).await {
                        return Landing::Failed { code, slot: Some(slot) };
                    }
                    has_retried = true;
                }
            }
        }
    }

    /// Waits, unless Latchkey stops: then it returns false at once.
    async fn pause(&self, span: Duration) -> bool {
        tokio::select! {
            () = self.clock().rest(span) => !self.stopping.is_cancelled(),
            () = self.stopping.cancelled() => false,
        }
    }

    /// A fault of ours ended the task: its request may have been sent.
    async fn crashed(&self, keeping: &Keeping, errand: &Errand) -> Landing {
        error!(account = %keeping.id, "a refresh or login ended by a fault inside Latchkey");
        let (now, patience) = (self.clock().now(), self.patience(keeping));
        let settled = keeping.change(|record| {
            record.find_open_login(now);
            let open = record.attempt.clone();
            if let Some(attempt) = &open {
                let ending = Ending::Failed { class: Class::Ambiguous, code: Code::Internal, body: None };
                record.settle(attempt, ending, now, patience);
            }
            Ok::<_, StoreError>(open.map(|it| it.slot))
        });
        let slot = match settled.await {
            Ok(slot) => slot,
            Err(trouble) => {
                error!(account = %keeping.id, "the doubt cannot be stored: {trouble}. {}", trouble.mend());
                None
            }
        };
        if let (Some(_), Errand::Refresh(by)) = (slot, errand) {
            keeping.happened(EventType::InDoubt, *by, Some(Code::Internal));
        }
        Landing::Failed { code: Code::Internal, slot }
    }

    /// Back on the agenda.
    fn replan(&self, keeping: &Keeping) {
        let now = self.clock().now();
        if keeping.next_look(now).is_some_and(|it| it <= now) {
            self.hold(keeping, BREATHER);
        }
        self.plan(&keeping.id);
    }
}
