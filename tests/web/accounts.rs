//! Everything that an account can be asked.

use latchkey::{
    account::{Condition, UpdateOutcome},
    demo::clouds::{Fault, FaultKind, Scope, akuvox::AkuvoxCredentials},
};
use serde_json::json;

use super::bench::{House, Plan};

#[tokio::test]
async fn accounts_are_listed_with_how_each_is() {
    let house = House::signed_in().await;
    let answer = house.get("/v1/accounts").await;
    let listed = answer.json();
    assert_eq!((answer.status, &listed["status"]), (200, &json!("ok")));
    let accounts = listed["data"]["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 2);
    assert_eq!(accounts[0]["entry_id"], "front_door");
    assert_eq!((&accounts[0]["vendor"], &accounts[0]["name"]), (&json!("akuvox"), &json!("Front door")));
    assert_eq!((&accounts[1]["vendor"], &accounts[1]["name"]), (&json!("aqara"), &json!(null)));

    let one = house.get("/v1/accounts/home").await.json();
    assert_eq!(one["data"]["condition"], Condition::Ok.to_string());
    assert_eq!(one["data"]["entry_id"], "home");
}

#[tokio::test]
async fn the_answers_are_those_of_mqtt_with_the_transaction_and_a_status_by_class() {
    let house = House::new().await;
    let spent = house.akuvox.credentials(0);
    house.sign_in().await;
    let credentials = house.akuvox.credentials(0);
    let held = json!({ "token": credentials.token, "refresh_token": credentials.refresh_token, "transaction": "t1" });
    let answer = house.put("/v1/accounts/front_door/tokens", &held).await;
    assert_eq!(answer.status, 200);
    let reply = answer.json();
    assert_eq!((&reply["transaction"], &reply["data"]["outcome"]), (&json!("t1"), &json!(UpdateOutcome::Unchanged)));

    let refreshed = house.post("/v1/accounts/front_door/refresh", r#"{"transaction":7}"#).await.json();
    assert_eq!((&refreshed["status"], &refreshed["transaction"]), (&json!("ok"), &json!(7)));
    assert_eq!(refreshed["data"]["generation"], 3);
    assert_eq!(house.akuvox.counters().refreshes, 2);

    let ran = house.post("/v1/accounts/home/scenes/tv_warning/trigger", "").await.json();
    assert_eq!(ran, json!({ "status": "ok", "data": { "entry_id": "home", "scene": "tv_warning" } }));

    for (answer, status, code) in [
        (house.get("/v1/accounts/nobody").await, 404, "unknown_account"),
        (house.get("/v1/accounts/%ff").await, 404, "unknown_account"),
        (house.post("/v1/accounts/home/scenes/nothing/trigger", "").await, 404, "unknown_scene"),
        (house.post("/v1/accounts/front_door/scenes/x/trigger", "").await, 422, "not_supported"),
        (house.put("/v1/accounts/home/tokens", &json!({})).await, 400, "missing_field"),
        (house.put("/v1/accounts/home/tokens", &json!({ "token": 5 })).await, 400, "wrong_type"),
        (house.post("/v1/accounts/home/refresh", "now").await, 400, "not_json"),
        (house.post("/v1/accounts/home/scenes/tv_warning/trigger", r#"{"scene":"x"}"#).await, 400, "unknown_field"),
        (house.put("/v1/accounts/front_door/tokens", &pair(&spent)).await, 409, "already_spent"),
        (house.post("/v1/accounts/home/login", "{}").await, 400, "missing_field"),
        (house.post("/v1/accounts/home/recall", "").await, 409, "not_forgotten"),
    ] {
        let reply = answer.json();
        assert_eq!((answer.status, &reply["status"]), (status, &json!("error")), "{reply}");
        assert_eq!(reply["error"]["code"], code, "{reply}");
        assert!(!reply["error"]["hint"].as_str().unwrap().is_empty());
    }
}

fn pair(credentials: &AkuvoxCredentials) -> serde_json::Value {
    json!({ "token": credentials.token, "refresh_token": credentials.refresh_token })
}

#[tokio::test]
async fn a_refresh_too_soon_says_when() {
    let house = House::of(Plan { home: "min_refresh_gap = \"1min\"", ..Plan::default() }).await;
    house.sign_in().await;
    let answer = house.post("/v1/accounts/home/refresh", "").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (429, Some("too_soon")));
    let seconds = answer.json()["error"]["retry_after"].as_u64().unwrap();
    assert_eq!(answer.header("retry-after"), Some(seconds.to_string().as_str()));
}

#[tokio::test]
async fn a_cloud_that_fails_is_a_502_and_a_scene_of_unknown_outcome_a_504() {
    let house = House::signed_in().await;
    house.aqara.inject(Fault::new(FaultKind::ResetBefore).on(Scope::Any, 100));
    let answer = house.post("/v1/accounts/home/refresh", "").await;
    assert!([502, 504].contains(&answer.status), "{}", answer.text);
    house.aqara.clear_faults();
}

#[tokio::test]
async fn what_is_forgotten_is_brought_back() {
    let house = House::signed_in().await;
    let forgotten = house.post("/v1/accounts/home/forget", "").await.json();
    assert!(forgotten["data"]["until"].is_string(), "{forgotten}");
    assert_eq!(house.get("/v1/accounts/home").await.json()["data"]["condition"], "missing");
    assert_eq!(house.post("/v1/accounts/home/recall", "{}").await.json()["status"], "ok");
    assert_eq!(house.get("/v1/accounts/home").await.json()["data"]["condition"], "ok");
}

#[tokio::test]
async fn doors_are_told_as_far_as_they_are_known() {
    let house = House::signed_in().await;
    let doors = house.get("/v1/accounts/front_door/doors").await.json();
    assert_eq!(doors["data"]["entry_id"], "front_door");
    assert!(doors["data"]["doors"].is_array());
}

#[tokio::test]
async fn an_access_token_leaves_only_where_the_account_says_so_and_it_lives() {
    let house = House::of(Plan { home: "share_access_token = true", ..Plan::default() }).await;
    house.sign_in().await;
    let answer = house.get("/v1/accounts/front_door/access-token").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (403, Some("not_shared")));
    assert!(!answer.text.contains(&house.akuvox.credentials(0).token));

    let refreshes = house.aqara.counters().refreshes;
    let answer = house.get("/v1/accounts/home/access-token").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["data"]["access_token"], house.aqara.credentials(0).access_token);
    assert!(answer.json()["data"]["expires_at"].is_string());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(house.aqara.counters().refreshes, refreshes, "a token that lives needs no refresh");
}

#[tokio::test]
async fn an_access_token_that_is_not_held_is_fetched_first() {
    let house = House::of(Plan { home: "share_access_token = true", ..Plan::default() }).await;
    let refresh_token = house.aqara.credentials(0).refresh_token;
    let given = json!({ "refresh_token": refresh_token, "prove": false });
    assert_eq!(house.put("/v1/accounts/home/tokens", &given).await.json()["data"]["outcome"], "adopted");
    let asked = (0..8).map(|_| house.get("/v1/accounts/home/access-token"));
    let mut tokens: Vec<String> = Vec::new();
    for answer in join_all(asked).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
        tokens.push(answer.json()["data"]["access_token"].as_str().unwrap().to_owned());
    }
    tokens.dedup();
    assert_eq!(tokens, [house.aqara.credentials(0).access_token]);
    assert_eq!(house.aqara.counters().refreshes, 1);
}

async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|it| it.1.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
