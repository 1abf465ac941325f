//! A month at clouds where a fifth of all calls fails, with fifty accounts and in virtual time.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{fs, net::Ipv4Addr, sync::Arc, time::Duration};

use jiff::Timestamp;
use latchkey::{
    account::{AccountId, Condition, Proposal, ProposedTokens, Secret, Status},
    clock::{Clock, Hand},
    config::{self, AccountSettings},
    demo::clouds::{
        AkuvoxCloud, AqaraCloud, Cloud, Fault, FaultKind, Options, Scope, Simulation, akuvox::AkuvoxKnobs,
        aqara::AqaraKnobs,
    },
    keeper::{Account, Command, Grounds, Keeper},
    store::{CHECKPOINT_EVERY, KeySource, SledStore, Store, StoreSettings},
    vendor::{self, Http},
};
use support::figures;
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// At each of the two clouds.
const N_ACCOUNTS: usize = 25;
/// How many of a hundred calls fail.
const PERCENT_FAILING: f64 = 20.0;
/// What fails: something in the way, before the cloud does anything. How Akuvox says that it is busy is not known.
const MISHAPS: [FaultKind; 7] = [
    FaultKind::ResetBefore,
    FaultKind::Http500,
    FaultKind::Http502,
    FaultKind::Html,
    FaultKind::Redirect,
    FaultKind::Throttled429,
    FaultKind::Throttled200,
];
/// Of the failing calls, how many in a hundred lose the answer after the cloud has rotated: a dozen at each cloud, so that
/// chance does not spare one of them.
const PERCENT_LOST: f64 = 50.0;
/// For so long the clouds answer again what was lost: without that such a login is lost, and no client can help it.
const GRACE: Duration = Duration::from_secs(6 * 3600);
/// What Aqara allows (protocol/aqara.md §6). It refuses more than 300 in five minutes by itself.
const A_MONTHS_CALLS: u64 = 100_000;
/// How long a call is given before a second passes for it.
const A_MOMENT: Duration = Duration::from_millis(5);
/// In real time.
const STUCK: Duration = Duration::from_secs(300);

struct World {
    clock: Clock,
    hand: Hand,
    akuvox: AkuvoxCloud,
    aqara: AqaraCloud,
    keeper: Keeper,
    store: Arc<SledStore>,
    names: Vec<AccountId>,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let (clock, hand) = Clock::paused("2029-03-01T10:00:00Z".parse().unwrap());
        let free = (Ipv4Addr::LOCALHOST, 0).into();
        let (n_accounts, refresh_grace_seconds) = (N_ACCOUNTS, GRACE.as_secs());
        let time = || Some((clock.clone(), hand.clone()));
        let knobs = AkuvoxKnobs { refresh_grace_seconds, ..AkuvoxKnobs::default() };
        let akuvox = Options { n_accounts, knobs, time: time(), ..Options::default() };
        let akuvox = AkuvoxCloud::start(free, akuvox).await.unwrap();
        let knobs = AqaraKnobs { refresh_grace_seconds, ..AqaraKnobs::default() };
        let aqara = Options { n_accounts, knobs, time: time(), ..Options::default() };
        let aqara = AqaraCloud::start(free, aqara).await.unwrap();

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latchkey.toml");
        fs::write(&file, configuration(&akuvox, &aqara)).unwrap();
        let settings = config::load(Some(&file), std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"));
        let key = KeySource::Given(Secret::new("07".repeat(32)));
        let path = folder.path().join("store");
        let (store, _) =
            SledStore::open(StoreSettings { path, key, checkpoint_every: CHECKPOINT_EVERY }, clock.clone()).unwrap();
        let store = Arc::new(store);
        let grounds = Grounds {
            fingerprints: store.fingerprint_key(),
            store: store.clone(),
            clock: clock.clone(),
            refreshes_per_host: settings.keeper.refreshes_per_host,
            unproven: Default::default(),
        };
        let http = Http::new(Duration::from_secs(10), clock.clone()).unwrap();
        let names = settings.accounts.keys().cloned().collect();
        let account = |it: &AccountSettings| Account { settings: it.clone(), vendor: vendor::connect(it, &http) };
        let keeper = Keeper::start(settings.accounts.values().map(account), grounds).unwrap();
        Self { clock, hand, akuvox, aqara, keeper, store, names, _folder: folder }
    }

    async fn sign_in(&self) {
        for number in 0..N_ACCOUNTS {
            let held = self.akuvox.credentials(number);
            let pair =
                ProposedTokens::Both { access: Secret::new(held.token), refresh: Secret::new(held.refresh_token) };
            self.give(format!("door_{number}"), pair).await;
            let held = self.aqara.credentials(number);
            self.give(format!("home_{number}"), ProposedTokens::Refresh(Secret::new(held.refresh_token))).await;
            // As people do it: one after the other.
            self.hand.advance(MINUTE);
        }
    }

    async fn give(&self, name: String, tokens: ProposedTokens) {
        let entry_id = name.parse().unwrap();
        let proposal = Proposal { tokens, auth_token: None, issued_at: None, prove: true };
        self.keeper.ask(Command::UpdateTokens { entry_id, proposal }).await.unwrap();
    }

    fn status(&self, name: &AccountId) -> Status {
        self.keeper.status(name).unwrap()
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.names.iter().filter_map(|it| self.status(it).next_refresh_at).min()
    }

    /// Lets time pass, and stops wherever somebody is due until that is done. What Latchkey waits for in between, before it
    /// asks once more, passes too.
    async fn live_until(&self, end: impl Fn(&Self) -> bool) {
        let living = async {
            while !end(self) {
                let now = self.clock.now();
                match self.next_due().filter(|it| *it <= now + HOUR) {
                    Some(next) if now < next => self.hand.advance(next.duration_since(now).unsigned_abs()),
                    Some(_) => {
                        tokio::time::sleep(A_MOMENT).await;
                        if self.next_due().is_some_and(|it| it <= self.clock.now()) {
                            self.hand.advance(Duration::from_secs(1));
                        }
                    }
                    None => self.hand.advance(HOUR),
                }
            }
        };
        tokio::time::timeout(STUCK, living).await.expect("it is stuck");
    }
}

fn configuration(akuvox: &AkuvoxCloud, aqara: &AqaraCloud) -> String {
    let mut text = String::new();
    let app = aqara.credentials(0);
    for number in 0..N_ACCOUNTS {
        text += &format!(
            "[accounts.door_{number}]\nvendor = \"akuvox\"\ngate = {:?}\n\
             [accounts.home_{number}]\nvendor = \"aqara\"\nbase_url = {:?}\napp_id = {:?}\nkey_id = {:?}\napp_key = {:?}\n",
            akuvox.url(),
            aqara.url(),
            app.app_id,
            app.key_id,
            app.app_key,
        );
    }
    text
}

/// From now on a fifth of all calls fails, each in one of the ways.
fn make_flaky<S: Simulation>(cloud: &Cloud<S>, mishaps: &[FaultKind]) {
    let failing = PERCENT_FAILING / 100.0;
    let lost = failing * PERCENT_LOST / 100.0;
    // One is asked after the other, so each gets what the ones before it left.
    let mut left = 1.0;
    for kind in mishaps {
        let share = (failing - lost) / mishaps.len() as f64;
        cloud.inject(Fault::new(*kind).by_chance(share / left, Scope::Any));
        left -= share;
    }
    cloud.inject(Fault::new(FaultKind::ReplyLostAfterRotation).by_chance(lost / left, Scope::Refresh));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_flaky_clouds_leaves_every_account_well_and_keeps_to_the_budget() {
    let n_days = figures::rounds("FLAKY_DAYS", 30);
    let world = World::new().await;
    world.sign_in().await;
    make_flaky(&world.akuvox, &MISHAPS);
    make_flaky(&world.aqara, &[&MISHAPS[..], &[FaultKind::VendorBusy]].concat());
    let end = world.clock.now() + DAY * u32::try_from(n_days).unwrap();
    world.live_until(|it| end <= it.clock.now()).await;
    // Whoever is in the middle of a trouble comes out of it, at clouds that are as bad as before.
    world.live_until(|it| it.names.iter().all(|name| it.status(name).condition == Condition::Ok)).await;

    let (akuvox, aqara) = (world.akuvox.counters(), world.aqara.counters());
    for name in &world.names {
        let n_weeks = u64::try_from(n_days / 7).unwrap();
        let status = world.status(name);
        assert!((n_weeks..=2 * n_weeks + 2).contains(&status.refresh_count), "{name}: {status:?}");
    }
    for counters in [&akuvox, &aqara] {
        assert_eq!((counters.replays, counters.throttled), (0, 0), "{counters:?}");
        assert!(0 < counters.faults && 0 < counters.grace_answers, "{counters:?}");
    }
    // A fifth fails, so five calls make four, and a bad day needs a few more.
    let n_calls = [akuvox.calls_by_name["refresh_token"], aqara.calls_by_name["config.auth.refreshToken"]];
    for (n_calls, counters) in n_calls.into_iter().zip([&akuvox, &aqara]) {
        assert!(n_calls <= 2 * counters.refreshes, "{counters:?}");
    }
    assert!(aqara.calls_by_month.values().all(|it| *it < A_MONTHS_CALLS / 10), "{aqara:?}");
    let (n_failed, n_repeated) = (akuvox.faults + aqara.faults, akuvox.grace_answers + aqara.grace_answers);
    figures::tell(
        2 * N_ACCOUNTS,
        &format!(
            "all are ok after {n_days} days, {n_failed} failed calls and {n_repeated} lost replies that were answered again; \
             {} refreshes took {} calls",
            akuvox.refreshes + aqara.refreshes,
            n_calls.iter().sum::<u64>(),
        ),
    );
    // While its folder is there.
    world.store.close().await.unwrap();
}
