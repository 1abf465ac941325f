use std::time::Duration;

use latchkey::demo::clouds::{
    AkuvoxCloud, PhoneAct,
    akuvox::{AkuvoxCredentials, ServersListTokens, veil_login, veil_password, veil_phone},
    grants::RefreshRefusal,
};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::http::{akuvox_refresh, akuvox_refresh_with, akuvox_takes, client, send};

/// `POST /send_mobile_checkcode` at either host, with the number in clear.
fn ask_for_code(base: &str, credentials: &AkuvoxCredentials) -> RequestBuilder {
    let AkuvoxCredentials { dial_code, phone_number, .. } = credentials;
    client()
        .post(format!("{base}/send_mobile_checkcode"))
        .header("x-auth-token", "")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("AreaCode={dial_code}&MobileNumber={phone_number}&Type=0"))
}

fn sms_login(cloud: &AkuvoxCloud, phone: &str, code: &str, dial_code: &str) -> RequestBuilder {
    let url = format!("{}/sms_login?phone={phone}&code={code}&area_code={dial_code}", cloud.url());
    client().get(url).header("api-version", "6.6")
}

fn login(cloud: &AkuvoxCloud, user: &str, password: &str) -> RequestBuilder {
    let url = format!("{}/login?user={user}&passwd={password}&id_code=(null)", cloud.url());
    client().get(url).header("api-version", "7.33").header("x-auth-token", "")
}

fn servers_list(cloud: &AkuvoxCloud, version: &'static str, token: &str, body: Value) -> RequestBuilder {
    client()
        .post(format!("{}/servers_list", cloud.url()))
        .header("api-version", version)
        .header("x-auth-token", token)
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn text<'a>(answer: &'a Value, key: &str) -> &'a str {
    answer["datas"][key].as_str().unwrap_or_else(|| panic!("{key} in {answer}"))
}

#[tokio::test]
async fn a_code_by_sms_signs_in_once_and_everyone_else_out() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let before = cloud.credentials(0);
    let (_, sent) = send(ask_for_code(&cloud.rest_url(), &before)).await;
    assert_eq!((&sent["result"], &sent["err_code"]), (&json!(0), &json!("0")));
    let code = cloud.newest_code(0).unwrap();
    assert!(!sent.to_string().contains(&code), "the code goes to the phone only");

    let veiled = veil_phone(&before.phone_number);
    assert!(veiled.starts_with("00"), "so that whoever makes a number of it is found out");
    for (phone, code, dial_code) in [
        (veiled.trim_start_matches('0'), code.as_str(), "44"),
        (before.phone_number.as_str(), &code, "44"),
        (&veiled, "no-code", "44"),
        (&veiled, &code, "1"),
    ] {
        let (status, refused) = send(sms_login(&cloud, phone, code, dial_code)).await;
        assert_eq!((status, &refused["result"]), (StatusCode::OK, &json!(-1)), "{phone} {dial_code}");
    }
    assert!(akuvox_takes(&cloud, &before.token).await);

    let (_, answer) = send(sms_login(&cloud, &veiled, &code, "44")).await;
    let now = cloud.credentials(0);
    assert_eq!((text(&answer, "token"), text(&answer, "refresh_token")), (&*now.token, &*now.refresh_token));
    assert_eq!((text(&answer, "auth_token"), &answer["result"]), (&*before.auth_token, &json!(0)));
    assert!(!akuvox_takes(&cloud, &before.token).await);
    assert_ne!(send(akuvox_refresh_with(&cloud, &before)).await.1["err_code"], "0");
    assert_eq!(send(sms_login(&cloud, &veiled, &code, "44")).await.1["result"], -1, "a code works once");
    assert!(akuvox_takes(&cloud, &now.token).await);
    assert_eq!((cloud.counters().logins, cloud.counters().codes_sent), (1, 1));
}

#[tokio::test]
async fn codes_are_rare_and_end() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let known = cloud.credentials(0);
    let ask = async || send(ask_for_code(&cloud.rest_url(), &known)).await.1;
    ask().await;
    assert_eq!(ask().await["message"], "Requesting too frequently");
    cloud.advance(Duration::from_secs(600));
    let late = sms_login(&cloud, &veil_phone(&known.phone_number), &cloud.newest_code(0).unwrap(), "44");
    assert_eq!(send(late).await.1["result"], -1);
    assert_eq!(ask().await["result"], 0);
    assert_eq!(cloud.messages().len(), 2);
}

#[tokio::test]
async fn a_code_is_asked_for_at_the_rest_host_as_the_app_does() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let known = cloud.credentials(0);
    let veiled = AkuvoxCredentials { phone_number: veil_phone(&known.phone_number), ..known.clone() };
    assert_eq!(send(ask_for_code(&cloud.rest_url(), &veiled)).await.1["result"], -1, "here the number is in clear");
    for token in [None, Some(known.token.as_str())] {
        let request = client().post(format!("{}/send_mobile_checkcode", cloud.rest_url()));
        let request = token.into_iter().fold(request, |request, it| request.header("x-auth-token", it));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let form = format!("AreaCode=44&MobileNumber={}&Type=0", known.phone_number);
        assert_eq!(send(request.body(form)).await.1["message"], "request is invalid", "the header is there and empty");
    }
    let (status, _) = send(ask_for_code(cloud.url(), &known)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    cloud.turn_knobs(|it| it.gate_sends_codes = true);
    assert_eq!(send(ask_for_code(cloud.url(), &known)).await.1["result"], 0);
}

#[tokio::test]
async fn a_family_member_signs_in_beside_the_owner() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let owner = cloud.credentials(0);
    let user = veil_login(&owner.login, true);
    let password = veil_password(&owner.password);
    assert_eq!(user, "Crh3@hadpsoh.frp");
    for (user, password) in [
        (user.as_str(), "wrong"),
        (&owner.login, &password),
        (&veil_login(&owner.login, false), &password),
        (&user.replace('@', "%40"), &password),
    ] {
        assert_eq!(send(login(&cloud, user, password)).await.1["err_code"], "-1", "{user}");
    }

    let (_, answer) = send(login(&cloud, &user, &password)).await;
    assert_eq!((&answer["err_code"], answer.get("result")), (&json!("0"), None));
    assert_eq!((text(&answer, "token_valid"), answer["datas"].get("auth_token")), ("604800", None));
    assert!(text(&answer, "rest_server_https").contains(':'));
    let (token, refresh_token) = (text(&answer, "token"), text(&answer, "refresh_token"));
    assert!(akuvox_takes(&cloud, token).await && akuvox_takes(&cloud, &owner.token).await);
    cloud.phone(0, PhoneAct::SignIn).unwrap();
    assert!(akuvox_takes(&cloud, token).await, "the owner's phone does not end it");
    let (_, renewed) = send(akuvox_refresh(&cloud, token, refresh_token)).await;
    assert_eq!(text(&renewed, "token"), cloud.account(0).family.unwrap().access_token);

    let second = send(login(&cloud, &user, &password)).await.1;
    assert!(!akuvox_takes(&cloud, text(&renewed, "token")).await, "another login of the same person does");
    cloud.revoke(0, latchkey::demo::clouds::What::Grant);
    assert!(!akuvox_takes(&cloud, text(&second, "token")).await);
}

#[tokio::test]
async fn the_switches_of_the_logins_do_what_they_say() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| {
        it.login_shifts_digits = false;
        it.login_refuses_encoded_at = false;
        it.logins_bring_refresh_token = false;
        it.family_login_ends_owners = true;
    });
    let owner = cloud.credentials(0);
    let user = veil_login(&owner.login, false).replace('@', "%40");
    let (_, answer) = send(login(&cloud, &user, &veil_password(&owner.password))).await;
    assert_eq!((&answer["err_code"], answer["datas"].get("refresh_token")), (&json!("0"), None));
    assert!(!akuvox_takes(&cloud, &owner.token).await);

    cloud.turn_knobs(|it| it.login_refusal_code = "1003".to_owned());
    assert_eq!(send(login(&cloud, &user, "wrong")).await.1["err_code"], "1003");
}

#[tokio::test]
async fn the_list_of_servers_checks_the_session_in_each_of_its_forms() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let AkuvoxCredentials { token, auth_token, phone_number, .. } = &cloud.credentials(0);
    let user = veil_phone(phone_number);
    let old = json!({ "auth_token": auth_token, "passwd": auth_token, "token": token, "user": user });
    let new = json!({ "token": token, "user": user });

    let (_, answer) = send(servers_list(&cloud, "6.6", token, old.clone())).await;
    assert_eq!((&answer["result"], text(&answer, "token")), (&json!(0), token.as_str()));
    assert_eq!(format!("http://{}", text(&answer, "rest_server_https")), cloud.rest_url());
    assert_eq!(answer["datas"].get("refresh_token"), None);
    let (_, answer) = send(servers_list(&cloud, "6.8", token, new.clone())).await;
    assert_eq!((&answer["err_code"], answer.get("result")), (&json!("0"), None));

    let get = |query: &str| client().get(format!("{}/servers_list{query}", cloud.url()));
    let (_, answer) = send(get("").header("api-version", "6.8").header("x-auth-token", token)).await;
    assert_eq!(answer["err_code"], "0");
    assert_eq!(send(get(&format!("?token={token}"))).await.1["err_code"], "0");
    assert_eq!(send(get("?token=another")).await.1["message"], "token invalid");

    let without_passwd = json!({ "auth_token": auth_token, "token": token, "user": user });
    let as_a_number = json!({ "token": token, "user": 33_233_333 });
    let in_clear = json!({ "token": token, "user": phone_number });
    let another = json!({ "token": "another", "user": user });
    for (version, bearer, body, message) in [
        ("6.6", token.as_str(), new.clone(), "token invalid"),
        ("6.6", token, without_passwd, "token invalid"),
        ("6.8", token, as_a_number, "request is invalid"),
        ("6.8", token, in_clear, "token invalid"),
        ("6.8", token, another, "token invalid"),
        ("6.8", "another", new.clone(), "token invalid"),
        ("6.0", token, new.clone(), "request is invalid"),
    ] {
        let (status, answer) = send(servers_list(&cloud, version, bearer, body.clone())).await;
        assert_eq!((status, &answer["message"]), (StatusCode::OK, &json!(message)), "{version} {body}");
    }
    cloud.revoke(0, latchkey::demo::clouds::What::Access);
    assert_eq!(send(servers_list(&cloud, "6.8", token, new)).await.1["message"], "token invalid");
}

#[tokio::test]
async fn the_list_of_servers_may_bring_tokens_or_not() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let list = async |tokens| {
        cloud.turn_knobs(|it| it.servers_list_tokens = tokens);
        let known = cloud.credentials(0);
        let body = json!({ "token": known.token, "user": veil_phone(&known.phone_number) });
        let (_, answer) = send(servers_list(&cloud, "6.8", &known.token, body)).await;
        (known, ["token", "refresh_token"].map(|it| answer["datas"][it].as_str().map(str::to_owned)))
    };
    assert_eq!(list(ServersListTokens::None).await.1, [None, None]);
    let (known, shown) = list(ServersListTokens::SameToken).await;
    assert_eq!(shown, [Some(known.token), None]);
    let (known, shown) = list(ServersListTokens::SamePair).await;
    assert_eq!(shown, [Some(known.token), Some(known.refresh_token)]);
    let (known, shown) = list(ServersListTokens::NewPair).await;
    let now = cloud.credentials(0);
    assert_eq!(shown, [Some(now.token), Some(now.refresh_token)]);
    assert_eq!((cloud.counters().refreshes, cloud.account(0).generation), (1, 2));
    assert!(!akuvox_takes(&cloud, &known.token).await);
}

#[tokio::test]
async fn the_app_on_a_phone_leaves_others_with_a_dead_pair() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    for act in [PhoneAct::Refresh, PhoneAct::SignIn, PhoneAct::Push] {
        let ours = cloud.credentials(0);
        let theirs = cloud.phone(0, act).unwrap();
        assert_eq!(theirs.refresh_token, cloud.credentials(0).refresh_token);
        assert!(!akuvox_takes(&cloud, &ours.token).await, "{act:?}");
        assert_ne!(send(akuvox_refresh_with(&cloud, &ours)).await.1["err_code"], "0", "{act:?}");
        assert!(akuvox_takes(&cloud, &theirs.token).await, "{act:?}");
    }
    let counters = cloud.counters();
    assert_eq!((counters.phone_acts, counters.refreshes, counters.logins), (3, 0, 0));

    cloud.revoke(0, latchkey::demo::clouds::What::Grant);
    assert_eq!(cloud.phone(0, PhoneAct::Refresh).err(), Some(RefreshRefusal::Revoked));
    assert!(cloud.phone(0, PhoneAct::SignIn).is_ok());
}
