//! The two routes that other programs know, asked as their users wrote it.

use latchkey::demo::clouds::{Fault, FaultKind, Scope};
use serde_json::{Value, json};

use super::bench::{Answer, House, KEY, Plan};

const UPDATE: &str = "/v1/admin/aqara/refresh-token";
const STATUS: &str = "/v1/admin/aqara/token-status";

/// As `curl -X POST ... -H "X-Metron-Key: ..." -H "Content-Type: application/json" -d ...` does.
async fn update(house: &House, body: &str) -> Answer {
    let headers =
        format!("User-Agent: curl/7.88.1\r\nAccept: */*\r\nX-Metron-Key: {KEY}\r\nContent-Type: application/json\r\n");
    house.send_with("POST", UPDATE, &headers, body).await
}

async fn status(house: &House) -> Value {
    let answer = house.send_with("GET", STATUS, &format!("X-Metron-Key: {KEY}\r\n"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn good(house: &House) -> String {
    format!("{{\n    \"refresh_token\": \"{}\"\n  }}", house.aqara.credentials(0).refresh_token)
}

/// `2025-12-11T18:30:00Z`.
fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 20 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

#[tokio::test]
async fn a_refresh_token_is_given_and_its_status_is_told_to_the_letter() {
    let house = House::new().await;
    let message = "No refresh token configured. Use POST /v1/admin/aqara/refresh-token to add one.";
    assert_eq!(status(&house).await, json!({ "configured": false, "message": message }));

    let answer = update(&house, &good(&house)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let updated = answer.json();
    assert_eq!(updated["message"], "Refresh token updated successfully");
    assert!(is_time(&updated["updated_at"]), "{updated}");
    assert_eq!(updated.as_object().unwrap().len(), 2);

    let told = status(&house).await;
    assert_eq!((&told["configured"], &told["access_token_status"]), (&json!(true), &json!("valid")));
    assert_eq!(told["refresh_token_updated_at"], updated["updated_at"]);
    // Seven days, short by the five minutes in which it is renewed before it is used.
    let seconds = told["access_token_expires_in_seconds"].as_i64().unwrap();
    assert!((604_000..=604_500).contains(&seconds), "{seconds}");
    assert_eq!(told.as_object().unwrap().len(), 4);
    // In the order of their documentation, for whoever cuts it out of the text.
    let text = house.send_with("GET", STATUS, &format!("X-Metron-Key: {KEY}\r\n"), "").await.text;
    assert!(text.starts_with(r#"{"configured":true,"refresh_token_updated_at":"20"#), "{text}");
}

#[tokio::test]
async fn a_body_without_a_refresh_token_is_refused_to_the_letter() {
    let house = House::new().await;
    let expected =
        json!({ "error": "Invalid request body", "code": "INVALID_REQUEST", "details": "refresh_token is required" });
    for body in ["{}", r#"{"refresh_token":""}"#, r#"{"refresh_token":null}"#, r#"{"token":"abcdef"}"#] {
        let answer = update(&house, body).await;
        assert_eq!((answer.status, answer.json()), (400, expected.clone()), "{body}");
    }
    for body in ["", "no", "[]", r#"{"refresh_token":5}"#, r#"{"refresh_token":"a\nb"}"#, r#"{"refresh":"a"}"#] {
        let answer = update(&house, body).await;
        let error = answer.json();
        assert_eq!((answer.status, &error["code"]), (400, &json!("INVALID_REQUEST")), "{body}: {error}");
        assert!(!error["details"].as_str().unwrap().is_empty());
    }
    assert_eq!(house.aqara.counters().refreshes, 0);
}

#[tokio::test]
async fn a_wrong_key_is_refused_to_the_letter() {
    let house = House::new().await;
    let expected = json!({ "error": "Unauthorized", "code": "UNAUTHORIZED" });
    for headers in ["", "X-Metron-Key: wrong\r\n"] {
        let answer = house.send_with("POST", UPDATE, headers, &good(&house)).await;
        assert_eq!((answer.status, answer.json()), (401, expected.clone()));
        let answer = house.send_with("GET", STATUS, headers, "").await;
        assert_eq!((answer.status, answer.json()), (401, expected.clone()));
    }
}

#[tokio::test]
async fn a_token_that_the_cloud_refuses_changes_nothing_and_says_so() {
    let house = House::new().await;
    update(&house, &good(&house)).await;
    let before = status(&house).await;
    let answer = update(&house, r#"{"refresh_token":"0123456789abcdef0123456789abcdef"}"#).await;
    let error = answer.json();
    assert_eq!((answer.status, &error["code"]), (409, &json!("REFRESH_REFUSED")), "{error}");
    assert!(error["error"].as_str().unwrap().contains("the tokens before them are kept"), "{error}");
    assert_eq!(status(&house).await["refresh_token_updated_at"], before["refresh_token_updated_at"]);
    assert_eq!(status(&house).await["access_token_status"], "valid");
}

#[tokio::test]
async fn a_token_that_cannot_be_proved_yet_is_stored_and_counts_as_updated() {
    let house = House::new().await;
    house.aqara.inject(Fault::new(FaultKind::ResetBefore).on(Scope::Any, 1000));
    let answer = update(&house, &good(&house)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(is_time(&answer.json()["updated_at"]));
    let told = status(&house).await;
    assert_eq!((&told["configured"], &told["access_token_status"]), (&json!(true), &json!("not_cached")));
    assert!(told.get("access_token_expires_in_seconds").is_none());
}

#[tokio::test]
async fn of_several_accounts_the_one_is_named() {
    let house = House::of(Plan { has_cabin: true, ..Plan::default() }).await;
    let answer = update(&house, &good(&house)).await;
    let error = answer.json();
    assert_eq!((answer.status, &error["code"]), (400, &json!("INVALID_REQUEST")));
    assert!(error["details"].as_str().unwrap().contains("?entry_id="), "{error}");

    let headers = format!("X-Metron-Key: {KEY}\r\n");
    let answer = house.send_with("POST", &format!("{UPDATE}?entry_id=home"), &headers, &good(&house)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let told =
        async |entry_id: &str| house.send_with("GET", &format!("{STATUS}?entry_id={entry_id}"), &headers, "").await;
    assert_eq!(told("home").await.json()["configured"], true);
    assert_eq!(told("cabin").await.json()["configured"], false);
    for other in ["front_door", "nobody", "", "%ff"] {
        let answer = told(other).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("UNKNOWN_ACCOUNT")), "{other}");
    }
}
