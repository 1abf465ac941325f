//! One account, its cloud and its keeper, on a clock of their own.

use std::{
    fs,
    net::Ipv4Addr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use jiff::Timestamp;
use latchkey::{
    account::{AccountId, Condition, FingerprintKey, Proposal, ProposedTokens, Secret, Status},
    clock::{Clock, Hand},
    config,
    demo::clouds::{Cloud, Options, Places},
    keeper::{Account, Command, Grounds, Keeper, Reply},
    store::Store,
    vendor::{self, Http},
};

use crate::{
    audit::{self, Given},
    case::{Case, Leg, Place, Seen},
    memory::Memory,
    side::Side,
};

/// Nothing here takes this long in real time; whatever does is stuck.
const STUCK: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// As long as it takes three refusals to count, and more.
const LONGEST_RETRYING: Duration = Duration::from_secs(3 * 86_400);

pub(crate) struct World<S: Side> {
    pub(crate) cloud: Cloud<S>,
    pub(crate) id: AccountId,
    hand: Hand,
    clock: Clock,
    keeper: Keeper,
    store: Arc<Memory>,
    given: Given,
}

impl<S: Side> World<S> {
    pub(crate) async fn new(case: &Case) -> Self {
        static BEGINNING: LazyLock<Timestamp> = LazyLock::new(|| "2029-03-01T10:00:00Z".parse().unwrap());
        let (clock, hand) = Clock::paused(*BEGINNING);
        let usual = serde_json::to_value(S::Knobs::default()).unwrap();
        let knobs: S::Knobs = serde_json::from_value(case.at_first(usual)).unwrap();
        let places = Places { n_regions: if case.place == Place::OtherRegion { 2 } else { 1 }, ..Places::default() };
        let options = Options { n_accounts: 2, knobs, time: Some((clock.clone(), hand.clone())), places };
        let cloud = Cloud::<S>::start((Ipv4Addr::LOCALHOST, 0).into(), options).await.unwrap();

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latchkey.toml");
        fs::write(&file, format!("[accounts.home]\n{}", S::account_lines(&cloud, case.place))).unwrap();
        let settings = config::load(Some(&file), std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"));
        let id: AccountId = "home".parse().unwrap();
        let settings = settings.accounts[&id].clone();
        let http = Http::new(Duration::from_secs(20), clock.clone()).unwrap();
        let vendor = vendor::connect(&settings, &http);
        let store = Arc::new(Memory::default());
        let grounds = Grounds {
            store: store.clone() as Arc<dyn Store>,
            fingerprints: FingerprintKey::from_bytes([7; 32]),
            clock: clock.clone(),
            refreshes_per_host: 2,
            unproven: Default::default(),
        };
        let keeper = Keeper::start(vec![Account { settings, vendor }], grounds).unwrap();
        Self { cloud, id, hand, clock, keeper, store, given: Given::default() }
    }

    pub(crate) fn status(&self) -> Status {
        self.keeper.status(&self.id).unwrap()
    }

    pub(crate) async fn ask(&self, command: Command) -> Reply {
        tokio::time::timeout(STUCK, self.keeper.ask(command)).await.expect("it is stuck")
    }

    pub(crate) async fn refresh(&self) -> Reply {
        self.ask(Command::RefreshTokens { entry_id: self.id.clone() }).await
    }

    /// A user hands in the pair that the cloud holds now.
    pub(crate) async fn give_pair(&mut self) -> Reply {
        let (access, refresh) = S::pair(&self.cloud.credentials(0));
        self.given.by_user(&access, &refresh);
        let tokens = ProposedTokens::Both { access: Secret::new(access), refresh: Secret::new(refresh) };
        self.give(tokens, None).await
    }

    pub(crate) async fn give(&self, tokens: ProposedTokens, auth_token: Option<Secret>) -> Reply {
        let proposal = Proposal { tokens, auth_token, issued_at: None, prove: true };
        self.ask(Command::UpdateTokens { entry_id: self.id.clone(), proposal }).await
    }

    /// Turns the switches that a case wants turned late.
    pub(crate) fn turn_late_ones(&self, case: &Case) {
        self.cloud.turn_knobs(|knobs| {
            if let Some(turned) = case.later_on(serde_json::to_value(&*knobs).unwrap()) {
                *knobs = serde_json::from_value(turned).unwrap();
            }
        });
    }

    /// Lets time pass at once, as it does for a machine that sleeps.
    pub(crate) fn sleep(&self, span: Duration) {
        self.hand.advance(span);
    }

    /// Lets time pass, and each refresh come at its time.
    pub(crate) async fn live(&self, span: Duration) {
        let until = self.clock.now() + span;
        while self.clock.now() < until {
            let next = self.status().next_refresh_at.filter(|it| self.clock.now() < *it);
            let step = next.map_or(until, |it| it.min(until));
            self.sleep(Duration::try_from(step.duration_since(self.clock.now())).unwrap());
            self.catch_up().await;
        }
    }

    /// What the account shows once its retries have come to an end, or have gone on for days.
    pub(crate) async fn settle(&self, reply: &Reply) -> Seen {
        let until = self.clock.now() + LONGEST_RETRYING;
        loop {
            self.catch_up().await;
            let Status { condition, last_error, .. } = self.status();
            let is_at_an_end = matches!(condition, Condition::Ok | Condition::ReauthRequired);
            if is_at_an_end || until <= self.clock.now() {
                return Seen { reply: reply.as_ref().err().map(|it| it.code), condition, last_error };
            }
            self.live(HOUR).await;
        }
    }

    /// What must hold whatever the switches say.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let (log, honoured) = (self.cloud.log(), self.cloud.honoured(0));
        audit::check(&log)?;
        let record = self.store.record(&self.id).unwrap_or_default();
        self.given.are_held(&log, &honoured, &record, S::KEEPS_ACCESS)
    }

    /// Signs in at the vendor as a user would, and hands the pair in.
    pub(crate) async fn mend(&mut self, after: Leg) -> Result<(), String> {
        self.live(2 * HOUR).await;
        self.cloud.sign_in(0);
        let reply = self.give_pair().await;
        let seen = self.settle(&reply).await;
        if seen.condition == Condition::Ok {
            Ok(())
        } else {
            Err(format!("new tokens do not mend {after:?}: {seen:?}"))
        }
    }

    pub(crate) async fn stop(self) {
        tokio::time::timeout(STUCK, self.keeper.stop()).await.expect("it is stuck");
        self.cloud.shutdown().await;
    }

    /// Joins the refresh that is due, if one is: it is over when this returns.
    async fn catch_up(&self) {
        if self.status().next_refresh_at.is_some_and(|it| it <= self.clock.now()) {
            // It may be over already, and then it is too soon for another one.
            let _ = self.refresh().await;
        }
    }
}
