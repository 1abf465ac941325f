//! The gate's lists of servers: `/rest_server` and `/servers_list` (protocol/akuvox.md §3.1 and §3.5).

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    AkuvoxKnobs, ServersListTokens,
    checks::{self, Malformed, Refusal},
    envelope,
    resident::{resident, veil_login, veil_phone},
};
use crate::demo::clouds::simulation::{Answer, Desk, Request};

/// The body, by either version.
#[derive(Deserialize)]
struct Body {
    token: String,
    user: String,
    auth_token: Option<String>,
    passwd: Option<String>,
}

pub(super) fn discover(desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    if let Err(malformed) = checks::app_headers(desk.knobs, request, &["6.0"]) {
        return envelope::turn_away(desk.knobs, malformed.into());
    }
    Answer::success(envelope::success(&rest_servers(desk)), None)
}

pub(super) fn list(desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let token = presented_token(request).map(str::to_owned);
    let answer = match check(desk, request) {
        Ok(account) => shown(desk, request, account, token.as_deref().unwrap_or_default()),
        Err(refusal) => envelope::turn_away(desk.knobs, refusal),
    };
    answer.bearing("access_token", token.as_deref())
}

/// What every answer that names servers has in common.
pub(super) fn rest_servers(desk: &Desk<'_, AkuvoxKnobs>) -> Value {
    let rest = desk.address_of("rest");
    let https = if desk.knobs.rest_server_with_scheme { format!("http://{rest}") } else { rest.clone() };
    json!({
        "rest_server": rest,
        "rest_server_ipv6": "",
        "rest_server_https": https,
        "rest_server_https_ipv6": "",
    })
}

/// The account that asks: by a body, or as other clients were seen to, by a header or a query alone.
fn check(desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Result<usize, Refusal> {
    let version = request.header("api-version");
    let is_bare = request.method == Method::GET && version.is_none() && request.query.contains_key("token");
    if !is_bare {
        checks::app_headers(desk.knobs, request, &["6.6", "6.8"])?;
    }
    let Some(token) = presented_token(request) else {
        return Err(Malformed("no token in header or query".to_owned()).into());
    };
    if request.method == Method::GET {
        return checks::alive(desk, token);
    }
    checks::content_type(request, "application/json")?;
    let body: Body = serde_json::from_slice(&request.body)
        .map_err(|_| Malformed("the body is not {\"token\", \"user\", …}, all of them text".to_owned()))?;
    if body.token != token {
        return Err(Refusal::Token("token in body and header differ"));
    }
    let account = checks::alive(desk, token)?;
    let known = resident(account);
    let users = [veil_phone(&known.phone_number), veil_login(&known.login, desk.knobs.login_shifts_digits)];
    if !users.contains(&body.user) {
        return Err(Refusal::Token("the user is not the token's"));
    }
    // Version 6.6 bears the auth token twice; version 6.8 does without.
    let vouchers = [body.auth_token, body.passwd];
    let is_vouched_for = vouchers.iter().all(|it| it.as_ref() == Some(&known.auth_token));
    if version == Some("6.6") && !is_vouched_for {
        return Err(Refusal::Token("auth_token and passwd are not the account's"));
    }
    Ok(account)
}

fn shown(desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request, account: usize, token: &str) -> Answer {
    let mut datas = rest_servers(desk);
    let host = desk.address_of("rest");
    for key in ["access_server", "pbx_server", "rtmp_server", "vrtsp_server"] {
        datas[key] = json!(host);
    }
    datas["web_server"] = json!(desk.address_of("web"));
    datas["platform_ver"] = json!("7.1.0");
    datas["smarthome_site"] = json!("");
    datas["smarthome_uid"] = json!("");
    let mut issued = None;
    match desk.knobs.servers_list_tokens {
        ServersListTokens::None => {}
        ServersListTokens::SameToken => datas["token"] = json!(token),
        ServersListTokens::SamePair | ServersListTokens::NewPair => {
            let Some(pair) = desk.grants.session(token).cloned() else {
                return envelope::turn_away(desk.knobs, Refusal::Token("unknown access token"));
            };
            let renews = desk.knobs.servers_list_tokens == ServersListTokens::NewPair;
            let pair = if renews {
                let access_token = Some(pair.access_token.as_str());
                let renewed = desk.grants.refresh(&pair.refresh_token, access_token, false, desk.now, &desk.rules);
                renewed.ok().map(|it| it.pair)
            } else {
                Some(pair)
            };
            if let Some(pair) = pair {
                desk.counters.refreshes += u64::from(renews);
                datas["token"] = json!(pair.access_token);
                datas["refresh_token"] = json!(pair.refresh_token);
                issued = Some(pair);
            }
        }
    }
    let has_result = request.header("api-version") != Some("6.8") || desk.knobs.servers_list_always_has_result;
    let reply = if has_result { envelope::success(&datas) } else { envelope::success_without_result(&datas) };
    let answer = Answer::success(reply, Some(account));
    match issued {
        Some(pair) => answer.issuing(&pair),
        None => answer,
    }
}

fn presented_token(request: &Request) -> Option<&str> {
    let in_header = request.header("x-auth-token").filter(|it| !it.is_empty());
    in_header.or_else(|| request.query.get("token").filter(|_| request.method == Method::GET).map(String::as_str))
}
