//! Very many accounts, none of them due: what each costs in memory, and how long a start takes.

use std::{thread, time::Duration};

use jiff::Timestamp;
use latchkey::account::RECENT_SPENT;

use crate::{
    Form, build,
    mosquitto::Mosquitto,
    rig::{Held, House, Use},
    row::{Row, megabytes},
};

/// Nobody listens there, and nobody is asked.
const GATE: &str = "http://127.0.0.1:9";
const SETTLING: Duration = Duration::from_secs(5);

pub(crate) fn rest(form: Form) -> Vec<Row> {
    let n_accounts = form.of(100_000, 2000);
    let (none, _) = at_rest(1, 0);
    let (many, started_in) = at_rest(n_accounts, 0);
    let kib_each = |used: Use| used.resident.saturating_sub(none.resident) as f64 / (n_accounts - 1) as f64 / 1024.0;
    let each = kib_each(many);
    let (old, old_started_in) = at_rest(n_accounts, RECENT_SPENT);
    vec![
        Row::new(
            format!("{n_accounts} accounts at rest: memory"),
            "≤ 1.5 KiB an account",
            format!(
                "{each:.2} KiB ({:.1} MB over {:.1} MB; {:.1} MB at most, at the start)",
                megabytes(many.resident),
                megabytes(none.resident),
                megabytes(many.most_resident)
            ),
            each <= 1.5,
        ),
        Row::new(
            format!("{n_accounts} accounts: exec until scheduled"),
            "≤ 3 s",
            format!("{:.2} s", started_in.as_secs_f64()),
            started_in <= Duration::from_secs(3),
        ),
        Row::plain(
            format!("the same of accounts that remember {RECENT_SPENT} spent tokens each, as after a year"),
            format!(
                "{:.2} KiB an account ({:.1} MB at most), {:.2} s",
                kib_each(old),
                megabytes(old.most_resident),
                old_started_in.as_secs_f64()
            ),
        ),
    ]
}

/// `n_spent`: how many tokens each account spent before.
fn at_rest(n_accounts: usize, n_spent: usize) -> (Use, Duration) {
    let mosquitto = Mosquitto::start();
    let mut house = House::new(mosquitto.port, "");
    // A hundred thousand devices are nothing that Home Assistant could show.
    house.alter("announce_delay = \"1s\"", "discovery = false");
    let issued_at = Timestamp::now();
    let ids: Vec<String> = (0..n_accounts).map(|it| format!("account_{it:06}")).collect();
    for id in &ids {
        house.add_akuvox(id, GATE, "");
    }
    let held = |id: String| Held {
        id,
        access: Some(format!("{:032x}", fastrand::u128(..))),
        refresh: format!("{:032x}", fastrand::u128(..)),
        issued_at,
        n_spent,
    };
    house.hold(ids.into_iter().map(held).collect());
    let service = house.run(&build::shipped());
    service.wait_for_log("is running");
    let started_in = service.started.elapsed();
    service.wait_for_log(crate::rig::CONNECTED);
    thread::sleep(SETTLING);
    let used = service.used();
    service.stop();
    (used, started_in)
}
