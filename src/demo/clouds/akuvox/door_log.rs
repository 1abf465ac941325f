//! The log of an account's doors, in both versions that apps read (protocol/akuvox.md §3.10).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AkuvoxKnobs, DateFormat, LogAnswer,
    envelope::too_frequent,
    home::{self, Relay},
    web,
};
use crate::demo::clouds::{
    grants::later,
    simulation::{Answer, Desk, Reply, Request},
};

const MAX_OPENINGS: usize = 100;

/// A picture is taken at once but can be had only later.
const PICTURE_TAKES: Duration = Duration::from_secs(5);

/// What one account's doors did.
#[derive(Default)]
pub(super) struct DoorLog {
    /// Newest first.
    openings: Vec<Opening>,
    /// By the clock that never goes back.
    last_read: Option<Duration>,
}

struct Opening {
    at: Timestamp,
    mac: String,
    relay: String,
}

/// An opening as people read it; each version has its own names for these.
struct Entry<'a> {
    opening: &'a Opening,
    location: Option<&'static str>,
    door_name: Option<&'static str>,
    picture: &'static str,
}

impl DoorLog {
    pub(super) fn opened(&mut self, at: Timestamp, mac: &str, relay: &str) {
        self.openings.truncate(MAX_OPENINGS - 1);
        self.openings.insert(0, Opening { at, mac: mac.to_owned(), relay: relay.to_owned() });
    }

    /// Version 3, at the web host.
    pub(super) fn v3(&mut self, desk: &mut Desk<'_, AkuvoxKnobs>, account: usize, request: &Request) -> Answer {
        if let Some(throttled) = self.throttle(desk) {
            return throttled;
        }
        let entries = self.entries(desk, account, request, 1);
        web::success(entries.map(|it| it.v3(account, desk.knobs.date_format)).collect())
    }

    /// Version 4, at the backend host.
    pub(super) fn v4(&mut self, desk: &mut Desk<'_, AkuvoxKnobs>, account: usize, request: &Request) -> Answer {
        if let Some(throttled) = self.throttle(desk) {
            return throttled;
        }
        let entries = self.entries(desk, account, request, 20);
        v4_list(desk.knobs, entries.map(|it| it.v4(account, desk.knobs.date_format)).collect())
    }

    /// Too soon after the last look, whichever version that was.
    fn throttle(&mut self, desk: &mut Desk<'_, AkuvoxKnobs>) -> Option<Answer> {
        let interval = Duration::from_secs(desk.knobs.door_log_interval_seconds);
        if self.last_read.is_some_and(|it| desk.monotonic.saturating_sub(it) < interval) {
            return Some(too_frequent(desk, "read a moment ago"));
        }
        self.last_read = Some(desk.monotonic);
        None
    }

    fn entries<'a>(
        &'a self,
        desk: &Desk<'_, AkuvoxKnobs>,
        account: usize,
        request: &Request,
        usual_n_rows: usize,
    ) -> impl Iterator<Item = Entry<'a>> {
        let number = |name: &str| request.query.get(name).and_then(|it| it.parse::<usize>().ok());
        let n_rows = number("row").unwrap_or(usual_n_rows);
        let skipped = number("page").unwrap_or(1).saturating_sub(1).saturating_mul(n_rows);
        let (devices, now) = (home::devices(account), desk.now);
        self.openings.iter().skip(skipped).take(n_rows).map(move |opening| {
            let device = devices.iter().find(|it| it.mac == opening.mac);
            let relay: Option<&Relay> = device.and_then(|it| it.relays.iter().find(|it| it.id == opening.relay));
            let is_picture_ready = later(opening.at, PICTURE_TAKES) <= now;
            Entry {
                opening,
                location: device.map(|it| it.location),
                door_name: relay.map(|it| it.door_name),
                picture: if is_picture_ready { "/group1/simulated/door.jpg" } else { "" },
            }
        })
    }
}

/// A list of version 4, in whichever wrapping.
pub(super) fn v4_list(knobs: &AkuvoxKnobs, items: Value) -> Answer {
    let body = match knobs.door_log_v4_answer {
        LogAnswer::Bare => items,
        LogAnswer::UnderList => json!({ "list": items }),
        LogAnswer::UnderData => json!({ "result": 0, "data": items }),
    };
    Answer::success(Reply::ok(&body), None)
}

/// A time as the account's region writes it.
pub(super) fn shown_date(at: Timestamp, format: DateFormat) -> String {
    let format = match format {
        DateFormat::DayFirst => "%d-%m-%Y %H:%M:%S",
        DateFormat::YearFirst => "%Y-%m-%d %H:%M:%S",
        DateFormat::MonthFirst => "%m-%d-%Y %I:%M:%S %p",
    };
    at.strftime(format).to_string()
}

// === impl Entry ===

impl Entry<'_> {
    fn v3(&self, account: usize, format: DateFormat) -> Value {
        json!({
            "CaptureTime": shown_date(self.opening.at, format),
            "Initiator": format!("Resident {account}"),
            "CaptureType": "Unlock on SmartPlus",
            "Location": self.location,
            "MAC": self.opening.mac,
            "Relay": self.opening.relay,
            "RelayName": self.door_name,
            "PicUrl": self.picture,
        })
    }

    fn v4(&self, account: usize, format: DateFormat) -> Value {
        json!({
            "captureTime": shown_date(self.opening.at, format),
            "deviceName": self.location,
            "initiator": format!("Resident {account}"),
            "captureType": "remoteOpenDoor",
            "relayName": self.door_name,
            "deviceMac": self.opening.mac,
            "picUrl": self.picture,
        })
    }
}
