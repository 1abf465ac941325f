//! Alerts: one message to the configured address when an account starts to need somebody, and one when it is well again.
//!
//! They do not need Home Assistant or a broker. [`Alerts`] asks the keeper how accounts are and keeps what it told in a note
//! of the store; `watch` says what is due; `message` what is said.

mod message;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    task::yield_now,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    account::{AccountId, Secret},
    clock::{Clock, LOOK_AGAIN},
    config::{AlertFormat, AlertSettings},
    keeper::{AT_A_TIME, Card, Keeper, Notice},
    store::Store,
    vendor::{Http, PostError},
};

use message::Message;
use watch::Watch;

/// How long a stop waits for an alert that is on its way.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// The note of the store: the ids of the accounts whose trouble was told.
const TOLD: &str = "alerts";

/// Tells of trouble, in a task of its own: nobody waits for it.
pub struct Alerts {
    keeper: Keeper,
    notices: Receiver<Notice>,
    store: Arc<dyn Store>,
    clock: Clock,
    http: Http,
    settings: AlertSettings,
    /// Of the accounts that are kept, as far as they were looked at.
    watches: BTreeMap<AccountId, Watch>,
    /// Where people find the page.
    link: Option<String>,
}

/// Who is to be looked at.
enum Whom {
    All,
    These(BTreeSet<AccountId>),
}

impl Alerts {
    pub fn new(
        keeper: Keeper,
        store: Arc<dyn Store>,
        clock: Clock,
        http: Http,
        settings: AlertSettings,
        link: Option<String>,
    ) -> Self {
        let told = store.note(TOLD).and_then(|it| serde_json::from_slice::<BTreeSet<AccountId>>(&it).ok());
        let watches = told.unwrap_or_default().into_iter().map(|it| (it, Watch::new(true))).collect();
        Self { notices: keeper.subscribe(), keeper, store, clock, http, settings, watches, link }
    }

    /// Until `stop`. What is being told then has a moment to be taken, so that it is not told again after the next start;
    /// what could not be told by then is.
    pub async fn run(mut self, stop: CancellationToken) {
        let last_moment = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_MOMENT).await;
        };
        tokio::select! {
            () = self.tell_all(&stop) => {}
            () = last_moment => {}
        }
    }

    async fn tell_all(&mut self, stop: &CancellationToken) {
        let mut whom = Whom::All;
        // When all are to be looked at, by monotonic time.
        let mut next = Duration::ZERO;
        while !stop.is_cancelled() {
            let cards = match whom {
                Whom::All => {
                    next = self.clock.monotonic() + LOOK_AGAIN;
                    let cards = self.keeper.cards();
                    self.watches.retain(|id, _| cards.binary_search_by(|it| it.id.cmp(id)).is_ok());
                    cards
                }
                Whom::These(accounts) => accounts.iter().filter_map(|it| self.keeper.card(it)).collect(),
            };
            for some in cards.chunks(AT_A_TIME) {
                for card in some {
                    if let Some(pause) = self.look_at(card).await {
                        next = next.min(self.clock.monotonic() + pause);
                    }
                }
                yield_now().await;
            }
            let deadline = self.clock.now() + next.saturating_sub(self.clock.monotonic());
            whom = tokio::select! {
                notice = self.notices.recv() => match notice {
                    Err(RecvError::Closed) => return,
                    notice => self.whom_it_concerns(notice.ok()),
                },
                () = self.clock.wait(deadline) => Whom::All,
                () = stop.cancelled() => return,
            };
        }
    }

    /// Those whom this notice is about, and those that wait behind it; none: some were missed.
    fn whom_it_concerns(&mut self, first: Option<Notice>) -> Whom {
        let mut accounts = BTreeSet::new();
        let mut next = first;
        loop {
            match next {
                Some(Notice::Changed(account) | Notice::Inventory(account) | Notice::Happened(account, _)) => {
                    accounts.insert(account);
                }
                Some(Notice::Accounts) | None => return Whom::All,
            }
            next = match self.notices.try_recv() {
                Ok(notice) => Some(notice),
                Err(TryRecvError::Lagged(_)) => None,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Whom::These(accounts),
            };
        }
    }

    /// Tells what is due of an account. Returns how long until something may be; none where nothing is.
    async fn look_at(&mut self, card: &Card) -> Option<Duration> {
        let account = &card.id;
        let status = self.keeper.status(account)?;
        let now = self.clock.monotonic();
        let watch = self.watches.entry(account.clone()).or_default();
        let (news, at) = watch.due(status.problem, self.settings.after, now)?;
        if now < at {
            return Some(at - now);
        }
        let message = Message::new(news, card, &status, self.link.as_deref());
        let sent = post(&self.http, &self.settings, &message).await;
        let now = self.clock.monotonic();
        match sent {
            Ok(()) => {
                info!(%account, "told: {}", message.title());
                watch.told(news);
                self.remember().await;
                None
            }
            Err(error) => {
                let pause = watch.failed(now);
                warn!(%account, "an alert was not taken: {error}; tried again in {}", humantime::format_duration(pause));
                Some(pause)
            }
        }
    }

    async fn remember(&self) {
        let told: Vec<&str> = self.watches.iter().filter(|it| it.1.is_told()).map(|it| it.0.as_str()).collect();
        let bytes = serde_json::to_vec(&told).unwrap_or_default();
        if let Err(error) = self.store.put_note(TOLD, bytes).await {
            warn!("what was told cannot be noted, so it may be told again after the next start: {error}");
        }
    }
}

async fn post(http: &Http, settings: &AlertSettings, message: &Message<'_>) -> Result<(), PostError> {
    let (url, body) = match settings.format {
        AlertFormat::Json => (settings.url.clone(), message.json()),
        AlertFormat::Ntfy => {
            // ntfy takes documents at its root; the topic is the end of the address.
            let address = settings.url.expose().trim_end_matches('/');
            let (root, topic) = address.rsplit_once('/').unwrap_or((address, ""));
            (Secret::new(format!("{root}/")), message.ntfy(topic))
        }
    };
    http.post_json(&url, settings.token.as_ref(), body.to_string()).await
}
