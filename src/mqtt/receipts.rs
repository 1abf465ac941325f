//! The acknowledgements that we owe the broker, in the order in which it wants them.

use std::collections::VecDeque;

use super::message::AckToken;

/// Messages of one connection that are not acknowledged yet, oldest first. MQTT 5 §4.6 wants acknowledgements in the
/// order of the messages, so one that comes early waits here for those before it.
#[derive(Default)]
pub(super) struct Receipts {
    /// The number of the first open one. It never goes back, so a token of an older connection matches nothing.
    first: u64,
    open: VecDeque<Receipt>,
}

struct Receipt {
    packet_id: u16,
    is_acknowledged: bool,
}

impl Receipts {
    pub(super) fn open(&mut self, packet_id: u16) -> AckToken {
        self.open.push_back(Receipt { packet_id, is_acknowledged: false });
        AckToken { number: self.first + self.open.len() as u64 - 1 }
    }

    pub(super) fn acknowledge(&mut self, token: AckToken) {
        let index = token.number.checked_sub(self.first).and_then(|it| usize::try_from(it).ok());
        if let Some(receipt) = index.and_then(|it| self.open.get_mut(it)) {
            receipt.is_acknowledged = true;
        }
    }

    /// Gives the packet ids that may be acknowledged now to `send`, until it says that it takes no more.
    pub(super) fn settle(&mut self, mut send: impl FnMut(u16) -> bool) {
        while let Some(receipt) = self.open.front()
            && receipt.is_acknowledged
            && send(receipt.packet_id)
        {
            self.open.pop_front();
            self.first += 1;
        }
    }

    /// The connection is gone, and with it every debt: the broker delivers again.
    pub(super) fn forget(&mut self) {
        self.first += self.open.len() as u64;
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(receipts: &mut Receipts) -> Vec<u16> {
        let mut sent = Vec::new();
        receipts.settle(|packet_id| {
            sent.push(packet_id);
            true
        });
        sent
    }

    #[test]
    fn acknowledgements_go_out_in_the_order_of_the_messages() {
        let mut receipts = Receipts::default();
        let tokens = [5, 6, 7].map(|it| receipts.open(it));
        receipts.acknowledge(tokens[1]);
        assert!(settled(&mut receipts).is_empty());
        receipts.acknowledge(tokens[0]);
        assert_eq!(settled(&mut receipts), [5, 6]);
        receipts.acknowledge(tokens[2]);
        assert_eq!(settled(&mut receipts), [7]);
    }

    #[test]
    fn a_token_works_once_and_on_its_own_connection_only() {
        let mut receipts = Receipts::default();
        let old = receipts.open(1);
        receipts.forget();
        let new = receipts.open(1);
        receipts.acknowledge(old);
        assert!(settled(&mut receipts).is_empty());
        receipts.acknowledge(new);
        assert_eq!(settled(&mut receipts), [1]);
        receipts.open(1);
        receipts.acknowledge(new);
        assert!(settled(&mut receipts).is_empty());
    }

    #[test]
    fn what_the_connection_does_not_take_is_offered_again() {
        let mut receipts = Receipts::default();
        let token = receipts.open(1);
        receipts.acknowledge(token);
        receipts.settle(|_| false);
        assert_eq!(settled(&mut receipts), [1]);
    }
}
