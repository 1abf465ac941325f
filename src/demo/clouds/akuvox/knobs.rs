//! The switches of the simulated Akuvox cloud: what nobody outside knows, and what differs between accounts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::demo::clouds::grants::{RefreshLife, RotationRules};

/// Strict by default, and otherwise as protocol/akuvox.md documents it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AkuvoxKnobs {
    /// How long an access token lives.
    pub token_lifetime_seconds: u64,
    /// How long a refresh token lives from its issue; unlimited if none, since no end was ever seen.
    pub refresh_lifetime_seconds: Option<u64>,
    /// How long a used refresh token is answered again, with the same successor.
    pub refresh_grace_seconds: u64,
    /// How long a superseded access token still works.
    pub access_grace_seconds: u64,
    /// Whether a used refresh token, presented again, ends the whole login.
    pub replay_revokes_family: bool,
    /// Whether a refresh must bear the access token that was issued with its refresh token.
    pub refresh_wants_matching_token: bool,
    /// Whether an access token that has ended can still be refreshed.
    pub refresh_after_access_expiry: bool,
    pub refresh_answer: RefreshAnswer,
    pub token_valid: TokenValid,
    /// `err_code` of a refused refresh. The real one is not known.
    pub refusal_code: String,
    /// `message` of a refused refresh. The real one is not known.
    pub refusal_message: String,
    /// Whether calls without the app's `VBell/` user agent are refused.
    pub require_vbell: bool,
    /// Whether `rest_server_https` is answered as `http://host:port`. The real cloud answers `host:port`, before which
    /// clients put `https://`; this listener speaks plain HTTP, which a client can only learn from the gate's own URL.
    pub rest_server_with_scheme: bool,
}

/// The shape of what `/refresh_token` answers (protocol/akuvox.md §2 and §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshAnswer {
    /// `datas`, `err_code` and `message`, and no `result`.
    Documented,
    /// The same and `"result": 0`.
    WithResult,
    /// `err_code` as a number.
    IntErrCode,
    /// The pair below `data`.
    UnderData,
    /// The pair below `result`.
    UnderResult,
    /// No `refresh_token`: the old one stays in force.
    MissingRefreshToken,
}

/// What `/refresh_token` answers as `token_valid`, whatever the real lifetime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenValid {
    /// The seconds as text, as documented.
    Text,
    Number,
    /// `"0"`.
    Zero,
    Missing,
    /// More seconds than there are in the calendar.
    Absurd,
}

impl Default for AkuvoxKnobs {
    fn default() -> Self {
        Self {
            token_lifetime_seconds: 604_800,
            refresh_lifetime_seconds: None,
            refresh_grace_seconds: 0,
            access_grace_seconds: 0,
            replay_revokes_family: false,
            refresh_wants_matching_token: true,
            refresh_after_access_expiry: true,
            refresh_answer: RefreshAnswer::Documented,
            token_valid: TokenValid::Text,
            refusal_code: "-1".to_owned(),
            refusal_message: "refresh token invalid".to_owned(),
            require_vbell: false,
            rest_server_with_scheme: false,
        }
    }
}

impl AkuvoxKnobs {
    pub(super) fn rules(&self) -> RotationRules {
        RotationRules {
            access_life: Duration::from_secs(self.token_lifetime_seconds),
            refresh_life: self
                .refresh_lifetime_seconds
                .map_or(RefreshLife::Unlimited, |it| RefreshLife::FromIssue(Duration::from_secs(it))),
            refresh_grace: Duration::from_secs(self.refresh_grace_seconds),
            access_grace: Duration::from_secs(self.access_grace_seconds),
            replay_revokes_family: self.replay_revokes_family,
            wants_matching_access_token: self.refresh_wants_matching_token,
            refreshes_after_access_expiry: self.refresh_after_access_expiry,
            login_ends_the_one_before: true,
        }
    }
}
