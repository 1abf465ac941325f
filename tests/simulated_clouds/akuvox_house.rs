//! What apps show of a house beside its devices: temporary keys, and the newer door log.

use std::time::Duration;

use latchkey::demo::clouds::{
    AkuvoxCloud,
    akuvox::{AccountType, LogAnswer, devices},
};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::http::{akuvox_refresh, akuvox_refresh_with, client, send};

fn keys(cloud: &AkuvoxCloud, call: &str) -> String {
    format!("{}/web-server/v3/app/community/tempKey/{call}", cloud.web_url())
}

async fn list(cloud: &AkuvoxCloud) -> Vec<Value> {
    let request = client().get(keys(cloud, "getPersonalTempKeyList?row=20&page=1"));
    let request = request.header("x-auth-token", cloud.credentials(0).token).header("x-cloud-version", "6.4");
    send(request).await.1["data"].as_array().unwrap().clone()
}

async fn post(cloud: &AkuvoxCloud, call: &str, fields: &[(&str, &str)]) -> Value {
    let encoded = |it: &str| it.replace('[', "%5B").replace(']', "%5D").replace(';', "%3B");
    let body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let request = client().post(keys(cloud, call)).body(body.join("&"));
    let request = request.header("x-auth-token", cloud.credentials(0).token).header("x-cloud-version", "6.4");
    send(request.header("content-type", "application/x-www-form-urlencoded")).await.1["code"].clone()
}

fn log(cloud: &AkuvoxCloud, call: &str) -> RequestBuilder {
    let url = format!("{}/web-server/v4/smartplus/community/log/member/{call}", cloud.backend_url());
    let request = client().get(url).header("x-auth-token", cloud.credentials(0).token);
    request.header("x-requested-with", "com.akuvox.mobile.smartplus")
}

async fn open_door(cloud: &AkuvoxCloud) {
    let token = cloud.credentials(0).token;
    let request = client().post(format!("{}/opendoor?token={token}", cloud.rest_url()));
    let request = request.header("x-auth-token", &token).header("api-version", "4.3");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let body = format!("mac={}&relay=0", devices(0)[0].mac);
    assert_eq!(send(request.body(body)).await.1["result"], 0);
}

#[tokio::test]
async fn a_temporary_key_is_added_for_known_doors_and_deleted() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let mac = devices(0)[0].mac.clone();
    let form = [
        ("Description", "Plumber"),
        ("IDNumber", ""),
        ("SchedulerType", "3"),
        ("DateFlag", ""),
        ("StartDay", "2026-11-22"),
        ("StopDay", "2026-11-23"),
        ("StartTime", "08:00:00"),
        ("StopTime", "17:00:00"),
        ("AllowedTimes", "2"),
        ("MAC[0][MAC]", mac.as_str()),
        ("MAC[0][Relay]", "0;1"),
        ("MAC[0][SecurityRelay]", ""),
        ("IsFollowMyAccess", "1"),
    ];
    let with = |name: &str, value: &'static str| -> Vec<(&str, &str)> {
        form.iter().map(|it| if it.0 == name { (it.0, value) } else { *it }).collect()
    };
    for wrong in [
        with("MAC[0][MAC]", "0C1105FFFFFF"),
        with("MAC[0][Relay]", "7"),
        with("Description", ""),
        with("SchedulerType", "1"),
        with("IsFollowMyAccess", "0"),
    ] {
        assert_eq!(post(&cloud, "addPersonalTempKey", &wrong).await, 1);
    }
    assert_eq!(post(&cloud, "addPersonalTempKey", &form).await, 0);
    let listed = list(&cloud).await;
    let added = &listed[1];
    assert_eq!((listed.len(), &added["Description"]), (2, &json!("Plumber")));
    assert_eq!((&added["BeginTime"], &added["Doors"][1]["Relay"]), (&json!("2026-11-22 08:00:00"), &json!("1")));
    let id = added["ID"].as_str().unwrap();
    assert_eq!(post(&cloud, "delPersonalTempKey", &[("ID", id)]).await, 0);
    assert_eq!(post(&cloud, "delPersonalTempKey", &[("ID", id)]).await, 1);
    assert_eq!(post(&cloud, "delPersonalTempKey", &[("ID", "1")]).await, 0);
    assert!(list(&cloud).await.is_empty());

    cloud.turn_knobs(|it| it.account_type = AccountType::Single);
    let url = keys(&cloud, "addPersonalTempKey").replace("community", "single");
    let bare: Vec<String> = form[..12].iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request =
        client().post(url).header("x-auth-token", cloud.credentials(0).token).header("x-cloud-version", "6.4");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(bare.join("&"));
    assert_eq!(send(request).await.1["code"], 0, "only a community has access to follow");
}

#[tokio::test]
async fn the_newer_door_log_is_at_the_backend_host_in_one_of_three_wrappings() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    open_door(&cloud).await;
    let unwrapped = |answer: &Value, how: LogAnswer| match how {
        LogAnswer::Bare => answer.clone(),
        LogAnswer::UnderList => answer["list"].clone(),
        LogAnswer::UnderData => answer["data"].clone(),
    };
    for how in [LogAnswer::Bare, LogAnswer::UnderList, LogAnswer::UnderData] {
        cloud.turn_knobs(|it| it.door_log_v4_answer = how);
        let (_, answer) = send(log(&cloud, "getDoorLog?row=20&page=1&_t=1")).await;
        let items = unwrapped(&answer, how);
        assert_eq!((&items[0]["captureType"], &items[0]["relayName"]), (&json!("remoteOpenDoor"), &json!("Gate")));
        let (_, answer) = send(log(&cloud, "getCallLog?row=20&page=1")).await;
        assert_eq!(unwrapped(&answer, how), json!([]));
        let (status, answer) = send(log(&cloud, "getDoorLog")).await;
        assert_eq!(
            (status, answer["error_msg"].as_str()),
            (StatusCode::TOO_MANY_REQUESTS, Some("Requesting too frequently"))
        );
        cloud.advance(Duration::from_secs(15));
    }
    let (_, answer) = send(log(&cloud, "getDoorLog?page=2&row=1")).await;
    assert_eq!(answer["data"], json!([]), "there was one opening");

    let url = format!("{}/web-server/v4/smartplus/community/log/member/getDoorLog", cloud.web_url());
    assert_eq!(send(client().get(url)).await.0, StatusCode::NOT_FOUND);
    let stale = log(&cloud, "getCallLog");
    cloud.sign_in(0);
    assert_eq!(send(stale).await.1["code"], 2);
}

#[tokio::test]
async fn the_older_door_log_may_be_gone() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let read = async || {
        let url = format!("{}/web-server/v3/app/community/log/getDoorLog?row=1", cloud.web_url());
        let request = client().get(url).header("x-auth-token", cloud.credentials(0).token);
        send(request.header("x-cloud-version", "6.4")).await.0
    };
    assert_eq!(read().await, StatusCode::OK);
    cloud.turn_knobs(|it| it.has_door_log_v3 = false);
    assert_eq!(read().await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn refusals_have_words_numbers_and_a_status_that_are_switches() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| {
        (it.access_refusal_result, it.refusal_status) = (-3, 401);
        it.access_refusal_message = "token expired".to_owned();
    });
    let url = format!("{}/login_conf?token=another", cloud.rest_url());
    let refused = send(client().get(url).header("api-version", "6.5")).await;
    let body = json!({ "result": -3, "err_code": "-3", "message": "token expired" });
    assert_eq!(refused, (StatusCode::UNAUTHORIZED, body));
    let (status, refused) = send(akuvox_refresh(&cloud, "another", "another")).await;
    assert_eq!((status, &refused["err_code"]), (StatusCode::UNAUTHORIZED, &json!("-1")));
    let url = format!("{}/login_conf", cloud.rest_url());
    assert_eq!(send(client().get(url).header("api-version", "6.5")).await.0, StatusCode::OK, "it is about tokens only");
}

#[tokio::test]
async fn refreshes_may_be_limited_too() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| it.refresh_interval_seconds = 3600);
    let refresh = async || send(akuvox_refresh_with(&cloud, &cloud.credentials(0))).await.0;
    assert_eq!(refresh().await, StatusCode::OK, "a login does not count");
    assert_eq!(refresh().await, StatusCode::TOO_MANY_REQUESTS);
    cloud.turn_knobs(|it| it.throttled_status = 200);
    assert_eq!(
        send(akuvox_refresh_with(&cloud, &cloud.credentials(0))).await.1["error_msg"],
        "Requesting too frequently"
    );
    assert_eq!((cloud.account(0).generation, cloud.counters().throttled), (2, 2));
    cloud.advance(Duration::from_secs(3600));
    assert_eq!(refresh().await, StatusCode::OK);
    assert_eq!(cloud.account(0).generation, 3);
}
