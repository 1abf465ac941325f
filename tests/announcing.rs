//! When Home Assistant is told what: against a model of what it keeps, forgets and overlooks (homeassistant.md §1.6, §1.7).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use latchkey::{
    account::{Inventory, Target},
    homeassistant::{Announcement, Announcer, AnnouncerSettings, Batch, Devices, House, Ledger, Message},
    keeper::Card,
    vendor::VendorKind,
};
use proptest::prelude::*;
use serde_json::Value;

const SPACING: Duration = Duration::from_secs(2);

/// An entity in the registry: discovery topic, platform, key.
type Entity = (String, String, String);

/// Home Assistant and the broker.
#[derive(Default)]
struct Home {
    is_up: bool,
    retained: BTreeMap<String, Vec<u8>>,
    /// What was discovered since Home Assistant started. Only of this it takes removals.
    met: BTreeSet<Entity>,
    /// What survives its restarts, with the names that people read.
    registry: BTreeMap<Entity, String>,
    last: BTreeMap<String, (Duration, Vec<u8>)>,
}

impl Home {
    fn hear(&mut self, message: &Message, now: Duration) {
        let Message { topic, payload } = message;
        if let Some((before, last)) = self.last.insert(topic.clone(), (now, payload.clone())) {
            assert!(last == *payload || now - before >= SPACING, "two payloads for {topic} in {:?}", now - before);
        }
        match payload.is_empty() {
            true => self.retained.remove(topic),
            false => self.retained.insert(topic.clone(), payload.clone()),
        };
        if self.is_up {
            self.process(topic, payload);
        }
    }

    fn process(&mut self, topic: &str, payload: &[u8]) {
        if payload.is_empty() {
            let gone: BTreeSet<Entity> = self.met.iter().filter(|it| it.0 == topic).cloned().collect();
            self.met.retain(|it| !gone.contains(it));
            self.registry.retain(|it, _| !gone.contains(it));
            return;
        }
        let document: Value = serde_json::from_slice(payload).unwrap();
        for (key, component) in document["components"].as_object().unwrap() {
            let entity = (topic.to_owned(), component["platform"].as_str().unwrap().to_owned(), key.clone());
            let is_removal = component.as_object().unwrap().len() == 1;
            if !is_removal {
                self.met.insert(entity.clone());
                self.registry.insert(entity, component["name"].as_str().unwrap().to_owned());
            } else if self.met.remove(&entity) {
                self.registry.remove(&entity);
            }
        }
    }

    fn start(&mut self) {
        self.is_up = true;
        self.met.clear();
        for (topic, payload) in self.retained.clone() {
            self.process(&topic, &payload);
        }
    }
}

/// Latchkey's announcer, driven as the bridge drives it, and what it speaks to.
struct World {
    now: Duration,
    house: House,
    accounts: Vec<Account>,
    /// What the user deleted while Latchkey was there to hear of it: topics, and what the devices were called.
    deleted: BTreeMap<String, String>,
    announcer: Announcer,
    stored: String,
    is_connected: bool,
    home: Home,
    sent: Vec<(Duration, Message)>,
    announced_at: Vec<Duration>,
    /// The next batch gets lost with the connection.
    is_cut: bool,
}

fn house() -> House {
    House {
        discovery_prefix: "homeassistant".to_owned(),
        base_topic: "latchkey".to_owned(),
        instance: None,
        version: "1.2.3",
        public_url: None,
    }
}

/// An account and what was found at its vendor.
#[derive(Clone, Debug, PartialEq)]
struct Account {
    card: Card,
    inventory: Inventory,
}

/// `targets`: keys of scenes, and of doors where they begin with `door`; with `=` and a name where that is another one.
fn account(id: &str, targets: &[&str]) -> Account {
    let target = |text: &&str| {
        let (key, name) = text.split_once('=').unwrap_or((text, text));
        Target { key: key.to_owned(), id: format!("id of {key}"), name: name.to_owned() }
    };
    let (doors, scenes) = targets.iter().map(target).partition(|it| it.key.starts_with("door"));
    let card = Card {
        id: id.parse().unwrap(),
        name: None,
        vendor: VendorKind::Aqara,
        opens_doors: true,
        logs_in_by_code: id == "b",
        logs_in_by_password: false,
        shares_access_token: false,
    };
    Account { card, inventory: Inventory { doors, scenes } }
}

fn named(name: &str, mut account: Account) -> Account {
    account.card.name = Some(name.to_owned());
    account
}

fn wanted(house: &House, accounts: &[Account]) -> Vec<Announcement> {
    let devices =
        Devices { house: house.clone(), accounts: accounts.iter().map(|it| Arc::new(it.card.clone())).collect() };
    devices.announcements(|id| accounts.iter().find(|it| it.card.id == *id).map(|it| it.inventory.clone()))
}

/// What a device is called.
fn name(announcement: &Announcement) -> String {
    let document: Value = serde_json::from_slice(&announcement.message().payload).unwrap();
    document["device"]["name"].as_str().unwrap().to_owned()
}

fn settings(house: &House) -> AnnouncerSettings {
    AnnouncerSettings {
        discovery_prefix: house.discovery_prefix.clone(),
        birth_payload: "online".to_owned(),
        announce_delay: Duration::from_secs(5),
    }
}

impl World {
    fn new(accounts: &[Account]) -> Self {
        let house = house();
        Self {
            now: Duration::from_secs(100),
            announcer: Announcer::new(settings(&house), Ledger::default(), wanted(&house, accounts)),
            house,
            accounts: accounts.to_vec(),
            deleted: BTreeMap::new(),
            stored: "{}".to_owned(),
            is_connected: false,
            home: Home { is_up: true, ..Home::default() },
            sent: Vec::new(),
            announced_at: Vec::new(),
            is_cut: false,
        }
    }

    /// Everything is announced, and Home Assistant is up and was heard of.
    fn settled(accounts: &[Account]) -> Self {
        let mut world = Self::new(accounts);
        world.connect();
        world.restart_home_assistant();
        world.pass(60);
        world.sent.clear();
        world
    }

    fn connect(&mut self) {
        self.is_connected = true;
        self.announcer.connected(self.now);
        self.pass(0);
    }

    fn disconnect(&mut self) {
        self.is_connected = false;
        self.announcer.disconnected();
    }

    fn want(&mut self, accounts: &[Account]) {
        self.accounts = accounts.to_vec();
        let wanted = wanted(&self.house, accounts);
        self.announcer.want(wanted, self.now);
        self.take_back_deletions();
    }

    fn restart_latchkey(&mut self, house: House, accounts: &[Account]) {
        self.disconnect();
        // The bridge stores what is to be stored before it waits for anything.
        self.pass(3);
        let ledger: Ledger = serde_json::from_str(&self.stored).unwrap();
        self.announcer = Announcer::new(settings(&house), ledger, wanted(&house, accounts));
        self.house = house;
        self.accounts = accounts.to_vec();
        self.take_back_deletions();
        self.connect();
    }

    /// What is configured anew is no longer deleted.
    fn take_back_deletions(&mut self) {
        let wanted = wanted(&self.house, &self.accounts);
        let names: BTreeMap<String, String> = wanted.iter().map(|it| (it.topic.clone(), name(it))).collect();
        self.deleted.retain(|topic, name| names.get(topic) == Some(name));
    }

    fn stop_home_assistant(&mut self) {
        self.home.is_up = false;
        self.say(b"offline");
    }

    fn restart_home_assistant(&mut self) {
        self.stop_home_assistant();
        self.home.start();
        self.say(b"online");
    }

    fn say(&mut self, payload: &[u8]) {
        if self.is_connected {
            self.announcer.home_assistant_said(payload, 0.5, self.now);
        }
    }

    fn delete_by_hand(&mut self, topic: &str) {
        self.home.process(topic, b"");
        // With the device go all entities in its name, also those that Home Assistant has not met since it started.
        self.home.registry.retain(|it, _| it.0 != topic);
        self.home.retained.remove(topic);
        if self.is_connected {
            let heard = self.announcer.heard_discovery(topic, b"").map(str::to_owned);
            // One that was about to be taken back anyway may come again with its account.
            let deleted = wanted(&self.house, &self.accounts).iter().find(|it| it.topic == topic).map(name);
            assert_eq!(heard, deleted);
            self.deleted.extend(deleted.map(|name| (topic.to_owned(), name)));
        }
    }

    /// Lets time pass, in which the bridge does what the announcer says.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.announcer.next_due().filter(|it| *it <= end) {
            self.now = self.now.max(due);
            if self.announcer.is_to_be_told(self.now) {
                self.want(&self.accounts.clone());
            }
            let Batch { ledger, messages, is_announced } = self.announcer.due(self.now);
            assert!(messages.len() <= 20);
            assert!(messages.is_empty() || self.is_connected);
            if let Some(ledger) = ledger {
                self.stored = serde_json::to_string(&ledger).unwrap();
            }
            if self.is_cut && !messages.is_empty() {
                self.is_cut = false;
                self.disconnect();
                continue;
            }
            for message in messages {
                if message.topic == topic("latchkey_bridge") && !message.payload.is_empty() {
                    // It came back with an account that names it, and stays when that one goes.
                    self.deleted.remove(&message.topic);
                }
                self.home.hear(&message, self.now);
                self.sent.push((self.now, message));
            }
            if is_announced {
                self.announced_at.push(self.now);
            }
        }
        self.now = end;
    }

    fn topics_sent(&self) -> Vec<&str> {
        self.sent.iter().map(|it| it.1.topic.as_str()).collect()
    }

    fn entities_wanted(&self) -> BTreeMap<Entity, String> {
        let mut fresh = Home { is_up: true, ..Home::default() };
        let wanted = wanted(&self.house, &self.accounts);
        let is_there = |it: &&Announcement| !self.deleted.contains_key(&it.topic);
        let has_accounts = wanted.iter().skip(1).any(|it| is_there(&it));
        // The accounts' devices name the bridge's, so it comes back where there is one of them.
        for announcement in wanted.iter().take(1).filter(|_| has_accounts) {
            fresh.hear(&announcement.message(), Duration::ZERO);
        }
        for announcement in wanted.iter().filter(is_there) {
            fresh.hear(&announcement.message(), Duration::ZERO);
        }
        fresh.registry
    }

    fn differences(&self) -> Vec<(Entity, String)> {
        let (there, wanted) = (self.home.registry.clone(), self.entities_wanted());
        let missing = wanted.clone().into_iter().filter(|(entity, name)| there.get(entity) != Some(name));
        let too_many = there.clone().into_iter().filter(|(entity, _)| !wanted.contains_key(entity));
        missing.chain(too_many).collect()
    }

    fn is_settled(&self) -> bool {
        self.home.registry == self.entities_wanted()
    }
}

fn topic(key: &str) -> String {
    format!("homeassistant/device/{key}/config")
}

#[test]
fn the_bridge_comes_first_then_the_accounts_without_a_pause_then_the_states() {
    let mut world = World::new(&[account("b", &[]), account("a", &["tea"])]);
    world.pass(60);
    assert!(world.sent.is_empty(), "nothing is said before the connection is there");
    world.connect();
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_bridge"), topic("latchkey_b"), topic("latchkey_a")]);
    assert!(world.sent.iter().all(|it| it.0 == world.sent[0].0));
    assert_eq!(world.announced_at, [world.sent[0].0]);
    assert!(world.is_settled());
    assert_eq!(world.announcer.next_due(), None);
}

#[test]
fn a_thousand_accounts_are_handed_out_twenty_at_a_time() {
    let accounts: Vec<Account> = (0..1000).map(|it| account(&format!("a{it}"), &[])).collect();
    let mut world = World::new(&accounts);
    world.connect();
    world.pass(4);
    assert!(world.announced_at.is_empty());
    world.pass(4);
    assert_eq!(world.announced_at.len(), 1);
    assert!(world.is_settled());
}

#[test]
fn a_change_announces_only_what_changed() {
    let mut world = World::settled(&[account("a", &[]), account("b", &[])]);
    world.want(&[account("a", &[]), account("b", &["tea"]), account("c", &[])]);
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_b"), topic("latchkey_c")]);
    assert!(world.is_settled());
    world.want(&[account("a", &[]), account("b", &["tea"]), account("c", &[])]);
    assert_eq!(world.announcer.next_due(), None);
}

#[test]
fn what_may_have_changed_is_looked_at_at_once_and_then_every_two_seconds() {
    let mut world = World::settled(&[account("a", &[])]);
    let begun = world.now;
    assert_eq!(world.announcer.next_due(), None);
    world.announcer.something_changed(begun);
    assert_eq!(world.announcer.next_due(), Some(begun));
    world.pass(1);
    assert_eq!(world.announcer.next_due(), None, "nothing was another one");
    world.accounts = vec![account("a", &["tea"])];
    world.announcer.something_changed(world.now);
    world.announcer.something_changed(world.now);
    assert_eq!(world.announcer.next_due(), Some(begun + Duration::from_secs(2)));
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_a")]);
    assert!(world.is_settled());
    assert_eq!(world.announcer.next_due(), None);
}

#[test]
fn a_scene_that_is_gone_is_first_reduced_to_its_platform_and_then_left_out() {
    let mut world = World::settled(&[account("a", &["tea", "bed"])]);
    world.want(&[account("a", &["bed"])]);
    world.pass(60);
    let scenes: Vec<Value> = world
        .sent
        .iter()
        .map(|(_, message)| {
            serde_json::from_slice::<Value>(&message.payload).unwrap()["components"]["scene_tea"].take()
        })
        .collect();
    assert_eq!(scenes, [serde_json::json!({ "platform": "scene" }), Value::Null]);
    assert!(world.is_settled());
    assert!(!world.stored.contains("tea"), "a removal that was heard is not repeated");
}

#[test]
fn an_account_that_is_gone_leaves_home_assistant_and_the_broker() {
    let mut world = World::settled(&[account("a", &[]), account("b", &[])]);
    world.want(&[account("b", &[])]);
    world.pass(60);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.sent[0].1, Message { topic: topic("latchkey_a"), payload: Vec::new() });
    assert!(world.is_settled());
    assert!(!world.home.retained.contains_key(&topic("latchkey_a")));
    world.sent.clear();
    world.restart_home_assistant();
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_bridge"), topic("latchkey_b")]);
}

#[test]
fn what_was_removed_while_home_assistant_was_away_is_removed_after_its_next_start() {
    let mut world = World::settled(&[account("a", &[]), account("b", &["tea"])]);
    world.stop_home_assistant();
    world.restart_latchkey(house(), &[account("b", &[])]);
    world.pass(60);
    assert!(!world.is_settled(), "nobody listened");
    world.restart_latchkey(house(), &[account("b", &[])]);
    world.pass(60);
    world.restart_home_assistant();
    world.pass(60);
    assert!(world.is_settled());
    world.sent.clear();
    world.restart_home_assistant();
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_bridge"), topic("latchkey_b")], "and not once more");
}

#[test]
fn a_removal_that_crossed_a_goodbye_is_repeated() {
    let mut world = World::settled(&[account("a", &[]), account("b", &[])]);
    world.home.is_up = false;
    world.want(&[account("b", &[])]);
    world.pass(0);
    world.restart_home_assistant();
    world.pass(60);
    assert!(world.is_settled());
}

#[test]
fn a_removal_that_is_cut_off_is_repeated_on_the_next_connection() {
    let mut world = World::settled(&[account("a", &[]), account("b", &[])]);
    world.is_cut = true;
    world.want(&[account("b", &[])]);
    world.pass(60);
    assert!(!world.is_connected && !world.is_settled());
    world.connect();
    world.pass(60);
    assert!(world.is_settled());
}

#[test]
fn another_instance_name_takes_the_old_devices_away_and_the_old_bridge_last() {
    let mut world = World::settled(&[account("a", &[]), account("b", &[])]);
    let accounts = world.accounts.clone();
    world.restart_latchkey(House { instance: Some("cabin".to_owned()), ..house() }, &accounts);
    world.pass(60);
    assert!(world.is_settled());
    let topics = ["latchkey_a", "latchkey_b", "latchkey_bridge", "latchkey_cabin-bridge"].map(topic);
    assert_eq!(world.topics_sent()[..4], topics);
}

#[test]
fn another_discovery_prefix_clears_the_old_topics_and_never_speaks_there_again() {
    let mut world = World::settled(&[account("a", &["tea"])]);
    let accounts = world.accounts.clone();
    world.restart_latchkey(House { discovery_prefix: "ha".to_owned(), ..house() }, &accounts);
    world.pass(60);
    assert!(world.home.retained.keys().all(|it| it.starts_with("ha/")));
    world.sent.clear();
    world.restart_home_assistant();
    world.pass(60);
    assert!(world.topics_sent().iter().all(|it| it.starts_with("ha/")));
}

#[test]
fn births_are_answered_once_after_a_delay_and_goodbyes_are_not() {
    let mut world = World::settled(&[account("a", &[])]);
    let born_at = world.now;
    world.say(b" Online ");
    world.pass(1);
    world.say(b"online");
    world.say(b"something else");
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_bridge"), topic("latchkey_a")]);
    assert_eq!(world.sent[0].0 - born_at, Duration::from_secs(3));
    world.sent.clear();
    world.say(b"offline");
    world.pass(60);
    assert!(world.sent.is_empty());
}

#[test]
fn a_birth_while_announcing_starts_anew_and_loses_nothing() {
    let mut world = World::new(&[account("a", &[]), account("b", &[])]);
    world.connect();
    world.pass(1);
    world.restart_home_assistant();
    world.pass(60);
    let topics = ["latchkey_bridge", "latchkey_a", "latchkey_b"].map(topic);
    assert_eq!(world.topics_sent(), [&topics[..], &topics[..]].concat());
    assert!(world.is_settled());
}

#[test]
fn a_device_that_the_user_deleted_stays_away_until_its_account_gets_another_name() {
    let mut world = World::settled(&[account("a", &[]), account("b", &[])]);
    world.delete_by_hand(&topic("latchkey_a"));
    world.want(&[account("a", &["tea"]), account("b", &["tea"])]);
    world.pass(60);
    world.disconnect();
    world.connect();
    world.pass(60);
    world.restart_home_assistant();
    world.pass(60);
    assert!(!world.topics_sent().contains(&topic("latchkey_a").as_str()));
    assert!(world.is_settled());
    let accounts = world.accounts.clone();
    world.restart_latchkey(house(), &accounts);
    world.pass(60);
    world.restart_home_assistant();
    world.pass(60);
    assert!(!world.topics_sent().contains(&topic("latchkey_a").as_str()));
    assert!(world.is_settled());
    let renamed = [named("Den", accounts[0].clone()), accounts[1].clone()];
    world.restart_latchkey(house(), &renamed);
    world.pass(60);
    assert!(world.topics_sent().contains(&topic("latchkey_a").as_str()));
    assert!(world.is_settled());
}

#[test]
fn a_device_that_the_user_deleted_comes_back_when_its_account_was_taken_out_for_a_while() {
    let mut world = World::settled(&[account("a", &[]), account("b", &[])]);
    world.delete_by_hand(&topic("latchkey_a"));
    world.restart_latchkey(house(), &[account("b", &[])]);
    world.pass(60);
    assert!(!world.stored.contains("latchkey_a"), "nothing is remembered of an account that is gone");
    world.restart_latchkey(house(), &[account("a", &[]), account("b", &[])]);
    world.pass(60);
    assert!(world.topics_sent().contains(&topic("latchkey_a").as_str()));
    assert!(world.is_settled());
}

#[test]
fn a_bridge_that_the_user_deleted_comes_back_with_the_devices_that_name_it() {
    let mut world = World::settled(&[account("a", &[])]);
    world.delete_by_hand(&topic("latchkey_bridge"));
    world.pass(60);
    assert!(world.sent.is_empty());
    world.restart_home_assistant();
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_bridge"), topic("latchkey_a")]);
    world.sent.clear();
    world.delete_by_hand(&topic("latchkey_a"));
    world.delete_by_hand(&topic("latchkey_bridge"));
    world.restart_home_assistant();
    world.pass(60);
    assert!(world.sent.is_empty() && world.is_settled());
}

#[test]
fn scenes_and_doors_that_are_renamed_keep_their_entities() {
    let mut world = World::settled(&[account("a", &["tea", "door_0"])]);
    let before: Vec<Entity> = world.home.registry.keys().cloned().collect();
    world.want(&[account("a", &["tea=Tea time", "door_0=Gate"])]);
    world.pass(60);
    assert!(world.is_settled());
    assert_eq!(world.topics_sent(), [topic("latchkey_a")], "a name is no removal");
    assert_eq!(world.home.registry.keys().cloned().collect::<Vec<_>>(), before);
    let names: Vec<&String> = world.home.registry.values().collect();
    assert!(names.iter().any(|it| *it == "Tea time") && names.iter().any(|it| *it == "Gate"));
}

#[test]
fn a_door_that_comes_and_goes_while_home_assistant_restarts_leaves_nothing_behind() {
    let mut world = World::settled(&[account("a", &[])]);
    world.want(&[account("a", &["door_0"])]);
    world.pass(1);
    world.stop_home_assistant();
    world.want(&[account("a", &[])]);
    world.pass(60);
    world.restart_home_assistant();
    world.pass(60);
    assert!(world.is_settled(), "{:?}", world.differences());
    assert!(!world.stored.contains("door_0"));
}

#[test]
fn a_new_account_brings_a_deleted_bridge_back_with_it() {
    let mut world = World::settled(&[account("a", &[])]);
    world.delete_by_hand(&topic("latchkey_bridge"));
    world.want(&[account("a", &[]), account("b", &[])]);
    world.pass(60);
    assert_eq!(world.topics_sent(), [topic("latchkey_bridge"), topic("latchkey_b")]);
}

#[test]
fn the_ledger_is_stored_before_anything_is_announced() {
    let mut world = World::new(&[account("a", &["tea"])]);
    world.is_connected = true;
    world.announcer.connected(world.now);
    let first = world.announcer.due(world.now);
    assert_eq!(first.messages.len(), 2);
    let ledger = serde_json::to_value(first.ledger.unwrap()).unwrap();
    let noted = ledger[topic("latchkey_a")]["announced"].as_array().unwrap();
    assert!(noted.contains(&Value::from("scene.scene_tea")));
}

#[derive(Clone, Debug)]
enum Happening {
    Pass(u64),
    Connect,
    Disconnect,
    Cut,
    Want(Vec<Account>),
    RestartLatchkey(Vec<Account>),
    StopHomeAssistant,
    RestartHomeAssistant,
    DeleteByHand(usize),
}

fn some_accounts() -> impl Strategy<Value = Vec<Account>> {
    let targets = prop::sample::subsequence(vec!["tea", "bed", "door_0"], 0..=3);
    let names = prop::collection::vec(prop::sample::select(vec!["", "=Gate", "=Tea"]), 3);
    let accounts = ["a", "b", "c"].map(|id| {
        let some = (targets.clone(), names.clone(), prop::bool::weighted(0.2));
        let some = some.prop_map(move |(targets, names, is_renamed)| {
            let targets: Vec<String> = targets.iter().zip(names).map(|(key, name)| format!("{key}{name}")).collect();
            let account = account(id, &targets.iter().map(String::as_str).collect::<Vec<_>>());
            if is_renamed { named("Den", account) } else { account }
        });
        prop::option::of(some)
    });
    accounts.prop_map(|it| it.into_iter().flatten().collect())
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..12u64).prop_map(Happening::Pass),
        2 => Just(Happening::Connect),
        1 => Just(Happening::Disconnect),
        1 => Just(Happening::Cut),
        3 => some_accounts().prop_map(Happening::Want),
        1 => some_accounts().prop_map(Happening::RestartLatchkey),
        1 => Just(Happening::StopHomeAssistant),
        2 => Just(Happening::RestartHomeAssistant),
        1 => (0..4usize).prop_map(Happening::DeleteByHand),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_a_birth_leaves_what_is_wanted_and_nothing_else(
        happenings in prop::collection::vec(happening(), 0..30),
    ) {
        let mut world = World::new(&[account("a", &["tea"]), account("b", &[])]);
        for it in happenings {
            match it {
                Happening::Pass(seconds) => world.pass(seconds),
                Happening::Connect if world.is_connected => {}
                Happening::Connect => world.connect(),
                Happening::Disconnect => world.disconnect(),
                Happening::Cut => world.is_cut = true,
                Happening::Want(accounts) => world.want(&accounts),
                Happening::RestartLatchkey(accounts) => world.restart_latchkey(house(), &accounts),
                Happening::StopHomeAssistant => world.stop_home_assistant(),
                Happening::RestartHomeAssistant => world.restart_home_assistant(),
                Happening::DeleteByHand(nth) => {
                    let topics: BTreeSet<String> = world.home.met.iter().map(|it| it.0.clone()).collect();
                    if let Some(topic) = topics.into_iter().nth(nth).filter(|_| world.home.is_up) {
                        world.delete_by_hand(&topic);
                    }
                }
            }
        }
        world.is_cut = false;
        world.disconnect();
        world.pass(3);
        world.connect();
        world.restart_home_assistant();
        world.pass(90);
        prop_assert!(world.is_settled(), "{:#?}", world.differences());
        let topics: BTreeSet<String> = world.entities_wanted().into_keys().map(|it| it.0).collect();
        prop_assert_eq!(world.home.retained.keys().collect::<Vec<_>>(), topics.iter().collect::<Vec<_>>());
        prop_assert_eq!(world.announcer.next_due(), None);
    }
}
