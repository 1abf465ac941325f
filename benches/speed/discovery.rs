//! A thousand accounts, and a Home Assistant that has just started.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    Form,
    mosquitto::Mosquitto,
    rig::{Held, House, WITH_DEMO},
    row::Row,
    talker::Talker,
};

const GATE: &str = "http://127.0.0.1:9";
/// When nothing came for so long, all has come.
const QUIET: Duration = Duration::from_secs(3);

pub(crate) fn discovery(form: Form) -> Vec<Row> {
    let n_accounts = form.of(1000, 50);
    // No more than Mosquitto keeps for a client that is slow, unless it is told otherwise.
    let mosquitto = Mosquitto::start();
    let mut house = House::new(mosquitto.port, "");
    let issued_at = Timestamp::now();
    let held = (0..n_accounts).map(|number| {
        let (id, access) = (format!("account_{number}"), Some(format!("{number:032x}")));
        Held { id, access, refresh: format!("{:032x}", fastrand::u128(..)), issued_at, n_spent: 0 }
    });
    let held: Vec<Held> = held.collect();
    for it in &held {
        house.add_akuvox(&it.id, GATE, "");
    }
    house.hold(held);
    let service = house.run_connected(Path::new(WITH_DEMO));
    let row = Runtime::new().unwrap().block_on(async {
        let filters = ["homeassistant/device/+/config", "latchkey/+/state", "$SYS/broker/publish/messages/dropped"];
        let mut home_assistant = Talker::connect(mosquitto.port, &filters).await;
        while timeout(QUIET, home_assistant.hear()).await.is_ok() {}
        let born = Instant::now();
        home_assistant.say("homeassistant/status", "online").await;
        let (mut devices, mut states, mut done) = (BTreeSet::new(), BTreeSet::new(), born);
        while let Ok(heard) = timeout(QUIET, home_assistant.hear()).await {
            if heard.topic.ends_with("/config") {
                devices.insert(heard.topic);
            } else if heard.topic.ends_with("/state") {
                states.insert(heard.topic);
            }
            done = heard.at;
        }
        let took = done - born;
        let has_all = devices.len() == n_accounts + 1 && states.len() == n_accounts + 1;
        let measured = format!(
            "{:.1} s after the birth: {} devices and {} states heard, none missing: {has_all}",
            took.as_secs_f64(),
            devices.len(),
            states.len()
        );
        let is_met = has_all && took <= Duration::from_secs(10);
        Row::new(
            format!("discovery of {n_accounts} accounts"),
            "≤ 10 s, ≤ 20 in flight, nothing dropped",
            measured,
            is_met,
        )
    });
    service.stop();
    vec![row]
}
