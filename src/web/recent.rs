//! What happened lately, for those who come to listen later. It is in memory alone.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    account::{AccountId, shown_time},
    clock::Clock,
    keeper::{Event, Notice},
};

const MOST_EVENTS: usize = 50;

/// The newest events and when each happened, oldest first.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(AccountId, Event, Timestamp)>>);

impl Recent {
    /// Remembers what happens, until the keeper has ended.
    pub(super) async fn listen(&self, mut notices: Receiver<Notice>, clock: Clock) {
        loop {
            match notices.recv().await {
                Ok(Notice::Happened(account, event)) => {
                    let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    events.push_back((account, event, clock.now()));
                    let n_old = events.len().saturating_sub(MOST_EVENTS);
                    events.drain(..n_old);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    pub(super) fn read(&self) -> Vec<Value> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(|(account, event, at)| told(account, event, *at)).collect()
    }
}

/// An event as listeners get it: as by MQTT, with whose it is and when it happened.
pub(super) fn told(account: &AccountId, event: &Event, at: Timestamp) -> Value {
    let mut data = json!(event);
    data["entry_id"] = json!(account);
    data["at"] = json!(shown_time(at));
    data
}
