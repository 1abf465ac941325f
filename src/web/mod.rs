//! The admin API: the commands of MQTT by HTTP, events, health and metrics. Only here are axum and hyper known.
//!
//! A request comes in by `server` (connections, their limits), passes the `guard` (host, key), and reaches a handler:
//! [`accounts`] for everything an account can be asked, [`aqara`] for two routes that other programs know, [`events`],
//! [`health`], [`metrics`], [`openapi`]. `answer` says which HTTP status a reply has. [`page`] is what people see, by
//! [`session`]. [`router`] puts the parts together.

mod answer;
mod attempts;
mod exposition;
mod guard;
mod hosts;
mod key;
mod origin;
mod patient;
mod recent;
mod refusal;
mod server;
mod take;

pub mod accounts;
pub mod aqara;
pub mod events;
pub mod health;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod schema;
pub mod session;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, get, post, put},
};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, broadcast::Receiver};
use tokio_util::sync::CancellationToken;

pub use answer::status_of;
pub use hosts::AllowedHosts;
pub use key::{KEY_FILE, WebKey};
pub use refusal::RefusalCode;
pub use server::{PortTaken, Server};

use crate::{
    account::AccountId,
    clock::Clock,
    config::PublicUrl,
    homeassistant::advice,
    keeper::{Card, Keeper, Notice},
    mqtt::Link,
    store::{SledStore, Store},
};

use attempts::Attempts;
use origin::PublicOrigin;
use recent::Recent;
use session::Sessions;

/// A disk that hangs is not well.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What the edge stands on.
pub struct Parts {
    pub keeper: Keeper,
    pub store: Arc<SledStore>,
    pub link: Link,
    pub clock: Clock,
    pub key: WebKey,
    pub hosts: AllowedHosts,
    pub public_url: Option<PublicUrl>,
    pub metrics_public: bool,
    /// The address that Home Assistant's ingress asks from.
    pub ingress_from: Option<IpAddr>,
    /// Ends event streams.
    pub stop: CancellationToken,
}

/// A way to sign in that the configuration has set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginBy {
    Code,
    Password,
}

impl LoginBy {
    /// The ways that are set up for an account.
    fn all_of(card: &Card) -> Vec<Self> {
        let ways = [(card.logs_in_by_code, Self::Code), (card.logs_in_by_password, Self::Password)];
        ways.into_iter().filter_map(|(is_set_up, way)| is_set_up.then_some(way)).collect()
    }
}

/// What the handlers share.
pub struct Web {
    keeper: Keeper,
    store: Arc<SledStore>,
    link: Link,
    clock: Clock,
    key: WebKey,
    hosts: AllowedHosts,
    metrics_public: bool,
    ingress_from: Option<IpAddr>,
    stop: CancellationToken,
    started: Timestamp,
    attempts: Attempts,
    sessions: Sessions,
    public_origin: PublicOrigin,
    streams: Arc<Semaphore>,
    recent: Recent,
    /// When the store was asked last, by monotonic time, and whether it was well.
    store_look: Mutex<Option<(Duration, bool)>>,
}

/// All routes behind the guard: the API, and the page's files. To be called within a runtime.
pub fn router(parts: Parts) -> Router {
    let web = Arc::new(Web::new(parts));
    tokio::spawn(remember(web.clone(), web.keeper.subscribe()));
    let routes = routes()
        .into_iter()
        .chain(page::routes())
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routes.fallback(guard::not_found).layer(from_fn_with_state(web.clone(), guard::guard)).with_state(web)
}

/// Keeps what happens, until Latchkey stops.
async fn remember(web: Arc<Web>, notices: Receiver<Notice>) {
    tokio::select! {
        () = web.recent.listen(notices, web.clock.clone()) => {}
        () = web.stop.cancelled() => {}
    }
}

/// The paths of the API's routes, as the OpenAPI document spells them.
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|it| it.0).collect()
}

fn routes() -> Vec<(&'static str, MethodRouter<Arc<Web>>)> {
    vec![
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(metrics::metrics)),
        ("/openapi.json", get(openapi::document)),
        ("/v1/session", get(session::look).post(session::sign_in).delete(session::sign_out)),
        ("/v1/events", get(events::events)),
        ("/v1/accounts", get(accounts::list)),
        ("/v1/accounts/{id}", get(accounts::status)),
        ("/v1/accounts/{id}/tokens", put(accounts::update_tokens)),
        ("/v1/accounts/{id}/refresh", post(accounts::refresh)),
        ("/v1/accounts/{id}/scenes", get(accounts::scenes)),
        ("/v1/accounts/{id}/scenes/{key}/trigger", post(accounts::trigger)),
        ("/v1/accounts/{id}/doors", get(accounts::doors)),
        ("/v1/accounts/{id}/doors/{key}/open", post(accounts::open)),
        ("/v1/accounts/{id}/login-code", post(accounts::login_code)),
        ("/v1/accounts/{id}/login", post(accounts::login)),
        ("/v1/accounts/{id}/access-token", get(accounts::access_token)),
        ("/v1/accounts/{id}/forget", post(accounts::forget)),
        ("/v1/accounts/{id}/recall", post(accounts::recall)),
        ("/v1/admin/aqara/refresh-token", post(aqara::update_refresh_token)),
        ("/v1/admin/aqara/token-status", get(aqara::token_status)),
    ]
}

impl Web {
    fn new(parts: Parts) -> Self {
        let Parts { keeper, store, link, clock, key, hosts, public_url, metrics_public, ingress_from, stop } = parts;
        Self {
            keeper,
            store,
            link,
            key,
            sessions: Sessions::new(hosts.port(), clock.clone()),
            public_origin: PublicOrigin::new(public_url.as_ref()),
            hosts,
            metrics_public,
            ingress_from,
            stop,
            started: clock.now(),
            attempts: Attempts::new(clock.clone()),
            streams: Arc::new(Semaphore::new(events::MOST_STREAMS)),
            recent: Recent::default(),
            store_look: Mutex::default(),
            clock,
        }
    }

    /// Why an account needs a person, and what that person is to do.
    fn advice(&self, account: &AccountId) -> Option<String> {
        let card = self.keeper.card(account)?;
        advice(&self.keeper.status(account)?, card.logs_in_by_code)
    }

    /// Whether the store takes commits; asked once a second at most, since anybody may ask.
    async fn is_store_well(&self) -> bool {
        let mut look = self.store_look.lock().await;
        let now = self.clock.monotonic();
        if let Some((at, is_well)) = *look
            && now.saturating_sub(at) < Duration::from_secs(1)
        {
            return is_well;
        }
        let asked = tokio::time::timeout(STORE_ANSWERS_WITHIN, self.store.check_room()).await;
        let is_well = asked.is_ok_and(|it| it.is_ok());
        *look = Some((now, is_well));
        is_well
    }
}
