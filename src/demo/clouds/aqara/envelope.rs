//! What every answer of the simulated Aqara cloud looks like (protocol/aqara.md §4).

use serde_json::{Map, Value, json};

use super::{
    auth::Done,
    knobs::{AqaraKnobs, DetailKey},
};
use crate::demo::clouds::simulation::{Answer, Reply, Request};

/// Why a call was refused.
pub(super) struct Refused {
    pub(super) code: i64,
    /// For the log.
    pub(super) reason: String,
    /// For the client; may echo its token, as the live cloud does.
    pub(super) detail: String,
}

impl Refused {
    pub(super) fn new(code: i64, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { code, detail: reason.clone(), reason }
    }
}

/// Business errors are HTTP 200 with a message that tells nothing, in the caller's language.
pub(super) fn answer(
    knobs: &AqaraKnobs,
    request: &Request,
    request_id: &str,
    outcome: Result<Done, Refused>,
) -> Answer {
    let is_chinese = request.header("lang").is_some_and(|it| it.starts_with("zh"));
    match outcome {
        Ok(Done { result, account, issued }) => {
            let mut body = Map::new();
            body.insert("code".to_owned(), json!(0));
            body.insert("requestId".to_owned(), json!(request_id));
            body.insert("message".to_owned(), json!("Success"));
            insert_detail(&mut body, knobs.detail_key, &Value::Null);
            body.insert("result".to_owned(), result);
            let answer = Answer::success(Reply::ok(&Value::Object(body)), Some(account));
            match issued {
                Some(pair) => answer.issuing(&pair),
                None => answer,
            }
        }
        Err(Refused { code, reason, detail }) => {
            let message = if is_chinese { "请求失败，请重试。" } else { "Request failed. Please try again." };
            let mut body = Map::new();
            body.insert("code".to_owned(), json!(code));
            body.insert("requestId".to_owned(), json!(request_id));
            body.insert("message".to_owned(), json!(message));
            insert_detail(&mut body, knobs.detail_key, &json!(detail));
            let status = if code == 429 { knobs.rate_limit_status } else { 200 };
            let retry_after = if code == 429 { knobs.rate_limit_retry_after } else { None };
            let reply = Reply { retry_after, ..Reply::with_status(status, &Value::Object(body)) };
            Answer::refusal(reply, format!("{code} {reason}"))
        }
    }
}

/// A failure that an injected fault brings about.
pub(super) fn injected(status: u16, code: i64) -> Reply {
    let body = json!({
        "code": code,
        "requestId": "",
        "message": "Request failed. Please try again.",
        "messageDetail": "injected by the simulation",
    });
    Reply::with_status(status, &body)
}

fn insert_detail(body: &mut Map<String, Value>, key: DetailKey, detail: &Value) {
    if key != DetailKey::MsgDetails {
        body.insert("messageDetail".to_owned(), detail.clone());
    }
    if key != DetailKey::MessageDetail {
        body.insert("msgDetails".to_owned(), detail.clone());
    }
}
