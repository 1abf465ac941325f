//! Nothing to do: what the shipped service costs then, and how long it takes to get there.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::runtime::Runtime;

use crate::{
    Form, build,
    cloud::Clouds,
    mosquitto::Mosquitto,
    rig::{Held, House, Use},
    row::{Row, megabytes, milliseconds, quantile},
    talker::Talker,
};

/// After the start: what was read and parsed for it is done with.
const SETTLING: Duration = Duration::from_secs(10);

pub(crate) fn idle(form: Form) -> Vec<Row> {
    let (mosquitto, clouds) = (Mosquitto::start(), Clouds::start(3));
    let house = five_accounts(&mosquitto, &clouds);
    let service = house.run_connected(&build::shipped());
    let broker = mosquitto_process(mosquitto.port);
    // Idle is how a service is after it has worked.
    Runtime::new().unwrap().block_on(async {
        let mut talker = Talker::connect(mosquitto.port, &["latchkey/+/response/refresh_tokens"]).await;
        for account in ["front", "side", "back"] {
            talker.ask(&format!("latchkey/{account}/refresh_tokens"), "{}").await;
        }
    });
    thread::sleep(SETTLING);
    let span = Duration::from_secs(form.of(60, 10) as u64);
    let (before, broker_before) = (service.used(), Use::of(broker));
    thread::sleep(span);
    let (after, broker_after) = (service.used(), Use::of(broker));
    service.stop();
    let share = |before: Use, after: Use| (after.cpu - before.cpu).as_secs_f64() / span.as_secs_f64() * 100.0;
    let wakeups = (after.wakeups - before.wakeups) as f64 / span.as_secs_f64();
    let resident = megabytes(after.resident);
    let ours = share(before, after);
    vec![
        Row::new("idle, 5 accounts: resident", "≤ 12 MB", format!("{resident:.1} MB"), resident <= 12.0),
        Row::new("idle: CPU", "≤ 0.1 %", format!("{ours:.3} %"), ours <= 0.1),
        Row::new("idle: wake-ups", "≤ 1/s", format!("{wakeups:.2}/s"), wakeups <= 1.0),
        Row::plain(
            "Mosquitto beside it",
            format!(
                "{:.1} MB, {:.3} % CPU, {:.2} wake-ups/s",
                megabytes(broker_after.resident),
                share(broker_before, broker_after),
                (broker_after.wakeups - broker_before.wakeups) as f64 / span.as_secs_f64()
            ),
        ),
    ]
}

pub(crate) fn start(form: Form) -> Vec<Row> {
    let (mosquitto, clouds) = (Mosquitto::start(), Clouds::start(3));
    let house = five_accounts(&mosquitto, &clouds);
    let binary = build::shipped();
    // Warm: the store, the key and the ledger of discovery are there.
    house.run_connected(&binary).stop();
    let runtime = Runtime::new().unwrap();
    let mut times: Vec<Duration> =
        (0..form.of(15, 3)).map(|_| runtime.block_on(start_once(&mosquitto, &house, &binary))).collect();
    let mut connects: Vec<Duration> = (0..100).map(|_| connect_once(mosquitto.port)).collect();
    let (start, connect) = (quantile(&mut times, 0.5), quantile(&mut connects, 0.5));
    let over = start.saturating_sub(connect);
    vec![Row::new(
        "start: exec to `online` and all discovery sent, 5 accounts, warm",
        "≤ 60 ms over the TCP connect",
        format!("{} (TCP connect {})", milliseconds(over), milliseconds(connect)),
        over <= Duration::from_millis(60),
    )]
}

async fn start_once(mosquitto: &Mosquitto, house: &House, binary: &Path) -> Duration {
    let mut talker = Talker::connect(mosquitto.port, &["latchkey/bridge/state", "homeassistant/device/+/config"]).await;
    // What is retained from before comes at once.
    tokio::time::sleep(Duration::from_millis(300)).await;
    while tokio::time::timeout(Duration::from_millis(50), talker.hear()).await.is_ok() {}
    let service = house.run(binary);
    let (mut is_online, mut devices) = (false, 0);
    let end = loop {
        let heard = talker.hear().await;
        is_online |= heard.topic.ends_with("/state") && heard.payload == "online";
        devices += usize::from(heard.topic.ends_with("/config"));
        if is_online && devices == 6 {
            break heard.at;
        }
    };
    let time = end - service.started;
    tokio::task::spawn_blocking(move || service.stop()).await.unwrap();
    time
}

fn connect_once(port: u16) -> Duration {
    let began = Instant::now();
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    began.elapsed()
}

/// Three Akuvox and two Aqara accounts with tokens, none of them due.
fn five_accounts(mosquitto: &Mosquitto, clouds: &Clouds) -> House {
    let mut house = House::new(mosquitto.port, "");
    let mut held = Vec::new();
    let issued_at = Timestamp::now();
    for (number, id) in ["front", "side", "back"].into_iter().enumerate() {
        let tokens = clouds.account("akuvox", number);
        house.add_akuvox(id, clouds.gate(), "");
        held.push(Held {
            id: id.to_owned(),
            access: Some(tokens["token"].as_str().unwrap().to_owned()),
            refresh: tokens["refresh_token"].as_str().unwrap().to_owned(),
            issued_at,
            n_spent: 0,
        });
    }
    for (number, id) in ["home", "cabin"].into_iter().enumerate() {
        let tokens = clouds.account("aqara", number);
        house.add_aqara(id, clouds.aqara(), tokens, "");
        let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
        held.push(Held { id: id.to_owned(), access: None, refresh, issued_at, n_spent: 0 });
    }
    house.hold(held);
    house
}

/// The process that listens at this port.
fn mosquitto_process(port: u16) -> u32 {
    let configured = |process: &PathBuf| {
        let arguments = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        let file = arguments.split('\0').find(|it| it.ends_with("mosquitto.conf")).map(str::to_owned);
        file.and_then(|it| fs::read_to_string(it).ok()).is_some_and(|it| it.contains(&format!("listener {port} ")))
    };
    let processes = fs::read_dir("/proc").unwrap().map(|it| it.unwrap().path());
    let process = processes.filter(|it| it.join("cmdline").exists()).find(configured).expect("Mosquitto runs");
    process.file_name().unwrap().to_str().unwrap().parse().unwrap()
}
