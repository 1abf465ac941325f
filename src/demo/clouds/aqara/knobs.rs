//! The switches of the simulated Aqara cloud (protocol/aqara.md §9 and §11): what nobody outside knows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gateway::MAX_APPS;
use crate::demo::clouds::grants::{RefreshLife, RotationRules};

/// Strict by default, and otherwise as protocol/aqara.md documents it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AqaraKnobs {
    /// How long an access token lives where the login chose nothing else.
    pub token_lifetime_seconds: u64,
    /// The same for tokens that were not fetched by a login but copied from the vendor's console, if they differ.
    pub console_token_lifetime_seconds: Option<u64>,
    /// Whether a refreshed access token lives as long as was chosen at login, or as long as any other.
    pub refresh_keeps_validity: bool,
    /// How long a refresh token outlives its access token.
    pub refresh_outlives_access_seconds: u64,
    /// How long a used refresh token is answered again, with the same successor.
    pub refresh_grace_seconds: u64,
    /// How long a superseded access token still works.
    pub access_grace_seconds: u64,
    /// Whether a used refresh token, presented again, ends the whole login.
    pub replay_revokes_family: bool,
    /// Whether a new login ends the one before.
    pub login_ends_the_one_before: bool,
    /// Whether `expiresIn` is a number instead of a text.
    pub expires_in_as_number: bool,
    /// How far `Time` may be from the cloud's clock, either way; not looked at if none.
    pub time_window_seconds: Option<u64>,
    /// Whether a `Nonce` may be used once only.
    pub reject_replayed_nonce: bool,
    /// The code for an Appid or Keyid that the region does not know: 107, or 2002.
    pub wrong_app_code: i64,
    /// The code for an Appid and a Keyid of two applications: 2002, or 107.
    pub wrong_pair_code: i64,
    /// Over how many of its applications a region's accounts are dealt out, 1 to 4. The keys of one are no use for the
    /// accounts of another.
    pub apps_per_region: usize,
    pub access_refusal: AccessRefusalCode,
    /// The code for a refused refresh, if not 2006 (unknown or used) and 2007 (expired).
    pub refresh_refusal_code: Option<i64>,
    /// Whether a dead Accesstoken on an auth intent, which needs none, is refused.
    pub auth_intents_reject_stale_token: bool,
    /// The code for an unknown scene: 1202, or 716.
    pub unknown_scene_code: i64,
    /// Whether an empty `positionId` lists the scenes of all positions, or none.
    pub empty_position_lists_all: bool,
    pub detail_key: DetailKey,
    /// Whether the answer to `config.auth.getAuthCode` bears the code, which is otherwise 'sent' to the account.
    pub auth_code_in_reply: bool,
    /// The code for a wrong auth code: 811, or 2003.
    pub wrong_auth_code_code: i64,
    /// The code for an auth code that was used or has expired, if not the one for a wrong one: 820.
    pub ended_auth_code_code: Option<i64>,
    /// The shortest time between two auth codes for one account.
    pub auth_code_interval_seconds: u64,
    /// How many calls the window takes; any number if none.
    pub rate_limit_calls: Option<usize>,
    pub rate_limit_window_seconds: u64,
    /// The HTTP status that goes with code 429 once there were too many calls.
    pub rate_limit_status: u16,
    /// The `Retry-After` that goes with it.
    pub rate_limit_retry_after: Option<u64>,
    /// How many calls a project has in a calendar month (UTC); any number if none.
    pub monthly_quota: Option<u64>,
    /// How many calls a project has in all; any number if none.
    pub total_quota: Option<u64>,
    /// How far the vendor's clock is ahead of the right time; behind it if negative.
    pub clock_ahead_seconds: i64,
}

/// The code for an access token that opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessRefusalCode {
    /// 108, whatever the reason, as seen live.
    Gateway,
    /// 2004 if unknown or ended, 2005 if expired.
    Oauth,
}

/// The key of the specific message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DetailKey {
    /// As live answers have it.
    MessageDetail,
    /// As the documents have it.
    MsgDetails,
    Both,
}

impl Default for AqaraKnobs {
    fn default() -> Self {
        Self {
            token_lifetime_seconds: 604_800,
            console_token_lifetime_seconds: None,
            refresh_keeps_validity: true,
            refresh_outlives_access_seconds: 30 * 86_400,
            refresh_grace_seconds: 0,
            access_grace_seconds: 0,
            replay_revokes_family: false,
            login_ends_the_one_before: true,
            expires_in_as_number: false,
            time_window_seconds: Some(300),
            reject_replayed_nonce: false,
            wrong_app_code: 107,
            wrong_pair_code: 2002,
            apps_per_region: 1,
            access_refusal: AccessRefusalCode::Gateway,
            refresh_refusal_code: None,
            auth_intents_reject_stale_token: false,
            unknown_scene_code: 1202,
            empty_position_lists_all: false,
            detail_key: DetailKey::MessageDetail,
            auth_code_in_reply: false,
            wrong_auth_code_code: 811,
            ended_auth_code_code: None,
            auth_code_interval_seconds: 60,
            rate_limit_calls: Some(300),
            rate_limit_window_seconds: 300,
            rate_limit_status: 200,
            rate_limit_retry_after: None,
            monthly_quota: Some(100_000),
            total_quota: Some(2_000_000),
            clock_ahead_seconds: 0,
        }
    }
}

impl AqaraKnobs {
    pub(super) fn rules(&self) -> RotationRules {
        RotationRules {
            access_life: Duration::from_secs(self.token_lifetime_seconds),
            refresh_life: RefreshLife::BeyondAccess(Duration::from_secs(self.refresh_outlives_access_seconds)),
            refresh_grace: Duration::from_secs(self.refresh_grace_seconds),
            access_grace: Duration::from_secs(self.access_grace_seconds),
            replay_revokes_family: self.replay_revokes_family,
            wants_matching_access_token: false,
            refreshes_after_access_expiry: true,
            login_ends_the_one_before: self.login_ends_the_one_before,
            refresh_keeps_chosen_life: self.refresh_keeps_validity,
        }
    }

    /// The applications that have accounts: there are no more than there are.
    pub(super) fn n_apps(&self) -> usize {
        self.apps_per_region.clamp(1, MAX_APPS)
    }
}
