//! What the simulated Akuvox cloud's answers look like where that differs or is not known.

use serde::{Deserialize, Serialize};

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

/// Which tokens `/servers_list` answers beside the servers (protocol/akuvox.md §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServersListTokens {
    None,
    /// The token that was sent.
    SameToken,
    /// The session's live pair.
    SamePair,
    /// A new pair: the call is a refresh.
    NewPair,
}

/// What kind of account it is. Calls of the web host bear it in their path (protocol/akuvox.md §3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountType {
    Community,
    Single,
}

/// What the web host answers to a path of the other account type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongTypeAnswer {
    /// A list without items.
    Empty,
    /// `code` 1.
    Refused,
    /// Nothing, ever.
    Hangs,
}

/// How the web host writes dates; it differs by region and account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateFormat {
    /// `29-11-2026 17:00:00`.
    DayFirst,
    /// `2026-11-29 17:00:00`.
    YearFirst,
    /// `11-29-2026 05:00:00 PM`.
    MonthFirst,
}

/// How a list of the backend host is wrapped: its reader accepts all of these (protocol/akuvox.md §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogAnswer {
    /// A list and nothing around it.
    Bare,
    /// Below `list`.
    UnderList,
    /// Below `data`, beside `"result": 0`.
    UnderData,
}

impl AccountType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Community => "community",
            Self::Single => "single",
        }
    }
}
