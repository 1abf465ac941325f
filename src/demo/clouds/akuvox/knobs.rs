//! The switches of the simulated Akuvox cloud: what nobody outside knows, and what differs between accounts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shapes::{
    AccountType, DateFormat, LogAnswer, RefreshAnswer, ServersListTokens, TokenValid, WrongTypeAnswer,
};
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
    /// The shortest time from one refresh of a login to the next; no limit was ever seen.
    pub refresh_interval_seconds: u64,
    /// `result`, and `err_code` as text, of a refused access token.
    pub access_refusal_result: i64,
    /// `message` of a refused access token. Others than the usual one are only guessed at by clients.
    pub access_refusal_message: String,
    /// The HTTP status of a refused token, whichever; 200 as far as anybody saw.
    pub refusal_status: u16,
    /// Whether calls without the app's `VBell/` user agent are refused.
    pub require_vbell: bool,
    /// Whether `rest_server_https` is answered as `http://host:port`. The real cloud answers `host:port`, before which
    /// clients put `https://`; this listener speaks plain HTTP, which a client can only learn from the gate's own URL.
    pub rest_server_with_scheme: bool,
    /// How far the vendor's clock is ahead of the right time; behind it if negative.
    pub clock_ahead_seconds: i64,
    /// What another region says of an account and its tokens. The real words are not known.
    pub wrong_region_message: String,
    /// Whether the gate sends SMS codes too, as one client expects.
    pub gate_sends_codes: bool,
    pub sms_code_lifetime_seconds: u64,
    /// The shortest time between two codes for one phone.
    pub sms_interval_seconds: u64,
    /// Whether `sms_login` and `login` answer a refresh token.
    pub logins_bring_refresh_token: bool,
    /// Whether the digits of a family member's login are shifted like its letters.
    pub login_shifts_digits: bool,
    /// Whether `login` refuses `%40` where clients send a bare `@`.
    pub login_refuses_encoded_at: bool,
    /// `err_code` of a refused `login`. The real one is not known.
    pub login_refusal_code: String,
    /// Whether a family member's login ends the owner's session, which otherwise lives on beside it.
    pub family_login_ends_owners: bool,
    pub servers_list_tokens: ServersListTokens,
    /// Whether `servers_list` answers `result` by version 6.8 too.
    pub servers_list_always_has_result: bool,
    /// Whether `/userconf` shows relay ids as numbers.
    pub relay_ids_as_numbers: bool,
    pub account_type: AccountType,
    pub wrong_type_answer: WrongTypeAnswer,
    pub date_format: DateFormat,
    /// The shortest time between two looks at the door log.
    pub door_log_interval_seconds: u64,
    /// The HTTP status of 'Requesting too frequently', of a door log or a refresh.
    pub throttled_status: u16,
    /// Whether version 3 of the door log is still there beside version 4.
    pub has_door_log_v3: bool,
    pub door_log_v4_answer: LogAnswer,
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
            refresh_interval_seconds: 0,
            access_refusal_result: -1,
            access_refusal_message: "token invalid".to_owned(),
            refusal_status: 200,
            require_vbell: false,
            rest_server_with_scheme: false,
            clock_ahead_seconds: 0,
            wrong_region_message: "token invalid".to_owned(),
            gate_sends_codes: false,
            sms_code_lifetime_seconds: 600,
            sms_interval_seconds: 60,
            logins_bring_refresh_token: true,
            login_shifts_digits: true,
            login_refuses_encoded_at: true,
            login_refusal_code: "-1".to_owned(),
            family_login_ends_owners: false,
            servers_list_tokens: ServersListTokens::SameToken,
            servers_list_always_has_result: false,
            relay_ids_as_numbers: false,
            account_type: AccountType::Community,
            wrong_type_answer: WrongTypeAnswer::Empty,
            date_format: DateFormat::DayFirst,
            door_log_interval_seconds: 15,
            throttled_status: 429,
            has_door_log_v3: true,
            door_log_v4_answer: LogAnswer::Bare,
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
            // No Akuvox login chooses one.
            refresh_keeps_chosen_life: true,
        }
    }
}
