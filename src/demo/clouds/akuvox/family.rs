//! `GET /login`: family members sign in with a name and a password (protocol/akuvox.md §3.4).

use serde_json::{Value, json};

use super::{
    AkuvoxKnobs,
    checks::{self, Malformed, Refusal},
    envelope,
    resident::{resident, veil_login, veil_password},
    servers, tokens,
};
use crate::demo::clouds::{
    grants::Seat,
    simulation::{Answer, Desk, Reply, Request},
};

pub(super) fn log_in(n_accounts: usize, desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let answer = match check(desk.knobs, request) {
        Err(malformed) => envelope::turn_away(desk.knobs, malformed.into()),
        Ok((user, password)) => match find(n_accounts, desk.knobs, user, password) {
            None => {
                let body = json!({ "err_code": desk.knobs.login_refusal_code, "message": "account or password error" });
                Answer::refusal(Reply::ok(&body), "unknown user or wrong password")
            }
            Some(account) if !desk.is_at_home(account) => envelope::turn_away(desk.knobs, Refusal::WrongRegion),
            Some(account) => signed_in(desk, account),
        },
    };
    answer.bearing("passwd", request.query.get("passwd").map(String::as_str))
}

/// The veiled user and password of a well-formed call.
fn check<'a>(knobs: &AkuvoxKnobs, request: &'a Request) -> Result<(&'a str, &'a str), Malformed> {
    checks::app_headers(knobs, request, &["7.33", "7.11"])?;
    if request.header("x-auth-token").is_some_and(|it| !it.is_empty()) {
        return Err(Malformed("x-auth-token is not empty before a login".to_owned()));
    }
    if knobs.login_refuses_encoded_at && request.raw_query.to_ascii_lowercase().contains("%40") {
        return Err(Malformed("the @ of the user is percent-encoded".to_owned()));
    }
    let field = |name: &str| request.query.get(name).map(String::as_str);
    let (Some(user), Some(password)) = (field("user"), field("passwd")) else {
        return Err(Malformed("the query lacks user or passwd".to_owned()));
    };
    Ok((user, password))
}

fn find(n_accounts: usize, knobs: &AkuvoxKnobs, user: &str, password: &str) -> Option<usize> {
    (0..n_accounts).find(|it| {
        let known = resident(*it);
        veil_login(&known.login, knobs.login_shifts_digits) == user && veil_password(&known.password) == password
    })
}

fn signed_in(desk: &mut Desk<'_, AkuvoxKnobs>, account: usize) -> Answer {
    if desk.knobs.family_login_ends_owners {
        desk.grants.end(account, Seat::Owner);
    }
    let pair = desk.grants.log_in_to(Seat::Family, account, None, desk.now, &desk.rules);
    desk.counters.logins += 1;
    let mut datas = tokens::shown(desk, &pair, desk.knobs.logins_bring_refresh_token);
    datas.insert("rtmp_server".to_owned(), json!(desk.address_of("rest")));
    if let Value::Object(servers) = servers::rest_servers(desk) {
        datas.extend(servers);
    }
    let answer = Answer::success(envelope::success_without_result(&Value::Object(datas)), Some(account));
    if desk.knobs.logins_bring_refresh_token { answer.issuing(&pair) } else { answer }
}
