//! Thousands of accounts that fall due at the same moment, beside a loop that does nothing but ask the same cloud.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{runtime::Runtime, time::sleep};

use crate::{
    Form,
    bare_storm::{BareStorm, Promises},
    cloud::Clouds,
    mosquitto::Mosquitto,
    rig::{Held, House, Service, WITH_DEMO},
    row::{Row, megabytes, milliseconds, quantile},
    talker::Talker,
};

/// So many refreshes at a time keep two cores busy. More of them would only have each wait for longer, the manual one too.
pub(crate) const AT_ONCE: usize = 8;
/// `keeper.refreshes_per_host` as it comes.
const AS_IT_COMES: usize = 2;
/// Longer than a storm and what comes before it, and short enough to wait for the next one.
const REFRESH_EVERY: Duration = Duration::from_secs(45);
const LONGEST: Duration = Duration::from_secs(600);
/// How many refreshes tell what one takes before the storm.
const QUIET: usize = 20;
/// An account that is not due: at the same host, and fresh.
const CALM: &str = "calm";

pub(crate) fn storm(form: Form) -> Vec<Row> {
    let n_accounts = form.of(10_000, 500);
    [AT_ONCE, AS_IT_COMES].into_iter().flat_map(|at_once| storm_of(n_accounts, at_once, form)).collect()
}

fn storm_of(n_accounts: usize, at_once: usize, form: Form) -> Vec<Row> {
    Runtime::new().unwrap().block_on(async {
        let (bare, promising) = bare_loops(n_accounts, at_once).await;
        let (mosquitto, clouds) = (Mosquitto::start(), Clouds::start(n_accounts + 1));
        // Time enough to fill the store, read the configuration and be scheduled.
        let lead = Duration::from_secs(form.of(30, 10) as u64);
        let (house, due_at) = due_together(&mosquitto, &clouds, n_accounts, lead, at_once);
        let service = house.run_connected(Path::new(WITH_DEMO));
        let mut talker = Talker::connect(mosquitto.port, &["latchkey/calm/response/refresh_tokens"]).await;
        // All states are told first.
        sleep(lead / 3).await;
        let mut quiet = ask(&mut talker, QUIET).await;
        assert_eq!(clouds.refreshes().await, QUIET as u64, "the storm began too soon: give it a longer lead");
        let before = service.used();
        sleep(due_at.saturating_duration_since(Instant::now())).await;
        let (took, mut manual) = watch(&clouds, &service, &mut talker, n_accounts).await;
        assert!(took < REFRESH_EVERY, "the next storm began before the first one was over: give it a longer rhythm");
        let once = service.used();
        // They are due again when their time has passed: what is held of a renewal stays, and another one takes its place.
        wait_for_refreshes(&clouds, &service, QUIET + manual.len() + 2 * n_accounts).await;
        let twice = service.used();
        service.stop();
        let [ours, theirs, most] = [took, bare, promising].map(|it| n_accounts as f64 / it.as_secs_f64());
        let times = ours / theirs;
        let (quiet, stormy) = (quantile(&mut quiet, 0.5), quantile(&mut manual, 0.5));
        let slower = crate::row::ratio(stormy, quiet);
        vec![
            Row::new(
                format!("{n_accounts} accounts fall due together, {at_once} at a time"),
                "≥ 0.7 × a bare loop",
                format!("{times:.2} ({ours:.0}/s over {theirs:.0}/s)"),
                0.7 <= times,
            ),
            Row::plain(
                "the same loop with the durable steps and the messages of a refresh",
                format!("{:.2} × the bare one ({most:.0}/s), of which Latchkey is {:.2}", most / theirs, ours / most),
            ),
            Row::new(
                "its memory, at most, when all are renewed again",
                "within 5 % of the first time",
                format!(
                    "{:.1} MB; {:.1} MB the first time, {:.1} MB before",
                    megabytes(twice.most_resident),
                    megabytes(once.most_resident),
                    megabytes(before.resident)
                ),
                twice.most_resident as f64 <= 1.05 * once.most_resident as f64,
            ),
            Row::new(
                format!("a manual refresh during it, {} of them", manual.len()),
                "≤ 3 × its quiet time",
                format!("{slower:.2} ({} over {})", milliseconds(stormy), milliseconds(quiet)),
                slower <= 3.0,
            ),
        ]
    })
}

/// A store with these accounts, all due at the same moment, at one cloud, and one that is not; and that moment.
pub(crate) fn due_together(
    mosquitto: &Mosquitto,
    clouds: &Clouds,
    n_accounts: usize,
    lead: Duration,
    at_once: usize,
) -> (House, Instant) {
    let mut house = House::new(mosquitto.port, &format!("refreshes_per_host = {}", per_host(at_once)));
    // Else ten thousand devices would be announced meanwhile, which is another figure.
    house.alter("announce_delay = \"1s\"", "discovery = false");
    let due_at = Instant::now() + lead;
    let issued_at = Timestamp::now() - REFRESH_EVERY + lead;
    let rhythm = format!("refresh_every = \"{}s\"\njitter = \"0s\"", REFRESH_EVERY.as_secs());
    let held = |number: usize, id: String, issued_at| {
        let tokens = clouds.account("akuvox", number);
        let text = |key: &str| tokens[key].as_str().unwrap().to_owned();
        Held { id, access: Some(text("token")), refresh: text("refresh_token"), issued_at, n_spent: 0 }
    };
    let mut all = Vec::with_capacity(n_accounts + 1);
    for number in 0..n_accounts {
        let id = format!("a{number}");
        house.add_akuvox(&id, clouds.gate(), &rhythm);
        all.push(held(number, id, issued_at));
    }
    house.add_akuvox(CALM, clouds.gate(), "");
    all.push(held(n_accounts, CALM.to_owned(), Timestamp::now()));
    house.hold(all);
    (house, due_at)
}

/// The limit at a host with which so many accounts that are due have their turn at a time: of four or more one in four is for
/// whoever asks.
fn per_host(at_once: usize) -> usize {
    (at_once..).find(|it| it - it / 4 == at_once).unwrap()
}

/// How long it takes until the cloud has granted them all, and what manual refreshes of the other account took meanwhile.
async fn watch(
    clouds: &Clouds,
    service: &Service,
    talker: &mut Talker,
    n_accounts: usize,
) -> (Duration, Vec<Duration>) {
    let began = Instant::now();
    let mut manual = Vec::new();
    loop {
        manual.extend(ask(talker, 1).await);
        sleep(Duration::from_millis(50)).await;
        if (QUIET + n_accounts + manual.len()) as u64 <= clouds.refreshes().await {
            break;
        }
        assert!(began.elapsed() < LONGEST, "the storm does not end: {:?}", service.used());
    }
    (began.elapsed(), manual)
}

async fn wait_for_refreshes(clouds: &Clouds, service: &Service, n_refreshes: usize) {
    let began = Instant::now();
    while clouds.refreshes().await < n_refreshes as u64 {
        assert!(began.elapsed() < LONGEST, "the next storm does not end: {:?}", service.used());
        sleep(Duration::from_millis(200)).await;
    }
}

async fn ask(talker: &mut Talker, n_times: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..n_times {
        let (time, reply) = talker.ask("latchkey/calm/refresh_tokens", "{}").await;
        let reply = String::from_utf8_lossy(&reply.payload).into_owned();
        assert!(reply.contains("\"ok\""), "{reply}");
        times.push(time);
    }
    times
}

/// How long it takes a client alone to renew all accounts of a cloud, and one that keeps the promises, too.
async fn bare_loops(n_accounts: usize, at_once: usize) -> (Duration, Duration) {
    let (mosquitto, clouds) = (Mosquitto::start(), Clouds::start(n_accounts));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut storm = BareStorm::new(&clouds, n_accounts, at_once);
    let bare = storm.took(None).await;
    let promising = storm.took(Some(&Promises::begin(folder.path(), mosquitto.port))).await;
    (bare, promising)
}
