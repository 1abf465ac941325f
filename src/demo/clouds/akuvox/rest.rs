//! The simulated gate's discovery and the calls of the REST host (protocol/akuvox.md §3.1 and §3.6 to §3.8).

use std::collections::HashMap;

use axum::{extract::Query, http::Uri};
use serde_json::{Value, json};

use super::{
    AkuvoxKnobs,
    checks::{self, Malformed, Refusal},
    home,
};
use crate::demo::clouds::simulation::{Answer, Desk, Reply, Request};

pub(super) fn discover(desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    if let Err(malformed) = checks::app_headers(desk.knobs, request, "6.0") {
        return turn_away(malformed.into());
    }
    let https =
        if desk.knobs.rest_server_with_scheme { format!("http://{}", desk.address) } else { desk.address.to_owned() };
    let servers = json!({
        "rest_server": desk.address,
        "rest_server_ipv6": "",
        "rest_server_https": https,
        "rest_server_https_ipv6": "",
    });
    Answer::success(success(servers), None)
}

pub(super) fn check_login(desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let checked = checks::app_headers(desk.knobs, request, "6.5")
        .map_err(Refusal::from)
        .and_then(|()| checks::token(desk, request, false));
    let answer = match checked {
        Ok(account) => Answer::success(success(json!({})), Some(account)),
        Err(refusal) => turn_away(refusal),
    };
    answer.bearing("access_token", request.query.get("token").map(String::as_str))
}

pub(super) fn user_configuration(desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let checked = checks::app_headers(desk.knobs, request, "6.5")
        .map_err(Refusal::from)
        .and_then(|()| checks::token(desk, request, true));
    let answer = match checked {
        Ok(account) => Answer::success(success(home::user_configuration(account)), Some(account)),
        Err(refusal) => turn_away(refusal),
    };
    answer.bearing("access_token", request.query.get("token").map(String::as_str))
}

pub(super) fn open_door(desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let checked = checks::app_headers(desk.knobs, request, "4.3")
        .and_then(|()| checks::content_type(request, "application/x-www-form-urlencoded"))
        .map_err(Refusal::from)
        .and_then(|()| checks::token(desk, request, true));
    let mut answer = match checked {
        Ok(account) => open(desk, account, request),
        Err(refusal) => turn_away(refusal),
    };
    answer.action = Some(String::from_utf8_lossy(&request.body).into_owned());
    answer.bearing("access_token", request.query.get("token").map(String::as_str))
}

/// Newer apps send `site`, `trace_id` and `security_relay` too, which are let pass.
fn open(desk: &mut Desk<'_, AkuvoxKnobs>, account: usize, request: &Request) -> Answer {
    let form = parse_form(&request.body);
    let (Some(mac), Some(relay)) = (form.get("mac"), form.get("relay").or_else(|| form.get("security_relay"))) else {
        return turn_away(Malformed("the form lacks mac or relay".to_owned()).into());
    };
    let devices = home::devices(account);
    let is_known = devices.iter().any(|it| it.mac == *mac && it.relays.iter().any(|it| it.id == *relay));
    if !is_known {
        let body = json!({ "result": -1, "err_code": "-1", "message": "device not found", "datas": [] });
        return Answer { account: Some(account), ..Answer::refusal(Reply::ok(&body), "no such relay") };
    }
    *desk.counters.door_openings.entry(format!("{mac}/{relay}")).or_default() += 1;
    Answer::success(success(json!([])), Some(account))
}

/// A form has the grammar of a query.
fn parse_form(body: &[u8]) -> HashMap<String, String> {
    let Ok(uri) = format!("/?{}", String::from_utf8_lossy(body)).parse::<Uri>() else { return HashMap::new() };
    Query::try_from_uri(&uri).map(|it| it.0).unwrap_or_default()
}

fn success(datas: Value) -> Reply {
    Reply::ok(&json!({ "result": 0, "err_code": "0", "message": "success", "datas": datas }))
}

fn turn_away(refusal: Refusal) -> Answer {
    let (message, outcome) = match refusal {
        Refusal::Malformed(Malformed(outcome)) => ("request is invalid", outcome),
        Refusal::Token(outcome) => ("token invalid", outcome.to_owned()),
    };
    let body = json!({ "result": -1, "err_code": "-1", "message": message });
    Answer::refusal(Reply::ok(&body), outcome)
}
