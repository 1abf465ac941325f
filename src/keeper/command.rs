//! What anybody may ask of the keeper, whichever edge it came by, and what is answered.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::account::{AccountId, Code, Credential, Proposal, Status, Target, UpdateOutcome, rfc3339};

/// One request. It means the same by MQTT, HTTP and the command line.
#[derive(Clone, Debug)]
pub enum Command {
    UpdateTokens {
        entry_id: AccountId,
        proposal: Proposal,
    },
    RefreshTokens {
        entry_id: AccountId,
    },
    /// `scene`: a configured name or a vendor's scene id.
    TriggerScene {
        entry_id: AccountId,
        scene: String,
    },
    /// `door`: as a scene. It is opened at most once.
    OpenDoor {
        entry_id: AccountId,
        door: String,
    },
    /// Asks the vendor.
    ListScenes {
        entry_id: AccountId,
    },
    /// Has the vendor send a code to the configured phone or address.
    RequestLoginCode {
        entry_id: AccountId,
    },
    Login {
        entry_id: AccountId,
        credential: Credential,
    },
    /// Lays everything that is held aside, sealed, for 30 days.
    Forget {
        entry_id: AccountId,
    },
    /// Brings back what was forgotten.
    Recall {
        entry_id: AccountId,
    },
    Status {
        entry_id: AccountId,
    },
}

/// What is answered: exactly one for each command.
pub type Reply = Result<ReplyData, CommandError>;

/// What was done. No type here holds a secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ReplyData {
    Updated {
        entry_id: AccountId,
        outcome: UpdateOutcome,
        generation: u64,
    },
    Refreshed {
        entry_id: AccountId,
        generation: u64,
    },
    Triggered {
        entry_id: AccountId,
        scene: String,
    },
    Opened {
        entry_id: AccountId,
        door: String,
    },
    Scenes {
        entry_id: AccountId,
        scenes: Vec<Target>,
    },
    /// The vendor was asked for a code, and said that it is on its way.
    CodeRequested {
        entry_id: AccountId,
    },
    LoggedIn {
        entry_id: AccountId,
        generation: u64,
        /// Without one the login lasts as long as its access token.
        has_refresh_token: bool,
    },
    Forgotten {
        entry_id: AccountId,
        /// Until when it can be brought back.
        #[serde(serialize_with = "rfc3339")]
        until: Option<Timestamp>,
    },
    Recalled {
        entry_id: AccountId,
        generation: u64,
    },
    Status {
        entry_id: AccountId,
        #[serde(flatten)]
        status: Box<Status>,
    },
}

/// Why nothing was done, for a user: what happened, to which account, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    pub code: Code,
    pub message: String,
    pub hint: String,
    /// With `too_soon` and `throttled`: seconds to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Command {
    pub fn entry_id(&self) -> &AccountId {
        match self {
            Self::UpdateTokens { entry_id, .. }
            | Self::RefreshTokens { entry_id }
            | Self::TriggerScene { entry_id, .. }
            | Self::OpenDoor { entry_id, .. }
            | Self::ListScenes { entry_id }
            | Self::RequestLoginCode { entry_id }
            | Self::Login { entry_id, .. }
            | Self::Forget { entry_id }
            | Self::Recall { entry_id }
            | Self::Status { entry_id } => entry_id,
        }
    }
}

impl CommandError {
    /// The sentence and the mend for a code. `whom`: the account, or what stands for one in the request.
    pub fn new(code: Code, whom: impl fmt::Display) -> Self {
        let (message, hint) = words(code);
        Self { code, message: format!("{whom}: {message}"), hint: hint.to_owned(), retry_after: None }
    }

    pub fn too_soon(whom: &AccountId, code: Code, seconds: u64) -> Self {
        let hint = format!("Try again in {seconds} seconds.");
        Self { hint, retry_after: Some(seconds), ..Self::new(code, whom) }
    }

    /// Adds what is particular to this case to the message.
    pub fn because(mut self, detail: impl fmt::Display) -> Self {
        self.message = format!("{} ({detail})", self.message);
        self
    }
}

fn words(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::NotUtf8 => ("the payload is not UTF-8 text", "Send JSON, or the bare value."),
        Code::NotJson => ("the payload is not a JSON object", "Send a JSON object, {} where there are no arguments."),
        Code::WrongType => ("a field has the wrong type", "Tokens, names and ids are JSON strings."),
        Code::UnknownField => ("the payload has a field that this command does not know", "Check the spelling."),
        Code::MissingField => ("the payload lacks a field", "update_tokens needs token or refresh_token or both."),
        Code::ForbiddenCharacter => {
            ("a token has a character that tokens do not have", "Paste it without line breaks.")
        }
        Code::TooLarge => ("the payload is too large", "A command has at most 64 KiB."),
        Code::UnknownAccount => ("there is no account of this id", "Use an id that stands under [accounts]."),
        Code::UnknownScene => ("there is no scene of this name", "Name it under the account's scenes, or give its id."),
        Code::UnknownDoor => {
            ("there is no door of this name", "Give its key, its id, or a name that only one door has.")
        }
        Code::DoorsOff => (
            "the doors of this account are not Latchkey's to open",
            "Set `doors = true` for the account, if you want that.",
        ),
        Code::NotSupported => ("this vendor has no such thing", "Use an account of another vendor."),
        Code::Retained => {
            ("a retained command is not carried out", "Publish it again without the retain flag; it was cleared.")
        }
        Code::TooLate => (
            "the broker kept this command while Latchkey was away; it is not done late",
            "Send it again if it is still meant.",
        ),
        Code::NoRefreshToken => ("no refresh token configured", "Give one with update_tokens."),
        Code::TokenRequired => (
            "this vendor needs the access token to refresh, and none is held",
            "Give token and refresh_token together.",
        ),
        Code::AlreadySpent => {
            ("this refresh token was spent already; nothing was changed", "Sign in again and give the new pair.")
        }
        Code::TokenInUse => {
            ("another account holds this refresh token", "Sign in once for each account: a shared token kills itself.")
        }
        Code::TooSoon => ("it was refreshed a moment ago", "Wait a little."),
        Code::NotForgotten => {
            ("there is nothing that could be brought back", "Give tokens with update_tokens, or sign in.")
        }
        Code::LoginNotSet => (
            "who is to sign in is not configured",
            "Akuvox: set `dial_code` and `phone`, or `user`. Aqara: set `login`. Then try again.",
        ),
        Code::WrongCode => (
            "the vendor does not accept the code: it is mistyped, used or too old",
            "Send request_login_code again, and give the new code.",
        ),
        Code::LoginRefused => {
            ("the vendor does not accept this login", "Check the phone number, or the user and the password.")
        }
        Code::Unreachable => ("the vendor's cloud could not be reached", "Nothing was lost; Latchkey keeps trying."),
        Code::NoAnswer => {
            ("the vendor's cloud gave no answer", "Latchkey tries again; if the reply was lost, the login may be.")
        }
        Code::VendorBusy => {
            ("the vendor's cloud has a fault of its own", "Nothing was thrown away; Latchkey tries again.")
        }
        Code::Throttled => ("the vendor asks for fewer calls", "Latchkey waits as long as it was told to."),
        Code::AccessRejected => ("the vendor does not accept the access token", "Latchkey refreshes it; try again."),
        Code::RefreshRefused => (
            "the vendor does not accept the refresh token",
            "Sign in again and give the new tokens with update_tokens.",
        ),
        Code::RefreshTokenExpired => {
            ("refresh token has expired", "Sign in again and give the new tokens with update_tokens.")
        }
        Code::ReplyLost => (
            "the reply was lost during rotation, and the refresh token is dead",
            "Sign in again and give the new tokens with update_tokens.",
        ),
        Code::SignedInElsewhere => (
            "the vendor does not accept the refresh token any more; it seems that somebody else refreshed or signed in with \
             this login",
            "Sign in again, best with a login of Latchkey's own that the phone's app does not use.",
        ),
        Code::ConfigFault => (
            "the vendor does not accept the application's keys or signature; the tokens are untouched",
            "Check app_key, key_id, region and this machine's clock.",
        ),
        Code::ClockSkew => {
            ("this machine's clock and the vendor's differ too much", "Set the clock, by NTP for example.")
        }
        Code::TargetRefused => ("the vendor does not know the target, or will not act on it", "Check its id."),
        Code::UnreadableAnswer => (
            "the vendor's answer could not be read; it is kept, sealed, and nothing was thrown away",
            "Update Latchkey, or sign in again and give the new tokens with update_tokens.",
        ),
        Code::OutcomeUnknown => {
            ("no answer came, so it may have happened or not", "Look before you try again: it is not repeated for you.")
        }
        Code::Blocked => {
            ("this machine's disk or clock stands in the way; no token was spent", "See the log for what to mend.")
        }
        Code::Busy => ("more commands are being carried out than there is room for", "Send it again in a moment."),
        Code::ShuttingDown => ("Latchkey is stopping", "Send it again when it is back."),
        Code::Internal => ("something went wrong inside Latchkey", "Nothing was thrown away; see the log."),
    }
}
