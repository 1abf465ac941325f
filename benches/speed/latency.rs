//! From a command on MQTT to its reply, beside the sum of its bare parts, in batches that take turns.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::runtime::Runtime;

use crate::{
    Form,
    cloud::Clouds,
    floor::{BareJournal, BareLogin, BareScene, Echo, client},
    mosquitto::{Mosquitto, MosquittoOptions},
    rig::{Held, House, Service, WITH_DEMO},
    row::{Row, Samples, milliseconds, quantile, ratio},
    talker::Talker,
};

/// As long as a reply to `refresh_tokens` is, about.
const REPLY_SIZED: &[u8] = &[b'x'; 120];
/// A vendor's 300 calls in 5 minutes, less what Latchkey keeps for refreshes: no more scenes can be run.
const MOST_SCENES: usize = 260;
/// Each with processes of its own: how the system lays them on the cores makes more of a difference than anything else.
const ROUNDS: usize = 7;

pub(crate) fn command(form: Form) -> Vec<Row> {
    let (mut refreshes, mut scenes) = (Refreshes::default(), Pair::default());
    for _ in 0..form.of(ROUNDS, 1) {
        let bench = Bench::start(Mosquitto::start());
        let runtime = Runtime::new().unwrap();
        runtime.block_on(bench.refresh(form.of(10, 4), form.of(50, 10), &mut refreshes));
        runtime.block_on(bench.trigger(form.of(13, 2), MOST_SCENES / 13, &mut scenes));
        bench.service.stop();
    }
    let mut rows = refreshes.pair.compare("`refresh_tokens`, command to reply", 1.25, Some(1.5));
    rows.push(refreshes.parts());
    rows.extend(scenes.compare("`trigger_scene`, command to reply", 1.2, None));
    rows
}

/// Mosquitto without `set_tcp_nodelay true`: what users have who do not follow the advice of `check`.
pub(crate) fn with_default_broker(form: Form) -> Vec<Row> {
    let options = MosquittoOptions { more: vec!["set_tcp_nodelay false".to_owned()], ..MosquittoOptions::default() };
    let bench = Bench::start(Mosquitto::start_with(&options));
    let runtime = Runtime::new().unwrap();
    let rows = runtime.block_on(async {
        let mut talker = Talker::connect(bench.mosquitto.port, &["latchkey/front/response/refresh_tokens"]).await;
        let mut full = Samples::default();
        for _ in 0..form.of(5, 1) {
            full.add_batch(refresh_batch(&mut talker, 10).await);
        }
        let measured = format!("median {}", milliseconds(full.median()));
        vec![Row::plain("`refresh_tokens`, Mosquitto without `set_tcp_nodelay`", measured)]
    });
    bench.service.stop();
    rows
}

/// The floor and the whole.
#[derive(Default)]
struct Pair {
    floor: Samples,
    full: Samples,
}

#[derive(Default)]
struct Refreshes {
    pair: Pair,
    echoed: Vec<Duration>,
    posted: Vec<Duration>,
    appended: Vec<Duration>,
    /// How long a frame in the journal is, in bytes.
    frame: usize,
}

struct Bench {
    mosquitto: Mosquitto,
    clouds: Clouds,
    house: House,
    service: Service,
}

impl Bench {
    fn start(mosquitto: Mosquitto) -> Self {
        let clouds = Clouds::start(2);
        let mut house = House::new(mosquitto.port, "");
        house.add_akuvox("front", clouds.gate(), "");
        let aqara = clouds.account("aqara", 0);
        let scenes = format!("[accounts.home.scenes]\npin = {}", aqara["scenes"]["TV PIN entry"]);
        house.add_aqara("home", clouds.aqara(), aqara, &scenes);
        let text = |vendor, key: &str| clouds.account(vendor, 0)[key].as_str().unwrap().to_owned();
        let issued_at = Timestamp::now();
        house.hold(vec![
            Held {
                id: "front".to_owned(),
                access: Some(text("akuvox", "token")),
                refresh: text("akuvox", "refresh_token"),
                issued_at,
                n_spent: 0,
            },
            Held {
                id: "home".to_owned(),
                access: None,
                refresh: text("aqara", "refresh_token"),
                issued_at,
                n_spent: 0,
            },
        ]);
        let service = house.run_connected(Path::new(WITH_DEMO));
        Self { mosquitto, clouds, house, service }
    }

    async fn refresh(&self, n_batches: usize, batch: usize, refreshes: &mut Refreshes) {
        let mut talker = Talker::connect(self.mosquitto.port, &["latchkey/front/response/refresh_tokens"]).await;
        let mut echo = Echo::start(self.mosquitto.port).await;
        let mut login = BareLogin::new(client(), self.clouds.gate(), self.clouds.account("akuvox", 1));
        let mut journal = BareJournal::create(self.house.path());
        refresh_batch(&mut talker, 20).await;
        let frame = self.frame_len(&mut talker).await;
        refreshes.frame = frame;
        for _ in 0..n_batches {
            let mut times = Vec::new();
            for _ in 0..batch {
                let began = Instant::now();
                echo.round_trip(REPLY_SIZED).await;
                let echoed = began.elapsed();
                login.renew().await;
                let posted = began.elapsed();
                let appended = journal.append(frame) + journal.append(frame);
                times.push(posted + appended);
                refreshes.echoed.push(echoed);
                refreshes.posted.push(posted - echoed);
                refreshes.appended.push(appended);
            }
            refreshes.pair.floor.add_batch(times);
            refreshes.pair.full.add_batch(refresh_batch(&mut talker, batch).await);
        }
    }

    async fn trigger(&self, n_batches: usize, batch: usize, scenes: &mut Pair) {
        let mut talker = Talker::connect(self.mosquitto.port, &["latchkey/home/response/trigger_scene"]).await;
        let mut echo = Echo::start(self.mosquitto.port).await;
        self.clouds.lift_rate_limit().await;
        // The first one finds no access token, and refreshes for it.
        talker.ask("latchkey/home/trigger_scene", "pin").await;
        let keys = self.clouds.account("aqara", 1).clone();
        let scene = keys["scenes"]["TV PIN entry"].as_str().unwrap().to_owned();
        let bare = BareScene { client: client(), url: self.clouds.aqara().to_owned(), keys, scene };
        for _ in 0..n_batches {
            let (mut bare_times, mut times) = (Vec::new(), Vec::new());
            for _ in 0..batch {
                let began = Instant::now();
                echo.round_trip(REPLY_SIZED).await;
                bare.run().await;
                bare_times.push(began.elapsed());
            }
            for _ in 0..batch {
                let (time, reply) = talker.ask("latchkey/home/trigger_scene", "pin").await;
                assert_ok(&reply.payload);
                times.push(time);
            }
            scenes.floor.add_batch(bare_times);
            scenes.full.add_batch(times);
        }
    }

    /// How long one of the two frames of a refresh is in the journal, on average.
    async fn frame_len(&self, talker: &mut Talker) -> usize {
        let journal = self.house.store().join("journal");
        let before = fs::metadata(&journal).unwrap().len();
        refresh_batch(talker, 10).await;
        usize::try_from((fs::metadata(&journal).unwrap().len() - before) / 20).unwrap()
    }
}

impl Pair {
    fn compare(&self, what: &str, target: f64, tail_target: Option<f64>) -> Vec<Row> {
        let (times, measured) = self.at(|it| it.median());
        let mut rows = vec![Row::new(format!("{what}, median"), limit(target), measured, times <= target)];
        let (times, measured) = self.at(|it| it.quantile(0.99));
        rows.push(match tail_target {
            Some(target) => Row::new(format!("{what}, p99"), limit(target), measured, times <= target),
            None => Row::plain(format!("{what}, p99"), measured),
        });
        rows
    }

    fn at(&self, figure: impl Fn(&Samples) -> Duration) -> (f64, String) {
        let (ours, bare) = (figure(&self.full), figure(&self.floor));
        let times = ratio(ours, bare);
        (times, format!("{times:.2} ({} over {})", milliseconds(ours), milliseconds(bare)))
    }
}

impl Refreshes {
    fn parts(&mut self) -> Row {
        let each = [&mut self.echoed, &mut self.posted, &mut self.appended];
        let [echoed, posted, appended] = each.map(|it| milliseconds(quantile(it, 0.5)));
        let frame = self.frame;
        Row::plain("its floor's parts", format!("MQTT {echoed}, POST {posted}, two appends of {frame} B {appended}"))
    }
}

async fn refresh_batch(talker: &mut Talker, batch: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..batch {
        let (time, reply) = talker.ask("latchkey/front/refresh_tokens", "{}").await;
        assert_ok(&reply.payload);
        times.push(time);
    }
    times
}

fn assert_ok(reply: &[u8]) {
    let reply: serde_json::Value = serde_json::from_slice(reply).unwrap();
    assert_eq!(reply["status"], "ok", "{reply}");
}

fn limit(target: f64) -> &'static str {
    match (target * 100.0).round() as u32 {
        120 => "≤ 1.2 × floor",
        125 => "≤ 1.25 × floor",
        _ => "≤ 1.5 × floor",
    }
}
