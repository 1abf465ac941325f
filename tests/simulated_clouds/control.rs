use clap::Parser;
use jiff::Timestamp;
use latchkey::{
    cli::simulate::{SimulateArgs, Simulators},
    clock::Clock,
    demo::clouds::{AkuvoxCloud, AqaraCloud, Options, short_hash},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{akuvox_refresh_with, akuvox_takes, aqara, aqara_refresh, client, control, send};

#[tokio::test]
async fn time_moves_by_http_and_tokens_end() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let (status, answer) = control(cloud.url(), Method::POST, "advance", json!({ "seconds": 604_800 })).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer["now"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert!(!akuvox_takes(&cloud, &token).await);
}

#[tokio::test]
async fn what_is_not_known_is_refused_and_changes_nothing() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    for (path, body) in [
        ("advance", json!({})),
        ("advance", json!({ "seconds": -1 })),
        ("advance", json!({ "seconds": 1e18 })),
        ("knobs", json!({ "token_lifetime": 60 })),
        ("knobs", json!({ "access_refusal": "often" })),
        ("knobs", json!([])),
        ("fault", json!({ "kind": "flood" })),
        ("fault", json!({ "kind": "hang", "often": 2 })),
        ("fault", json!({ "kind": "hang", "on": "refresh_token" })),
        ("fault", json!({ "kind": "slow", "seconds": -1 })),
        ("revoke", json!({ "what": "all" })),
        ("revoke", json!({ "what": "grant", "account": 1 })),
        ("seed", json!({ "account": 1 })),
        ("phone", json!({})),
        ("phone", json!({ "does": "ring" })),
        ("phone", json!({ "does": "refresh", "account": 1 })),
    ] {
        let (status, answer) = control(cloud.url(), Method::POST, path, body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert!(answer["error"].is_string());
    }
    let (status, _) = control(cloud.url(), Method::GET, "nothing", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(aqara_refresh(&cloud, &cloud.credentials(0).refresh_token).await["code"], 0);
    assert_eq!(cloud.counters().calls, 1, "control calls are not counted");
}

#[tokio::test]
async fn knobs_are_turned_one_by_one() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let patch = json!({ "refresh_answer": "under_data", "token_valid": "zero" });
    let (_, knobs) = control(cloud.url(), Method::POST, "knobs", patch).await;
    assert_eq!((&knobs["token_valid"], &knobs["token_lifetime_seconds"]), (&json!("zero"), &json!(604_800)));
    assert_eq!(control(cloud.url(), Method::GET, "knobs", json!({})).await.1, knobs);
    let (_, answer) = send(akuvox_refresh_with(&cloud, &cloud.credentials(0))).await;
    assert_eq!(answer["data"]["token_valid"], "0");
}

#[tokio::test]
async fn faults_are_injected_and_forgotten_by_http() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let inject = json!({ "kind": "http_500", "times": 5, "on": "any" });
    let (_, waiting) = control(cloud.url(), Method::POST, "fault", inject).await;
    assert_eq!(waiting["waiting"][0]["times"], 5);
    let refresh = async || akuvox_refresh_with(&cloud, &cloud.credentials(0)).send().await.unwrap().status();
    assert_eq!(refresh().await, StatusCode::INTERNAL_SERVER_ERROR);
    control(cloud.url(), Method::DELETE, "fault", json!({})).await;
    assert_eq!(refresh().await, StatusCode::OK);
}

#[tokio::test]
async fn grants_are_revoked_and_seeded_anew_by_http() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let first = cloud.credentials(0);
    control(cloud.url(), Method::POST, "revoke", json!({ "what": "access" })).await;
    assert!(!akuvox_takes(&cloud, &first.token).await);
    assert_eq!(send(akuvox_refresh_with(&cloud, &first)).await.1["err_code"], "0");

    let second = cloud.credentials(0);
    let (_, state) = control(cloud.url(), Method::POST, "revoke", json!({ "what": "grant" })).await;
    assert_eq!(state["revoked"], true);
    assert!(!akuvox_takes(&cloud, &second.token).await);
    assert_eq!(send(akuvox_refresh_with(&cloud, &second)).await.1["err_code"], "-1");

    let (_, fresh) = control(cloud.url(), Method::POST, "seed", json!({})).await;
    assert_eq!(fresh["refresh_token"], cloud.credentials(0).refresh_token);
    assert!(akuvox_takes(&cloud, fresh["token"].as_str().unwrap()).await);
    assert_eq!(cloud.counters().logins, 1);
}

#[tokio::test]
async fn the_phone_acts_by_http_and_says_what_it_holds_only_where_it_pushes() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let phone = async |does: &str| control(cloud.url(), Method::POST, "phone", json!({ "does": does })).await;
    assert_eq!(phone("refresh").await, (StatusCode::OK, json!({ "generation": 2 })));
    assert_eq!(phone("sign_in").await, (StatusCode::OK, json!({ "generation": 1 })));
    let (_, pushed) = phone("push").await;
    assert_eq!(pushed["refresh_token"], cloud.credentials(0).refresh_token);
    cloud.revoke(0, latchkey::demo::clouds::What::Grant);
    assert_eq!(phone("refresh").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_codes_that_were_sent_are_read_by_http() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let account = cloud.credentials(0).account;
    let (_, none) = control(cloud.url(), Method::GET, "sms", json!({})).await;
    assert_eq!(none, json!({ "messages": [] }));
    aqara(&cloud, None, "config.auth.getAuthCode", json!({ "account": account, "accountType": 0 })).await;
    let (_, sent) = control(cloud.url(), Method::GET, "sms", json!({})).await;
    assert_eq!((&sent["messages"][0]["to"], &sent["messages"][0]["account"]), (&json!(account), &json!(0)));
    assert_eq!(sent["messages"][0]["code"].as_str(), cloud.newest_code(0).as_deref());
}

#[tokio::test]
async fn log_counters_and_state_tell_what_happened_and_the_log_shows_no_token() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let first = cloud.credentials(0);
    send(akuvox_refresh_with(&cloud, &first)).await;
    send(akuvox_refresh_with(&cloud, &first)).await;

    let (_, log) = control(cloud.url(), Method::GET, "log", json!({})).await;
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((&entries[0]["method"], &entries[0]["path"]), (&json!("POST"), &json!("/refresh_token")));
    assert_eq!((&entries[0]["number"], &entries[0]["outcome"]), (&json!(1), &json!("ok")));
    assert_eq!(entries[1]["outcome"], "refresh token was used before");
    assert!(
        entries[1]["secrets"].as_array().unwrap().contains(&json!(["refresh_token", short_hash(&first.refresh_token)]))
    );
    let second = cloud.credentials(0);
    let issued = json!({
        "access_token": short_hash(&second.token),
        "refresh_token": short_hash(&second.refresh_token),
    });
    assert_eq!((&entries[0]["issued"], &entries[1]["issued"]), (&issued, &Value::Null));
    for secret in [&first.token, &first.refresh_token, &second.token, &second.refresh_token] {
        assert!(!log.to_string().contains(secret.as_str()));
    }

    let (_, counters) = control(cloud.url(), Method::GET, "counters", json!({})).await;
    assert_eq!((&counters["refreshes"], &counters["replays"], &counters["calls"]), (&json!(1), &json!(1), &json!(2)));
    let (_, state) = control(cloud.url(), Method::GET, "state", json!({})).await;
    assert_eq!(state["accounts"][0]["generation"], 2);
    assert_eq!(state["accounts"][0]["refresh_token"], second.refresh_token);
    for path in ["/_sim", "/_sim/"] {
        let (status, described) = send(client().get(format!("{}{path}", cloud.url()))).await;
        assert_eq!((status, &described["vendor"]), (StatusCode::OK, &json!("akuvox")));
    }
}

#[tokio::test]
async fn clouds_can_share_one_paused_clock() {
    let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let (clock, hand) = Clock::paused(start);
    let time = || Some((clock.clone(), hand.clone()));
    let address = ([127, 0, 0, 1], 0).into();
    let akuvox = AkuvoxCloud::start(address, Options { time: time(), ..Default::default() }).await.unwrap();
    let aqara = AqaraCloud::start(address, Options { time: time(), ..Default::default() }).await.unwrap();
    assert_eq!(akuvox.account(0).access_expires_at, "2026-11-29T10:00:00Z");
    assert_eq!(aqara.account(0).refresh_expires_at.as_deref(), Some("2026-12-29T10:00:00Z"));
    akuvox.advance(std::time::Duration::from_secs(604_800));
    assert_eq!(clock.now(), start + std::time::Duration::from_secs(604_800));
    assert!(!akuvox_takes(&akuvox, &akuvox.credentials(0).token).await);
    assert_eq!(aqara_refresh(&aqara, &aqara.credentials(0).refresh_token).await["code"], 0);
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    simulate: SimulateArgs,
}

#[tokio::test]
async fn the_command_starts_what_it_was_told_and_prints_how_to_reach_it() {
    let line = ["simulate", "--akuvox", "127.0.0.1:0", "--aqara", "127.0.0.1:0", "--token-lifetime", "60s", "--json"];
    let args = CommandLine::try_parse_from(line).unwrap().simulate;
    let simulators = Simulators::start(&args).await.unwrap();
    let described = simulators.describe();
    let text = |vendor: &str, key: &str| described[vendor][key].as_str().unwrap().to_owned();

    for key in ["token", "refresh_token"] {
        assert_eq!(text("akuvox", key).len(), 32);
    }
    for key in ["rest_url", "web_url", "codes_url", "phone_number", "dial_code", "login", "password", "auth_token"] {
        assert!(!text("akuvox", key).is_empty(), "{key}");
    }
    for key in ["account", "password", "app_id", "key_id", "app_key", "refresh_token", "access_token"] {
        assert!(!text("aqara", key).is_empty());
    }
    assert!(described["aqara"]["scenes"]["TV PIN entry"].as_str().unwrap().starts_with("AL."));
    let (_, state) = control(&text("akuvox", "url"), Method::GET, "state", Value::Null).await;
    let [issued, ends] = ["issued_at", "access_expires_at"]
        .map(|it| state["accounts"][0][it].as_str().unwrap().parse::<Timestamp>().unwrap());
    assert_eq!(ends.duration_since(issued).as_secs(), 60);
    simulators.shutdown().await;

    let only_aqara = CommandLine::try_parse_from(["simulate", "--aqara", "127.0.0.1:0", "--accounts", "3"]).unwrap();
    let described = Simulators::start(&only_aqara.simulate).await.unwrap().describe();
    assert_eq!((described.get("akuvox"), described["aqara"]["accounts"].as_array().unwrap().len()), (None, 3));
    for wrong in
        [&["--accounts", "0"][..], &["--regions", "0"], &["--tls-cert", "a"], &["--akuvox-rest", "127.0.0.1:0"]]
    {
        assert!(CommandLine::try_parse_from([&["simulate"], wrong].concat()).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn the_command_lays_out_ports_regions_and_https() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    // A port that was free a moment ago.
    let rest = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let line = ["simulate", "--akuvox", "127.0.0.1:0", "--akuvox-rest", &rest, "--regions", "2"];
    let tls = ["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")];
    let start = async |line: &[&str]| Simulators::start(&CommandLine::try_parse_from(line).unwrap().simulate).await;
    let described = start(&[&line[..], &tls].concat()).await.unwrap().describe();
    assert_eq!(described["akuvox"]["rest_url"], format!("https://{rest}"));
    let gate = |region: usize| described["akuvox"]["regions"][region]["gate"].as_str().unwrap();
    assert_eq!(gate(0), described["akuvox"]["url"]);
    assert!(gate(1).starts_with("https://") && gate(1) != gate(0));

    let no_key = ["simulate", "--tls-cert", &path("cert.pem"), "--tls-key", &path("none.pem")];
    let error = start(&no_key).await.err().unwrap();
    assert!(error.to_string().contains("none.pem"), "{error}");
}
