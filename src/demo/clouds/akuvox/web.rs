//! The web host, version 3: temporary keys and the door log (protocol/akuvox.md §3.9 and §3.10).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AkuvoxKnobs, DateFormat, WrongTypeAnswer,
    checks::{self, Malformed, Refusal},
    home::{self, Device, Relay},
};
use crate::demo::clouds::{
    grants::later,
    simulation::{Answer, Desk, Reply, Request},
};

const PREFIX: &str = "/web-server/v3/app/";
const MAX_OPENINGS: usize = 100;

/// A picture is taken at once but can be had only later.
const PICTURE_TAKES: Duration = Duration::from_secs(5);

/// What an account's log is made of.
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

impl DoorLog {
    pub(super) fn opened(&mut self, at: Timestamp, mac: &str, relay: &str) {
        self.openings.truncate(MAX_OPENINGS - 1);
        self.openings.insert(0, Opening { at, mac: mac.to_owned(), relay: relay.to_owned() });
    }
}

/// Answers a path below `/web-server/v3/app/`, none if there is no such call.
pub(super) fn answer(logs: &mut [DoorLog], desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Option<Answer> {
    let (account_type, call) = request.path.strip_prefix(PREFIX)?.split_once('/')?;
    let is_listing_keys = match call {
        "tempKey/getPersonalTempKeyList" => true,
        "log/getDoorLog" => false,
        _ => return None,
    };
    let token = request.header("x-auth-token").unwrap_or_default();
    let answer = match check(desk, request, token) {
        Err(refusal) => turn_away(&refusal),
        Ok(account) => {
            let is_right_type = account_type == desk.knobs.account_type.name();
            let answer = if !is_right_type {
                wrong_type(desk.knobs)
            } else if is_listing_keys {
                success(keys(account, desk))
            } else {
                door_log(&mut logs[account], desk, account, request)
            };
            Answer { account: Some(account), ..answer }
        }
    };
    Some(answer.bearing("access_token", Some(token)))
}

fn check(desk: &Desk<'_, AkuvoxKnobs>, request: &Request, token: &str) -> Result<usize, Refusal> {
    if request.header("x-cloud-version").is_none_or(str::is_empty) {
        return Err(Malformed("no x-cloud-version header".to_owned()).into());
    }
    checks::alive(desk, token)
}

fn turn_away(refusal: &Refusal) -> Answer {
    let body = match refusal {
        Refusal::Malformed(_) => json!({ "code": 1, "msg": "request is invalid", "data": [] }),
        _ => json!({ "code": 2, "msg": "Invalid identity information! Please login again." }),
    };
    Answer::refusal(Reply::ok(&body), refusal.outcome())
}

fn wrong_type(knobs: &AkuvoxKnobs) -> Answer {
    let empty = json!({ "code": 0, "msg": "success", "data": [] });
    let refused = json!({ "code": 1, "msg": "failed", "data": [] });
    let outcome = "community and single were mixed up";
    match knobs.wrong_type_answer {
        WrongTypeAnswer::Empty => Answer { outcome: outcome.to_owned(), ..success(json!([])) },
        WrongTypeAnswer::Refused => Answer::refusal(Reply::ok(&refused), outcome),
        WrongTypeAnswer::Hangs => Answer { is_withheld: true, ..Answer::refusal(Reply::ok(&empty), outcome) },
    }
}

fn keys(account: usize, desk: &Desk<'_, AkuvoxKnobs>) -> Value {
    let Some(Device { mac, relays, .. }) = home::devices(account).into_iter().next() else { return json!([]) };
    let date = |at| shown_date(at, desk.knobs.date_format);
    let doors = relays.iter().enumerate();
    let doors =
        doors.map(|(n, it)| json!({ "ID": n + 1, "KeyID": "1", "Relay": it.id, "MAC": mac })).collect::<Value>();
    json!([{
        "ID": "1",
        "Description": "Cleaner ",
        "TmpKey": format!("{:08}", 41_000_000 + account),
        "BeginTime": date(desk.now),
        "EndTime": date(later(desk.now, Duration::from_secs(86_400))),
        "AccessTimes": "0",
        "AllowedTimes": "3",
        "EachAllowedTimes": "0",
        "QrCodeUrl": format!("/group1/simulated/{account}.png"),
        "Expired": false,
        "Doors": doors,
    }])
}

fn door_log(log: &mut DoorLog, desk: &mut Desk<'_, AkuvoxKnobs>, account: usize, request: &Request) -> Answer {
    let interval = Duration::from_secs(desk.knobs.door_log_interval_seconds);
    let is_too_soon = log.last_read.is_some_and(|it| desk.monotonic.saturating_sub(it) < interval);
    if is_too_soon {
        desk.counters.throttled += 1;
        let body = json!({ "error_msg": "Requesting too frequently" });
        return Answer::refusal(Reply::with_status(desk.knobs.door_log_throttled_status, &body), "read a moment ago");
    }
    log.last_read = Some(desk.monotonic);
    let n_rows = request.query.get("row").and_then(|it| it.parse().ok()).unwrap_or(1);
    let devices = home::devices(account);
    let shown = log.openings.iter().take(n_rows).map(|opening| {
        let device = devices.iter().find(|it| it.mac == opening.mac);
        let relay: Option<&Relay> = device.and_then(|it| it.relays.iter().find(|it| it.id == opening.relay));
        let is_picture_ready = later(opening.at, PICTURE_TAKES) <= desk.now;
        json!({
            "CaptureTime": shown_date(opening.at, desk.knobs.date_format),
            "Initiator": format!("Resident {account}"),
            "CaptureType": "Unlock on SmartPlus",
            "Location": device.map(|it| it.location),
            "MAC": opening.mac,
            "Relay": opening.relay,
            "RelayName": relay.map(|it| it.door_name),
            "PicUrl": if is_picture_ready { "/group1/simulated/door.jpg" } else { "" },
        })
    });
    success(shown.collect())
}

fn success(data: Value) -> Answer {
    Answer::success(Reply::ok(&json!({ "code": 0, "msg": "success", "data": data })), None)
}

fn shown_date(at: Timestamp, format: DateFormat) -> String {
    let format = match format {
        DateFormat::DayFirst => "%d-%m-%Y %H:%M:%S",
        DateFormat::YearFirst => "%Y-%m-%d %H:%M:%S",
        DateFormat::MonthFirst => "%m-%d-%Y %I:%M:%S %p",
    };
    at.strftime(format).to_string()
}
