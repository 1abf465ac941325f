//! Commands without a service: the store, a keeper over it that has no schedule, and no broker.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    account::{AccountId, Fingerprint, FingerprintKey},
    clock::Clock,
    config::Settings,
    keeper::{Card, Command, Grounds, Keeper},
    service::{self, StartError},
    store::{Commit, Entry, OpenReport, SledStore, Store, StoreError},
};

use super::{
    StopSignals,
    answer::{Answer, Trouble, answer_of},
    seat::Purpose,
};

pub(super) struct Alone {
    keeper: Keeper,
    report: Option<OpenReport>,
}

impl Alone {
    /// Opens the store and starts a keeper that calls no vendor unless a command asks for it.
    pub(super) fn start(settings: &Settings, purpose: Purpose) -> Result<Self, Trouble> {
        let clock = Clock::system();
        if purpose == Purpose::Use && !settings.store.path.exists() {
            let store = Arc::new(NoStore { folder: settings.store.path.as_path().into() });
            return Self::over(settings, store, FingerprintKey::from_bytes([0; 32]), None, clock);
        }
        let (store, report) = SledStore::open(service::store_settings(settings), clock.clone())?;
        let fingerprints = store.fingerprint_key();
        Self::over(settings, Arc::new(store), fingerprints, Some(report), clock)
    }

    /// Starts over a store that is open already.
    pub(super) fn over(
        settings: &Settings,
        store: Arc<dyn Store>,
        fingerprints: FingerprintKey,
        report: Option<OpenReport>,
        clock: Clock,
    ) -> Result<Self, Trouble> {
        let is_unproven = |it: &&AccountId| report.as_ref().is_some_and(|report| report.is_unproven(it));
        let grounds = Grounds {
            store,
            fingerprints,
            clock,
            refreshes_per_host: settings.keeper.refreshes_per_host,
            unproven: settings.accounts.keys().filter(is_unproven).cloned().collect(),
        };
        let http = service::http(settings, &grounds.clock)?;
        let keeper = Keeper::start_unscheduled(service::connect(settings.accounts.clone(), &http), grounds)
            .map_err(StartError::from)?;
        Ok(Self { keeper, report })
    }

    /// Carries a command out. Ctrl-C ends the waiting, and what was begun is still brought to its end by [`Alone::stop`].
    pub(super) async fn ask(&self, command: Command) -> Answer {
        let mut signals = StopSignals::listen().map_err(|error| Trouble::io("hear signals", &error))?;
        tokio::select! {
            reply = self.keeper.ask(command) => answer_of(reply),
            () = signals.told_to_stop() => {
                let hint = "See with `latchkey status` what came of it.";
                Err(Trouble::new("interrupted", "interrupted while it was under way", hint))
            }
        }
    }

    pub(super) fn accounts(&self) -> Value {
        let account = |card: &Arc<Card>| {
            let mut account = serde_json::to_value(self.keeper.status(&card.id)?).ok()?;
            account["entry_id"] = json!(card.id);
            account["vendor"] = json!(card.vendor);
            account["name"] = json!(card.name);
            Some(account)
        };
        json!({ "accounts": self.keeper.cards().iter().filter_map(account).collect::<Vec<_>>() })
    }

    /// The cloud is asked where nothing is known: what a service lists in the background, nobody has listed here.
    pub(super) async fn doors(&self, entry_id: &AccountId) -> Answer {
        let known = || self.keeper.inventory(entry_id).unwrap_or_default().doors;
        let is_signed_in = self.keeper.status(entry_id).is_some_and(|it| it.configured);
        if known().is_empty() && is_signed_in {
            self.keeper.look_around(entry_id).await?;
        }
        Ok(json!({ "entry_id": entry_id, "doors": known() }))
    }

    pub(super) fn store_report(&self) -> Value {
        let Some(report) = &self.report else { return json!("there is none yet") };
        json!({
            "is_clean": report.is_clean(),
            "created": report.created,
            "rolled_back": report.rolled_back,
            "mended_from_sled": report.mended_from_sled,
            "outdated": report.outdated,
            "unreadable": report.unreadable,
            "damaged_records": report.damaged_records,
            "torn_tail": report.torn_tail,
            "journal_missing": report.journal_missing,
            "sled_set_aside": report.sled_set_aside.is_some(),
            "sled_unavailable": report.sled_unavailable,
            "fingerprint_key_lost": report.fingerprint_key_lost,
        })
    }

    pub(super) async fn stop(self) {
        self.keeper.stop().await;
    }
}

/// Where nothing is kept yet and nothing is to be made: everything that would be stored is refused.
struct NoStore {
    folder: Box<Path>,
}

impl NoStore {
    fn refuse<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::ReadOnly { folder: self.folder.clone().into() })
    }
}

#[async_trait]
impl Store for NoStore {
    fn load(&self) -> Vec<Entry> {
        Vec::new()
    }

    async fn record(&self, _: &AccountId) -> Result<Option<Entry>, StoreError> {
        Ok(None)
    }

    async fn commit(&self, _: Commit) -> Result<u64, StoreError> {
        self.refuse()
    }

    async fn is_spent(&self, _: &[AccountId], _: Fingerprint) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn note(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    async fn put_note(&self, _: &str, _: Vec<u8>) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn check_room(&self) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
