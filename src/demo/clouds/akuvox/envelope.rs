//! The two envelopes of the gate and the REST host (protocol/akuvox.md §2). HTTP status is 200 even for refusals, unless
//! a switch says otherwise.

use serde_json::{Value, json};

use super::{AkuvoxKnobs, checks::Refusal};
use crate::demo::clouds::simulation::{Answer, Desk, Reply};

/// With both `result` and `err_code`.
pub(super) fn success(datas: &Value) -> Reply {
    Reply::ok(&json!({ "result": 0, "err_code": "0", "message": "success", "datas": datas }))
}

/// As the newer calls answer: no `result`.
pub(super) fn success_without_result(datas: &Value) -> Reply {
    Reply::ok(&json!({ "datas": datas, "err_code": "0", "message": "success" }))
}

/// A refusal with both keys, its cause in the log.
pub(super) fn refused(message: &str, outcome: impl Into<String>) -> Answer {
    Answer::refusal(Reply::ok(&json!({ "result": -1, "err_code": "-1", "message": message })), outcome)
}

pub(super) fn turn_away(knobs: &AkuvoxKnobs, refusal: Refusal) -> Answer {
    let message = match &refusal {
        Refusal::Malformed(_) => return refused("request is invalid", refusal.outcome()),
        Refusal::SmsCode(_) => return refused("verification code error", refusal.outcome()),
        Refusal::Token(_) => &knobs.access_refusal_message,
        Refusal::WrongRegion => &knobs.wrong_region_message,
    };
    let result = knobs.access_refusal_result;
    let body = json!({ "result": result, "err_code": result.to_string(), "message": message });
    Answer::refusal(Reply::with_status(knobs.refusal_status, &body), refusal.outcome())
}

/// 'Too often', by whichever status.
pub(super) fn too_frequent(desk: &mut Desk<'_, AkuvoxKnobs>, outcome: &str) -> Answer {
    desk.counters.throttled += 1;
    let body = json!({ "error_msg": "Requesting too frequently" });
    Answer::refusal(Reply::with_status(desk.knobs.throttled_status, &body), outcome)
}
