//! What is asked by MQTT, and what clouds do to it.

use latchkey::demo::clouds::{Fault, FaultKind, Scope, What, akuvox::TokenValid};
use serde_json::json;

use crate::{
    canaries::Canaries,
    support::latchkey::{Bench, Client},
};

/// Of letters and signs that an encoding would change, so that each spelling is one of its own.
pub(crate) const PASTED: &str = "Canary/pasted+token=0123456789\u{e9}";
pub(crate) const PROPOSED: [&str; 4] =
    ["Canary-proposed/access+1=", "Canary-proposed/refresh+1=", "Canary-proposed/access+2=", "Canary-auth/token+3="];
pub(crate) const CODE: &str = "Canary-code/4711+0815=\"quoted\"";
pub(crate) const PASSWORD: &str = "Canary-login/pass word+1=";
/// Where nobody is answered.
pub(crate) const ELSEWHERE: &str = "elsewhere/Canary-reply-topic-0123456789";

/// Every command, well and badly formed.
pub(crate) async fn speak(bench: &Bench, client: &Client, canaries: &mut Canaries) {
    let [access, refresh, other, auth] = PROPOSED;
    let good = [
        ("latchkey/front_door/refresh_tokens", "{}".to_owned()),
        ("latchkey/bridge/request/refresh_tokens", "home".to_owned()),
        ("latchkey/home/trigger_scene", "tv_warning".to_owned()),
        ("latchkey/home/scene/tv_warning/set", "ON".to_owned()),
        ("latchkey/home/status", "{}".to_owned()),
        ("latchkey/bridge/request/status", "front_door".to_owned()),
    ];
    for (topic, payload) in good {
        client.request(topic, payload.as_bytes()).await;
        canaries.add_live(bench);
    }
    let bad = [
        ("latchkey/front_door/update_tokens", json!({ "token": access, "refresh_token": refresh }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": access, "refresh_token": refresh }).to_string()),
        ("latchkey/home/update_tokens", json!({ "refresh_token": refresh, "auth_token": auth }).to_string()),
        ("latchkey/home/update_tokens", json!({ "token": other }).to_string()),
        ("latchkey/front_door/update_tokens", format!("{{\"token\": \"{PASTED}")),
        ("latchkey/front_door/update_tokens", PASTED.to_owned()),
        ("latchkey/front_door/update_tokens", json!({ "token": PASTED }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": [other] }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": other, "prove": other }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": other, "issued_at": other }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ other: 1, PASTED: 2 }).to_string()),
        ("latchkey/bridge/request/update_tokens", json!({ "entry_id": other, "token": access }).to_string()),
        ("latchkey/bridge/request/refresh_tokens", PASTED.to_owned()),
        ("latchkey/home/trigger_scene", PASTED.to_owned()),
        ("latchkey/home/status", json!({ "entry_id": other }).to_string()),
    ];
    for (topic, payload) in bad {
        client.request(topic, payload.as_bytes()).await;
        canaries.add_live(bench);
    }
    for reply_to in [ELSEWHERE, "latchkey/reply/the-test"] {
        let to = ["-q", "1", "-D", "publish", "response-topic", reply_to, "-D", "publish", "correlation-data", PASTED];
        client.request_with("latchkey/home/status", b"{}", &to).await;
    }
    let (_, retained) = client
        .request_with(
            "latchkey/front_door/update_tokens",
            json!({ "token": other }).to_string().as_bytes(),
            &["-r", "-q", "1"],
        )
        .await;
    assert_eq!(retained["error"]["code"], "retained");
}

/// By a code and by a password, right and wrong ones.
pub(crate) async fn log_in(bench: &Bench, client: &Client, canaries: &mut Canaries) {
    let ask = async |account: &str, command: &str, payload: String| {
        client.request(&format!("latchkey/{account}/{command}"), payload.as_bytes()).await
    };
    let credentials = bench.akuvox.credentials(0);
    canaries.add("the family member's password", credentials.password.as_str());
    for account in ["front_door", "home"] {
        let asked = ask(account, "request_login_code", "{}".to_owned()).await;
        assert_eq!(asked["status"], "ok", "{asked}");
        let refused = ask(account, "login", json!({ "code": CODE }).to_string()).await;
        assert_eq!(refused["status"], "error", "{refused}");
        let code = if account == "home" { bench.aqara.newest_code(0) } else { bench.akuvox.newest_code(0) }.unwrap();
        for written in [format!("\"code\":\"{code}\""), format!("code: \"{code}\""), format!("uthCode\":\"{code}\"")] {
            canaries.add_as_it_is("a code", &written);
        }
        let done = ask(account, "login", code).await;
        assert_eq!(done["status"], "ok", "{done}");
        canaries.add_live(bench);
        ask(account, "refresh_tokens", "{}".to_owned()).await;
        canaries.add_live(bench);
    }
    for (password, outcome) in [(PASSWORD, "error"), (&credentials.password, "ok")] {
        let reply = ask("front_door", "login", json!({ "password": password, "keep": true }).to_string()).await;
        assert_eq!(reply["status"], outcome, "{reply}");
        canaries.add_live(bench);
    }
}

/// Both accounts again as after a sign-in, by tokens that are looked for too.
pub(crate) async fn sign_in_anew(bench: &Bench, client: &Client, canaries: &mut Canaries) {
    bench.akuvox.sign_in(0);
    bench.aqara.sign_in(0);
    canaries.add_live(bench);
    bench.sign_in(client).await;
    canaries.add_live(bench);
}

/// Everything that a cloud may do instead of answering.
pub(crate) async fn suffer(bench: &Bench, client: &Client, canaries: &mut Canaries) {
    let kinds = [
        FaultKind::ReplyLostAfterRotation,
        FaultKind::ResetBefore,
        FaultKind::Http500,
        FaultKind::Html,
        FaultKind::TruncatedJson,
        FaultKind::CutBody,
        FaultKind::WrongTypes,
        FaultKind::Throttled429,
        FaultKind::VendorBusy,
        FaultKind::MissingRefreshToken,
    ];
    for kind in kinds {
        let has_two_moments = matches!(kind, FaultKind::Http500 | FaultKind::Html | FaultKind::VendorBusy);
        for is_after in [false, true].into_iter().take(1 + usize::from(has_two_moments)) {
            let fault = Fault { after: is_after, retry_after: Some(0), ..Fault::new(kind) };
            bench.akuvox.inject(fault.clone());
            bench.aqara.inject(fault);
            for account in ["front_door", "home"] {
                client.request(&format!("latchkey/{account}/refresh_tokens"), b"{}").await;
                canaries.add_live(bench);
            }
            bench.aqara.inject(Fault { retry_after: Some(0), ..Fault::new(kind) }.on(Scope::Action, 1));
            client.request("latchkey/home/trigger_scene", b"tv_warning").await;
            bench.akuvox.clear_faults();
            bench.aqara.clear_faults();
            sign_in_anew(bench, client, canaries).await;
        }
    }
    // Aqara's 108 repeats the access token in its detail.
    bench.aqara.revoke(0, What::Access);
    client.request("latchkey/home/trigger_scene", b"tv_warning").await;
    canaries.add_live(bench);
    bench.aqara.revoke(0, What::Grant);
    client.request("latchkey/home/trigger_scene", b"tv_warning").await;
    client.request("latchkey/home/refresh_tokens", b"{}").await;
    bench.akuvox.revoke(0, What::Grant);
    client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    sign_in_anew(bench, client, canaries).await;
    // A vendor that quotes what it was sent.
    let quoted = bench.akuvox.credentials(0);
    bench.akuvox.turn_knobs(|it| {
        it.refusal_message = format!("invalid: {} {}", quoted.token, quoted.refresh_token);
        it.refusal_code = quoted.refresh_token.clone();
        it.token_valid = TokenValid::Zero;
    });
    client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    canaries.add_live(bench);
    bench.akuvox.revoke(0, What::Grant);
    client.request("latchkey/front_door/refresh_tokens", b"{}").await;
}
