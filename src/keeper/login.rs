//! Signing in: a code is asked for, a login is a flight of its own, and where the user chose it Latchkey signs in by
//! itself. As with a refresh, a process that is killed between any two lines finds on disk what it needs to go on.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tracing::{error, info, warn};

use crate::{
    account::{Class, Code, Credential, EventType, Fingerprint, FreshTokens, HandledLogin, Secret, UnreadLogin},
    store::StoreError,
    vendor::{Answer, SignIn, SignInKind, VendorError, VendorKind},
};

use super::{
    Shared,
    access::CallFailure,
    check_in::tell_captured,
    command::{CommandError, Reply, ReplyData},
    flight::{Errand, Landing},
    keeping::Keeping,
    limits::Purpose,
    notice::Trigger,
    reading::{read, storable},
    update::blocked,
};

/// How long a login that Latchkey does by itself is left alone after it failed, if it may be tried again that soon.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// A login to be done.
pub(super) enum Login {
    Asked(Credential),
    /// With the password that is kept.
    ByItself,
}

/// Why a code is not asked for.
enum NoCode {
    TooSoon(SignedDuration),
    Store(StoreError),
}

impl Shared {
    /// Has the vendor send a code. It is counted on disk before it is asked for.
    pub(super) async fn request_login_code(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Reply {
        let now = self.clock().now();
        match keeping.change(|record| record.request_code(now).map_err(NoCode::TooSoon)).await {
            Ok(()) => {}
            Err(NoCode::TooSoon(wait)) => {
                let seconds = u64::try_from(wait.as_secs() + 1).unwrap_or(1);
                let error = CommandError::too_soon(&keeping.id, Code::TooSoon, seconds);
                return Err(error.because("codes are asked for once a minute and five times a day at most"));
            }
            Err(NoCode::Store(trouble)) => return Err(blocked(keeping, &trouble)),
        }
        let asked = match self.spend_call(keeping, Purpose::Call) {
            Ok(()) => keeping.vendor.request_code().await,
            Err(wait) => Err(VendorError::new(Class::Throttled { retry_after: Some(wait) }, Code::Throttled)),
        };
        match asked {
            Ok(()) => {
                info!(account = %keeping.id, "the vendor sends a login code");
                keeping.happened(EventType::CodeRequested, Trigger::Command, None);
                Ok(ReplyData::CodeRequested { entry_id: keeping.id.clone() })
            }
            Err(failure) => {
                self.heed(keeping, &failure);
                warn!(account = %keeping.id, code = %failure.code, "no login code could be asked for: {failure}");
                let was_never_sent = matches!(failure.code, Code::LoginNotSet | Code::NotSupported | Code::Unreachable);
                if was_never_sent {
                    let uncounted = keeping.change(|record| {
                        record.uncount_code_request(now);
                        Ok::<_, StoreError>(())
                    });
                    // Then it counts, which costs a minute.
                    let _ = uncounted.await;
                }
                Err(self.not_done(keeping, CallFailure::Vendor(failure)))
            }
        }
    }

    /// Signs in once. Whatever else is under way for the account is waited for.
    pub(super) async fn login(self: &Arc<Self>, keeping: &Arc<Keeping>, credential: Credential) -> Reply {
        let fingerprint = self.fingerprint_of(&credential);
        let login = Arc::new(Login::Asked(credential));
        let landing = loop {
            let record = keeping.record();
            if let Some(generation) = record.repeated_login(fingerprint, self.clock().now()) {
                let has_refresh_token = record.current.as_ref().is_some_and(|it| it.refresh.is_some());
                return Ok(ReplyData::LoggedIn { entry_id: keeping.id.clone(), generation, has_refresh_token });
            }
            match self.launch_own(keeping, Errand::Login(login.clone())) {
                Ok(flight) => break flight.land().await,
                Err(other) => drop(other.land().await),
            }
        };
        match landing {
            Landing::LoggedIn { generation, has_refresh_token } => {
                Ok(ReplyData::LoggedIn { entry_id: keeping.id.clone(), generation, has_refresh_token })
            }
            Landing::Failed { code: Code::OutcomeUnknown, .. } => {
                let hint =
                    "Ask for a new code and sign in again; the tokens that are held are tried meanwhile.".to_owned();
                Err(CommandError { hint, ..CommandError::new(Code::OutcomeUnknown, &keeping.id) })
            }
            Landing::Failed { code: Code::Blocked, .. } => {
                let why = keeping.present().blocked.unwrap_or_default();
                Err(CommandError::new(Code::Blocked, &keeping.id).because(why))
            }
            Landing::Failed { code, .. } | Landing::CandidateRefused(code) => Err(CommandError::new(code, &keeping.id)),
            Landing::Renewed { .. } | Landing::CheckedIn => Err(CommandError::new(Code::Internal, &keeping.id)),
        }
    }

    /// The flight of a login: durably begun, sent once, and what it gave on disk before anybody uses it.
    pub(super) async fn sign_in(&self, keeping: &Keeping, login: &Login) -> Landing {
        if self.stopping.is_cancelled() {
            return Landing::grounded(Code::ShuttingDown);
        }
        // Before the code is spent.
        if let Err(landing) = self.is_fit(keeping).await {
            return landing;
        }
        if self.spend_call(keeping, Purpose::Refresh).is_err() {
            return Landing::grounded(Code::Throttled);
        }
        let by_itself = matches!(login, Login::ByItself);
        let by = if by_itself { Trigger::Schedule } else { Trigger::Command };
        let began = keeping.change(|record| {
            // Left by a flight that crashed where the disk did not take it.
            record.find_open_attempt(self.clock().now());
            record.begin_login(by_itself, self.clock().now());
            Ok::<_, StoreError>(record.logins.kept.as_ref().map(|it| it.password.clone()))
        });
        let kept = match began.await {
            Ok(kept) => kept,
            Err(trouble) => return self.blocked_by_disk(keeping, &trouble),
        };
        let with = match (login, &kept) {
            (Login::Asked(credential), _) => SignIn::from(credential),
            (Login::ByItself, Some(kept)) => SignIn::Kept(kept),
            (Login::ByItself, None) => return Landing::grounded(Code::LoginNotSet),
        };
        info!(account = %keeping.id, ?by, "signing in");
        let sent = keeping.vendor.login(with).await;
        let at = self.clock().now();
        keeping.note_present(|present| {
            let is_cut_off = |it: &VendorError| matches!(it.code, Code::Unreachable | Code::NoAnswer);
            present.is_cloud_reached = Some(!sent.as_ref().is_err_and(is_cut_off));
        });
        let (result, body) = match sent {
            Ok(answer) => (read_login(keeping, &answer, login.kind()), storable(keeping, &answer)),
            Err(failure) => (Err(failure), None),
        };
        match result {
            Ok(fresh) => self.signed_in(keeping, login, fresh, body, at).await,
            Err(failure) => self.not_signed_in(keeping, login, failure, body, at).await,
        }
    }

    async fn signed_in(
        &self,
        keeping: &Keeping,
        login: &Login,
        fresh: FreshTokens,
        body: Option<Secret>,
        at: Timestamp,
    ) -> Landing {
        let has_refresh_token = fresh.refresh.is_some();
        let credential = match login {
            Login::Asked(credential) => Some(self.fingerprint_of(credential)),
            Login::ByItself => None,
        };
        let committed = self.commit_at_last(keeping, body.as_ref(), |record| {
            record.sign_in(fresh.clone(), &keeping.policy, at);
            if let Login::Asked(Credential::Password { password, keep }) = login {
                record.keep_login(keep.then(|| keeping.vendor.kept_form(password)).flatten(), at);
            }
            let generation = record.generation;
            record.logins.last =
                credential.map(|credential| HandledLogin { at, credential, generation }).or(record.logins.last);
            generation
        });
        let Some(generation) = committed.await else { return Landing::grounded(Code::ShuttingDown) };
        tell_captured(keeping, fresh.refresh.as_ref(), source(keeping, login));
        keeping.happened(EventType::LoggedIn, login.by(), None);
        if !has_refresh_token {
            // The vendor's own apps show themselves next, and may get one there. If not, nothing is lost.
            self.show_access(keeping).await;
        }
        let has_refresh_token = keeping.record().current.as_ref().is_some_and(|it| it.refresh.is_some());
        Landing::LoggedIn { generation, has_refresh_token }
    }

    async fn not_signed_in(
        &self,
        keeping: &Keeping,
        login: &Login,
        failure: VendorError,
        body: Option<Secret>,
        at: Timestamp,
    ) -> Landing {
        let account = &keeping.id;
        self.heed(keeping, &failure);
        let may_have_happened = matches!(failure.class, Class::Ambiguous | Class::Protocol);
        let is_unread = failure.code == Code::UnreadableAnswer;
        let unread = body.filter(|_| is_unread).map(|body| UnreadLogin { received_at: at, body });
        let committed = self.commit_at_last(keeping, None, |record| {
            record.fail_login(may_have_happened, unread.clone(), at);
            match (login, failure.code) {
                (Login::ByItself, Code::LoginRefused) => record.refuse_kept_login(),
                (Login::ByItself, Code::Unreachable) => record.uncount_kept_login(),
                _ => {}
            }
        });
        committed.await;
        if matches!(login, Login::ByItself) {
            self.hold(keeping, AGAIN_AFTER);
        }
        if failure.class == Class::Protocol {
            error!(%account, "the vendor signed Latchkey in, in an answer that cannot be read; nothing was thrown away");
            keeping.happened(EventType::UnreadableAnswer, login.by(), Some(failure.code));
        } else {
            warn!(%account, code = %failure.code, "not signed in: {failure}");
            if matches!(login, Login::ByItself) {
                // Nobody waits for a reply.
                keeping.happened(EventType::RefreshFailed, login.by(), Some(failure.code));
            }
        }
        if may_have_happened && keeping.record().doubt.is_some() {
            keeping.happened(EventType::InDoubt, login.by(), Some(failure.code));
        }
        Landing::grounded(if failure.class == Class::Ambiguous { Code::OutcomeUnknown } else { failure.code })
    }

    /// Signs in with what is kept, unless something else is under way for the account.
    pub(super) fn login_by_itself(self: &Arc<Self>, keeping: &Arc<Keeping>) {
        // What is in the way plans the account again when it ends.
        let _ = self.launch_own(keeping, Errand::Login(Arc::new(Login::ByItself)));
    }

    /// Reads the answer to a login that an earlier version could not read.
    pub(super) async fn finish_login(&self, keeping: &Keeping) -> Option<Landing> {
        let record = keeping.record();
        let unread = record.logins.unread.clone()?;
        if record.current.as_ref().is_some_and(|it| unread.received_at < it.issued_at) {
            return None;
        }
        let answer = Answer::of(unread.body);
        // A success reads the same whatever it was done with.
        let fresh = read_login(keeping, &answer, SignInKind::Code).ok()?;
        info!(account = %keeping.id, "the answer to a login that was kept can be read now");
        Some(self.signed_in(keeping, &Login::ByItself, fresh, None, unread.received_at).await)
    }

    fn fingerprint_of(&self, credential: &Credential) -> Fingerprint {
        match credential {
            Credential::Code(secret) | Credential::Password { password: secret, .. } => self.fingerprints.of(secret),
        }
    }
}

impl Login {
    fn kind(&self) -> SignInKind {
        match self {
            Self::Asked(credential) => SignIn::from(credential).kind(),
            Self::ByItself => SignInKind::Password,
        }
    }

    fn by(&self) -> Trigger {
        match self {
            Self::Asked(_) => Trigger::Command,
            Self::ByItself => Trigger::Schedule,
        }
    }
}

impl From<StoreError> for NoCode {
    fn from(trouble: StoreError) -> Self {
        Self::Store(trouble)
    }
}

fn read_login(keeping: &Keeping, answer: &Answer, by: SignInKind) -> Result<FreshTokens, VendorError> {
    read(keeping, answer, |answer| keeping.vendor.read_login(answer, by))
}

/// Where tokens came from, in the vendor's words.
fn source(keeping: &Keeping, login: &Login) -> &'static str {
    match (keeping.kind(), login) {
        (VendorKind::Akuvox, Login::Asked(Credential::Code(_))) => "SMS login",
        (VendorKind::Akuvox, _) => "login",
        (VendorKind::Aqara, _) => "getToken",
    }
}
