//! Two simulated clouds with two accounts each, and a keeper of some of them.

use std::{
    fs, io,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use latchkey::{
    account::{AccountId, Code, Credential, EventType, Inventory, Proposal, ProposedTokens, Secret, Status},
    clock::{Clock, Hand},
    config::{self, AccountSettings, Settings},
    demo::clouds::{AkuvoxCloud, AqaraCloud, Options, Places, akuvox::AkuvoxKnobs, aqara::AqaraKnobs},
    keeper::{Account, Command, Event, Grounds, Keeper, Notice, Reloaded, Reply, ReplyData, Ticket},
    store::{CHECKPOINT_EVERY, KeySource, SledStore, Store, StoreSettings},
    vendor::{self, Http, Toll, Vendor},
};
use tempfile::TempDir;
use tokio::sync::broadcast;

use super::doubles::Altered;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Nothing in these tests takes this long; whatever does is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// Akuvox accounts.
pub(crate) const FRONT: &str = "front_door";
pub(crate) const SIDE: &str = "side_door";
/// Aqara accounts.
pub(crate) const HOME: &str = "home";
pub(crate) const CABIN: &str = "cabin";

pub(crate) struct Bench {
    pub(crate) clock: Clock,
    pub(crate) hand: Hand,
    pub(crate) akuvox: AkuvoxCloud,
    pub(crate) aqara: AqaraCloud,
    folder: TempDir,
}

/// A keeper that runs, and what it told since.
pub(crate) struct House {
    pub(crate) keeper: Keeper,
    notices: broadcast::Receiver<Notice>,
}

pub(crate) fn id(name: &str) -> AccountId {
    name.parse().unwrap()
}

/// What is patient enough for a busy machine and still ends.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, what).await.expect("it is stuck")
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(AkuvoxKnobs::default(), AqaraKnobs::default()).await
    }

    pub(crate) async fn with(akuvox: AkuvoxKnobs, aqara: AqaraKnobs) -> Self {
        let (clock, hand) = Clock::paused("2029-03-01T10:00:00Z".parse().unwrap());
        let time = || Some((clock.clone(), hand.clone()));
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let akuvox = Options { n_accounts: 2, knobs: akuvox, time: time(), places: Places::default() };
        let aqara = Options { n_accounts: 2, knobs: aqara, time: time(), places: Places::default() };
        let akuvox = AkuvoxCloud::start(address, akuvox).await.unwrap();
        let aqara = AqaraCloud::start(address, aqara).await.unwrap();
        Self { clock, hand, akuvox, aqara, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn settings(&self) -> Settings {
        let app = self.aqara.credentials(0);
        let scenes = |account: usize| {
            let scenes = self.aqara.credentials(account).scenes;
            format!("tv_pin_entry = {:?}\ntv_warning = {:?}\n", scenes["TV PIN entry"], scenes["TV warning"])
        };
        let mut text = format!("[store]\npath = {:?}\n[keeper]\ncall_timeout = \"2s\"\n", self.store_path());
        for (number, name) in [FRONT, SIDE].into_iter().enumerate() {
            let (gate, held) = (self.akuvox.url(), self.akuvox.credentials(number));
            text += &format!(
                "[accounts.{name}]\nvendor = \"akuvox\"\ngate = {gate:?}\ndoors = {}\n\
                 dial_code = {:?}\nphone = {:?}\nuser = {:?}\n",
                name == FRONT,
                held.dial_code,
                held.phone_number,
                held.login,
            );
        }
        for (number, name) in [HOME, CABIN].into_iter().enumerate() {
            text += &format!(
                "[accounts.{name}]\nvendor = \"aqara\"\nbase_url = {:?}\napp_id = {:?}\nkey_id = {:?}\napp_key = {:?}\n\
                 login = {:?}\n[accounts.{name}.scenes]\n{}",
                self.aqara.url(),
                app.app_id,
                app.key_id,
                app.app_key,
                self.aqara.credentials(number).account,
                scenes(number),
            );
        }
        let file = self.folder.path().join("latchkey.toml");
        fs::write(&file, text).unwrap();
        config::load(Some(&file), std::iter::empty()).unwrap()
    }

    /// The same with another address for both clouds.
    pub(crate) fn settings_at(&self, url: &str) -> Settings {
        self.settings();
        let file = self.folder.path().join("latchkey.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(self.akuvox.url(), url).replace(self.aqara.url(), url)).unwrap();
        config::load(Some(&file), std::iter::empty()).unwrap()
    }

    pub(crate) fn open(&self) -> (Arc<dyn Store>, Grounds) {
        self.open_at(&self.store_path())
    }

    /// The store in this folder, and what a keeper stands on with it.
    pub(crate) fn open_at(&self, path: &Path) -> (Arc<dyn Store>, Grounds) {
        let key = KeySource::Given(Secret::new("07".repeat(32)));
        let settings = StoreSettings { path: path.to_owned(), key, checkpoint_every: CHECKPOINT_EVERY };
        let (store, report) = SledStore::open(settings, self.clock.clone()).unwrap();
        let fingerprints = store.fingerprint_key();
        let store: Arc<dyn Store> = Arc::new(store);
        let unproven = [FRONT, SIDE, HOME, CABIN].map(id).into_iter().filter(|it| report.is_unproven(it)).collect();
        let clock = self.clock.clone();
        (store.clone(), Grounds { store, fingerprints, clock, refreshes_per_host: 2, unproven })
    }

    /// A keeper of these accounts.
    pub(crate) fn start(&self, names: &[&str]) -> House {
        self.start_on(self.open().1, names, |_, vendor| vendor)
    }

    /// A keeper on other grounds, or with other vendors, which have nothing to list unless they are told otherwise: tests
    /// that count calls need not reckon with listings.
    pub(crate) fn start_on(
        &self,
        grounds: Grounds,
        names: &[&str],
        vendor_of: impl Fn(&AccountSettings, Arc<dyn Vendor>) -> Arc<dyn Vendor>,
    ) -> House {
        let settings = names.iter().map(|it| self.settings_of(it)).collect();
        House::of(Keeper::start(self.accounts(settings, vendor_of), grounds).unwrap())
    }

    pub(crate) fn settings_of(&self, name: &str) -> AccountSettings {
        self.settings().accounts[&id(name)].clone()
    }

    /// Accounts at vendors that have nothing to list, unless `vendor_of` makes others of them.
    pub(crate) fn accounts(
        &self,
        settings: Vec<AccountSettings>,
        vendor_of: impl Fn(&AccountSettings, Arc<dyn Vendor>) -> Arc<dyn Vendor>,
    ) -> Vec<Account> {
        let nothing = |_: &Secret, _: &dyn Toll| Ok(Inventory::default());
        let http = Http::new(self.settings().keeper.call_timeout, self.clock.clone()).unwrap();
        let account = |settings: AccountSettings| {
            let vendor =
                vendor_of(&settings, Arc::new(Altered::new(vendor::connect(&settings, &http)).listing_by(nothing)));
            Account { settings, vendor }
        };
        settings.into_iter().map(account).collect()
    }

    /// A keeper of these accounts, whose tokens it proved a day ago: nothing is due, and nothing is too soon.
    pub(crate) async fn settled(&self, names: &[&str]) -> House {
        let mut house = self.start(names);
        self.settle_in(&mut house, names).await;
        house
    }

    pub(crate) async fn settle_in(&self, house: &mut House, names: &[&str]) {
        for name in names {
            assert!(house.update(name, self.pair_of(name)).await.is_ok(), "{name}");
        }
        house.forget_notices();
        self.hand.advance(DAY);
    }

    /// The pair that the cloud holds for this account now.
    pub(crate) fn pair_of(&self, name: &str) -> ProposedTokens {
        let (access, refresh) = match name {
            FRONT | SIDE => {
                let held = self.akuvox.credentials(usize::from(name == SIDE));
                (held.token, held.refresh_token)
            }
            _ => {
                let held = self.aqara.credentials(usize::from(name == CABIN));
                (held.access_token, held.refresh_token)
            }
        };
        ProposedTokens::Both { access: Secret::new(access), refresh: Secret::new(refresh) }
    }

    /// Copies the store as it lies on disk at this moment, as a `kill -9` or a backup would leave it.
    pub(crate) fn copy_store(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        copy_folder(&self.store_path(), &copy).unwrap();
        copy
    }

    /// Puts a copy in the place of the store, which nobody has open.
    pub(crate) fn put_store_back(&self, copy: &Path) {
        fs::remove_dir_all(self.store_path()).unwrap();
        fs::rename(copy, self.store_path()).unwrap();
    }

    /// Lets time pass up to `until`, in steps of an hour and stopping wherever an account is due, and waits there until it
    /// was refreshed.
    pub(crate) async fn live(&self, house: &mut House, names: &[&str], until: Timestamp) {
        while self.now() < until {
            let next = names.iter().filter_map(|it| house.status(it).next_refresh_at).min();
            let step = [until, self.now() + HOUR].into_iter().chain(next.filter(|it| self.now() < *it)).min().unwrap();
            self.hand.advance(Duration::try_from(step.duration_since(self.now())).unwrap());
            for name in names {
                if house.status(name).next_refresh_at.is_some_and(|it| it <= self.now()) {
                    house.event(name, EventType::Refreshed).await;
                }
            }
        }
    }

    /// Lets the account's own pauses pass until its status is as wanted.
    pub(crate) async fn wait_out(
        &self,
        house: &mut House,
        name: &str,
        mut wanted: impl FnMut(&Status) -> bool,
    ) -> Status {
        loop {
            let status = house.status(name);
            if wanted(&status) {
                return status;
            }
            if let Some(next) = status.next_refresh_at.filter(|it| self.now() < *it) {
                self.hand.advance(Duration::try_from(next.duration_since(self.now())).unwrap());
            }
            house.any_event(name).await;
        }
    }
}

impl House {
    pub(crate) fn of(keeper: Keeper) -> Self {
        Self { notices: keeper.subscribe(), keeper }
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        self.keeper.status(&id(name)).unwrap()
    }

    /// Keeps these accounts from now on.
    pub(crate) async fn reload(&self, accounts: Vec<Account>) -> Reloaded {
        in_time(self.keeper.reload(accounts, |_| false)).await
    }

    pub(crate) async fn refresh(&self, name: &str) -> Reply {
        in_time(self.keeper.ask(Command::RefreshTokens { entry_id: id(name) })).await
    }

    pub(crate) fn submit_refresh(&self, name: &str) -> Ticket {
        self.keeper.submit(Command::RefreshTokens { entry_id: id(name) })
    }

    pub(crate) async fn request_code(&self, name: &str) -> Reply {
        in_time(self.keeper.ask(Command::RequestLoginCode { entry_id: id(name) })).await
    }

    pub(crate) async fn login(&self, name: &str, credential: Credential) -> Reply {
        in_time(self.keeper.ask(Command::Login { entry_id: id(name), credential })).await
    }

    pub(crate) async fn scene(&self, name: &str, scene: &str) -> Reply {
        in_time(self.keeper.ask(Command::TriggerScene { entry_id: id(name), scene: scene.to_owned() })).await
    }

    pub(crate) async fn update(&self, name: &str, tokens: ProposedTokens) -> Reply {
        self.propose(name, proposal(tokens)).await
    }

    pub(crate) async fn propose(&self, name: &str, proposal: Proposal) -> Reply {
        in_time(self.submit(name, proposal).reply).await.unwrap()
    }

    pub(crate) fn submit(&self, name: &str, proposal: Proposal) -> Ticket {
        self.keeper.submit(Command::UpdateTokens { entry_id: id(name), proposal })
    }

    pub(crate) fn forget_notices(&mut self) {
        self.notices = self.keeper.subscribe();
    }

    /// Waits for a notice like this.
    pub(crate) async fn until_notice(&mut self, is_wanted: impl Fn(&Notice) -> bool) {
        in_time(async { while !is_wanted(&self.notices.recv().await.unwrap()) {} }).await;
    }

    /// How many more notices came of an account's doors or scenes until now.
    pub(crate) fn n_inventory_notices(&mut self, name: &str) -> usize {
        let notices = std::iter::from_fn(|| self.notices.try_recv().ok());
        notices.filter(|it| matches!(it, Notice::Inventory(account) if *account == id(name))).count()
    }

    /// The next event of an account.
    pub(crate) async fn any_event(&mut self, name: &str) -> Event {
        let wanted = id(name);
        in_time(async {
            loop {
                if let Notice::Happened(account, event) = self.notices.recv().await.unwrap()
                    && account == wanted
                {
                    return event;
                }
            }
        })
        .await
    }

    /// The next event of this type; others are passed over.
    pub(crate) async fn event(&mut self, name: &str, event_type: EventType) -> Event {
        loop {
            let event = self.any_event(name).await;
            if event.event_type == event_type {
                return event;
            }
        }
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&mut self, name: &str, mut wanted: impl FnMut(&Status) -> bool) -> Status {
        let told = async {
            loop {
                let status = self.status(name);
                if wanted(&status) {
                    return status;
                }
                self.notices.recv().await.unwrap();
            }
        };
        tokio::time::timeout(STUCK, told).await.unwrap_or_else(|_| panic!("{:?}", self.keeper.status(&id(name))))
    }

    pub(crate) async fn stop(self) {
        in_time(self.keeper.stop()).await;
    }
}

pub(crate) fn proposal(tokens: ProposedTokens) -> Proposal {
    Proposal { tokens, auth_token: None, issued_at: None, prove: true }
}

pub(crate) fn refresh_token(text: &str) -> ProposedTokens {
    ProposedTokens::Refresh(Secret::new(text))
}

pub(crate) fn both(access: &str, refresh: &str) -> ProposedTokens {
    ProposedTokens::Both { access: Secret::new(access), refresh: Secret::new(refresh) }
}

/// The code of a refused command.
pub(crate) fn code(reply: &Reply) -> Option<Code> {
    reply.as_ref().err().map(|it| it.code)
}

/// What became of proposed tokens.
pub(crate) fn outcome(reply: &Reply) -> Option<latchkey::account::UpdateOutcome> {
    match reply {
        Ok(ReplyData::Updated { outcome, .. }) => Some(*outcome),
        _ => None,
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
