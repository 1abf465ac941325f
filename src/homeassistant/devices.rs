//! All devices of one Latchkey: the bridge, and an account each.

use std::sync::Arc;

use crate::{
    account::{AccountId, Inventory},
    keeper::Card,
};

use super::{account::account_device, announcement::Announcement, bridge::bridge_device, house::House};

/// What is announced, whatever the accounts' inventories are.
#[derive(Clone, Debug)]
pub struct Devices {
    pub house: House,
    pub accounts: Vec<Arc<Card>>,
}

impl Devices {
    /// The discovery topics of all devices.
    pub fn topics(&self) -> impl Iterator<Item = String> {
        let keys = self.accounts.iter().map(|it| self.house.account_key(&it.id));
        std::iter::once(self.house.bridge_key()).chain(keys).map(|it| self.house.discovery_topic(&it))
    }

    /// The bridge's device, then one for each account, with what is in its inventory now.
    pub fn announcements(&self, inventory: impl Fn(&AccountId) -> Option<Inventory>) -> Vec<Announcement> {
        let device = |card: &Arc<Card>| account_device(&self.house, card, &inventory(&card.id).unwrap_or_default());
        std::iter::once(bridge_device(&self.house)).chain(self.accounts.iter().map(device)).collect()
    }
}
