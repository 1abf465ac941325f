use std::time::Duration;

use latchkey::demo::clouds::{AqaraCloud, Options, PhoneAct, aqara::AqaraCredentials};
use serde_json::{Value, json};

use crate::http::{aqara, aqara_refresh, client, md5_hex, send};

const LIST: &str = "query.position.info";

async fn form(cloud: &AqaraCloud, path: &str, fields: &[(&str, &str)]) -> Value {
    let body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", value.replace('@', "%40"))).collect();
    let request = client().post(format!("{}/v3.0/open/{path}", cloud.url()));
    send(request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"))).await.1
}

#[tokio::test]
async fn a_password_leads_to_a_code_and_the_code_to_a_flat_pair() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let AqaraCredentials { app_id, app_key, account, password, open_id, access_token, .. } = cloud.credentials(0);
    let authorize = async |client_id: &str, password: &str| {
        let password = md5_hex(password);
        let fields = [
            ("client_id", client_id),
            ("response_type", "code"),
            ("account", account.as_str()),
            ("passwordExt", password.as_str()),
            ("state", "0"),
        ];
        form(&cloud, "authorize", &fields).await
    };
    assert_eq!(authorize("another", &password).await["code"], 107);
    assert_eq!(authorize(&app_id, "wrong").await["code"], 810);
    let authorized = authorize(&app_id, &password).await;
    let code = authorized["result"]["code"].as_str().unwrap();

    let exchange = async |secret: &str, code: &str| {
        let fields = [
            ("client_id", app_id.as_str()),
            ("client_secret", secret),
            ("grant_type", "authorization_code"),
            ("code", code),
        ];
        form(&cloud, "access_token", &fields).await
    };
    assert_eq!(exchange("another", code).await["code"], 2002);
    assert_eq!(exchange(&app_key, "another").await["code"], 811);
    let answer = exchange(&app_key, code).await;
    let now = cloud.credentials(0);
    assert_eq!((&answer["access_token"], answer.get("code")), (&json!(now.access_token), None));
    assert_eq!((&answer["refresh_token"], &answer["expires_in"]), (&json!(now.refresh_token), &json!(604_800)));
    assert_eq!((&answer["token_type"], &answer["openId"]), (&json!("bearer"), &json!(open_id)));
    assert_eq!(exchange(&app_key, code).await["code"], 811, "a code works once");
    assert_eq!(aqara(&cloud, Some(&access_token), LIST, json!({})).await["code"], 108);
    let log = serde_json::to_string(&cloud.log()).unwrap();
    assert!(!log.contains(code) && !log.contains(&md5_hex(&password)));
}

#[tokio::test]
async fn codes_are_read_where_they_were_sent_and_ended_ones_may_have_a_number_of_their_own() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| (it.wrong_auth_code_code, it.ended_auth_code_code) = (2003, Some(820)));
    let account = cloud.credentials(0).account;
    let ask = json!({ "account": account, "accountType": 0 });
    assert_eq!(aqara(&cloud, None, "config.auth.getAuthCode", ask.clone()).await["code"], 0);
    assert_eq!(cloud.messages()[0].to, account);
    let code = cloud.newest_code(0).unwrap();
    let sign_in = async |code: &str| {
        let data = json!({ "authCode": code, "account": account, "accountType": 0 });
        aqara(&cloud, None, "config.auth.getToken", data).await["code"].clone()
    };
    assert_eq!(sign_in("wrong").await, 2003);
    cloud.advance(Duration::from_secs(600));
    assert_eq!(sign_in(&code).await, 820);

    aqara(&cloud, None, "config.auth.getAuthCode", ask).await;
    let data = json!({ "authCode": cloud.newest_code(0).unwrap(), "accountType": 1 });
    assert_eq!(aqara(&cloud, None, "config.auth.getToken", data.clone()).await["code"], 0, "a project's code suffices");
    assert_eq!(aqara(&cloud, None, "config.auth.getToken", data).await["code"], 820);
    assert_eq!((cloud.counters().codes_sent, cloud.counters().logins), (2, 1));
}

#[tokio::test]
async fn the_accounts_of_a_project_share_its_window() {
    let cloud = AqaraCloud::start(([127, 0, 0, 1], 0).into(), Options { n_accounts: 2, ..Default::default() });
    let cloud = cloud.await.unwrap();
    cloud.turn_knobs(|it| it.rate_limit_calls = Some(3));
    let list = async |account| {
        aqara(&cloud, Some(&cloud.credentials(account).access_token), LIST, json!({})).await["code"].clone()
    };
    assert_eq!(
        (list(0).await, list(1).await, list(0).await, list(1).await),
        (0.into(), 0.into(), 0.into(), 429.into())
    );
}

#[tokio::test]
async fn the_month_and_the_total_have_quotas_which_outlast_windows() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| (it.monthly_quota, it.total_quota, it.time_window_seconds) = (Some(2), Some(3), None));
    let list = async || {
        let token = cloud.sign_in(0).access_token;
        aqara(&cloud, Some(&token), LIST, json!({})).await["code"].clone()
    };
    assert_eq!((list().await, list().await, list().await), (0.into(), 0.into(), 429.into()));
    cloud.advance(Duration::from_secs(31 * 86_400));
    assert_eq!((list().await, list().await), (0.into(), 429.into()), "a month later the total is used up");
    let by_month: Vec<_> = cloud.counters().calls_by_month.into_values().collect();
    assert_eq!(by_month, [2, 1]);
}

#[tokio::test]
async fn another_client_of_an_aqara_account_leaves_a_dead_pair_too() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let ours = cloud.credentials(0);
    let theirs = cloud.phone(0, PhoneAct::Push).unwrap();
    assert_eq!(aqara_refresh(&cloud, &ours.refresh_token).await["code"], 2006);
    assert_eq!(aqara_refresh(&cloud, &theirs.refresh_token).await["code"], 0);
}
