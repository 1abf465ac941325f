//! What systemd is told: that Latchkey is ready, how its accounts are, that it gets on, that it reloads and stops. Without
//! systemd nothing of this is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

use crate::{config, service::Vitals};

/// How often the status line is looked at, and systemd's watchdog is fed at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// So many accounts that need somebody are named in the status line.
const MOST_NAMES: usize = 3;

/// Everything stands: the store is open and the ports are bound.
pub async fn ready(vitals: &Vitals) {
    if listens() {
        tell(&[NotifyState::Ready, NotifyState::Status(&status_line(vitals).await)]);
    }
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        // A later systemd ends a service that reloads without saying when it began.
        Err(error) => debug!("systemd is not told of the reload: {error}"),
    }
}

pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("bringing to its end what is under way")]);
}

/// Keeps the status line true, and feeds the watchdog as long as Latchkey gets on. Ends only where systemd does not listen.
pub async fn keep_told(vitals: Vitals) {
    if !listens() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let pause = watchdog.map_or(LOOK_EVERY, |it| LOOK_EVERY.min(it / 3));
    let mut told = String::new();
    loop {
        tokio::time::sleep(pause).await;
        let line = status_line(&vitals).await;
        if line != told {
            tell(&[NotifyState::Status(&line)]);
            told = line;
        }
        if watchdog.is_none() {
            continue;
        }
        match vitals.what_hangs().await {
            None => tell(&[NotifyState::Watchdog]),
            Some(what) => warn!("{what} does not get on; systemd restarts Latchkey if that lasts"),
        }
    }
}

/// `2 of 3 accounts are well, home needs somebody; connected to the broker`.
async fn status_line(vitals: &Vitals) -> String {
    let (n_accounts, needy) = vitals.accounts().await;
    let names: Vec<&str> = needy.iter().take(MOST_NAMES).map(|it| it.as_str()).collect();
    let names = names.join(", ");
    let more = if MOST_NAMES < needy.len() { ", …" } else { "" };
    let accounts = match needy.len() {
        0 => format!("{n_accounts} of {n_accounts} accounts are well"),
        n_needy => {
            let need = if n_needy == 1 { "needs" } else { "need" };
            format!("{} of {n_accounts} accounts are well, {names}{more} {need} somebody", n_accounts - n_needy)
        }
    };
    let broker = if vitals.is_broker_connected() { "connected to the broker" } else { "the broker is not reached" };
    format!("{accounts}; {broker}")
}

fn listens() -> bool {
    config::process_environment().any(|it| it.0 == "NOTIFY_SOCKET")
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("systemd does not listen: {error}");
    }
}
