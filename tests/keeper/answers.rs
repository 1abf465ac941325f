//! What comes back over HTTP from backends that are careless, and from what stands in between.

use std::{sync::Arc, time::Duration};

use latchkey::{
    account::{Class, Secret},
    clock::Clock,
    config,
    vendor::{self, Answer, Http, Spend, Vendor, VendorError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::bench::{id, in_time};

const PAIR: &str = r#"{"datas":{"refresh_token":"R2","token":"A2","token_valid":"604800"},"err_code":"0"}"#;

fn akuvox(gate: &str) -> Arc<dyn Vendor> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    std::fs::write(&file, format!("[accounts.door]\nvendor = \"akuvox\"\ngate = {gate:?}\n")).unwrap();
    let settings = config::load(Some(&file), std::iter::empty()).unwrap();
    let http = Http::new(Duration::from_secs(5), Clock::system()).unwrap();
    vendor::connect(&settings.accounts[&id("door")], &http)
}

/// Has Akuvox's client refresh at a server that answers this, and returns what it made of it.
async fn refresh(answer: String) -> Result<Answer, VendorError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gate = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = client.read(&mut request).await.unwrap();
        client.write_all(answer.as_bytes()).await.unwrap();
    });
    let vendor = akuvox(&gate);
    let (refresh, access) = (Secret::new("R1"), Secret::new("A1"));
    let answer = in_time(vendor.refresh(Spend { refresh: &refresh, access: Some(&access) })).await;
    in_time(served).await.unwrap();
    let answer = answer?;
    assert_eq!(vendor.read_refresh(&answer)?.refresh, Some(Secret::new("R2")));
    Ok(answer)
}

fn http(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn tokens_are_taken_whatever_the_backend_calls_their_json() {
    for answer in [
        http("200 OK\r\ncontent-type: text/html; charset=UTF-8", PAIR),
        http("200 OK", PAIR),
        http("201 Created\r\ncontent-type: application/json", PAIR),
        http("200 OK\r\ncontent-type: application/json", &format!("\u{feff}{PAIR}")),
        http("200 OK", &format!("\r\n {PAIR}\r\n")),
        // Cut after the last byte that matters.
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PAIR}", PAIR.len() + 1),
    ] {
        assert!(refresh(answer.clone()).await.is_ok(), "{answer}");
    }
}

#[tokio::test]
async fn pages_redirects_and_faults_are_no_answer_and_leave_the_outcome_open() {
    for answer in [
        http("200 OK\r\ncontent-type: text/html", "<!doctype html><title>Sign in to the hotel's network</title>"),
        http("200 OK\r\ncontent-type: application/json", "  <html></html>"),
        http("307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/elsewhere", ""),
        http("502 Bad Gateway", PAIR),
        http("404 Not Found", "{}"),
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_owned(),
    ] {
        let error = refresh(answer.clone()).await.unwrap_err();
        assert_eq!(error.class, Class::Ambiguous, "{answer}");
    }
}

#[tokio::test]
async fn a_wait_is_read_from_seconds_and_from_a_date() {
    let date = "date: Sun, 22 Nov 2026 10:00:00 GMT\r\nretry-after: Sun, 22 Nov 2026 10:02:00 GMT";
    let leap = "date: Sun, 31 Dec 2028 23:59:60 GMT\r\nretry-after: Mon, 01 Jan 2029 00:01:59 GMT";
    for (head, seconds) in [("retry-after: 120", 120), (date, 120), (leap, 120), ("retry-after: 999999999", 86_400)] {
        let error = refresh(http(&format!("429 Too Many Requests\r\n{head}"), "")).await.unwrap_err();
        assert_eq!(error.class, Class::Throttled { retry_after: Some(Duration::from_secs(seconds)) }, "{head}");
    }
    let error = refresh(http("429 Too Many Requests\r\nretry-after: soon", "")).await.unwrap_err();
    assert_eq!(error.class, Class::Throttled { retry_after: None });
}

#[tokio::test]
async fn a_request_that_certainly_did_not_arrive_is_no_lost_reply() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gate = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let vendor = akuvox(&gate);
    let (refresh, access) = (Secret::new("R1"), Secret::new("A1"));
    let error = vendor.refresh(Spend { refresh: &refresh, access: Some(&access) }).await.unwrap_err();
    assert_eq!(error.class, Class::Transient);
}
