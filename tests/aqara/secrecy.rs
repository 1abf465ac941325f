//! What leaves, and what is said of what comes back.

use latchkey::{
    account::{Code, Secret},
    clock::Clock,
    demo::clouds::{AqaraCloud, aqara::DetailKey},
    vendor::{SignIn, SignInKind},
};
use serde_json::json;

use crate::{
    stand_in::{Says, StandIn},
    vendor::{App, Room, login_of, refresh},
};

#[tokio::test]
async fn a_refresh_and_an_authorisation_never_carry_an_access_token() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| it.auth_intents_reject_stale_token = true);
    let vendor = App::of(&cloud, &login_of(&cloud, 0)).connect(cloud.clock().clone());
    refresh(&*vendor, &cloud.credentials(0).refresh_token).await.unwrap();
    vendor.request_code().await.unwrap();
    let code = Secret::new(cloud.newest_code(0).unwrap());
    vendor.read_login(&vendor.login(SignIn::Code(&code)).await.unwrap(), SignInKind::Code).unwrap();
    let held = cloud.credentials(0);
    let access = Secret::new(held.access_token);
    vendor.trigger_scene(&access, &held.scenes["TV warning"]).await.unwrap();
    vendor.inventory(&access, &Room::of(100)).await.unwrap();

    let log = cloud.log();
    let (auth, others): (Vec<_>, Vec<_>) = log.iter().partition(|it| it.call.starts_with("config.auth."));
    assert_eq!(auth.len(), 3);
    assert!(auth.iter().all(|it| it.outcome == "ok" && !it.headers.iter().any(|it| it == "accesstoken")));
    assert!(others.iter().all(|it| it.outcome == "ok" && it.headers.iter().any(|it| it == "accesstoken")));
}

#[tokio::test]
async fn an_authorisation_that_is_sent_anew_carries_no_access_token_either() {
    let far = StandIn::start(|_| Says::code(105)).await;
    let vendor = App { more: "login = \"me@example.com\"".to_owned(), ..App::at(&far.url) }.connect(Clock::system());
    assert_eq!(refresh(&*vendor, "R1").await.unwrap_err().code, Code::ClockSkew);
    assert_eq!(vendor.request_code().await.unwrap_err().code, Code::ClockSkew);
    assert_eq!(far.calls().len(), 6);
    assert!(far.calls().iter().all(|it| !it.has_access_token));
}

#[tokio::test]
async fn a_refusal_that_quotes_the_token_is_told_without_it_under_either_name_of_the_detail() {
    for detail_key in [DetailKey::MessageDetail, DetailKey::MsgDetails, DetailKey::Both] {
        let cloud = AqaraCloud::start_default().await.unwrap();
        cloud.turn_knobs(|it| it.detail_key = detail_key);
        let vendor = App::of(&cloud, "lang = \"zh\"").connect(cloud.clock().clone());
        let dead = Secret::new("c0ffee00c0ffee00c0ffee00c0ffee00");
        let failure = vendor.trigger_scene(&dead, "AL.1").await.unwrap_err();
        assert_eq!(failure.code, Code::AccessRejected);
        let told = format!("{failure}{failure:?}");
        assert!(!told.contains("c0ffee") && !told.contains("请求失败") && !told.contains("illegal"), "{told}");
    }
}

#[tokio::test]
async fn what_a_listing_shows_is_names_and_ids_and_nothing_else_of_the_answer() {
    let far = StandIn::start(|call| match call.intent.as_str() {
        "query.position.info" if call.data["parentPositionId"] == "" => {
            Says::result(&json!({ "data": [{ "positionId": "real1.1", "description": "canary" }], "totalCount": 1 }))
        }
        "query.position.info" => Says::result(&json!("")),
        _ => Says::result(&json!({ "data": [{ "sceneId": "AL.1", "name": "Away", "model": "canary" }] })),
    });
    let far = far.await;
    let vendor = App::at(&far.url).connect(Clock::system());
    let inventory = vendor.inventory(&Secret::new("A1"), &Room::of(100)).await.unwrap();
    assert_eq!(
        serde_json::to_value(inventory).unwrap(),
        json!({ "doors": [], "scenes": [{ "key": "al_1", "id": "AL.1", "name": "Away" }] })
    );
}
