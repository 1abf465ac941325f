//! The web host, version 3, and the backend host, version 4: temporary keys and the door log (protocol/akuvox.md §3.9
//! and §3.10).

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    AkuvoxKnobs, WrongTypeAnswer,
    checks::{self, Malformed, Refusal},
    door_log::{self, DoorLog},
    temp_keys::TempKeys,
};
use crate::demo::clouds::simulation::{Answer, Desk, Reply, Request};

const V3: &str = "/web-server/v3/app/";
const V4: &str = "/web-server/v4/smartplus/";

/// What an account's apps show of its house beside the devices.
pub(super) struct Household {
    pub(super) log: DoorLog,
    keys: TempKeys,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    ListKeys,
    AddKey,
    DeleteKey,
    OldDoorLog,
    DoorLog,
    Calls,
}

impl Household {
    pub(super) fn new() -> Self {
        Self { log: DoorLog::default(), keys: TempKeys::new() }
    }
}

/// Answers a call of either host, none if there is no such call at the listener that it came by.
pub(super) fn answer(
    households: &mut [Household],
    desk: &mut Desk<'_, AkuvoxKnobs>,
    request: &Request,
) -> Option<Answer> {
    let (account_type, call) = call(desk.knobs, request)?;
    let token = request.header("x-auth-token").unwrap_or_default();
    let answer = match check(desk, request, call, token) {
        Err(refusal) => turn_away(&refusal),
        Ok(account) => {
            let household = &mut households[account];
            let is_right_type = account_type == desk.knobs.account_type.name();
            let answer = match call {
                _ if !is_right_type => wrong_type(desk.knobs),
                Call::ListKeys => household.keys.list(desk, account, request),
                Call::AddKey => household.keys.add(desk.knobs, account, request),
                Call::DeleteKey => household.keys.delete(request),
                Call::OldDoorLog => household.log.v3(desk, account, request),
                Call::DoorLog => household.log.v4(desk, account, request),
                Call::Calls => door_log::v4_list(desk.knobs, json!([])),
            };
            Answer { account: Some(account), ..answer }
        }
    };
    Some(answer.bearing("access_token", Some(token)))
}

pub(super) fn success(data: Value) -> Answer {
    Answer::success(Reply::ok(&json!({ "code": 0, "msg": "success", "data": data })), None)
}

pub(super) fn failed(outcome: &str) -> Answer {
    Answer::refusal(Reply::ok(&json!({ "code": 1, "msg": "failed", "data": [] })), outcome)
}

/// The account type in the path, and what is asked for.
fn call<'a>(knobs: &AkuvoxKnobs, request: &'a Request) -> Option<(&'a str, Call)> {
    let v3 = request.path.strip_prefix(V3).filter(|_| request.is_at("web"));
    let v4 = request.path.strip_prefix(V4).filter(|_| request.is_at("backend"));
    let (account_type, call) = v3.or(v4)?.split_once('/')?;
    let call = match (&request.method, v3.is_some(), call) {
        (&Method::GET, true, "tempKey/getPersonalTempKeyList") => Call::ListKeys,
        (&Method::POST, true, "tempKey/addPersonalTempKey") => Call::AddKey,
        (&Method::POST, true, "tempKey/delPersonalTempKey") => Call::DeleteKey,
        (&Method::GET, true, "log/getDoorLog") if knobs.has_door_log_v3 => Call::OldDoorLog,
        (&Method::GET, false, "log/member/getDoorLog") => Call::DoorLog,
        (&Method::GET, false, "log/member/getCallLog") => Call::Calls,
        _ => return None,
    };
    Some((account_type, call))
}

fn check(desk: &Desk<'_, AkuvoxKnobs>, request: &Request, call: Call, token: &str) -> Result<usize, Refusal> {
    let lacks = |name: &str| request.header(name).is_none_or(str::is_empty);
    match call {
        Call::DoorLog | Call::Calls if lacks("x-requested-with") => {
            return Err(Malformed("no x-requested-with header".to_owned()).into());
        }
        Call::ListKeys | Call::AddKey | Call::DeleteKey | Call::OldDoorLog if lacks("x-cloud-version") => {
            return Err(Malformed("no x-cloud-version header".to_owned()).into());
        }
        _ => {}
    }
    if request.method == Method::POST {
        checks::content_type(request, "application/x-www-form-urlencoded")?;
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
    let outcome = "community and single were mixed up";
    match knobs.wrong_type_answer {
        WrongTypeAnswer::Empty => Answer { outcome: outcome.to_owned(), ..success(json!([])) },
        WrongTypeAnswer::Refused => failed(outcome),
        WrongTypeAnswer::Hangs => Answer { is_withheld: true, ..failed(outcome) },
    }
}
