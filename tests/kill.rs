//! `kill -9` at any moment of refreshing, updating and starting: no grant that was acknowledged is lost, and no refresh
//! token is sent once its successor was received. What a lost reply costs depends on the cloud alone.
//!
//! `KILL_ROUNDS` says how many kills there are.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use latchkey::{
    demo::clouds::{
        AkuvoxCloud, AqaraCloud, Cloud, Fault, FaultKind, Options, Scope, Simulation, akuvox::AkuvoxKnobs,
        aqara::AqaraKnobs, short_hash,
    },
    mqtt::{Outgoing, Qos},
};
use serde_json::{Value, json};
use support::{
    figures::{self, rounds},
    latchkey::{Bench, CONNECTED, Client, Latchkey, text},
    mosquitto::Mosquitto,
};
use tokio::time::sleep;

/// The longest time after which the kill comes.
const LONGEST_LIFE: Duration = Duration::from_millis(250);
/// Longer than a commit, so that many a kill finds a reply on its way.
const ANSWER_TAKES: f64 = 0.012;
/// What the log says of a store that is not as it was left.
const CORRUPTION: [&str; 4] = ["damaged", "cannot be read", "set aside", "is missing"];

/// Two clouds without mercy, and one that answers a repeated refresh again (`side_door`).
struct Trial {
    bench: Bench,
    side: AkuvoxCloud,
    client: Arc<Client>,
    books: HashMap<&'static str, Arc<Mutex<Book>>>,
}

/// What the world knows of one account.
#[derive(Default)]
struct Book {
    /// The highest generation that was told in a reply, and how many refreshes that took.
    generation: u64,
    n_refreshes: u64,
    /// The refresh token that Latchkey certainly held last.
    held: Option<String>,
    /// Tokens that were given to Latchkey in the update of this transaction, which it has not answered.
    given: Option<Given>,
    /// Refresh tokens by their hash: since which call at the cloud Latchkey certainly had the successor.
    spent: HashMap<String, u64>,
    n_checked: u64,
    n_acknowledged: u64,
}

struct Given {
    refresh_token: String,
    transaction: String,
    /// Where its answer may be heard from.
    mark: usize,
}

/// What is done again and again until the kill comes.
#[derive(Clone, Copy)]
enum Work {
    Refreshing,
    Updating,
}

const ACCOUNTS: [&str; 3] = ["front_door", "home", "side_door"];

impl Trial {
    async fn new() -> Self {
        let free = (Ipv4Addr::LOCALHOST, 0).into();
        let knobs = AqaraKnobs { rate_limit_calls: None, ..AqaraKnobs::default() };
        let aqara = AqaraCloud::start(free, Options { knobs, ..Options::default() }).await.unwrap();
        let knobs = AkuvoxKnobs { refresh_grace_seconds: 60, ..AkuvoxKnobs::default() };
        let side = AkuvoxCloud::start(free, Options { knobs, ..Options::default() }).await.unwrap();
        let mut bench = Bench::with(Mosquitto::start(), AkuvoxCloud::start_default().await.unwrap(), aqara);
        bench.more = format!(
            "\n[accounts.side_door]\nvendor = \"akuvox\"\ngate = \"{}\"\n\n[home_assistant]\ndiscovery = false\n",
            side.url()
        );
        let client = Arc::new(bench.client().await);
        Self { bench, side, client, books: ACCOUNTS.map(|it| (it, Arc::default())).into() }
    }

    fn book(&self, account: &str) -> std::sync::MutexGuard<'_, Book> {
        self.books[account].lock().unwrap()
    }

    /// The refresh token that is good at the cloud, and how many calls it has got.
    fn at_cloud(&self, account: &str) -> (String, u64) {
        fn look<S: Simulation>(cloud: &Cloud<S>) -> (String, u64) {
            (cloud.account(0).owner.refresh_token, cloud.counters().calls)
        }
        match account {
            "front_door" => look(&self.bench.akuvox),
            "home" => look(&self.bench.aqara),
            _ => look(&self.side),
        }
    }

    /// Signs in as the user would in the vendor's app: the pair before is dead. Gives what Latchkey is to be told, and the
    /// refresh token in it.
    fn sign_in_anew(&self, account: &str) -> (Value, String) {
        let akuvox = |cloud: &AkuvoxCloud| {
            let fresh = cloud.sign_in(0);
            (json!({ "token": fresh.token, "refresh_token": fresh.refresh_token }), fresh.refresh_token)
        };
        match account {
            "front_door" => akuvox(&self.bench.akuvox),
            "home" => {
                let fresh = self.bench.aqara.sign_in(0);
                (json!({ "refresh_token": fresh.refresh_token }), fresh.refresh_token)
            }
            _ => akuvox(&self.side),
        }
    }

    /// Latchkey told of a generation, whose tokens are the ones that are good now: nothing else is under way. `spent`: the
    /// refresh token that it got them for; without one it is the token that it held before.
    fn acknowledge(&self, account: &str, reply: &Value, spent: Option<String>) {
        let generation = reply["data"]["generation"].as_u64().unwrap();
        let (live, n_calls) = self.at_cloud(account);
        let mut book = self.book(account);
        assert!(book.generation < generation, "{generation} came after {}", book.generation);
        book.generation = generation;
        book.n_refreshes += 1;
        book.n_acknowledged += 1;
        let held = book.held.replace(live);
        if let Some(spent) = spent.or(held) {
            book.spent.insert(short_hash(&spent), n_calls);
        }
    }

    /// Does the same again and again, each time when the last one was answered.
    async fn hammer(&self, account: &'static str, work: Work) {
        loop {
            match work {
                Work::Refreshing => self.refresh(account).await,
                Work::Updating => self.sign_in(account).await,
            }
        }
    }

    async fn refresh(&self, account: &'static str) {
        let topic = format!("latchkey/{account}/refresh_tokens");
        let (mark, transaction) = (self.client.mark(), transaction());
        let request = json!({ "transaction": transaction }).to_string();
        // At QoS 0, so that the broker does not send it again after the kill.
        self.client.link.publish(Outgoing { qos: Qos::AtMostOnce, ..Outgoing::passing(&topic, request) });
        let reply = self.reply(account, "refresh_tokens", mark, &transaction).await;
        assert_eq!(reply["status"], "ok", "{account}: {reply}");
        self.acknowledge(account, &reply, None);
    }

    /// A new login, of which Latchkey is told; where it is killed before it took it, the broker tells it again, and the
    /// reply to that may come behind the next one's beginning.
    async fn sign_in(&self, account: &'static str) {
        let (mark, transaction) = (self.client.mark(), transaction());
        let (mut request, refresh_token) = self.sign_in_anew(account);
        request["transaction"] = json!(transaction);
        let given = Given { refresh_token: refresh_token.clone(), transaction: transaction.clone(), mark };
        self.book(account).given = Some(given);
        let update = Outgoing::passing(format!("latchkey/{account}/update_tokens"), request.to_string());
        self.client.link.publish(Outgoing { qos: Qos::AtLeastOnce, ..update });
        let reply = self.reply(account, "update_tokens", mark, &transaction).await;
        assert_eq!(reply["data"]["outcome"], "proved", "{account}: {reply}");
        self.acknowledge(account, &reply, Some(refresh_token));
        self.book(account).given = None;
    }

    async fn reply(&self, account: &str, command: &str, mark: usize, transaction: &str) -> Value {
        let topic = format!("latchkey/{account}/response/{command}");
        let is_reply = |it: &latchkey::mqtt::Inbound| it.topic == topic && text(it).contains(transaction);
        serde_json::from_slice(&self.client.heard(mark, &topic, is_reply).await.payload).unwrap()
    }

    /// Waits until an update that a kill interrupted has come to its end, or waits to be asked about.
    async fn finish_update(&self, account: &'static str) {
        let Some(given) = self.book(account).given.take() else { return };
        let (n_refreshes, topic) = (self.book(account).n_refreshes, format!("latchkey/{account}/state"));
        let is_end = |it: &latchkey::mqtt::Inbound| {
            if it.topic == topic {
                let state: Value = serde_json::from_slice(&it.payload).unwrap();
                // One that was killed in its prompt retry as well is left alone for a while, unless somebody asks.
                let is_left_alone = state["condition"] == "in_doubt" && state["consecutive_failures"] != 0;
                return n_refreshes < state["refresh_count"].as_u64().unwrap()
                    || state["condition"] == "reauth_required"
                    || is_left_alone;
            }
            it.topic.ends_with("/response/update_tokens") && text(it).contains(&given.transaction)
        };
        self.client.heard(given.mark, &format!("the end of {account}'s update"), is_end).await;
        // From its being given on, it was Latchkey's to keep.
        self.book(account).held = Some(given.refresh_token);
    }

    /// Waits until it is known how the account came through, and judges that. Gives its condition.
    async fn settle(&self, account: &'static str, mark: usize, latchkey: &Latchkey) -> String {
        let topic = format!("latchkey/{account}/state");
        let condition = |it: &latchkey::mqtt::Inbound| {
            let state: Value = serde_json::from_slice(&it.payload).unwrap();
            (state["condition"].as_str().unwrap().to_owned(), state)
        };
        // The last words of the Latchkey that was killed may have been on their way at the mark; not after this.
        self.client.round().await;
        self.finish_update(account).await;
        let (status, events) = (format!("latchkey/{account}/status"), format!("latchkey/{account}/event"));
        let mut asked_at = self.client.mark();
        let mut last = self.client.request(&status, b"{}").await["data"].clone();
        let is_settled = |it: &latchkey::mqtt::Inbound| it.topic == topic && condition(it).0 != "in_doubt";
        let is_refused = |it: &latchkey::mqtt::Inbound| it.topic == events && text(it).contains("update_refused");
        let is_in_doubt = |last: &Value| last["condition"] == "in_doubt";
        let whose_doubt = format!("the end of {account}'s doubt");
        // When proposed tokens were refused, the grant before them has its turn a minute later, unless somebody asks.
        let was_refused = self.client.since(mark).iter().any(is_refused);
        if is_in_doubt(&last) && last["consecutive_failures"] == 0 && !was_refused {
            let has_failed =
                |it: &latchkey::mqtt::Inbound| it.topic == topic && condition(it).1["consecutive_failures"] != 0;
            let is_at_rest = |it: &latchkey::mqtt::Inbound| is_settled(it) || has_failed(it) || is_refused(it);
            self.client.heard(asked_at, &whose_doubt, is_at_rest).await;
            asked_at = self.client.mark();
            last = self.client.request(&status, b"{}").await["data"].clone();
        }
        if is_in_doubt(&last) {
            self.client.request(&format!("latchkey/{account}/refresh_tokens"), b"{}").await;
            last = condition(&self.client.heard(asked_at, &whose_doubt, is_settled).await).1;
        }
        let acknowledged = self.book(account).generation;
        for message in self.client.since(mark).iter().filter(|it| it.topic == topic) {
            let (condition, state) = condition(message);
            assert!(["ok", "in_doubt", "reauth_required"].contains(&condition.as_str()), "{account}: {state}");
            let generation = state["generation"].as_u64().unwrap();
            assert!(
                acknowledged <= generation,
                "{account} lost generation {acknowledged}: {state}; {}",
                latchkey.log()
            );
        }
        let (condition, state) = (last["condition"].as_str().unwrap().to_owned(), last);
        assert!(acknowledged <= state["generation"].as_u64().unwrap(), "{account}: {state}; {}", latchkey.log());
        self.book(account).n_refreshes = state["refresh_count"].as_u64().unwrap();
        let live = self.at_cloud(account).0;
        let was_reply_lost = self.book(account).held.as_ref() != Some(&live);
        if condition == "reauth_required" {
            assert!(was_reply_lost, "{account} was given up without a need: {state}; {}", latchkey.log());
            assert_ne!(account, "side_door", "it would have been answered again: {state}; {}", latchkey.log());
            assert_eq!(state["last_error"], "reply_lost", "{account}: {state}");
        }
        condition
    }

    /// No token may have been sent when its successor had been received.
    fn check_spending(&self) {
        fn check<S: Simulation>(account: &str, cloud: &Cloud<S>, book: &mut Book) {
            for entry in cloud.log().iter().filter(|it| book.n_checked < it.number) {
                let sent = entry.secrets.iter().find(|it| it.0 == "refresh_token");
                if let Some(since) = sent.and_then(|it| book.spent.get(&it.1)) {
                    assert!(entry.number <= *since, "{account} spent a token twice: {entry:?}");
                }
            }
            book.n_checked = cloud.log().last().map_or(0, |it| it.number);
        }
        check("front_door", &self.bench.akuvox, &mut self.book("front_door"));
        check("home", &self.bench.aqara, &mut self.book("home"));
        check("side_door", &self.side, &mut self.book("side_door"));
    }
}

fn transaction() -> String {
    format!("{:016x}", fastrand::u64(..))
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_grant_that_was_acknowledged() {
    let trial = Arc::new(Trial::new().await);
    let latchkey = trial.bench.run().await;
    for account in ACCOUNTS {
        trial.sign_in(account).await;
    }
    latchkey.kill().await;
    let slow = || Fault::new(FaultKind::Slow).after().lasting(ANSWER_TAKES).on(Scope::Refresh, u32::MAX);
    trial.bench.akuvox.inject(slow());
    trial.bench.aqara.inject(slow());
    trial.side.inject(slow());

    let n_rounds = rounds("KILL_ROUNDS", 100);
    let mut n_given_up = 0;
    for round in 0..n_rounds {
        let mark = trial.client.mark();
        let latchkey = trial.bench.start();
        if round % 5 == 4 {
            // Not even up, perhaps.
            sleep(LONGEST_LIFE.mul_f64(fastrand::f64())).await;
            latchkey.kill().await;
            trial.check_spending();
            continue;
        }
        latchkey.logged(CONNECTED).await;
        for account in ACCOUNTS {
            if trial.settle(account, mark, &latchkey).await == "reauth_required" {
                n_given_up += 1;
                trial.sign_in(account).await;
            }
            let held = trial.at_cloud(account).0;
            trial.book(account).held = Some(held);
        }
        let hammers = ACCOUNTS.map(|account| {
            let trial = trial.clone();
            let work = if fastrand::u8(..3) == 0 { Work::Updating } else { Work::Refreshing };
            tokio::spawn(async move { trial.hammer(account, work).await })
        });
        sleep(LONGEST_LIFE.mul_f64(fastrand::f64())).await;
        for hammer in &hammers {
            assert!(!hammer.is_finished(), "a refresh went wrong; {}", latchkey.log());
            hammer.abort();
        }
        let log = latchkey.log();
        latchkey.kill().await;
        for phrase in CORRUPTION {
            assert!(!log.contains(phrase), "round {round}: {log}");
        }
        trial.check_spending();
    }
    let n_acknowledged: u64 = ACCOUNTS.iter().map(|it| trial.book(it).n_acknowledged).sum();
    let n_recovered = trial.side.counters().grace_answers;
    figures::tell(
        n_rounds,
        &format!(
            "{n_acknowledged} grants were acknowledged and are there; {n_recovered} lost replies were answered again by \
             the cloud with a grace, {n_given_up} were named at the strict ones"
        ),
    );
    if 50 <= n_rounds {
        assert!(0 < n_given_up && 0 < n_recovered, "the kills never met a reply on its way");
    }
}

/// Kills Latchkey when the cloud has rotated and has not answered, and starts it again.
async fn lose_a_reply(trial: &Trial, account: &str) -> (Latchkey, usize) {
    let latchkey = trial.bench.run().await;
    for account in ACCOUNTS {
        trial.sign_in(account).await;
    }
    let cloud = if account == "side_door" { &trial.side } else { &trial.bench.akuvox };
    let refreshes = cloud.counters().refreshes;
    cloud.inject(Fault::new(FaultKind::Slow).after().lasting(5.0));
    trial.client.mosquitto_pub(&format!("latchkey/{account}/refresh_tokens"), b"{}", &["-q", "1"]);
    cloud.wait_for(|it| refreshes < it.refreshes).await;
    latchkey.kill().await;
    let mark = trial.client.mark();
    (trial.bench.run().await, mark)
}

#[tokio::test]
async fn a_reply_that_a_kill_lost_is_asked_for_again_where_the_cloud_has_a_grace() {
    let trial = Trial::new().await;
    let (latchkey, mark) = lose_a_reply(&trial, "side_door").await;
    assert_eq!(trial.settle("side_door", mark, &latchkey).await, "ok");
    assert_eq!((trial.side.counters().grace_answers, trial.side.counters().replays), (1, 0));
    let reply = trial.client.request("latchkey/side_door/refresh_tokens", b"{}").await;
    assert_eq!(reply["status"], "ok", "{reply}");
    trial.check_spending();
}

#[tokio::test]
async fn a_reply_that_a_kill_lost_at_a_strict_cloud_is_asked_for_once_and_then_the_user() {
    let trial = Trial::new().await;
    let (latchkey, mark) = lose_a_reply(&trial, "front_door").await;
    assert_eq!(trial.settle("front_door", mark, &latchkey).await, "reauth_required");
    latchkey.logged("the reply was lost during rotation").await;
    assert_eq!(trial.bench.akuvox.counters().replays, 1);
    let is_told = |it: &latchkey::mqtt::Inbound| {
        it.topic == "latchkey/front_door/event"
            && text(it).contains("reauth_required")
            && text(it).contains("reply_lost")
    };
    trial.client.heard(mark, "the event", is_told).await;

    trial.sign_in("front_door").await;
    let state = trial.client.state("front_door", |it| it["condition"] == "ok").await;
    assert_eq!((&state["last_error"], &state["consecutive_failures"]), (&Value::Null, &json!(0)));
    assert_eq!(trial.bench.akuvox.counters().replays, 1);
}
