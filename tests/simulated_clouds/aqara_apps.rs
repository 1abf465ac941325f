//! Applications of one region, virtual accounts, and tokens from the console.

use std::time::Duration;

use latchkey::demo::clouds::{AqaraCloud, Options, Places, aqara::AqaraKnobs};
use serde_json::{Value, json};

use crate::http::{AqaraRequest, aqara, aqara_refresh};

const DAY: Duration = Duration::from_secs(86_400);
const LIST: &str = "query.position.info";
const CREATE: &str = "config.auth.createAccount";

async fn with_two_apps(n_regions: usize) -> AqaraCloud {
    let knobs = AqaraKnobs { apps_per_region: 2, ..AqaraKnobs::default() };
    let places = Places { n_regions, ..Places::default() };
    let options = Options { n_accounts: 2 * n_regions, knobs, places, time: None };
    AqaraCloud::start(([127, 0, 0, 1], 0).into(), options).await.unwrap()
}

/// Calls by the application of account `app_of`.
async fn call(cloud: &AqaraCloud, app_of: usize, access_token: Option<&str>, intent: &str, data: Value) -> Value {
    let (app, time) = (cloud.credentials(app_of), cloud.clock().now().as_millisecond());
    AqaraRequest::signed(&app, access_token, "nonce", time, intent, data).send(cloud).await
}

#[tokio::test]
async fn the_keys_of_two_applications_are_no_pair() {
    let cloud = with_two_apps(1).await;
    let (first, second) = (cloud.credentials(0), cloud.credentials(1));
    assert!(first.app_id != second.app_id && first.key_id != second.key_id && first.app_key != second.app_key);
    let right = || AqaraRequest::new(&cloud, Some(&first.access_token), LIST, json!({}));
    assert_eq!(right().send(&cloud).await["code"], 0);
    assert_eq!(right().set("Keyid", &second.key_id).send(&cloud).await["code"], 2002);
    assert_eq!(right().set("Appid", &second.app_id).send(&cloud).await["code"], 2002);
    assert_eq!(right().set("Keyid", "K.0").send(&cloud).await["code"], 107);
    cloud.turn_knobs(|it| it.wrong_pair_code = 107);
    assert_eq!(right().set("Keyid", &second.key_id).send(&cloud).await["code"], 107);
}

#[tokio::test]
async fn an_application_opens_no_account_of_another_and_shares_no_window_with_it() {
    let cloud = with_two_apps(1).await;
    let second = cloud.credentials(1);
    assert_eq!(call(&cloud, 0, Some(&second.access_token), LIST, json!({})).await["code"], 108);
    let refresh = json!({ "refreshToken": second.refresh_token });
    assert_eq!(call(&cloud, 0, None, "config.auth.refreshToken", refresh.clone()).await["code"], 2006);
    let ask = json!({ "account": second.account, "accountType": 0 });
    assert_eq!(call(&cloud, 0, None, "config.auth.getAuthCode", ask).await["code"], 801);
    assert_eq!(cloud.account(1).generation, 1, "nothing was spent");

    cloud.turn_knobs(|it| it.rate_limit_calls = Some(3));
    assert_eq!(aqara_refresh(&cloud, "another").await["code"], 429);
    assert_eq!(call(&cloud, 1, None, "config.auth.refreshToken", refresh).await["code"], 0);
}

#[tokio::test]
async fn accounts_are_dealt_out_to_the_applications_of_their_region() {
    let cloud = with_two_apps(2).await;
    let app_ids: Vec<String> = (0..4).map(|it| cloud.credentials(it).app_id).collect();
    let distinct: std::collections::BTreeSet<_> = app_ids.iter().collect();
    assert_eq!(distinct.len(), 4);
    cloud.turn_knobs(|it| it.apps_per_region = 1);
    let (first, third) = (cloud.credentials(0).app_id, cloud.credentials(2).app_id);
    assert_eq!((&first, &third), (&app_ids[0], &app_ids[0]));
}

#[tokio::test]
async fn an_application_makes_virtual_accounts_and_signs_them_in_at_once_or_by_a_code() {
    let cloud = with_two_apps(1).await;
    let made = aqara(&cloud, None, CREATE, json!({ "accountId": "lobby", "needAccessToken": true })).await;
    let token = made["result"]["accessToken"].as_str().unwrap();
    assert_eq!((&made["code"], &made["result"]["expiresIn"]), (&json!(0), &json!("604800")));
    assert_eq!(aqara(&cloud, Some(token), LIST, json!({})).await["code"], 0);
    assert_eq!(aqara(&cloud, None, CREATE, json!({ "accountId": "lobby" })).await["code"], 2016);
    assert_eq!(aqara(&cloud, None, CREATE, json!({ "accountId": "" })).await["code"], 302);

    let made = aqara(&cloud, None, CREATE, json!({ "accountId": "attic", "remark": "dark" })).await;
    assert!(made["result"]["openId"].is_string() && made["result"]["accessToken"].is_null());
    let ask = json!({ "account": "attic", "accountType": 2, "accessTokenValidity": "1d" });
    let code = aqara(&cloud, None, "config.auth.getAuthCode", ask).await["result"]["authCode"].clone();
    let sign_in = json!({ "authCode": code, "account": "attic", "accountType": 2 });
    assert_eq!(call(&cloud, 1, None, "config.auth.getToken", sign_in.clone()).await["code"], 801);
    let answer = aqara(&cloud, None, "config.auth.getToken", sign_in).await;
    assert_eq!(answer["result"]["expiresIn"], "86400");
    assert_eq!(answer["result"]["openId"], made["result"]["openId"]);
    let as_resident = json!({ "account": "attic", "accountType": 0 });
    assert_eq!(aqara(&cloud, None, "config.auth.getAuthCode", as_resident).await["code"], 801);
    assert_eq!((cloud.credentials(2).account, cloud.credentials(3).account), ("lobby".to_owned(), "attic".to_owned()));
}

#[tokio::test]
async fn tokens_from_the_console_may_live_otherwise_than_those_of_a_login() {
    let knobs = AqaraKnobs { console_token_lifetime_seconds: Some(86_400), ..AqaraKnobs::default() };
    let options = Options { knobs, ..Options::default() };
    let cloud = AqaraCloud::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
    let left = |text: &str| {
        text.parse::<jiff::Timestamp>()
            .unwrap()
            .duration_since(cloud.clock().now())
            .unsigned_abs()
            .as_secs()
            .div_ceil(3600)
    };
    assert_eq!(left(&cloud.credentials(0).expires_at), 24);
    let renewed = aqara_refresh(&cloud, &cloud.credentials(0).refresh_token).await;
    assert_eq!(renewed["result"]["expiresIn"], "86400");
    cloud.turn_knobs(|it| it.refresh_keeps_validity = false);
    let renewed = aqara_refresh(&cloud, &cloud.credentials(0).refresh_token).await;
    assert_eq!(renewed["result"]["expiresIn"], "604800");
    assert_eq!(left(&cloud.sign_in(0).expires_at), 24);
    cloud.advance(DAY);
    assert_eq!(aqara(&cloud, Some(&cloud.credentials(0).access_token), LIST, json!({})).await["code"], 108);
}
