use std::net::{Ipv4Addr, SocketAddr};

use latchkey::demo::clouds::{
    AkuvoxCloud, AqaraCloud, Fault, FaultKind, Options, Places, Tls,
    akuvox::{veil_login, veil_password, veil_phone},
};
use rcgen::{CertificateParams, KeyPair};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::http::{AqaraRequest, akuvox_refresh_at, akuvox_refresh_with, aqara, client, send};

fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn two_regions<K: Default>() -> Options<K> {
    Options { n_accounts: 2, places: Places { n_regions: 2, ..Places::default() }, ..Options::default() }
}

#[tokio::test]
async fn gate_rest_and_web_listen_apart_unless_told() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let urls = [cloud.url().to_owned(), cloud.rest_url(), cloud.web_url()];
    for (number, url) in urls.iter().enumerate() {
        let (status, _) = send(client().get(format!("{url}/rest_server")).header("api-version", "6.0")).await;
        assert_eq!(status == StatusCode::OK, number == 0, "{url}");
    }
    assert_eq!((cloud.log()[0].part, cloud.log()[1].part), (Some("gate"), Some("rest")));

    let places = Places { shares_one_port: true, ..Places::default() };
    let cloud = AkuvoxCloud::start(free(), Options { places, ..Options::default() }).await.unwrap();
    assert_eq!((cloud.rest_url().as_str(), cloud.web_url().as_str()), (cloud.url(), cloud.url()));
    let token = cloud.credentials(0).token;
    let request = client().get(format!("{}/login_conf?token={token}", cloud.url())).header("api-version", "6.5");
    assert_eq!(send(request).await.1["result"], 0);
}

#[tokio::test]
async fn the_rest_host_is_named_as_the_gate_was_reached() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let port = cloud.url().rsplit_once(':').unwrap().1.to_owned();
    let request = client().get(format!("http://localhost:{port}/rest_server")).header("api-version", "6.0");
    let (_, answer) = send(request).await;
    assert!(answer["datas"]["rest_server"].as_str().unwrap().starts_with("localhost:"));
}

#[tokio::test]
async fn an_akuvox_account_lives_in_one_region_and_no_other_knows_its_tokens() {
    let cloud = AkuvoxCloud::start(free(), two_regions()).await.unwrap();
    let gates = [0, 1].map(|it| cloud.url_of(it, "gate"));
    for account in [0, 1] {
        let known = cloud.credentials(account);
        let (home, away) = (account, 1 - account);
        let (_, refused) = send(akuvox_refresh_at(&gates[away], &known.token, &known.refresh_token)).await;
        assert_eq!(refused["message"], "token invalid");
        let check = async |region| {
            let url = format!("{}/login_conf?token={}", cloud.url_of(region, "rest"), known.token);
            send(client().get(url).header("api-version", "6.5")).await.1["result"].clone()
        };
        assert_eq!((check(home).await, check(away).await), (json!(0), json!(-1)));
        let (user, password) = (veil_login(&known.login, true), veil_password(&known.password));
        let login = async |region: usize| {
            let url = format!("{}/login?user={user}&passwd={password}", gates[region]);
            send(client().get(url).header("api-version", "7.33")).await.1["err_code"].clone()
        };
        assert_eq!((login(home).await, login(away).await), (json!("0"), json!("-1")));
        let ask = async |region| {
            let form = format!("AreaCode=44&MobileNumber={}&Type=0", known.phone_number);
            let request = client().post(format!("{}/send_mobile_checkcode", cloud.url_of(region, "rest")));
            let request =
                request.header("x-auth-token", "").header("content-type", "application/x-www-form-urlencoded");
            send(request.body(form)).await.1["message"].clone()
        };
        assert_eq!((ask(away).await, ask(home).await), (json!("token invalid"), json!("success")));
        let (phone, code) = (veil_phone(&known.phone_number), cloud.newest_code(account).unwrap());
        let url = format!("{}/sms_login?phone={phone}&code={code}&area_code=44", gates[away]);
        assert_eq!(send(client().get(url).header("api-version", "6.6")).await.1["message"], "token invalid");

        assert_eq!(cloud.account(account).generation, 1, "nothing was spent");
        let (_, renewed) = send(akuvox_refresh_at(&gates[home], &known.token, &known.refresh_token)).await;
        assert_eq!(renewed["err_code"], "0");
    }
    cloud.turn_knobs(|it| it.wrong_region_message = "request is invalid".to_owned());
    let known = cloud.credentials(0);
    let (_, refused) = send(akuvox_refresh_at(&gates[1], &known.token, &known.refresh_token)).await;
    assert_eq!(refused["message"], "request is invalid");
}

#[tokio::test]
async fn an_aqara_key_is_of_no_use_in_another_region() {
    let cloud = AqaraCloud::start(free(), two_regions()).await.unwrap();
    let (first, second) = (cloud.credentials(0), cloud.credentials(1));
    assert_ne!(first.app_id, second.app_id);
    let list = AqaraRequest::new(&cloud, Some(&first.access_token), "query.position.info", json!({}));
    let code = async |region: usize| send(list.build_at(&cloud.url_of(region, "api"))).await.1["code"].clone();
    assert_eq!((code(0).await, code(1).await), (json!(0), json!(107)));
    let strange = aqara(&cloud, Some(&second.access_token), "query.position.info", json!({})).await;
    assert_eq!(strange["code"], 108, "the key is right here, the account lives there");
    let refused = crate::http::aqara_refresh(&cloud, &second.refresh_token).await;
    assert_eq!((refused["code"].clone(), cloud.account(1).generation), (json!(2006), 1));
}

#[tokio::test]
async fn clients_that_insist_on_https_get_it_and_faults_cut_there_too() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let tls = Tls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let places = Places { tls: Some(tls), ..Places::default() };
    let cloud = AkuvoxCloud::start(free(), Options { places, ..Options::default() }).await.unwrap();
    assert!(cloud.url().starts_with("https://127.0.0.1:") && cloud.web_url().starts_with("https://"));

    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).pool_max_idle_per_host(0).build().unwrap();
    let over_tls = |request: reqwest::RequestBuilder| client.execute(request.build().unwrap());
    let discover = client.get(format!("{}/rest_server", cloud.url())).header("api-version", "6.0");
    let answer: Value = serde_json::from_str(&over_tls(discover).await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(format!("https://{}", answer["datas"]["rest_server_https"].as_str().unwrap()), cloud.rest_url());

    cloud.inject(Fault::new(FaultKind::CutBody));
    cloud.inject(Fault::new(FaultKind::ReplyLostAfterRotation));
    let cut = over_tls(akuvox_refresh_with(&cloud, &cloud.credentials(0))).await.unwrap();
    assert_eq!(cut.status(), StatusCode::OK);
    assert!(cut.bytes().await.is_err());
    assert!(over_tls(akuvox_refresh_with(&cloud, &cloud.credentials(0))).await.is_err());
    assert_eq!(cloud.account(0).generation, 3);

    let in_clear = cloud.url().replace("https://", "http://");
    assert!(crate::http::client().get(in_clear).send().await.is_err());
    let discover = client.get(format!("{}/rest_server", cloud.url())).header("api-version", "6.0");
    assert_eq!(over_tls(discover).await.unwrap().status(), StatusCode::OK, "a failed greeting harms no other");
    assert!(Tls::from_pem(b"no certificate", key.serialize_pem().as_bytes()).is_err());
    assert!(Tls::from_pem(certificate.pem().as_bytes(), b"no key").is_err());
}

#[tokio::test]
async fn a_clock_that_is_off_shows_in_the_date_header_and_in_what_the_cloud_believes() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    cloud.turn_knobs(|it| it.clock_ahead_seconds = 600);
    let right = cloud.clock().now();
    let list = AqaraRequest::new(&cloud, None, "config.auth.refreshToken", json!({ "refreshToken": "any" }));
    let response = list.build(&cloud).send().await.unwrap();
    let date = response.headers()["date"].to_str().unwrap().to_owned();
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&date).unwrap();
    assert!((599..700).contains(&date.duration_since(right).as_secs()), "{date}, and it was {right}");
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer["code"], 105, "the right time is outside of its window");
}
