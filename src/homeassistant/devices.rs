//! All devices of one Latchkey: the bridge, and an account each.

use crate::account::{AccountId, Inventory};

use super::{
    account::{AccountCard, account_device},
    announcement::Announcement,
    bridge::bridge_device,
    house::House,
};

/// What is announced, whatever the accounts' inventories are.
#[derive(Clone, Debug)]
pub struct Devices {
    pub house: House,
    pub accounts: Vec<AccountCard>,
}

impl Devices {
    /// The bridge's device, then one for each account, with what is in its inventory now.
    pub fn announcements(&self, inventory: impl Fn(&AccountId) -> Option<Inventory>) -> Vec<Announcement> {
        let device = |card: &AccountCard| account_device(&self.house, card, &inventory(&card.id).unwrap_or_default());
        std::iter::once(bridge_device(&self.house)).chain(self.accounts.iter().map(device)).collect()
    }
}
