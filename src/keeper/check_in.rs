//! Checking in: an access token that somebody brought, or that a login gave alone, is shown to the vendor, as its own
//! apps do. It may give others for it, a refresh token among them.

use tracing::{info, warn};

use crate::account::{Class, Code, Secret, UnreadLogin};

use super::{
    Shared,
    flight::Landing,
    keeping::Keeping,
    limits::Purpose,
    reading::{read, storable},
};

impl Shared {
    /// The flight of a check-in: an access token that somebody brought is taken back where the vendor does not accept it.
    pub(super) async fn check_in(&self, keeping: &Keeping) -> Landing {
        let generation = keeping.record().current.as_ref().map(|it| it.generation);
        let landing = self.show_access(keeping).await;
        if let (Landing::Failed { code: Code::AccessRejected, .. }, Some(generation)) = (landing, generation) {
            let at = self.clock().now();
            self.commit_at_last(keeping, None, |record| record.withdraw_access(generation, at)).await;
        }
        landing
    }

    /// Shows the vendor the access token at hand, and takes what it gives for it.
    pub(super) async fn show_access(&self, keeping: &Keeping) -> Landing {
        let record = keeping.record();
        let Some(current) = &record.current else { return Landing::grounded(Code::TokenRequired) };
        let Some(access) = &current.access else { return Landing::grounded(Code::TokenRequired) };
        let Some(shown) = keeping.vendor.check_in(access, current.extras.auth_token.as_ref()).await else {
            return Landing::grounded(Code::NotSupported);
        };
        // It is made, so it counts, whether or not there was room.
        let _ = self.spend_call(keeping, Purpose::Call);
        let at = self.clock().now();
        let (result, body) = match shown {
            Ok(answer) => {
                let read = read(keeping, &answer, |answer| keeping.vendor.read_check_in(answer));
                (read, storable(keeping, &answer))
            }
            Err(failure) => (Err(failure), None),
        };
        match result {
            Ok(fresh) => {
                let refresh = fresh.refresh.clone();
                let checked_in = self.commit_at_last(keeping, body.as_ref(), |record| {
                    record.check_in(fresh.clone(), &keeping.policy, at)
                });
                if checked_in.await == Some(true) {
                    tell_captured(keeping, refresh.as_ref(), "servers_list");
                }
                Landing::CheckedIn
            }
            Err(failure) => {
                warn!(account = %keeping.id, code = %failure.code, "the access token was shown to the vendor: {failure}");
                if let Some(body) = body.filter(|_| failure.class == Class::Protocol) {
                    // It may hold tokens, as the answer to a login does.
                    let unread = UnreadLogin { received_at: at, body };
                    self.commit_at_last(keeping, None, |record| record.fail_login(false, Some(unread.clone()), at))
                        .await;
                }
                Landing::grounded(failure.code)
            }
        }
    }
}

/// Says where tokens came from, and warns where no refresh token did.
pub(super) fn tell_captured(keeping: &Keeping, refresh: Option<&Secret>, source: &str) {
    match refresh {
        Some(refresh) => {
            info!(account = %keeping.id, token = %refresh.masked(), "Refresh token captured and stored from {source}");
        }
        None => {
            warn!(account = %keeping.id, "No refresh token came from {source}: the login ends with its access token")
        }
    }
}
