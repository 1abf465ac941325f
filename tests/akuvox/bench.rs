//! A simulated cloud, a vendor that is connected to its first account, and a keeper of that account.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use latchkey::{
    account::{AccountId, EventType, Proposal, ProposedTokens, Secret, Status},
    clock::{Clock, Hand},
    config::{self, AccountSettings},
    demo::clouds::{AkuvoxCloud, Options, Places, akuvox::AkuvoxKnobs},
    keeper::{Account, Command, Event, Grounds, Keeper, Notice, Reply},
    store::{CHECKPOINT_EVERY, KeySource, SledStore, Store, StoreSettings},
    vendor::{self, Answer, Http, Toll, Vendor, VendorError},
};
use tempfile::TempDir;
use tokio::sync::broadcast;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Nothing in these tests takes this long; whatever does is stuck.
const STUCK: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    pub(crate) clock: Clock,
    pub(crate) hand: Hand,
    pub(crate) cloud: AkuvoxCloud,
    pub(crate) folder: TempDir,
    /// The region whose gate is configured.
    pub(crate) region: usize,
}

/// A keeper that runs, and what it told since.
pub(crate) struct House {
    pub(crate) keeper: Keeper,
    notices: broadcast::Receiver<Notice>,
}

/// What is patient enough for a busy machine and still ends.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, what).await.expect("it is stuck")
}

pub(crate) fn id() -> AccountId {
    "front_door".parse().unwrap()
}

/// The settings of an account with these lines.
pub(crate) fn settings(folder: &Path, gate: &str, lines: &str) -> AccountSettings {
    let text = format!("[accounts.front_door]\nvendor = \"akuvox\"\ngate = {gate:?}\n{lines}");
    let file = folder.join("latchkey.toml");
    fs::write(&file, text).unwrap();
    let settings = config::load(Some(&file), std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"));
    settings.accounts[&id()].clone()
}

pub(crate) fn http(clock: &Clock) -> Http {
    Http::new(Duration::from_secs(2), clock.clone()).unwrap()
}

/// Akuvox has no limit that is known.
pub(crate) struct NoToll;

impl Toll for NoToll {
    fn take(&self) -> Result<(), VendorError> {
        Ok(())
    }
}

pub(crate) fn answer(body: &str) -> Answer {
    Answer::of(Secret::new(body))
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(AkuvoxKnobs::default(), 1).await
    }

    /// In several regions, each account lives in one only: the first one in the first.
    pub(crate) async fn with(knobs: AkuvoxKnobs, n_regions: usize) -> Self {
        let (clock, hand) = Clock::paused("2029-03-01T10:00:00Z".parse().unwrap());
        let places = Places { n_regions, ..Places::default() };
        let options = Options { n_accounts: 2, knobs, time: Some((clock.clone(), hand.clone())), places };
        let cloud = AkuvoxCloud::start((Ipv4Addr::LOCALHOST, 0).into(), options).await.unwrap();
        Self { clock, hand, cloud, folder: tempfile::tempdir().unwrap(), region: 0 }
    }

    /// Who can sign in, as a user configures it.
    pub(crate) fn people(&self) -> String {
        let known = self.cloud.credentials(0);
        format!("dial_code = {:?}\nphone = {:?}\nuser = {:?}\n", known.dial_code, known.phone_number, known.login)
    }

    pub(crate) fn vendor(&self) -> Arc<dyn Vendor> {
        self.vendor_with(&self.people())
    }

    /// A vendor with these lines in its configuration.
    pub(crate) fn vendor_with(&self, lines: &str) -> Arc<dyn Vendor> {
        vendor::connect(&self.settings(lines), &http(&self.clock))
    }

    fn settings(&self, lines: &str) -> AccountSettings {
        settings(self.folder.path(), &self.cloud.url_of(self.region, "gate"), lines)
    }

    pub(crate) fn token(&self) -> Secret {
        Secret::new(self.cloud.credentials(0).token)
    }

    /// How often a call was made.
    pub(crate) fn calls(&self, name: &str) -> u64 {
        self.cloud.counters().calls_by_name.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn n_calls(&self) -> u64 {
        self.cloud.counters().calls
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn grounds(&self) -> Grounds {
        let key = KeySource::Given(Secret::new("07".repeat(32)));
        let path = self.folder.path().join("store");
        let settings = StoreSettings { path, key, checkpoint_every: CHECKPOINT_EVERY };
        let (store, report) = SledStore::open(settings, self.clock.clone()).unwrap();
        let fingerprints = store.fingerprint_key();
        let unproven = [id()].into_iter().filter(|it| report.is_unproven(it)).collect();
        let store: Arc<dyn Store> = Arc::new(store);
        Grounds { store, fingerprints, clock: self.clock.clone(), refreshes_per_host: 2, unproven }
    }

    pub(crate) fn start(&self) -> House {
        self.start_on(self.grounds())
    }

    pub(crate) fn start_on(&self, grounds: Grounds) -> House {
        let settings = self.settings("");
        let vendor = vendor::connect(&settings, &http(&grounds.clock));
        let keeper = Keeper::start(vec![Account { settings, vendor }], grounds).unwrap();
        House { notices: keeper.subscribe(), keeper }
    }

    /// A keeper whose tokens were proved a day ago: nothing is due, and nothing is too soon.
    pub(crate) async fn settled(&self) -> House {
        let mut house = self.start();
        house.update(self.pair()).await.unwrap();
        house.notices = house.keeper.subscribe();
        self.hand.advance(DAY);
        house
    }

    /// The pair that the cloud holds now.
    pub(crate) fn pair(&self) -> ProposedTokens {
        let held = self.cloud.credentials(0);
        ProposedTokens::Both { access: Secret::new(held.token), refresh: Secret::new(held.refresh_token) }
    }

    /// Lets time pass up to `until`, hour by hour and stopping wherever a refresh is due, and waits there until it was
    /// tried.
    pub(crate) async fn live(&self, house: &mut House, until: Timestamp) {
        while self.now() < until {
            let next = house.status().next_refresh_at.filter(|it| self.now() < *it);
            let step = [until, self.now() + HOUR].into_iter().chain(next).min().unwrap();
            self.hand.advance(Duration::try_from(step.duration_since(self.now())).unwrap());
            if house.status().next_refresh_at.is_some_and(|it| it <= self.now()) {
                house.any_event().await;
            }
        }
    }

    /// Copies the store as it lies on disk at this moment, as a `kill -9` would leave it.
    pub(crate) fn copy_store(&self, name: &str) {
        copy_folder(&self.folder.path().join("store"), &self.folder.path().join(name));
    }

    /// Puts such a copy in the place of the store.
    pub(crate) fn bring_back(&self, name: &str) {
        let store = self.folder.path().join("store");
        fs::remove_dir_all(&store).unwrap();
        fs::rename(self.folder.path().join(name), store).unwrap();
    }
}

impl House {
    pub(crate) fn status(&self) -> Status {
        self.keeper.status(&id()).unwrap()
    }

    pub(crate) async fn refresh(&self) -> Reply {
        in_time(self.keeper.ask(Command::RefreshTokens { entry_id: id() })).await
    }

    pub(crate) async fn update(&self, tokens: ProposedTokens) -> Reply {
        let proposal = Proposal { tokens, auth_token: None, issued_at: None, prove: true };
        in_time(self.keeper.ask(Command::UpdateTokens { entry_id: id(), proposal })).await
    }

    pub(crate) async fn any_event(&mut self) -> Event {
        in_time(async {
            loop {
                if let Notice::Happened(_, event) = self.notices.recv().await.unwrap() {
                    return event;
                }
            }
        })
        .await
    }

    /// The next event of this type; others are passed over.
    pub(crate) async fn event(&mut self, event_type: EventType) -> Event {
        loop {
            let event = self.any_event().await;
            if event.event_type == event_type {
                return event;
            }
        }
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Status) -> bool) -> Status {
        in_time(async {
            loop {
                let status = self.status();
                if wanted(&status) {
                    return status;
                }
                self.notices.recv().await.unwrap();
            }
        })
        .await
    }

    pub(crate) async fn stop(self) {
        in_time(self.keeper.stop()).await;
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
