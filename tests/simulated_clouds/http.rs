//! The little HTTP that these tests need, and a client for each vendor that is written apart from Latchkey's own.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use latchkey::demo::clouds::{AkuvoxCloud, AqaraCloud, akuvox::AkuvoxCredentials, aqara::AqaraCredentials};
use md5::{Digest, Md5};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// One for all tests, since it is slow to make; it keeps no connection, which would belong to one test's runtime.
pub(crate) fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().timeout(Duration::from_secs(30)).pool_max_idle_per_host(0).build().unwrap()
    });
    &CLIENT
}

/// Sends a request and reads the answer as JSON.
pub(crate) async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err}: {text}")))
}

/// A call of the control API.
pub(crate) async fn control(url: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    send(client().request(method, format!("{url}/_sim/{path}")).body(body.to_string())).await
}

/// `POST /refresh_token` as the app sends it.
pub(crate) fn akuvox_refresh(cloud: &AkuvoxCloud, token: &str, refresh_token: &str) -> RequestBuilder {
    akuvox_refresh_at(cloud.url(), token, refresh_token)
}

/// The same at any gate.
pub(crate) fn akuvox_refresh_at(gate: &str, token: &str, refresh_token: &str) -> RequestBuilder {
    client()
        .post(format!("{gate}/refresh_token"))
        .header("x-auth-token", token)
        .header("api-version", "6.8")
        .header("content-type", "application/json")
        .header("user-agent", "VBell/7.20.5 (iPhone; iOS 26.1; Scale/2.00)")
        .body(json!({ "refresh_token": refresh_token }).to_string())
}

/// A refresh with the pair that an account was seeded with.
pub(crate) fn akuvox_refresh_with(cloud: &AkuvoxCloud, credentials: &AkuvoxCredentials) -> RequestBuilder {
    akuvox_refresh(cloud, &credentials.token, &credentials.refresh_token)
}

/// `GET /login_conf`: whether the cloud takes the access token.
pub(crate) async fn akuvox_takes(cloud: &AkuvoxCloud, token: &str) -> bool {
    let url = format!("{}/login_conf?token={token}", cloud.rest_url());
    let (status, answer) = send(client().get(url).header("api-version", "6.5")).await;
    assert_eq!(status, StatusCode::OK);
    if answer["result"] != 0 {
        assert_eq!(answer, json!({ "result": -1, "err_code": "-1", "message": "token invalid" }));
    }
    answer["result"] == 0
}

/// An Aqara request whose parts can be spoilt before it is sent.
pub(crate) struct AqaraRequest {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl AqaraRequest {
    /// A well-formed and well-signed request at the cloud's own time.
    pub(crate) fn new(cloud: &AqaraCloud, access_token: Option<&str>, intent: &str, data: Value) -> Self {
        static NONCE: AtomicU64 = AtomicU64::new(0);
        let nonce = format!("nonce{:011}", NONCE.fetch_add(1, Ordering::Relaxed));
        let time = cloud.clock().now().as_millisecond();
        Self::signed(&cloud.credentials(0), access_token, &nonce, time, intent, data)
    }

    pub(crate) fn signed(
        app: &AqaraCredentials,
        access_token: Option<&str>,
        nonce: &str,
        time: i64,
        intent: &str,
        data: Value,
    ) -> Self {
        let mut headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("Appid", app.app_id.clone()),
            ("Keyid", app.key_id.clone()),
            ("Nonce", nonce.to_owned()),
            ("Time", time.to_string()),
        ];
        let mut text = access_token.map(|it| format!("accesstoken={it}&")).unwrap_or_default();
        text += &format!("appid={}&keyid={}&nonce={nonce}&time={time}{}", app.app_id, app.key_id, app.app_key);
        headers.push(("Sign", md5_hex(&text.to_lowercase())));
        headers.extend(access_token.map(|it| ("Accesstoken", it.to_owned())));
        Self { headers, body: json!({ "intent": intent, "data": data }).to_string() }
    }

    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|it| it.0 != name);
        self
    }

    pub(crate) fn build(&self, cloud: &AqaraCloud) -> RequestBuilder {
        self.build_at(cloud.url())
    }

    /// The same for any address.
    pub(crate) fn build_at(&self, url: &str) -> RequestBuilder {
        let request = client().post(format!("{url}/v3.0/open/api")).body(self.body.clone());
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }

    pub(crate) async fn send(&self, cloud: &AqaraCloud) -> Value {
        let (status, answer) = send(self.build(cloud)).await;
        assert_eq!(status, StatusCode::OK, "business errors are HTTP 200");
        answer
    }
}

/// Calls an intent with or without an access token.
pub(crate) async fn aqara(cloud: &AqaraCloud, access_token: Option<&str>, intent: &str, data: Value) -> Value {
    AqaraRequest::new(cloud, access_token, intent, data).send(cloud).await
}

pub(crate) async fn aqara_refresh(cloud: &AqaraCloud, refresh_token: &str) -> Value {
    aqara(cloud, None, "config.auth.refreshToken", json!({ "refreshToken": refresh_token })).await
}

pub(crate) fn md5_hex(text: &str) -> String {
    hex::encode(Md5::digest(text))
}
