//! The calls of the simulated REST host that need a login (protocol/akuvox.md §3.6 to §3.8).

use serde_json::json;

use super::{
    AkuvoxKnobs,
    checks::{self, Malformed, Refusal},
    envelope::{self, turn_away},
    home,
    web::Household,
};
use crate::demo::clouds::simulation::{Answer, Desk, Reply, Request};

pub(super) fn check_login(desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let checked = checks::app_headers(desk.knobs, request, &["6.5"])
        .map_err(Refusal::from)
        .and_then(|()| checks::token(desk, request, false));
    let answer = match checked {
        Ok(account) => Answer::success(envelope::success(&json!({})), Some(account)),
        Err(refusal) => turn_away(desk.knobs, refusal),
    };
    answer.bearing("access_token", request.query.get("token").map(String::as_str))
}

pub(super) fn user_configuration(desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let checked = checks::app_headers(desk.knobs, request, &["6.5"])
        .map_err(Refusal::from)
        .and_then(|()| checks::token(desk, request, true));
    let answer = match checked {
        Ok(account) => {
            Answer::success(envelope::success(&home::user_configuration(desk.knobs, account)), Some(account))
        }
        Err(refusal) => turn_away(desk.knobs, refusal),
    };
    answer.bearing("access_token", request.query.get("token").map(String::as_str))
}

pub(super) fn open_door(households: &mut [Household], desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let checked = checks::app_headers(desk.knobs, request, &["4.3"])
        .and_then(|()| checks::content_type(request, "application/x-www-form-urlencoded"))
        .map_err(Refusal::from)
        .and_then(|()| checks::token(desk, request, true));
    let mut answer = match checked {
        Ok(account) => open(&mut households[account], desk, account, request),
        Err(refusal) => turn_away(desk.knobs, refusal),
    };
    answer.action = Some(String::from_utf8_lossy(&request.body).into_owned());
    answer.bearing("access_token", request.query.get("token").map(String::as_str))
}

/// Newer apps send `site` and `trace_id` too, which are let pass, and `security_relay` instead of `relay`.
fn open(household: &mut Household, desk: &mut Desk<'_, AkuvoxKnobs>, account: usize, request: &Request) -> Answer {
    let form = request.form();
    let (Some(mac), Some(relay)) = (form.get("mac"), form.get("relay").or_else(|| form.get("security_relay"))) else {
        return turn_away(desk.knobs, Malformed("the form lacks mac or relay".to_owned()).into());
    };
    let devices = home::devices(account);
    let is_known = devices.iter().any(|it| it.mac == *mac && it.relays.iter().any(|it| it.id == *relay));
    if !is_known {
        let body = json!({ "result": -1, "err_code": "-1", "message": "device not found", "datas": [] });
        return Answer { account: Some(account), ..Answer::refusal(Reply::ok(&body), "no such relay") };
    }
    *desk.counters.door_openings.entry(format!("{mac}/{relay}")).or_default() += 1;
    household.log.opened(desk.now, mac, relay);
    Answer::success(envelope::success(&json!([])), Some(account))
}
