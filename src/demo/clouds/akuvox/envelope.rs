//! The two envelopes of the gate and the REST host (protocol/akuvox.md §2). HTTP status is 200 even for refusals.

use serde_json::{Value, json};

use super::{AkuvoxKnobs, checks::Refusal};
use crate::demo::clouds::simulation::{Answer, Reply};

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
        Refusal::Malformed(_) => "request is invalid",
        Refusal::Token(_) => "token invalid",
        Refusal::SmsCode(_) => "verification code error",
        Refusal::WrongRegion => &knobs.wrong_region_message,
    };
    refused(message, refusal.outcome())
}
