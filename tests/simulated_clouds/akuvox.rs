use std::time::Duration;

use latchkey::demo::clouds::{
    AkuvoxCloud,
    akuvox::{RefreshAnswer, TokenValid, devices},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::http::{akuvox_refresh, akuvox_refresh_with, akuvox_takes, client, send};

const WEEK: Duration = Duration::from_secs(604_800);

#[tokio::test]
async fn a_refresh_answers_as_documented_and_rotates_both_tokens() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let first = cloud.credentials(0);
    let (status, answer) = send(akuvox_refresh_with(&cloud, &first)).await;
    let second = cloud.credentials(0);

    assert_eq!(status, StatusCode::OK);
    let datas = json!({ "refresh_token": second.refresh_token, "token": second.token, "token_valid": "604800" });
    assert_eq!(answer, json!({ "datas": datas, "err_code": "0", "message": "success" }));
    assert_ne!(first.token, second.token);
    assert_ne!(first.refresh_token, second.refresh_token);
    assert!(!akuvox_takes(&cloud, &first.token).await);
    assert!(akuvox_takes(&cloud, &second.token).await);
    assert_eq!(cloud.counters().refreshes, 1);
    assert_eq!(cloud.account(0).generation, 2);
}

#[tokio::test]
async fn a_used_refresh_token_is_refused_whichever_access_token_rides_along() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| it.refusal_code = "1007".to_owned());
    let first = cloud.credentials(0);
    send(akuvox_refresh_with(&cloud, &first)).await;
    let second = cloud.credentials(0);
    for token in [&first.token, &second.token] {
        let (status, answer) = send(akuvox_refresh(&cloud, token, &first.refresh_token)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer, json!({ "err_code": "1007", "message": "refresh token invalid" }));
    }
    assert_eq!(cloud.counters().replays, 2);
    assert!(akuvox_takes(&cloud, &second.token).await, "a replay harms nobody unless told");
}

#[tokio::test]
async fn a_replay_ends_the_login_where_the_switch_says_so() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| it.replay_revokes_family = true);
    let first = cloud.credentials(0);
    send(akuvox_refresh_with(&cloud, &first)).await;
    send(akuvox_refresh_with(&cloud, &first)).await;
    let second = cloud.credentials(0);
    assert!(!akuvox_takes(&cloud, &second.token).await);
    assert_ne!(send(akuvox_refresh_with(&cloud, &second)).await.1["err_code"], "0");
}

#[tokio::test]
async fn a_refresh_that_lacks_what_the_app_sends_is_refused_and_spends_nothing() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| it.require_vbell = true);
    let seeded = cloud.credentials(0);
    let url = format!("{}/refresh_token", cloud.url());
    let body = json!({ "refresh_token": seeded.refresh_token }).to_string();
    let right = [
        ("x-auth-token", seeded.token.as_str()),
        ("api-version", "6.8"),
        ("content-type", "application/json"),
        ("user-agent", "VBell/7.20.5 (iPhone; iOS 26.1; Scale/2.00)"),
    ];
    for (spoilt, value) in [
        ("x-auth-token", None),
        ("x-auth-token", Some("another-token")),
        ("api-version", None),
        ("api-version", Some("6.6")),
        ("content-type", None),
        ("content-type", Some("text/plain")),
        ("user-agent", None),
        ("user-agent", Some("curl/8")),
    ] {
        let headers = right.iter().filter(|it| it.0 != spoilt).copied().chain(value.map(|it| (spoilt, it)));
        let request = headers.fold(client().post(&url), |request, (name, value)| request.header(name, value));
        let (status, answer) = send(request.body(body.clone())).await;
        assert_eq!((status, &answer["err_code"]), (StatusCode::OK, &json!("-1")), "{spoilt}: {value:?}");
    }
    for body in ["", "[]", "{}", r#"{"refresh_token": 7}"#] {
        let (_, answer) = send(akuvox_refresh_with(&cloud, &seeded).body(body)).await;
        assert_eq!(answer["message"], "request is invalid", "{body}");
    }
    assert_eq!(cloud.account(0).generation, 1);
    assert_eq!(send(akuvox_refresh_with(&cloud, &seeded)).await.1["err_code"], "0");
}

#[tokio::test]
async fn an_access_token_ends_with_its_simulated_week_and_may_then_be_refreshed_or_not() {
    for is_accepted in [true, false] {
        let cloud = AkuvoxCloud::start_default().await.unwrap();
        cloud.turn_knobs(|it| it.refresh_after_access_expiry = is_accepted);
        let seeded = cloud.credentials(0);
        cloud.advance(WEEK - Duration::from_secs(3600));
        assert!(akuvox_takes(&cloud, &seeded.token).await);
        cloud.advance(Duration::from_secs(3600));
        assert!(!akuvox_takes(&cloud, &seeded.token).await);
        let (_, answer) = send(akuvox_refresh_with(&cloud, &seeded)).await;
        assert_eq!(answer["err_code"] == "0", is_accepted);
    }
}

#[tokio::test]
async fn a_refresh_token_lives_as_long_as_the_switch_says() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    cloud.advance(WEEK * 100);
    assert_eq!(send(akuvox_refresh_with(&cloud, &seeded)).await.1["err_code"], "0", "without an end unless told");
    cloud.turn_knobs(|it| it.refresh_lifetime_seconds = Some(86_400));
    let seeded = cloud.sign_in(0);
    cloud.advance(Duration::from_secs(86_400));
    assert_eq!(send(akuvox_refresh_with(&cloud, &seeded)).await.1["err_code"], "-1");
}

#[tokio::test]
async fn of_simultaneous_refreshes_with_one_token_exactly_one_wins() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let seeded = cloud.credentials(0);
    let racers: Vec<_> = (0..8).map(|_| tokio::spawn(send(akuvox_refresh_with(&cloud, &seeded)))).collect();
    let mut n_winners = 0;
    for racer in racers {
        n_winners += u32::from(racer.await.unwrap().1["err_code"] == "0");
    }
    assert_eq!(n_winners, 1);
    assert_eq!((cloud.counters().refreshes, cloud.counters().replays), (1, 7));
}

#[tokio::test]
async fn within_the_graces_both_old_tokens_still_work_and_lead_to_the_same_successor() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| (it.refresh_grace_seconds, it.access_grace_seconds) = (60, 600));
    let first = cloud.credentials(0);
    let (_, answer) = send(akuvox_refresh_with(&cloud, &first)).await;
    let (_, again) = send(akuvox_refresh_with(&cloud, &first)).await;
    assert_eq!(answer["datas"]["refresh_token"], again["datas"]["refresh_token"]);
    assert_eq!((cloud.counters().refreshes, cloud.counters().grace_answers), (1, 1));
    cloud.advance(Duration::from_secs(60));
    assert_eq!(send(akuvox_refresh_with(&cloud, &first)).await.1["err_code"], "-1");
    assert!(akuvox_takes(&cloud, &first.token).await);
    cloud.advance(Duration::from_secs(540));
    assert!(!akuvox_takes(&cloud, &first.token).await);
}

#[tokio::test]
async fn every_shape_of_the_answer_can_be_had() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let refresh = async |answer, token_valid| {
        cloud.turn_knobs(|it| (it.refresh_answer, it.token_valid) = (answer, token_valid));
        let (_, answer) = send(akuvox_refresh_with(&cloud, &cloud.credentials(0))).await;
        (answer, cloud.credentials(0))
    };

    let (answer, now) = refresh(RefreshAnswer::WithResult, TokenValid::Text).await;
    assert_eq!((&answer["result"], &answer["datas"]["token"]), (&json!(0), &json!(now.token)));
    let (answer, now) = refresh(RefreshAnswer::IntErrCode, TokenValid::Text).await;
    assert_eq!((&answer["err_code"], &answer["datas"]["token"]), (&json!(0), &json!(now.token)));
    let (answer, now) = refresh(RefreshAnswer::UnderData, TokenValid::Text).await;
    assert_eq!(answer["data"]["refresh_token"], json!(now.refresh_token));
    let (answer, now) = refresh(RefreshAnswer::UnderResult, TokenValid::Text).await;
    assert_eq!(answer["result"]["refresh_token"], json!(now.refresh_token));

    let before = cloud.credentials(0);
    let (answer, now) = refresh(RefreshAnswer::MissingRefreshToken, TokenValid::Text).await;
    assert_eq!(answer["datas"].get("refresh_token"), None);
    assert_eq!((now.token == before.token, now.refresh_token == before.refresh_token), (false, true));

    for (token_valid, expected) in [
        (TokenValid::Number, Some(json!(604_800))),
        (TokenValid::Zero, Some(json!("0"))),
        (TokenValid::Missing, None),
        (TokenValid::Absurd, Some(json!("99999999999999999999"))),
    ] {
        let (answer, _) = refresh(RefreshAnswer::Documented, token_valid).await;
        assert_eq!(answer["datas"].get("token_valid"), expected.as_ref());
    }
}

#[tokio::test]
async fn discovery_names_a_host_without_scheme_unless_told() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let url = format!("{}/rest_server", cloud.url());
    let (_, answer) = send(client().get(&url).header("api-version", "6.0")).await;
    assert_eq!((&answer["result"], &answer["err_code"]), (&json!(0), &json!("0")));
    let rest = answer["datas"]["rest_server_https"].as_str().unwrap();
    assert_eq!(format!("http://{rest}"), cloud.rest_url());
    cloud.turn_knobs(|it| it.rest_server_with_scheme = true);
    let (_, answer) = send(client().get(&url).header("api-version", "6.0")).await;
    assert_eq!(answer["datas"]["rest_server_https"], cloud.rest_url());
    let (_, answer) = send(client().get(&url)).await;
    assert_eq!(answer["result"], -1, "without api-version");
}

#[tokio::test]
async fn doors_open_for_the_holder_of_a_live_token_and_every_opening_is_counted() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let mac = devices(0)[0].mac.clone();
    let open = async |query: &str, header: &str, body: String| {
        let request = client().post(format!("{}/opendoor?token={query}", cloud.rest_url()));
        let request = request.header("x-auth-token", header).header("api-version", "4.3");
        send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await.1
    };

    let opened = open(&token, &token, format!("mac={mac}&relay=1")).await;
    assert_eq!(opened, json!({ "result": 0, "err_code": "0", "message": "success", "datas": [] }));
    open(&token, &token, format!("mac={mac}&site=6000000000&relay=1&trace_id=1")).await;
    assert_eq!(open(&token, &token, format!("mac={mac}&relay=7")).await["result"], -1);
    assert_eq!(open(&token, &token, "relay=1".to_owned()).await["message"], "request is invalid");
    assert_eq!(open(&token, "another", format!("mac={mac}&relay=1")).await["message"], "token invalid");
    assert_eq!(open("another", "another", format!("mac={mac}&relay=1")).await["message"], "token invalid");

    let openings: Vec<_> = cloud.counters().door_openings.into_iter().collect();
    assert_eq!(openings, [(format!("{mac}/1"), 2)]);
    assert_eq!(cloud.log()[0].action.as_deref(), Some(format!("mac={mac}&relay=1").as_str()));
}

#[tokio::test]
async fn the_user_configuration_lists_devices_with_their_oddities() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let request = client().get(format!("{}/userconf?token={token}", cloud.rest_url())).header("api-version", "6.5");
    let (_, without_header) = send(request.try_clone().unwrap()).await;
    assert_eq!(without_header["message"], "request is invalid");
    let (_, answer) = send(request.header("x-auth-token", &token)).await;
    let devices = answer["datas"]["dev_list"].as_array().unwrap();
    assert_eq!(devices[0]["location"], "Front gate ");
    assert_eq!(devices[0]["relay"][1]["relay_id"], "1");
    assert!(devices.iter().any(|it| it.get("relay").is_none()));
}

#[tokio::test]
async fn accounts_do_not_share_tokens_or_doors() {
    let options = latchkey::demo::clouds::Options { n_accounts: 100, ..Default::default() };
    let cloud = AkuvoxCloud::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
    let (first, last) = (cloud.credentials(0), cloud.credentials(99));
    send(akuvox_refresh_with(&cloud, &last)).await;
    assert!(akuvox_takes(&cloud, &first.token).await);
    assert_eq!((cloud.account(0).generation, cloud.account(99).generation), (1, 2));
    let (_, crossed) = send(akuvox_refresh(&cloud, &last.token, &first.refresh_token)).await;
    assert_eq!(crossed["message"], "token invalid");
    let macs: Vec<Value> = [0, 99].map(|it| cloud.account(it).extras["doors"][0]["mac"].clone()).into();
    assert_ne!(macs[0], macs[1]);
}
