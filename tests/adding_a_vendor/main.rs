//! A vendor from start to end, by the example of one that there is not: docs/adding-a-vendor.md walks through these files.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod cloud;
mod vendor;

use std::{collections::BTreeSet, fs, net::Ipv4Addr, sync::Arc, time::Duration};

use latchkey::{
    account::{AccountId, Code, Condition, Proposal, ProposedTokens, Secret, Status},
    clock::{Clock, Hand},
    config,
    demo::clouds::{Cloud, Fault, FaultKind, Options, Places, What},
    keeper::{Account, Command, Grounds, Keeper, Notice, Reply},
    store::{CHECKPOINT_EVERY, KeySource, SledStore, StoreSettings},
    vendor::Http,
};
use tempfile::TempDir;
use tokio::{sync::broadcast::Receiver, time::timeout};

use cloud::{AcmeCloud, AcmeKnobs};
use vendor::Acme;

/// Nothing here takes this long; whatever does is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// A simulated cloud, and a keeper of one login there, over a real store.
struct House {
    cloud: Cloud<AcmeCloud>,
    keeper: Keeper,
    notices: Receiver<Notice>,
    hand: Hand,
    id: AccountId,
    _folder: TempDir,
}

impl House {
    async fn new(knobs: AcmeKnobs) -> Self {
        let (clock, hand) = Clock::paused("2029-03-01T10:00:00Z".parse().unwrap());
        let time = Some((clock.clone(), hand.clone()));
        let options = Options { n_accounts: 1, knobs, time, places: Places::default() };
        let cloud = Cloud::<AcmeCloud>::start((Ipv4Addr::LOCALHOST, 0).into(), options).await.unwrap();

        let folder = tempfile::tempdir().unwrap();
        let key = KeySource::Given(Secret::new("07".repeat(32)));
        let path = folder.path().join("store");
        let settings = StoreSettings { path, key, checkpoint_every: CHECKPOINT_EVERY };
        let (store, _) = SledStore::open(settings, clock.clone()).unwrap();
        let fingerprints = store.fingerprint_key();
        let http = Http::new(Duration::from_secs(2), clock.clone()).unwrap();
        let grounds =
            Grounds { store: Arc::new(store), fingerprints, clock, refreshes_per_host: 2, unproven: BTreeSet::new() };

        // Its own section of the configuration, were there such a cloud.
        let file = folder.path().join("latchkey.toml");
        let text =
            "[accounts.acme]\nvendor = \"aqara\"\nregion = \"eu\"\napp_id = \"a\"\nkey_id = \"K.1\"\napp_key = \"k\"\n";
        fs::write(&file, text).unwrap();
        let settings = config::load(Some(&file), std::iter::empty()).unwrap();
        let id: AccountId = "acme".parse().unwrap();
        let account =
            Account { settings: settings.accounts[&id].clone(), vendor: Arc::new(Acme::new(cloud.url(), http)) };
        let keeper = Keeper::start(vec![account], grounds).unwrap();
        Self { cloud, notices: keeper.subscribe(), keeper, hand, id, _folder: folder }
    }

    /// With tokens that were proved an hour ago.
    async fn settled(knobs: AcmeKnobs) -> Self {
        let house = Self::new(knobs).await;
        let refresh_token = Secret::new(house.cloud.credentials(0).refresh_token);
        let tokens = ProposedTokens::Refresh(refresh_token);
        let proposal = Proposal { tokens, auth_token: None, issued_at: None, prove: true };
        house.ask(Command::UpdateTokens { entry_id: house.id.clone(), proposal }).await.unwrap();
        house.hand.advance(Duration::from_secs(3600));
        house
    }

    async fn ask(&self, command: Command) -> Reply {
        timeout(STUCK, self.keeper.ask(command)).await.expect("it is stuck")
    }

    async fn scene(&self, scene: &str) -> Reply {
        self.ask(Command::TriggerScene { entry_id: self.id.clone(), scene: scene.to_owned() }).await
    }

    async fn refresh(&self) -> Reply {
        self.ask(Command::RefreshTokens { entry_id: self.id.clone() }).await
    }

    /// Waits until the login is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        let told = async {
            loop {
                let status = self.keeper.status(&self.id).unwrap();
                if wanted(&status) {
                    return status;
                }
                self.notices.recv().await.unwrap();
            }
        };
        timeout(STUCK, told).await.unwrap_or_else(|_| panic!("{:?}", self.keeper.status(&self.id)))
    }
}

#[tokio::test]
async fn a_login_is_renewed_before_its_token_ends() {
    let mut house = House::settled(AcmeKnobs::default()).await;
    let before = house.until(|it| it.condition == Condition::Ok).await;
    house.hand.advance(Duration::from_secs(23 * 3600));
    let after = house.until(|it| it.generation == before.generation + 1).await;
    assert_eq!((after.condition, house.cloud.counters().refreshes), (Condition::Ok, 2));
}

#[tokio::test]
async fn a_reply_that_is_lost_costs_nothing_where_the_cloud_has_a_grace() {
    let house = House::settled(AcmeKnobs { refresh_grace_seconds: 60 }).await;
    house.cloud.inject(Fault::new(FaultKind::ReplyLostAfterRotation));
    house.refresh().await.unwrap();
    assert_eq!(house.cloud.counters().replays, 0);
}

#[tokio::test]
async fn a_reply_that_is_lost_without_a_grace_is_told_as_what_it_is() {
    let mut house = House::settled(AcmeKnobs::default()).await;
    house.cloud.inject(Fault::new(FaultKind::ReplyLostAfterRotation));
    assert_eq!(house.refresh().await.unwrap_err().code, Code::ReplyLost);
    house.until(|it| it.condition == Condition::ReauthRequired).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_kept_and_nothing_is_thrown_away() {
    let mut house = House::settled(AcmeKnobs::default()).await;
    house.cloud.inject(Fault::new(FaultKind::WrongTypes));
    house.refresh().await.unwrap_err();
    let status = house.until(|it| it.problem).await;
    assert_eq!((status.condition, status.last_error), (Condition::InDoubt, Some(Code::UnreadableAnswer)));
}

#[tokio::test]
async fn a_scene_is_run_once_with_a_live_token() {
    let house = House::settled(AcmeKnobs::default()).await;
    house.cloud.revoke(0, What::Access);
    house.scene("Good night").await.unwrap();
    assert_eq!(house.scene("Good morning").await.unwrap_err().code, Code::UnknownScene);
    let counters = house.cloud.counters();
    assert_eq!((counters.scene_runs["s-1"], counters.refreshes), (1, 2));
}
