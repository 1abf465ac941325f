use std::time::Duration;

use latchkey::demo::clouds::{AkuvoxCloud, AqaraCloud, Fault, FaultKind, Scope};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::http::{AqaraRequest, akuvox_refresh_with, akuvox_takes, aqara_refresh, send};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

async fn cloud_with(fault: Fault) -> AkuvoxCloud {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    cloud.inject(fault);
    cloud
}

/// The refresh once the fault is gone, with the pair that was seeded.
async fn refreshes_again(cloud: &AkuvoxCloud, seeded: &latchkey::demo::clouds::akuvox::AkuvoxCredentials) -> bool {
    send(akuvox_refresh_with(cloud, seeded)).await.1["err_code"] == "0"
}

#[tokio::test]
async fn a_lost_reply_is_a_connection_closed_after_the_rotation() {
    let cloud = cloud_with(Fault::new(FaultKind::ReplyLostAfterRotation)).await;
    let seeded = cloud.credentials(0);
    let lost = akuvox_refresh_with(&cloud, &seeded).send().await.unwrap_err();
    assert!(lost.is_request() && !lost.is_connect() && !lost.is_timeout(), "{lost:?}");
    assert_eq!((cloud.account(0).generation, cloud.counters().faults), (2, 1));
    assert!(!akuvox_takes(&cloud, &seeded.token).await);
    assert!(!refreshes_again(&cloud, &seeded).await);
    assert_eq!(cloud.counters().replays, 1);
}

#[tokio::test]
async fn a_reset_before_spends_nothing() {
    let cloud = cloud_with(Fault::new(FaultKind::ResetBefore).on(Scope::Refresh, 2)).await;
    let seeded = cloud.credentials(0);
    for _ in 0..2 {
        assert!(akuvox_refresh_with(&cloud, &seeded).send().await.is_err());
    }
    assert!(refreshes_again(&cloud, &seeded).await);
    assert_eq!(cloud.account(0).generation, 2);
}

#[tokio::test]
async fn server_errors_and_pages_come_before_the_rotation_or_after_it() {
    for (kind, status) in [
        (FaultKind::Http500, StatusCode::INTERNAL_SERVER_ERROR),
        (FaultKind::Http502, StatusCode::BAD_GATEWAY),
        (FaultKind::Html, StatusCode::OK),
    ] {
        for after in [false, true] {
            let fault = Fault { after, ..Fault::new(kind) };
            let cloud = cloud_with(fault).await;
            let seeded = cloud.credentials(0);
            let response = akuvox_refresh_with(&cloud, &seeded).send().await.unwrap();
            assert_eq!(response.status(), status);
            assert!(serde_json::from_str::<Value>(&response.text().await.unwrap()).is_err());
            assert_eq!(cloud.account(0).generation, 1 + u64::from(after));
            assert_eq!(refreshes_again(&cloud, &seeded).await, !after);
        }
    }
}

#[tokio::test]
async fn truncated_json_is_a_whole_answer_with_half_of_its_text() {
    let cloud = cloud_with(Fault::new(FaultKind::TruncatedJson)).await;
    let response = akuvox_refresh_with(&cloud, &cloud.credentials(0)).send().await.unwrap();
    let text = response.text().await.unwrap();
    assert!(text.starts_with(r#"{"datas""#) && serde_json::from_str::<Value>(&text).is_err(), "{text}");
    assert_eq!(cloud.account(0).generation, 2);
}

#[tokio::test]
async fn a_cut_body_ends_before_its_announced_length() {
    let cloud = cloud_with(Fault::new(FaultKind::CutBody)).await;
    let response = akuvox_refresh_with(&cloud, &cloud.credentials(0)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let cut = response.bytes().await.unwrap_err();
    assert!(cut.is_body() || cut.is_decode(), "{cut:?}");
    assert_eq!(cloud.account(0).generation, 2);
}

#[tokio::test]
async fn wrong_types_hide_nothing_that_a_later_parser_could_not_find() {
    let cloud = cloud_with(Fault::new(FaultKind::WrongTypes)).await;
    let (_, answer) = send(akuvox_refresh_with(&cloud, &cloud.credentials(0))).await;
    let now = cloud.credentials(0);
    let datas = json!({
        "token": [now.token],
        "refresh_token": now.refresh_token,
        "token_valid": { "seconds": "604800" },
    });
    assert_eq!(answer["datas"], datas);

    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.inject(Fault::new(FaultKind::WrongTypes));
    let answer = aqara_refresh(&cloud, &cloud.credentials(0).refresh_token).await;
    assert_eq!(answer["result"]["expiresIn"], json!({ "seconds": "604800" }));
    assert_eq!(answer["result"]["accessToken"], json!([cloud.credentials(0).access_token]));
}

#[tokio::test]
async fn a_missing_refresh_token_means_that_the_old_one_stays_in_force() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.inject(Fault::new(FaultKind::MissingRefreshToken));
    let seeded = cloud.credentials(0);
    let answer = aqara_refresh(&cloud, &seeded.refresh_token).await;
    assert_eq!(answer["result"].get("refreshToken"), None);
    assert_ne!(answer["result"]["accessToken"], seeded.access_token);
    assert_eq!(aqara_refresh(&cloud, &seeded.refresh_token).await["code"], 0);
}

#[tokio::test]
async fn busy_and_throttled_speak_as_their_vendor_does() {
    let throttled = || Fault { retry_after: Some(7), ..Fault::new(FaultKind::Throttled429) };
    let cloud = cloud_with(Fault::new(FaultKind::VendorBusy)).await;
    cloud.inject(throttled());
    let seeded = cloud.credentials(0);
    let (status, busy) = send(akuvox_refresh_with(&cloud, &seeded)).await;
    assert_eq!((status, &busy["err_code"]), (StatusCode::OK, &json!("500")));
    let response = akuvox_refresh_with(&cloud, &seeded).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap())
    );
    cloud.inject(Fault::new(FaultKind::Throttled200));
    let too_often = json!({ "error_msg": "Requesting too frequently" });
    assert_eq!(send(akuvox_refresh_with(&cloud, &seeded)).await, (StatusCode::OK, too_often));
    assert!(refreshes_again(&cloud, &seeded).await);

    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.inject(Fault::new(FaultKind::VendorBusy));
    cloud.inject(Fault { code: Some(500), ..Fault::new(FaultKind::VendorBusy).after() });
    let seeded = cloud.credentials(0);
    assert_eq!(aqara_refresh(&cloud, &seeded.refresh_token).await["code"], 104);
    assert_eq!(cloud.account(0).generation, 1);
    assert_eq!(aqara_refresh(&cloud, &seeded.refresh_token).await["code"], 500);
    assert_eq!(cloud.account(0).generation, 2, "busy, and yet it rotated");
}

#[tokio::test]
async fn a_slow_cloud_rotates_even_if_the_client_has_hung_up() {
    let cloud = cloud_with(Fault::new(FaultKind::Slow).lasting(1.0)).await;
    let seeded = cloud.credentials(0);
    let waiting = tokio::spawn(akuvox_refresh_with(&cloud, &seeded).send());
    tokio::time::timeout(DEADLINE, cloud.wait_for(|it| it.faults == 1)).await.unwrap();
    assert_eq!(cloud.counters().refreshes, 0);
    waiting.abort();
    let rotated = cloud.wait_for(|it| it.refreshes == 1);
    tokio::time::timeout(DEADLINE, rotated).await.unwrap();
}

#[tokio::test]
async fn a_hanging_call_ends_with_the_cloud_and_its_port_is_free_again() {
    let cloud = cloud_with(Fault::new(FaultKind::Hang)).await;
    let address = cloud.url().trim_start_matches("http://").parse().unwrap();
    let hanging = tokio::spawn(akuvox_refresh_with(&cloud, &cloud.credentials(0)).send());
    tokio::time::timeout(DEADLINE, cloud.wait_for(|it| it.faults == 1)).await.unwrap();
    assert_eq!(cloud.account(0).generation, 1);
    cloud.shutdown().await;
    let ended = tokio::time::timeout(DEADLINE, hanging).await.unwrap().unwrap();
    assert!(ended.is_err());
    AkuvoxCloud::start(address, Default::default()).await.unwrap();
}

#[tokio::test]
async fn a_fault_befalls_only_the_calls_it_names() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.inject(Fault::new(FaultKind::Http500).on(Scope::Action, 1));
    cloud.inject(Fault::new(FaultKind::Http500).on(Scope::Call("query.position.info".to_owned()), 1));
    assert_eq!(aqara_refresh(&cloud, &cloud.credentials(0).refresh_token).await["code"], 0);
    let token = cloud.credentials(0).access_token;
    for intent in ["config.scene.run", "query.position.info"] {
        let request = AqaraRequest::new(&cloud, Some(&token), intent, json!({ "sceneId": "AL.1" }));
        assert_eq!(request.build(&cloud).send().await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(request.build(&cloud).send().await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_reply_is_lost_only_if_the_refresh_went_through() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.inject(Fault::new(FaultKind::ReplyLostAfterRotation));
    assert_eq!(aqara_refresh(&cloud, "never-issued").await["code"], 2006);
    let seeded = cloud.credentials(0);
    let request =
        AqaraRequest::new(&cloud, None, "config.auth.refreshToken", json!({ "refreshToken": seeded.refresh_token }));
    assert!(request.build(&cloud).send().await.is_err());
    assert_eq!(cloud.account(0).generation, 2);
}

#[tokio::test]
async fn an_answer_may_lack_the_access_token_that_was_issued() {
    let cloud = cloud_with(Fault::new(FaultKind::MissingAccessToken)).await;
    let seeded = cloud.credentials(0);
    let (_, answer) = send(akuvox_refresh_with(&cloud, &seeded)).await;
    assert_eq!((&answer["datas"]["token"], &answer["err_code"]), (&Value::Null, &json!("0")));
    assert_eq!(answer["datas"]["refresh_token"], cloud.credentials(0).refresh_token);
    assert!(!akuvox_takes(&cloud, &seeded.token).await);

    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.inject(Fault::new(FaultKind::MissingAccessToken));
    let answer = aqara_refresh(&cloud, &cloud.credentials(0).refresh_token).await;
    assert_eq!((&answer["result"]["accessToken"], &answer["code"]), (&Value::Null, &json!(0)));
    assert_eq!(answer["result"]["refreshToken"], cloud.credentials(0).refresh_token);
}
