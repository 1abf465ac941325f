use std::time::Duration;

use aqara::{
    Client, Error, ErrorKind,
    types::{
        Credentials, Endpoint,
        auth::RefreshTokenParams,
        positions::ListPositionsParams,
        scenes::{QueryScenesByPositionIdParams, RunSceneParams},
    },
};
use latchkey::demo::clouds::{
    AqaraCloud,
    aqara::{AccessRefusalCode, AqaraCredentials, DetailKey, scenes},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::http::{AqaraRequest, aqara, aqara_refresh, client, md5_hex, send};

const DAY: Duration = Duration::from_secs(86_400);
const REFRESH: &str = "config.auth.refreshToken";
const RUN: &str = "config.scene.run";

fn independent_client(cloud: &AqaraCloud, app: &AqaraCredentials) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("{}/v3.0/open/api", cloud.url()).parse().unwrap();
    Client::builder(Credentials::new(&app.app_id, &app.key_id, &app.app_key))
        .endpoint(Endpoint::Custom(url))
        .build()
        .unwrap()
}

#[tokio::test]
async fn an_independent_client_refreshes_lists_and_runs_scenes_unmodified() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    let client = independent_client(&cloud, &seeded);

    let refreshed = client.auth().refresh_token(RefreshTokenParams::new(&seeded.refresh_token)).await.unwrap();
    let tokens = refreshed.result().unwrap();
    assert_eq!(tokens["refreshToken"], cloud.credentials(0).refresh_token);
    client.set_access_token(tokens["accessToken"].as_str().unwrap());

    let homes = client.positions().list(ListPositionsParams::default()).await.unwrap();
    let home = homes.result().unwrap()["data"][0]["positionId"].as_str().unwrap().to_owned();
    let query = QueryScenesByPositionIdParams::default().with_position_id(home);
    let listed = client.scenes().list_by_position_id(query).await.unwrap();
    let scene = listed.result().unwrap()["data"][0]["sceneId"].as_str().unwrap().to_owned();
    client.scenes().run(RunSceneParams::new(&scene)).await.unwrap();
    assert_eq!(cloud.counters().scene_runs[&scene], 1);
}

#[tokio::test]
async fn an_independent_client_sees_the_typed_errors() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    let client = independent_client(&cloud, &seeded);
    client.auth().refresh_token(RefreshTokenParams::new(&seeded.refresh_token)).await.unwrap();

    let used = client.auth().refresh_token(RefreshTokenParams::new(&seeded.refresh_token)).await.unwrap_err();
    let Error::Api { error } = used else { panic!("{used}") };
    assert_eq!((error.status, error.code), (Some(reqwest::StatusCode::OK), Some(2006)));
    assert_eq!(error.message.as_deref(), Some("Request failed. Please try again."));

    client.set_access_token(&seeded.access_token);
    let superseded = client.scenes().run(RunSceneParams::new("AL.1")).await.unwrap_err();
    assert_eq!(superseded.kind(), ErrorKind::Auth);
    let wrong_key = AqaraCredentials { app_key: "another".to_owned(), ..seeded };
    let client = independent_client(&cloud, &wrong_key);
    let refused = client.auth().refresh_token(RefreshTokenParams::new("any")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn a_refresh_answers_strings_and_kills_the_old_pair() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let first = cloud.credentials(0);
    let answer = aqara_refresh(&cloud, &first.refresh_token).await;
    let second = cloud.credentials(0);
    let result = json!({
        "expiresIn": "604800",
        "openId": first.open_id,
        "accessToken": second.access_token,
        "refreshToken": second.refresh_token,
    });
    assert_eq!((&answer["code"], &answer["message"], &answer["result"]), (&json!(0), &json!("Success"), &result));
    assert!([&second.access_token, &second.refresh_token].iter().all(|it| it.len() == 32));

    assert_eq!(aqara_refresh(&cloud, &first.refresh_token).await["code"], 2006);
    assert_eq!(aqara_refresh(&cloud, "never-issued").await["code"], 2006);
    assert_eq!(cloud.counters().replays, 1, "a token that was never issued is no replay");
    assert_eq!(aqara(&cloud, Some(&first.access_token), RUN, json!({ "sceneId": "AL.1" })).await["code"], 108);

    cloud.turn_knobs(|it| it.expires_in_as_number = true);
    assert_eq!(aqara_refresh(&cloud, &second.refresh_token).await["result"]["expiresIn"], 604_800);
}

#[tokio::test]
async fn tokens_end_after_7_and_37_simulated_days() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    let list = json!({ "parentPositionId": "" });
    cloud.advance(7 * DAY - Duration::from_secs(3600));
    assert_eq!(aqara(&cloud, Some(&seeded.access_token), "query.position.info", list.clone()).await["code"], 0);
    cloud.advance(Duration::from_secs(3600));
    assert_eq!(aqara(&cloud, Some(&seeded.access_token), "query.position.info", list).await["code"], 108);
    cloud.advance(30 * DAY);
    assert_eq!(aqara_refresh(&cloud, &seeded.refresh_token).await["code"], 2007);
    let renewed = cloud.sign_in(0);
    cloud.advance(37 * DAY - Duration::from_secs(3600));
    assert_eq!(aqara_refresh(&cloud, &renewed.refresh_token).await["code"], 0);
}

#[tokio::test]
async fn the_gateway_names_what_is_wrong_with_a_request_and_spends_nothing() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    let right = || AqaraRequest::new(&cloud, None, REFRESH, json!({ "refreshToken": seeded.refresh_token }));
    for name in ["Appid", "Keyid", "Nonce", "Time", "Sign", "Content-Type"] {
        assert_eq!(right().without(name).send(&cloud).await["code"], 305, "{name}");
    }
    assert_eq!(right().set("Content-Type", "text/plain").send(&cloud).await["code"], 305);
    assert_eq!(right().set("Time", "soon").send(&cloud).await["code"], 305);
    assert_eq!(right().set("Appid", "0").send(&cloud).await["code"], 107);
    assert_eq!(right().set("Keyid", "K.0").send(&cloud).await["code"], 107);
    assert_eq!(right().set("Nonce", "another").send(&cloud).await["code"], 106);
    cloud.turn_knobs(|it| it.wrong_app_code = 2002);
    assert_eq!(right().set("Keyid", "K.0").send(&cloud).await["code"], 2002);
    let not_json = AqaraRequest { body: "{".to_owned(), ..right() };
    assert_eq!(not_json.send(&cloud).await["code"], 302);
    assert_eq!(aqara(&cloud, None, REFRESH, json!({ "refreshToken": 7 })).await["code"], 302);

    let (status, answer) = send(client().get(format!("{}/v3.0/open/api", cloud.url()))).await;
    assert_eq!((status, &answer["code"]), (StatusCode::OK, &json!(304)));
    let (status, answer) = send(client().post(format!("{}/v2.0/open/api", cloud.url()))).await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!(301)));

    assert_eq!(cloud.account(0).generation, 1);
    // An empty Accesstoken counts as none.
    assert_eq!(right().set("Accesstoken", "").send(&cloud).await["code"], 0);
}

#[tokio::test]
async fn every_known_way_to_sign_wrongly_is_refused() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let app = cloud.credentials(0);
    let time = cloud.clock().now().as_millisecond();
    let rest = format!("&Nonce=NONCE&Time={time}{}", app.app_key);
    let right = format!("Appid={}&Keyid={}{rest}", app.app_id, app.key_id);
    for (mistake, text) in [
        ("an empty Accesstoken pair", format!("Accesstoken=&{right}").to_lowercase()),
        ("not lower-cased", right.clone()),
        ("the prefix stripped", format!("Appid={}&Keyid={}{rest}", app.app_id, &app.key_id[2..]).to_lowercase()),
        ("no key", right.replace(&app.app_key, "").to_lowercase()),
    ] {
        let request = AqaraRequest::signed(&app, None, "NONCE", time, REFRESH, json!({ "refreshToken": "any" }));
        assert_eq!(request.set("Sign", &md5_hex(&text)).send(&cloud).await["code"], 106, "{mistake}");
    }
    let request = AqaraRequest::signed(&app, None, "NONCE", time, REFRESH, json!({ "refreshToken": "any" }));
    assert_eq!(request.set("Sign", &md5_hex(&right.to_lowercase())).send(&cloud).await["code"], 2006);
}

#[tokio::test]
async fn the_time_window_and_the_nonce_are_looked_at_as_the_switches_say() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let app = cloud.credentials(0);
    let code = async |nonce: &str, skew: i64| {
        let time = cloud.clock().now().as_millisecond() + skew;
        let data = json!({ "refreshToken": "any" });
        AqaraRequest::signed(&app, None, nonce, time, REFRESH, data).send(&cloud).await["code"].clone()
    };
    assert_eq!(code("a", -360_000).await, 105);
    assert_eq!(code("a", 360_000).await, 105);
    assert_eq!(code("a", -240_000).await, 2006);
    assert_eq!(code("a", 0).await, 2006, "a nonce may come again unless told");
    cloud.turn_knobs(|it| (it.time_window_seconds, it.reject_replayed_nonce) = (None, true));
    assert_eq!(code("b", -360_000_000).await, 2006);
    assert_eq!(code("b", 0).await, 105);
}

#[tokio::test]
async fn a_bad_access_token_is_refused_by_the_code_that_the_switch_names() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    let run = async |token: Option<&str>| aqara(&cloud, token, RUN, json!({ "sceneId": "AL.1" })).await;
    assert_eq!(run(None).await["code"], 109);
    let refused = run(Some("deadbeef")).await;
    assert_eq!(refused["code"], 108);
    assert_eq!(refused["messageDetail"], "Parameter AccessToken illegal, accessToken:deadbeef");
    assert!(!serde_json::to_string(&cloud.log()).unwrap().contains("deadbeef"), "the log bears hashes only");

    cloud.turn_knobs(|it| (it.access_refusal, it.detail_key) = (AccessRefusalCode::Oauth, DetailKey::MsgDetails));
    let refused = run(Some("deadbeef")).await;
    assert_eq!(refused["code"], 2004);
    assert_eq!((refused.get("messageDetail"), refused["msgDetails"].is_string()), (None, true));
    cloud.advance(7 * DAY);
    assert_eq!(run(Some(&seeded.access_token)).await["code"], 2005);

    let request = || AqaraRequest::new(&cloud, Some("deadbeef"), REFRESH, json!({ "refreshToken": "any" }));
    assert_eq!(request().send(&cloud).await["code"], 2006, "a refresh does not look at the access token");
    cloud.turn_knobs(|it| it.auth_intents_reject_stale_token = true);
    assert_eq!(request().send(&cloud).await["code"], 2004);
}

#[tokio::test]
async fn failures_speak_generally_and_in_the_callers_language() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let request = AqaraRequest::new(&cloud, None, RUN, json!({ "sceneId": "AL.1" }));
    assert_eq!(request.send(&cloud).await["message"], "Request failed. Please try again.");
    let answer = request.set("Lang", "zh").send(&cloud).await;
    assert_eq!(answer["message"], "请求失败，请重试。");
    assert_eq!(answer["messageDetail"], "Accesstoken is missing");
}

#[tokio::test]
async fn scenes_are_counted_one_by_one_and_unknown_ones_are_refused() {
    let options = latchkey::demo::clouds::Options { n_accounts: 2, ..Default::default() };
    let cloud = AqaraCloud::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
    let token = cloud.credentials(0).access_token;
    let run = async |id: &str| aqara(&cloud, Some(&token), RUN, json!({ "sceneId": id })).await;
    let ids: Vec<_> = scenes(0).into_iter().map(|it| it.id).collect();
    let answer = run(&ids[0]).await;
    assert_eq!((&answer["code"], &answer["result"]), (&json!(0), &json!("")));
    run(&ids[0]).await;
    run(&ids[1]).await;
    assert_eq!(run("AL.1").await["code"], 1202);
    assert_eq!(run(&scenes(1)[0].id).await["code"], 1202, "another account's scene");
    cloud.turn_knobs(|it| it.unknown_scene_code = 716);
    assert_eq!(run("AL.1").await["code"], 716);
    assert_eq!(aqara(&cloud, Some(&token), RUN, json!({})).await["code"], 302);
    assert_eq!(aqara(&cloud, Some(&token), "query.device.info", json!({})).await["code"], 403);
    let runs: Vec<_> = cloud.counters().scene_runs.into_iter().collect();
    assert_eq!(runs, [(ids[0].clone(), 2), (ids[1].clone(), 1)]);
}

#[tokio::test]
async fn positions_and_scenes_are_listed_page_by_page() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).access_token;
    let call = async |intent, data| aqara(&cloud, Some(&token), intent, data).await;
    let homes = call("query.position.info", json!({ "parentPositionId": "", "pageNum": 1, "pageSize": 50 })).await;
    assert_eq!(homes["result"]["totalCount"], 1);
    let home = homes["result"]["data"][0]["positionId"].clone();
    let rooms = call("query.position.info", json!({ "parentPositionId": home })).await;
    let room = rooms["result"]["data"][0]["positionId"].clone();

    let mut names: Vec<Value> = Vec::new();
    for page in 1..=3 {
        let asked = json!({ "positionId": room, "pageNum": page, "pageSize": 2 });
        let answer = call("query.scene.listByPositionId", asked).await;
        assert_eq!(answer["result"]["totalCount"], 3);
        names.extend(answer["result"]["data"].as_array().unwrap().iter().map(|it| it["name"].clone()));
    }
    assert_eq!(names, ["TV PIN entry", "TV warning", "TV power off"]);

    let everywhere = json!({ "positionId": "", "pageNum": 1, "pageSize": 50 });
    let listed = call("query.scene.listByPositionId", everywhere.clone()).await;
    assert_eq!(listed["result"]["totalCount"], 0);
    cloud.turn_knobs(|it| it.empty_position_lists_all = true);
    let listed = call("query.scene.listByPositionId", everywhere).await;
    assert_eq!(listed["result"]["totalCount"], 5);
    let unknown = call("query.scene.listByPositionId", json!({ "positionId": "real1.0" })).await;
    assert_eq!(unknown["code"], 701);
}

#[tokio::test]
async fn a_code_signs_in_once_within_ten_minutes_and_ends_the_login_before() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    let ask = json!({ "account": seeded.account, "accountType": 0, "accessTokenValidity": "1h" });
    let ask = async || aqara(&cloud, None, "config.auth.getAuthCode", ask.clone()).await;
    let sign_in = async |code: &str| {
        let data = json!({ "authCode": code, "account": seeded.account, "accountType": 0 });
        aqara(&cloud, None, "config.auth.getToken", data).await
    };

    let answer = ask().await;
    assert_eq!((&answer["code"], &answer["result"]), (&json!(0), &json!("")), "the code goes to the owner");
    assert_eq!(ask().await["code"], 817);
    let code = cloud.account(0).extras["auth_code"].as_str().unwrap().to_owned();
    assert_eq!(sign_in("wrong").await["code"], 811);
    let answer = sign_in(&code).await;
    assert_eq!(answer["result"]["expiresIn"], "3600");
    assert_eq!(answer["result"]["refreshToken"], cloud.credentials(0).refresh_token);
    assert_eq!(sign_in(&code).await["code"], 811);
    assert_eq!(aqara_refresh(&cloud, &seeded.refresh_token).await["code"], 2006);
    let renewed = aqara_refresh(&cloud, &cloud.credentials(0).refresh_token).await;
    assert_eq!(renewed["result"]["expiresIn"], "3600", "the chosen validity is kept");

    cloud.advance(Duration::from_secs(60));
    ask().await;
    let code = cloud.account(0).extras["auth_code"].as_str().unwrap().to_owned();
    cloud.advance(Duration::from_secs(600));
    assert_eq!(sign_in(&code).await["code"], 811);
    let unknown = json!({ "account": "nobody@example.com", "accountType": 0 });
    assert_eq!(aqara(&cloud, None, "config.auth.getAuthCode", unknown).await["code"], 801);
}

#[tokio::test]
async fn more_calls_than_the_window_takes_are_throttled_until_it_has_passed() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).access_token;
    let list = async || AqaraRequest::new(&cloud, Some(&token), "query.position.info", json!({}));
    for _ in 0..300 {
        assert_eq!(list().await.send(&cloud).await["code"], 0);
    }
    assert_eq!(list().await.send(&cloud).await["code"], 429);
    cloud.turn_knobs(|it| (it.rate_limit_status, it.rate_limit_retry_after) = (429, Some(30)));
    let response = list().await.build(&cloud).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"30".parse().unwrap())
    );
    assert_eq!(cloud.counters().throttled, 2);
    cloud.advance(Duration::from_secs(300));
    assert_eq!(list().await.send(&cloud).await["code"], 0);
}

#[tokio::test]
async fn a_refused_refresh_can_be_any_code_and_a_replay_can_end_the_login() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| (it.refresh_refusal_code, it.replay_revokes_family) = (Some(804), true));
    let first = cloud.credentials(0);
    aqara_refresh(&cloud, &first.refresh_token).await;
    let second = cloud.credentials(0);
    assert_eq!(aqara_refresh(&cloud, &first.refresh_token).await["code"], 804);
    assert_eq!(aqara_refresh(&cloud, &second.refresh_token).await["code"], 804);
    assert!(cloud.account(0).revoked);
}
