//! What happens to an account and is worth telling.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    Refreshed,
    RefreshFailed,
    InDoubt,
    ReauthRequired,
    TokensUpdated,
    UpdateRefused,
    Recovered,
    ConfigFault,
    UnreadableAnswer,
}
