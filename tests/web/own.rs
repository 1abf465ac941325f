//! How Latchkey itself is: health, metrics, its port and its key.

use std::{
    fs,
    io::Write,
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
};

use latchkey::{clock::Clock, config, service::Service};
use serde_json::json;

use super::{
    bench::{House, KEY},
    tools,
};

#[tokio::test]
async fn health_is_the_process_and_readiness_says_what_is_missing() {
    let house = House::new().await;
    let answer = house.send_with("GET", "/healthz", "", "").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"));
    let answer = house.send_with("GET", "/readyz", "", "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json(), json!({ "ready": false, "store": "open", "broker": "disconnected" }));
}

/// The value of the sample with this name and these labels.
fn sample(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|it| it.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test]
async fn metrics_tell_of_refreshes_times_calls_queues_and_the_store() {
    let house = House::signed_in().await;
    house.put("/v1/accounts/home/tokens", &json!({ "refresh_token": "0123456789abcdef0123456789abcdef" })).await;
    house.post("/v1/accounts/home/scenes/tv_warning/trigger", "").await;
    let answer = house.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let page = answer.text;
    let home = r#"account="home",vendor="aqara""#;
    let host = house.aqara.url().strip_prefix("http://").unwrap();
    assert!(page.contains(&format!("latchkey_build_info{{version=\"{}\",build=", env!("CARGO_PKG_VERSION"))), "{page}");
    for (name, expected) in [
        (format!("latchkey_refreshes_total{{{home},outcome=\"renewed\"}}"), 1.0),
        (format!("latchkey_refreshes_total{{{home},outcome=\"refused\"}}"), 1.0),
        (format!("latchkey_vendor_calls_total{{{home},purpose=\"refresh\"}}"), 2.0),
        (format!("latchkey_account_condition{{{home},condition=\"ok\"}}"), 1.0),
        (format!("latchkey_account_condition{{{home},condition=\"missing\"}}"), 0.0),
        (format!("latchkey_vendor_call_duration_seconds_count{{{home},call=\"config.auth.refreshToken\"}}"), 2.0),
        (format!("latchkey_vendor_call_duration_seconds_count{{{home},call=\"config.scene.run\"}}"), 1.0),
        (format!("latchkey_vendor_call_duration_seconds_bucket{{{home},call=\"config.scene.run\",le=\"+Inf\"}}"), 1.0),
        (format!("latchkey_vendor_turns_waiting{{host={host:?},purpose=\"refresh\"}}"), 0.0),
        ("latchkey_mqtt_connected".to_owned(), 0.0),
        ("latchkey_store_records".to_owned(), 2.0),
    ] {
        assert_eq!(sample(&page, &format!("{name} ")), Some(expected), "{name} in {page}");
    }
    // What there is to act on is listed meanwhile.
    assert!(1.0 <= sample(&page, &format!("latchkey_vendor_calls_total{{{home},purpose=\"call\"}} ")).unwrap());
    let remaining = sample(&page, &format!("latchkey_access_token_remaining_seconds{{{home}}} ")).unwrap();
    assert!((604_000.0..=604_800.0).contains(&remaining), "{remaining}");
    assert!(sample(&page, &format!("latchkey_last_refresh_age_seconds{{{home}}} ")).unwrap() < 600.0);
    check_with_promtool(&page);
}

/// Debian has `promtool` in its package prometheus.
fn check_with_promtool(page: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let promtool = tools::or_skip("the metrics were not checked by promtool", promtool.map_err(|it| it.to_string()));
    let Some(mut promtool) = promtool else { return };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    assert!(output.status.success() && complaints.trim().is_empty(), "{complaints}");
}

#[tokio::test]
async fn a_key_is_made_beside_the_store_and_lasts() {
    let house = House::new().await;
    let file = house.folder.path().join("latchkey.toml");
    let without_key = fs::read_to_string(&file).unwrap().replace(&format!("key = {KEY:?}\n"), "");
    fs::write(&file, without_key).unwrap();
    house.service.stop().await;
    let path = house.folder.path().join("store/web.key");
    assert!(!path.exists(), "one was given");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let settings = config::load(Some(&file), std::iter::empty()).unwrap();
        let service = Service::start(settings, Clock::system()).unwrap();
        let key = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let request = format!(
            "GET /v1/accounts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Latchkey-Key: {}\r\n\r\n",
            key.trim()
        );
        let stream = tokio::net::TcpStream::connect(service.web.unwrap()).await.unwrap();
        assert_eq!(super::bench::exchange(stream, &request).await.status, 200);
        service.stop().await;
        keys.push(key);
    }
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start_with_the_mend_and_nothing_was_begun() {
    let house = House::new().await;
    let other = tempfile::tempdir().unwrap();
    let file = house.folder.path().join("latchkey.toml");
    let store = other.path().join("store");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("127.0.0.1:0", &house.address.to_string())
        .replace(&format!("{:?}", house.folder.path().join("store")), &format!("{store:?}"));
    let taken = other.path().join("latchkey.toml");
    fs::write(&taken, text).unwrap();
    let settings = config::load(Some(&taken), std::iter::empty()).unwrap();
    let error = Service::start(settings, Clock::system()).err().unwrap().to_string();
    assert!(error.contains(&house.address.to_string()) && error.contains("web.listen"), "{error}");
    assert!(!store.exists(), "it was begun all the same");
}
