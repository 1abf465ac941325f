//! `/metrics`: figures for Prometheus, read at the moment of the scrape.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use jiff::Timestamp;
use tokio::task::yield_now;

use crate::{
    account::{Condition, Status},
    keeper::{AT_A_TIME, Card, HostQueue, Purpose, Tally},
    vendor::{BOUNDS, Latency},
};

use super::{
    Web,
    events::MOST_STREAMS,
    exposition::{
        Counts, Exposition,
        Kind::{Counter, Gauge},
    },
};

/// Metrics in Prometheus' text form
#[utoipa::path(
    get, path = "/metrics", tag = "latchkey",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(web): State<Arc<Web>>) -> Response {
    let mut page = Exposition::default();
    add_own(&mut page, &web);
    let look = |card: &Arc<Card>| {
        let (id, vendor) = (card.id.to_string(), card.vendor.to_string());
        let latencies = web.keeper.latencies(&card.id);
        Some(Look { id, vendor, status: web.keeper.status(&card.id)?, tally: web.keeper.tally(&card.id)?, latencies })
    };
    let mut looks: Vec<Look> = Vec::new();
    for some in web.keeper.cards().chunks(AT_A_TIME) {
        looks.extend(some.iter().filter_map(look));
        yield_now().await;
    }
    add_conditions(&mut page, &looks);
    add_times(&mut page, &looks, web.clock.now());
    add_counts(&mut page, &looks);
    add_calls(&mut page, &looks, &web);
    add_mqtt(&mut page, &web);
    add_store(&mut page, &web);
    let mut response = Response::new(page.finish().into());
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// One account at the moment of the scrape.
struct Look {
    id: String,
    vendor: String,
    status: Status,
    tally: Tally,
    latencies: Vec<Latency>,
}

type Labels = Vec<(&'static str, String)>;

impl Look {
    fn labels(&self) -> Labels {
        vec![("account", self.id.clone()), ("vendor", self.vendor.clone())]
    }

    fn labels_with(&self, label: &'static str, text: impl ToString) -> Labels {
        self.labels().into_iter().chain([(label, text.to_string())]).collect()
    }
}

fn add_own(page: &mut Exposition, web: &Web) {
    let build = [("version", env!("CARGO_PKG_VERSION")), ("build", env!("LATCHKEY_BUILD"))];
    page.metric(Gauge, "latchkey_build_info", "What runs.", [(build.map(|it| (it.0, it.1.to_owned())), 1)]);
    let started = web.started.as_second();
    page.single(Gauge, "latchkey_start_time_seconds", "When Latchkey was started, since the epoch.", started);
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    page.single(Gauge, "latchkey_tasks", "Tasks that run or wait inside Latchkey.", tasks);
    let streams = MOST_STREAMS - web.streams.available_permits();
    page.single(Gauge, "latchkey_event_streams", "Programs that listen to events.", streams);
}

fn add_conditions(page: &mut Exposition, looks: &[Look]) {
    let conditions = looks.iter().flat_map(|look| {
        let sample = |it: &Condition| (look.labels_with("condition", it), u8::from(look.status.condition == *it));
        Condition::ALL.iter().map(sample).collect::<Vec<_>>()
    });
    page.metric(Gauge, "latchkey_account_condition", "1 for the condition that the account is in.", conditions);
    let mut flag = |name, help, of: fn(&Status) -> bool| {
        page.metric(Gauge, name, help, looks.iter().map(|it| (it.labels(), u8::from(of(&it.status)))));
    };
    flag("latchkey_account_needs_attention", "1 where somebody has to do something.", |it| it.problem);
    flag("latchkey_cloud_reachable", "1 where the vendor answered when last called.", |it| it.cloud);
}

fn add_times(page: &mut Exposition, looks: &[Look], now: Timestamp) {
    let mut times = |name, help, of: fn(&Status) -> Option<Timestamp>, sign: i64| {
        let sample = |it: &Look| {
            let until = of(&it.status)?.duration_since(now);
            Some((it.labels(), sign * until.as_secs()))
        };
        page.metric(Gauge, name, help, looks.iter().filter_map(sample));
    };
    times(
        "latchkey_access_token_remaining_seconds",
        "Time until the access token ends, negative when it has ended; absent where unknown.",
        |it| it.access_token_expires_at,
        1,
    );
    times(
        "latchkey_refresh_token_remaining_seconds",
        "Time until the refresh token ends; absent where unknown.",
        |it| it.refresh_token_expires_at,
        1,
    );
    times(
        "latchkey_next_refresh_remaining_seconds",
        "Time until the next refresh; absent where none is planned.",
        |it| it.next_refresh_at,
        1,
    );
    times(
        "latchkey_last_refresh_age_seconds",
        "Time since the last refresh; absent where there was none.",
        |it| it.last_refresh_at,
        -1,
    );
}

fn add_counts(page: &mut Exposition, looks: &[Look]) {
    let refreshes = looks.iter().flat_map(|look| {
        let Tally { renewed, failed, refused, in_doubt, .. } = look.tally;
        let outcomes = [("renewed", renewed), ("failed", failed), ("refused", refused), ("in_doubt", in_doubt)];
        outcomes.map(|(outcome, count)| (look.labels_with("outcome", outcome), count))
    });
    page.metric(Counter, "latchkey_refreshes_total", "Attempts to refresh since the start, by outcome.", refreshes);
    let failures = looks.iter().map(|it| (it.labels(), it.status.consecutive_failures));
    page.metric(Gauge, "latchkey_consecutive_failures", "Refreshes that failed in a row.", failures);
    let generations = looks.iter().map(|it| (it.labels(), it.status.generation));
    page.metric(Gauge, "latchkey_grant_generation", "The generation of the tokens that are held.", generations);
}

fn add_calls(page: &mut Exposition, looks: &[Look], web: &Web) {
    let calls = looks.iter().flat_map(|look| {
        let Tally { refresh_calls, other_calls, .. } = look.tally;
        let purposes = [(Purpose::Refresh, refresh_calls), (Purpose::Call, other_calls)];
        purposes.map(|(purpose, count)| (look.labels_with("purpose", word(purpose)), count))
    });
    page.metric(Counter, "latchkey_vendor_calls_total", "Calls to the vendor since the start, by purpose.", calls);
    let this_month = looks.iter().filter_map(|it| Some((it.labels(), it.status.calls_this_month?)));
    let help = "Calls of this month that the vendor counts against a limit, those of the whole app.";
    page.metric(Gauge, "latchkey_vendor_calls_this_month", help, this_month);
    let latencies = looks.iter().flat_map(|look| {
        let counts = |it: &Latency| Counts { within: it.within.to_vec(), in_all: it.n_calls, sum: it.sum };
        look.latencies.iter().map(move |it| (look.labels_with("call", it.call), counts(it)))
    });
    let help = "How long calls to the vendor took, answered or given up, by what was asked in the vendor's words.";
    page.histogram("latchkey_vendor_call_duration_seconds", help, &BOUNDS, latencies);
    let queues = web.keeper.queues();
    let mut turns = |name, help, of: fn(&HostQueue) -> usize| {
        let labels = |it: &HostQueue| [("host", it.host.clone()), ("purpose", word(it.purpose).to_owned())];
        page.metric(Gauge, name, help, queues.iter().map(|it| (labels(it), of(it))));
    };
    turns("latchkey_vendor_turns_waiting", "Accounts that wait for their turn at a host.", |it| it.n_waiting);
    turns("latchkey_vendor_turns_running", "Accounts that have their turn at a host.", |it| it.n_running);
}

fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Refresh => "refresh",
        Purpose::Call => "call",
    }
}

fn add_mqtt(page: &mut Exposition, web: &Web) {
    let link = web.link.stats();
    let reconnects = link.connections.saturating_sub(1);
    page.single(Gauge, "latchkey_mqtt_connected", "1 where the broker is connected.", u8::from(link.is_connected));
    page.single(Counter, "latchkey_mqtt_reconnects_total", "Connections to the broker after the first.", reconnects);
    page.single(Gauge, "latchkey_mqtt_outbox_messages", "Messages that wait to be published.", link.outbox);
    page.single(Gauge, "latchkey_mqtt_inbox_messages", "Messages that came and wait to be handled.", link.unread);
    page.single(Counter, "latchkey_mqtt_dropped_messages_total", "Messages that were dropped.", link.dropped);
}

fn add_store(page: &mut Exposition, web: &Web) {
    let store = web.store.stats();
    page.single(Gauge, "latchkey_store_journal_bytes", "Length of the journal.", store.journal_bytes);
    page.single(Gauge, "latchkey_store_records", "Accounts that have a record.", store.records);
    let help = "Requests that wait for the thread that writes, or that it works at.";
    page.single(Gauge, "latchkey_store_waiting_requests", help, store.waiting);
    let mut count = |name, help, value| page.single(Counter, name, help, value);
    count("latchkey_store_commits_total", "Records and notes made durable.", store.commits);
    count("latchkey_store_syncs_total", "Times that the journal was synced to the disk.", store.syncs);
    count("latchkey_store_failures_total", "Commits that failed.", store.failures);
    count("latchkey_store_compactions_total", "Times that the journal was rewritten.", store.compactions);
    count("latchkey_store_rollbacks_total", "Accounts found rolled back at start, and mended.", store.rollbacks);
    count("latchkey_store_damaged_records_total", "Unreadable stretches found at start.", store.damaged_records);
}
