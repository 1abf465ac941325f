//! What the keeper tells the edges.

use serde::Serialize;

use crate::account::{AccountId, Code, EventType};

/// Something changed or happened. Edges ask the keeper for the state itself, so a missed notice costs nothing.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The account's status may read differently now.
    Changed(AccountId),
    /// Its doors or scenes may be others now.
    Inventory(AccountId),
    Happened(AccountId, Event),
    /// Others are kept than before, or some are configured otherwise.
    Accounts,
}

/// One event of an account, as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    pub event_type: EventType,
    pub by: Trigger,
    pub generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Code>,
}

/// Who asked for a refresh, or what else brought it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Schedule,
    Command,
    /// New tokens are to be proved.
    Update,
    /// A call found the access token rejected, ended or missing.
    Call,
    /// Latchkey found it when it started.
    Start,
}
