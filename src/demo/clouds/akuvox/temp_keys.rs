//! Temporary keys of an account: listed, added, deleted (protocol/akuvox.md §3.9).

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::{
    AkuvoxKnobs,
    door_log::shown_date,
    home::{self, Device},
    web,
};
use crate::demo::clouds::{
    grants::later,
    simulation::{Answer, Desk, Request},
};

/// The keys of one account. One is there from the start.
pub(super) struct TempKeys {
    added: Vec<TempKey>,
    is_first_there: bool,
    n_added: usize,
}

/// A key that somebody added, its times as they were written.
struct TempKey {
    id: String,
    description: String,
    code: String,
    begins: String,
    ends: String,
    allowed_times: String,
    doors: Vec<Door>,
}

struct Door {
    mac: String,
    relay: String,
}

const FIRST: &str = "1";

impl TempKeys {
    pub(super) fn new() -> Self {
        Self { added: Vec::new(), is_first_there: true, n_added: 0 }
    }

    pub(super) fn list(&self, desk: &Desk<'_, AkuvoxKnobs>, account: usize, request: &Request) -> Answer {
        let number = |name: &str| request.query.get(name).and_then(|it| it.parse::<usize>().ok());
        let (n_rows, page) = (number("row").unwrap_or(20), number("page").unwrap_or(1));
        let first = self.is_first_there.then(|| first(desk, account)).flatten();
        let shown = first.iter().chain(&self.added).map(TempKey::shown);
        web::success(shown.skip(page.saturating_sub(1).saturating_mul(n_rows)).take(n_rows).collect())
    }

    /// Adds a key to known doors. What its times mean is not looked at.
    pub(super) fn add(&mut self, knobs: &AkuvoxKnobs, account: usize, request: &Request) -> Answer {
        let form = request.form();
        let Some(key) = self.read(account, &form) else {
            return web::failed("the form lacks a field, or names a door that is not there");
        };
        if knobs.account_type.name() == "community" && form.get("IsFollowMyAccess").is_none_or(|it| it != "1") {
            return web::failed("a community's key has IsFollowMyAccess=1");
        }
        self.n_added += 1;
        self.added.push(key);
        web::success(json!([]))
    }

    pub(super) fn delete(&mut self, request: &Request) -> Answer {
        let id = request.form().remove("ID").unwrap_or_default();
        let n_before = self.added.len() + usize::from(self.is_first_there);
        self.added.retain(|it| it.id != id);
        self.is_first_there &= id != FIRST;
        if self.added.len() + usize::from(self.is_first_there) == n_before {
            return web::failed("there is no such key");
        }
        web::success(json!([]))
    }

    fn read(&self, account: usize, form: &HashMap<String, String>) -> Option<TempKey> {
        let field = |name: &str| form.get(name).filter(|it| !it.is_empty());
        if field("SchedulerType")? != "3" {
            return None;
        }
        let doors: Vec<Door> = (0..)
            .map_while(|number| {
                let mac = field(&format!("MAC[{number}][MAC]"))?.clone();
                // Several relays of a device are written as `0;1`.
                let relays = field(&format!("MAC[{number}][Relay]"))?.split(';');
                Some(relays.map(|it| Door { mac: mac.clone(), relay: it.to_owned() }).collect::<Vec<_>>())
            })
            .flatten()
            .collect();
        let devices = home::devices(account);
        let is_known =
            |door: &Door| devices.iter().any(|it| it.mac == door.mac && it.relays.iter().any(|it| it.id == door.relay));
        if doors.is_empty() || !doors.iter().all(is_known) {
            return None;
        }
        let time = |day: &str, time: &str| Some(format!("{} {}", field(day)?, field(time)?));
        Some(TempKey {
            id: (self.n_added + 2).to_string(),
            description: field("Description")?.clone(),
            code: format!("{:08}", fastrand::u32(..100_000_000)),
            begins: time("StartDay", "StartTime")?,
            ends: time("StopDay", "StopTime")?,
            allowed_times: field("AllowedTimes")?.clone(),
            doors,
        })
    }
}

/// The key that is there from the start, from now to tomorrow whenever it is looked at.
fn first(desk: &Desk<'_, AkuvoxKnobs>, account: usize) -> Option<TempKey> {
    let Device { mac, relays, .. } = home::devices(account).into_iter().next()?;
    let date = |at| shown_date(at, desk.knobs.date_format);
    Some(TempKey {
        id: FIRST.to_owned(),
        description: "Cleaner ".to_owned(),
        code: format!("{:08}", 41_000_000 + account),
        begins: date(desk.now),
        ends: date(later(desk.now, Duration::from_secs(86_400))),
        allowed_times: "3".to_owned(),
        doors: relays.iter().map(|it| Door { mac: mac.clone(), relay: it.id.to_owned() }).collect(),
    })
}

// === impl TempKey ===

impl TempKey {
    fn shown(&self) -> Value {
        let doors = self.doors.iter().enumerate();
        let doors = doors.map(|(n, it)| json!({ "ID": n + 1, "KeyID": self.id, "Relay": it.relay, "MAC": it.mac }));
        json!({
            "ID": self.id,
            "Description": self.description,
            "TmpKey": self.code,
            "BeginTime": self.begins,
            "EndTime": self.ends,
            "AccessTimes": "0",
            "AllowedTimes": self.allowed_times,
            "EachAllowedTimes": "0",
            "QrCodeUrl": format!("/group1/simulated/{}.png", self.id),
            "Expired": false,
            "Doors": doors.collect::<Value>(),
        })
    }
}
