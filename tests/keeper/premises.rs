//! Doors and scenes that a test puts up, in place of those that a cloud has: what is listed and opened, and what goes
//! wrong there. Tokens and refreshes stay the cloud's.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use latchkey::{
    account::{Class, Code, Inventory, Secret, Target},
    clock::Clock,
    keeper::{Command, Notice, Reply},
    vendor::{Budget, Toll, Vendor, VendorError},
};
use tokio::sync::watch;

use super::{
    bench::{Bench, DAY, House, id, in_time},
    doubles::Altered,
};

pub(crate) struct Premises {
    clock: Clock,
    pub(crate) budget: Option<Budget>,
    inventory: Mutex<Inventory>,
    listing_failures: Mutex<VecDeque<VendorError>>,
    opening_failures: Mutex<VecDeque<VendorError>>,
    /// When each listing was asked for, failed ones too.
    listings: watch::Sender<Vec<Timestamp>>,
    /// The door and the access token of each opening that was tried.
    openings: Mutex<Vec<(String, Secret)>>,
}

impl Premises {
    pub(crate) fn new(bench: &Bench, inventory: Inventory) -> Arc<Self> {
        Self::with_budget(bench, inventory, None)
    }

    pub(crate) fn with_budget(bench: &Bench, inventory: Inventory, budget: Option<Budget>) -> Arc<Self> {
        Arc::new(Self {
            clock: bench.clock.clone(),
            budget,
            inventory: Mutex::new(inventory),
            listing_failures: Mutex::default(),
            opening_failures: Mutex::default(),
            listings: watch::Sender::default(),
            openings: Mutex::default(),
        })
    }

    /// A keeper of these accounts, all of which have these premises.
    pub(crate) fn start(self: &Arc<Self>, bench: &Bench, names: &[&str]) -> House {
        bench.start_on(bench.open().1, names, |_, vendor| self.at(vendor))
    }

    /// As [`Bench::settled`], and everything is listed.
    pub(crate) async fn settled(self: &Arc<Self>, bench: &Bench, names: &[&str]) -> House {
        let mut house = self.start(bench, names);
        let brings_some = *self.inventory.lock().unwrap() != Inventory::default();
        for (n, name) in names.iter().enumerate() {
            house.update(name, bench.pair_of(name)).await.unwrap();
            self.until_listed(n + 1).await;
            if brings_some {
                house.until_inventory_told(name).await;
            }
        }
        house.forget_notices();
        bench.hand.advance(DAY);
        house
    }

    /// A keeper whose account has new tokens, and whose first listing failed a moment ago.
    pub(crate) async fn unlisted(self: &Arc<Self>, bench: &Bench, name: &str) -> House {
        self.fail_to_list([unreachable()]);
        let house = self.start(bench, &[name]);
        house.update(name, bench.pair_of(name)).await.unwrap();
        self.until_listed(1).await;
        house
    }

    pub(crate) fn put_up(&self, inventory: Inventory) {
        *self.inventory.lock().unwrap() = inventory;
    }

    /// The next listings fail in these ways.
    pub(crate) fn fail_to_list(&self, failures: impl IntoIterator<Item = VendorError>) {
        self.listing_failures.lock().unwrap().extend(failures);
    }

    /// The next openings fail in these ways.
    pub(crate) fn fail_to_open(&self, failures: impl IntoIterator<Item = VendorError>) {
        self.opening_failures.lock().unwrap().extend(failures);
    }

    pub(crate) fn n_listings(&self) -> usize {
        self.listings.borrow().len()
    }

    pub(crate) fn listings(&self) -> Vec<Timestamp> {
        self.listings.borrow().clone()
    }

    /// Waits until so many listings were asked for.
    pub(crate) async fn until_listed(&self, n: usize) {
        in_time(self.listings.subscribe().wait_for(|it| n <= it.len())).await.unwrap();
    }

    pub(crate) fn openings(&self) -> Vec<(String, Secret)> {
        self.openings.lock().unwrap().clone()
    }

    fn at(self: &Arc<Self>, vendor: Arc<dyn Vendor>) -> Arc<dyn Vendor> {
        let (here, there) = (self.clone(), self.clone());
        let altered = Altered::new(vendor)
            .listing_by(move |_, toll| here.list(toll))
            .opening_by(move |access, door| there.open(access, door));
        Arc::new(match &self.budget {
            Some(budget) => altered.with_budget(budget.clone()),
            None => altered,
        })
    }

    fn list(&self, toll: &dyn Toll) -> Result<Inventory, VendorError> {
        toll.take()?;
        self.listings.send_modify(|it| it.push(self.clock.now()));
        match self.listing_failures.lock().unwrap().pop_front() {
            Some(failure) => Err(failure),
            None => Ok(self.inventory.lock().unwrap().clone()),
        }
    }

    fn open(&self, access: &Secret, door: &str) -> Result<(), VendorError> {
        self.openings.lock().unwrap().push((door.to_owned(), access.clone()));
        self.opening_failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

impl House {
    pub(crate) async fn open(&self, name: &str, door: &str) -> Reply {
        in_time(self.keeper.ask(Command::OpenDoor { entry_id: id(name), door: door.to_owned() })).await
    }

    pub(crate) async fn list_scenes(&self, name: &str) -> Reply {
        in_time(self.keeper.ask(Command::ListScenes { entry_id: id(name) })).await
    }

    pub(crate) fn inventory(&self, name: &str) -> Inventory {
        self.keeper.inventory(&id(name)).unwrap()
    }

    /// Waits for the word that an account's doors or scenes changed.
    pub(crate) async fn until_inventory_told(&mut self, name: &str) {
        self.until_notice(|it| matches!(it, Notice::Inventory(account) if *account == id(name))).await;
    }
}

/// Two doors, and a third whose name is that of the second.
pub(crate) fn doors() -> Inventory {
    let doors = [("0C1105AABBCC/0", "Gate"), ("0C1105AABBCC/1", "Garage"), ("0C1105AABBDD/0", "Garage")];
    let doors = doors.map(|(id, name)| Target::discovered(id, name)).to_vec();
    Inventory { doors, scenes: Vec::new() }
}

/// What the vendor calls the scenes of an account of the simulated cloud.
pub(crate) fn scenes(account: usize) -> Inventory {
    let scenes = latchkey::demo::clouds::aqara::scenes(account);
    let scenes = scenes.into_iter().map(|it| Target::discovered(it.id, it.name)).collect();
    Inventory { doors: Vec::new(), scenes }
}

pub(crate) fn rejected() -> VendorError {
    VendorError::new(Class::AccessRejected, Code::AccessRejected)
}

pub(crate) fn unreachable() -> VendorError {
    VendorError::new(Class::Transient, Code::Unreachable)
}
