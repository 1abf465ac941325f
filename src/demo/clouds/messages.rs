//! The codes that a cloud sent to its residents, by SMS or e-mail: nobody else gets to read them.

use std::collections::VecDeque;

use serde::Serialize;

const MAX_MESSAGES: usize = 1_000;

/// One code on its way.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    pub account: usize,
    /// A telephone number or an e-mail address.
    pub to: String,
    pub code: String,
    /// RFC 3339 in UTC, by the cloud's clock.
    pub sent_at: String,
}

/// The newest 1,000, oldest first.
#[derive(Default)]
pub struct Messages(VecDeque<Message>);

impl Messages {
    pub fn send(&mut self, message: Message) {
        if self.0.len() == MAX_MESSAGES {
            self.0.pop_front();
        }
        self.0.push_back(message);
    }

    pub(super) fn read(&self) -> Vec<Message> {
        self.0.iter().cloned().collect()
    }
}
