//! `POST /refresh_token` of the simulated gate (protocol/akuvox.md §3.11).

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{AkuvoxKnobs, RefreshAnswer, checks, checks::Malformed, envelope, tokens};
use crate::demo::clouds::{
    grants::{Pair, RefreshRefusal, later},
    simulation::{Answer, Desk, Reply, Request},
};

#[derive(Deserialize)]
struct Body {
    refresh_token: String,
}

pub(super) fn refresh(desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let access_token = request.header("x-auth-token").filter(|it| !it.is_empty());
    let refresh_token = match check(desk.knobs, request) {
        Ok(it) => it,
        Err(malformed) => {
            let reply = refusal(desk.knobs, "request is invalid");
            return Answer::refusal(reply, malformed.0).bearing("access_token", access_token);
        }
    };

    let is_elsewhere = desk.grants.holder(&refresh_token).is_some_and(|it| !desk.is_at_home(it));
    if is_elsewhere {
        let reply = refusal(desk.knobs, &desk.knobs.wrong_region_message);
        return Answer::refusal(reply, "the account lives in another region")
            .bearing("access_token", access_token)
            .bearing("refresh_token", Some(&refresh_token));
    }
    if is_too_soon(desk, access_token) {
        return envelope::too_frequent(desk, "refreshed a moment ago")
            .bearing("access_token", access_token)
            .bearing("refresh_token", Some(&refresh_token));
    }
    let keeps_refresh_token =
        desk.keeps_refresh_token || desk.knobs.refresh_answer == RefreshAnswer::MissingRefreshToken;
    let granted = desk.grants.refresh(&refresh_token, access_token, keeps_refresh_token, desk.now, &desk.rules);
    let answer = match granted {
        Ok(granted) if granted.is_repeated => {
            desk.counters.grace_answers += 1;
            let reply = success(desk, &granted.pair, keeps_refresh_token);
            let answer = Answer::success(reply, Some(granted.account)).issuing(&granted.pair);
            Answer { outcome: "ok, again within the grace".to_owned(), ..answer }
        }
        Ok(granted) => {
            desk.counters.refreshes += 1;
            let reply = success(desk, &granted.pair, keeps_refresh_token);
            Answer::success(reply, Some(granted.account)).issuing(&granted.pair)
        }
        Err(refused) => {
            desk.counters.replays += u64::from(refused == RefreshRefusal::Spent);
            let (message, outcome) = match refused {
                RefreshRefusal::Unknown => (desk.knobs.refusal_message.as_str(), "unknown refresh token"),
                RefreshRefusal::Spent => (desk.knobs.refusal_message.as_str(), "refresh token was used before"),
                RefreshRefusal::Expired => (desk.knobs.refusal_message.as_str(), "refresh token expired"),
                RefreshRefusal::Revoked => (desk.knobs.refusal_message.as_str(), "grant was revoked"),
                RefreshRefusal::WrongAccessToken => {
                    (desk.knobs.access_refusal_message.as_str(), "x-auth-token does not match the refresh token")
                }
                RefreshRefusal::AccessTokenEnded => {
                    (desk.knobs.access_refusal_message.as_str(), "access token has ended")
                }
            };
            Answer::refusal(refusal(desk.knobs, message), outcome)
        }
    };
    answer.bearing("access_token", access_token).bearing("refresh_token", Some(&refresh_token))
}

/// Whether the login that the access token belongs to was refreshed only just now.
fn is_too_soon(desk: &Desk<'_, AkuvoxKnobs>, access_token: Option<&str>) -> bool {
    let newest = access_token.and_then(|it| desk.grants.session(it)).filter(|it| 1 < it.generation);
    let interval = Duration::from_secs(desk.knobs.refresh_interval_seconds);
    newest.is_some_and(|it| it.issued_at <= desk.now && desk.now < later(it.issued_at, interval))
}

/// The refresh token of a well-formed call.
fn check(knobs: &AkuvoxKnobs, request: &Request) -> Result<String, Malformed> {
    checks::app_headers(knobs, request, &["6.8"])?;
    checks::content_type(request, "application/json")?;
    if request.header("x-auth-token").is_none_or(str::is_empty) {
        return Err(Malformed("no x-auth-token header".to_owned()));
    }
    let body: Body = serde_json::from_slice(&request.body)
        .map_err(|_| Malformed("the body is not {\"refresh_token\": \"…\"}".to_owned()))?;
    Ok(body.refresh_token)
}

fn success(desk: &Desk<'_, AkuvoxKnobs>, pair: &Pair, keeps_refresh_token: bool) -> Reply {
    let tokens = Value::Object(tokens::shown(desk, pair, !keeps_refresh_token));
    Reply::ok(&match desk.knobs.refresh_answer {
        RefreshAnswer::Documented | RefreshAnswer::MissingRefreshToken => {
            json!({ "datas": tokens, "err_code": "0", "message": "success" })
        }
        RefreshAnswer::WithResult => json!({ "result": 0, "datas": tokens, "err_code": "0", "message": "success" }),
        RefreshAnswer::IntErrCode => json!({ "datas": tokens, "err_code": 0, "message": "success" }),
        RefreshAnswer::UnderData => json!({ "data": tokens, "err_code": "0", "message": "success" }),
        RefreshAnswer::UnderResult => json!({ "result": tokens, "err_code": "0", "message": "success" }),
    })
}

fn refusal(knobs: &AkuvoxKnobs, message: &str) -> Reply {
    let as_number = knobs.refusal_code.parse::<i64>();
    let body = match (knobs.refresh_answer, as_number) {
        (RefreshAnswer::IntErrCode, Ok(number)) => json!({ "err_code": number, "message": message }),
        (RefreshAnswer::WithResult, _) => json!({ "result": -1, "err_code": knobs.refusal_code, "message": message }),
        _ => json!({ "err_code": knobs.refusal_code, "message": message }),
    };
    Reply::with_status(knobs.refusal_status, &body)
}
