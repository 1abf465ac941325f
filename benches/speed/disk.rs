//! What the store takes on the disk after years of refreshes.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use latchkey::{
    account::{AccountId, BackOff, Ending, FreshTokens, Grant, Patience, Record, Secret},
    clock::Clock,
    store::{CHECKPOINT_EVERY, Commit, KeySource, SledStore, Store, StoreSettings, codec},
};
use tokio::runtime::Runtime;

use crate::{Form, row::Row};

const N_ACCOUNTS: usize = 10;
const PATIENCE: Patience =
    Patience { back_off: BackOff { first: Duration::from_secs(30), longest: Duration::from_secs(3600) }, chance: 0.5 };

pub(crate) fn disk(form: Form) -> Vec<Row> {
    let n_refreshes = form.of(100_000, 2000);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("store");
    let runtime = Runtime::new().unwrap();
    let began = Instant::now();
    runtime.block_on(async {
        let (store, _) = open(&path);
        let fingerprints = store.fingerprint_key();
        let store: Arc<dyn Store> = Arc::new(store);
        let mut accounts = tokio::task::JoinSet::new();
        for number in 0..N_ACCOUNTS {
            let (store, fingerprints) = (store.clone(), fingerprints.clone());
            accounts.spawn(async move {
                let mut login = Login::new(number, store).await;
                for _ in 0..n_refreshes / N_ACCOUNTS {
                    login.refresh(&fingerprints).await;
                }
            });
        }
        while let Some(ended) = accounts.join_next().await {
            ended.unwrap();
        }
        store.close().await.unwrap();
    });
    let took = began.elapsed();
    let bytes = size(&path) - fs::metadata(path.join("ballast")).map_or(0, |it| it.len());
    let mebibytes = bytes as f64 / (1024.0 * 1024.0);
    let opened = Instant::now();
    drop(open(&path));
    let open_time = opened.elapsed();
    vec![
        Row::new(
            format!(
                "store on disk after {n_refreshes} refreshes of {N_ACCOUNTS} accounts, without its ballast of 1 MiB"
            ),
            "≤ 8 MiB",
            format!("{mebibytes:.1} MiB ({:.0} refreshes/s)", n_refreshes as f64 / took.as_secs_f64()),
            mebibytes <= 8.0,
        ),
        Row::new(
            "its opening",
            "≤ 100 ms",
            format!("{:.0} ms", open_time.as_secs_f64() * 1e3),
            open_time <= Duration::from_millis(100),
        ),
    ]
}

fn open(path: &Path) -> (SledStore, latchkey::store::OpenReport) {
    let key = KeySource::File(path.join("key"));
    SledStore::open(StoreSettings { path: path.to_owned(), key, checkpoint_every: CHECKPOINT_EVERY }, Clock::system())
        .unwrap()
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap());
    entries.map(|it| if it.path().is_dir() { size(&it.path()) } else { it.metadata().unwrap().len() }).sum()
}

/// One account that is refreshed without a vendor: the same commits, the same records.
struct Login {
    account: AccountId,
    record: Record,
    store: Arc<dyn Store>,
}

impl Login {
    async fn new(number: usize, store: Arc<dyn Store>) -> Self {
        let account = format!("account_{number}").parse().unwrap();
        let grant = Grant {
            access: Some(token()),
            refresh: Some(token()),
            extras: latchkey::account::Extras::default(),
            issued_at: Timestamp::now(),
            refresh_updated_at: Timestamp::now(),
            access_expires_at: None,
            refresh_expires_at: None,
            generation: 1,
            proven: true,
            refresh_end: None,
        };
        let record = Record { generation: 1, current: Some(grant), ..Record::default() };
        let mut login = Self { account, record, store };
        login.commit(None).await;
        login
    }

    async fn refresh(&mut self, fingerprints: &latchkey::account::FingerprintKey) {
        let slot = self.record.next_to_spend().unwrap();
        let refresh = self.record.grant(slot).unwrap().refresh.clone().unwrap();
        let attempt = self.record.begin(fastrand::u64(..), slot, fingerprints.of(&refresh), Timestamp::now());
        self.commit(None).await;
        let (access, refresh) = (token(), token());
        let answer = format!(
            "{{\"err_code\":\"0\",\"message\":\"success\",\"datas\":{{\"token\":\"{}\",\"refresh_token\":\"{}\",\"token_valid\":\"604800\"}}}}",
            access.expose(),
            refresh.expose()
        );
        let lifetime = Some(Duration::from_secs(604_800));
        let fresh = FreshTokens {
            access: Some(access),
            refresh: Some(refresh),
            access_lifetime: lifetime,
            ..FreshTokens::default()
        };
        self.record.settle(&attempt, Ending::Renewed(fresh), Timestamp::now(), PATIENCE);
        self.commit(Some(&Secret::new(answer))).await;
    }

    async fn commit(&mut self, answer: Option<&Secret>) {
        let record = codec::encode(&self.record, answer, true);
        let expected = self.record.revision;
        let commit = Commit { account: self.account.clone(), expected, record, needs_room: false };
        self.record.revision = self.store.commit(commit).await.unwrap();
    }
}

fn token() -> Secret {
    Secret::new(format!("{:032x}", fastrand::u128(..)))
}
