//! The login by SMS: `/send_mobile_checkcode` and `/sms_login` (protocol/akuvox.md §3.2 and §3.3).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AkuvoxKnobs,
    checks::{self, Malformed, Refusal},
    envelope,
    resident::{resident, veil_phone},
    servers, tokens,
};
use crate::demo::clouds::{
    grants::later,
    messages::Message,
    simulation::{Answer, Desk, Request},
};

/// A code on its way to a phone.
pub(super) struct SmsCode {
    code: String,
    sent_at: Timestamp,
    is_used: bool,
}

/// Sends a code to the phone, where `/_sim/sms` reads it. `codes` has one place for each account.
pub(super) fn send(codes: &mut [Option<SmsCode>], desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let account = match check_sending(codes.len(), desk, request) {
        Ok(account) => account,
        Err(refusal) => return envelope::turn_away(desk.knobs, refusal),
    };
    let interval = Duration::from_secs(desk.knobs.sms_interval_seconds);
    if codes[account].as_ref().is_some_and(|it| desk.now < later(it.sent_at, interval)) {
        desk.counters.throttled += 1;
        let answer = envelope::refused("Requesting too frequently", "a code was sent a moment ago");
        return Answer { account: Some(account), ..answer };
    }
    let code = format!("{:06}", fastrand::u32(..1_000_000));
    desk.counters.codes_sent += 1;
    desk.messages.send(Message {
        account,
        to: format!("+{} {}", resident(account).dial_code, resident(account).phone_number),
        code: code.clone(),
        sent_at: desk.now.to_string(),
    });
    codes[account] = Some(SmsCode { code, sent_at: desk.now, is_used: false });
    Answer::success(envelope::success(&json!([])), Some(account))
}

/// Signs an account's owner in by a code, which works once. Whoever was signed in before is not any more.
pub(super) fn log_in(codes: &mut [Option<SmsCode>], desk: &mut Desk<'_, AkuvoxKnobs>, request: &Request) -> Answer {
    let code = request.query.get("code").cloned();
    let answer = match check_login(codes, desk, request) {
        Ok(account) => signed_in(desk, account),
        Err(refusal) => envelope::turn_away(desk.knobs, refusal),
    };
    answer.bearing("sms_code", code.as_deref())
}

fn check_sending(n_accounts: usize, desk: &Desk<'_, AkuvoxKnobs>, request: &Request) -> Result<usize, Refusal> {
    checks::content_type(request, "application/x-www-form-urlencoded")?;
    checks::user_agent(desk.knobs, request)?;
    if request.header("x-auth-token").is_none_or(|it| !it.is_empty()) {
        return Err(Malformed("the x-auth-token header is there and empty before a login".to_owned()).into());
    }
    let form = request.form();
    let field = |name: &str| form.get(name).map(String::as_str);
    let (Some(dial_code), Some(number), Some("0")) = (field("AreaCode"), field("MobileNumber"), field("Type")) else {
        return Err(Malformed("the form is not AreaCode, MobileNumber and Type=0".to_owned()).into());
    };
    let account = (0..n_accounts).find(|it| {
        let known = resident(*it);
        known.phone_number == number && known.dial_code == dial_code
    });
    checks::at_home(desk, account.ok_or(Malformed("nobody has this number".to_owned()))?)
}

fn check_login(
    codes: &mut [Option<SmsCode>],
    desk: &Desk<'_, AkuvoxKnobs>,
    request: &Request,
) -> Result<usize, Refusal> {
    checks::app_headers(desk.knobs, request, &["6.6"])?;
    let field = |name: &str| request.query.get(name).map(String::as_str);
    let (Some(phone), Some(code), Some(dial_code)) = (field("phone"), field("code"), field("area_code")) else {
        return Err(Malformed("the query is not phone, code and area_code".to_owned()).into());
    };
    let account = (0..codes.len()).find(|it| {
        let known = resident(*it);
        veil_phone(&known.phone_number) == phone && known.dial_code == dial_code
    });
    let account = checks::at_home(desk, account.ok_or(Refusal::SmsCode("nobody has this number"))?)?;
    let life = Duration::from_secs(desk.knobs.sms_code_lifetime_seconds);
    let why_not = match codes[account].as_mut() {
        None => "no code was sent",
        Some(sent) if sent.code != code => "another code was sent",
        Some(sent) if sent.is_used => "the code was used before",
        Some(sent) if later(sent.sent_at, life) <= desk.now => "the code has expired",
        Some(sent) => {
            sent.is_used = true;
            return Ok(account);
        }
    };
    Err(Refusal::SmsCode(why_not))
}

fn signed_in(desk: &mut Desk<'_, AkuvoxKnobs>, account: usize) -> Answer {
    let pair = desk.grants.log_in(account, None, desk.now, &desk.rules);
    desk.counters.logins += 1;
    let mut datas = tokens::shown(desk, &pair, desk.knobs.logins_bring_refresh_token);
    datas.insert("auth_token".to_owned(), json!(resident(account).auth_token));
    datas.insert("rtmp_server".to_owned(), json!(desk.address_of("rest")));
    if let Value::Object(servers) = servers::rest_servers(desk) {
        datas.extend(servers);
    }
    let answer = Answer::success(envelope::success(&Value::Object(datas)), Some(account));
    if desk.knobs.logins_bring_refresh_token { answer.issuing(&pair) } else { answer }
}
