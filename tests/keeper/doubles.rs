//! A store whose disk can fail and which can be looked into, and vendors that can be told to misbehave.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use latchkey::{
    account::{AccountId, Fingerprint, FreshTokens, Inventory, Record, Secret},
    store::{Commit, Entry, Store, StoreError, codec},
    vendor::{Answer, Budget, Rules, SignIn, SignInKind, Spend, Toll, Vendor, VendorError, VendorKind},
};
use tokio::sync::watch;

use super::bench::in_time;

/// The real store, with a disk that fills up when told.
pub(crate) struct Disk {
    store: Arc<dyn Store>,
    has_room: AtomicBool,
    takes_commits: AtomicBool,
    durable: Mutex<HashMap<AccountId, Record>>,
    /// Commits that were refused.
    refused: watch::Sender<usize>,
    /// Whether commits wait, as on a disk that hangs, and how many do.
    is_held: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Disk {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            has_room: AtomicBool::new(true),
            takes_commits: AtomicBool::new(true),
            durable: Mutex::default(),
            refused: watch::Sender::new(0),
            is_held: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        })
    }

    pub(crate) fn have_room(&self, has_room: bool) {
        self.has_room.store(has_room, SeqCst);
    }

    pub(crate) fn take_commits(&self, takes_commits: bool) {
        self.takes_commits.store(takes_commits, SeqCst);
    }

    /// The record of an account as its last commit has it.
    pub(crate) fn durable(&self, account: &AccountId) -> Option<Record> {
        self.durable.lock().unwrap().get(account).cloned()
    }

    pub(crate) async fn until_refused(&self) {
        let mut refused = self.refused.subscribe();
        in_time(refused.wait_for(|it| 0 < *it)).await.unwrap();
    }

    /// From now on commits wait, until this is called again.
    pub(crate) fn hold(&self, is_held: bool) {
        self.is_held.send_replace(is_held);
    }

    pub(crate) async fn until_somebody_waits(&self) {
        let mut waiting = self.waiting.subscribe();
        in_time(waiting.wait_for(|it| 0 < *it)).await.unwrap();
    }

    fn full() -> StoreError {
        StoreError::NoRoom { folder: PathBuf::from("/full") }
    }
}

#[async_trait]
impl Store for Disk {
    fn load(&self) -> Vec<Entry> {
        self.store.load()
    }

    async fn record(&self, account: &AccountId) -> Result<Option<Entry>, StoreError> {
        self.store.record(account).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, StoreError> {
        let lacks_room = commit.needs_room && !self.has_room.load(SeqCst);
        if lacks_room || !self.takes_commits.load(SeqCst) {
            self.refused.send_modify(|it| *it += 1);
            return Err(Self::full());
        }
        if *self.is_held.borrow() {
            self.waiting.send_modify(|it| *it += 1);
            let _ = self.is_held.subscribe().wait_for(|it| !it).await;
            self.waiting.send_modify(|it| *it -= 1);
        }
        let Commit { account, record, .. } = commit.clone();
        let revision = self.store.commit(commit).await?;
        self.durable.lock().unwrap().insert(account, codec::decode(&record, revision).unwrap());
        Ok(revision)
    }

    async fn is_spent(&self, accounts: &[AccountId], fingerprint: Fingerprint) -> Result<bool, StoreError> {
        self.store.is_spent(accounts, fingerprint).await
    }

    fn note(&self, name: &str) -> Option<Vec<u8>> {
        self.store.note(name)
    }

    async fn put_note(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.store.put_note(name, bytes).await
    }

    async fn check_room(&self) -> Result<(), StoreError> {
        if self.has_room.load(SeqCst) { self.store.check_room().await } else { Err(Self::full()) }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

type BeforeRefresh = Box<dyn Fn(&Spend<'_>) + Send + Sync>;
type Lister = Box<dyn Fn(&Secret, &dyn Toll) -> Result<Inventory, VendorError> + Send + Sync>;
type Opener = Box<dyn Fn(&Secret, &str) -> Result<(), VendorError> + Send + Sync>;
type Parser = Box<dyn Fn(&Answer) -> Result<FreshTokens, VendorError> + Send + Sync>;

/// A real vendor, in part replaced.
pub(crate) struct Altered {
    vendor: Arc<dyn Vendor>,
    before_refresh: BeforeRefresh,
    parser: Option<Parser>,
    lister: Option<Lister>,
    opener: Option<Opener>,
    budget: Option<Budget>,
}

impl Altered {
    pub(crate) fn new(vendor: Arc<dyn Vendor>) -> Self {
        Self { vendor, before_refresh: Box::new(|_| {}), parser: None, lister: None, opener: None, budget: None }
    }

    /// Runs this before each refresh is sent; it may panic.
    pub(crate) fn before_refresh(self, hook: impl Fn(&Spend<'_>) + Send + Sync + 'static) -> Self {
        Self { before_refresh: Box::new(hook), ..self }
    }

    /// Reads answers by this instead.
    pub(crate) fn reading_by(
        self,
        parser: impl Fn(&Answer) -> Result<FreshTokens, VendorError> + Send + Sync + 'static,
    ) -> Self {
        Self { parser: Some(Box::new(parser)), ..self }
    }

    /// Lists by this instead.
    pub(crate) fn listing_by(
        self,
        lister: impl Fn(&Secret, &dyn Toll) -> Result<Inventory, VendorError> + Send + Sync + 'static,
    ) -> Self {
        Self { lister: Some(Box::new(lister)), ..self }
    }

    /// Opens doors by this instead.
    pub(crate) fn opening_by(
        self,
        opener: impl Fn(&Secret, &str) -> Result<(), VendorError> + Send + Sync + 'static,
    ) -> Self {
        Self { opener: Some(Box::new(opener)), ..self }
    }

    pub(crate) fn with_budget(self, budget: Budget) -> Self {
        Self { budget: Some(budget), ..self }
    }
}

#[async_trait]
impl Vendor for Altered {
    fn kind(&self) -> VendorKind {
        self.vendor.kind()
    }

    fn rules(&self) -> Rules {
        self.vendor.rules()
    }

    fn host(&self) -> &str {
        self.vendor.host()
    }

    fn budget(&self) -> Option<Budget> {
        self.budget.clone().or_else(|| self.vendor.budget())
    }

    async fn refresh(&self, spend: Spend<'_>) -> Result<Answer, VendorError> {
        (self.before_refresh)(&spend);
        self.vendor.refresh(spend).await
    }

    fn read_refresh(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        match &self.parser {
            Some(parser) => parser(answer),
            None => self.vendor.read_refresh(answer),
        }
    }

    fn storable(&self, answer: &Answer) -> Option<Secret> {
        self.vendor.storable(answer)
    }

    async fn check_access(&self, access: &Secret) -> Option<Result<(), VendorError>> {
        self.vendor.check_access(access).await
    }

    fn configured(&self) -> Inventory {
        self.vendor.configured()
    }

    async fn inventory(&self, access: &Secret, toll: &dyn Toll) -> Result<Inventory, VendorError> {
        match &self.lister {
            Some(lister) => lister(access, toll),
            None => self.vendor.inventory(access, toll).await,
        }
    }

    async fn open_door(&self, access: &Secret, door_id: &str) -> Result<(), VendorError> {
        match &self.opener {
            Some(opener) => opener(access, door_id),
            None => self.vendor.open_door(access, door_id).await,
        }
    }

    async fn request_code(&self) -> Result<(), VendorError> {
        self.vendor.request_code().await
    }

    async fn login(&self, with: SignIn<'_>) -> Result<Answer, VendorError> {
        self.vendor.login(with).await
    }

    fn read_login(&self, answer: &Answer, by: SignInKind) -> Result<FreshTokens, VendorError> {
        self.vendor.read_login(answer, by)
    }

    fn kept_form(&self, password: &Secret) -> Option<Secret> {
        self.vendor.kept_form(password)
    }

    async fn check_in(&self, access: &Secret, auth_token: Option<&Secret>) -> Option<Result<Answer, VendorError>> {
        self.vendor.check_in(access, auth_token).await
    }

    fn read_check_in(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        self.vendor.read_check_in(answer)
    }

    async fn trigger_scene(&self, access: &Secret, scene_id: &str) -> Result<(), VendorError> {
        self.vendor.trigger_scene(access, scene_id).await
    }

    async fn server_time(&self) -> Option<Timestamp> {
        self.vendor.server_time().await
    }

    fn vendor_ahead_by(&self) -> Option<SignedDuration> {
        self.vendor.vendor_ahead_by()
    }
}
