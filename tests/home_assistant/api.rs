//! The little of Home Assistant's REST API that these tests need.

use std::{sync::LazyLock, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// How long anything may take that should take a second.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// A Home Assistant that somebody else started.
pub(crate) struct HomeAssistant {
    url: String,
    token: String,
}

impl HomeAssistant {
    pub(crate) fn new(url: String, token: String) -> Self {
        Self { url, token }
    }

    /// An entity's state document, where there is one.
    pub(crate) async fn state(&self, entity: &str) -> Option<Value> {
        match self.call(Method::GET, &format!("states/{entity}"), Value::Null).await.unwrap() {
            (StatusCode::OK, state) => Some(state),
            (status, _) => {
                assert_eq!(status, StatusCode::NOT_FOUND, "{entity}");
                None
            }
        }
    }

    pub(crate) async fn states(&self) -> Vec<Value> {
        let (status, states) = self.call(Method::GET, "states", Value::Null).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        states.as_array().unwrap().clone()
    }

    /// All states that an entity has had in the last day.
    pub(crate) async fn history(&self, entity: &str) -> Vec<Value> {
        let path = format!("history/period?filter_entity_id={entity}");
        let (status, history) = self.call(Method::GET, &path, Value::Null).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{history}");
        history[0].as_array().cloned().unwrap_or_default()
    }

    /// Puts a state there that belongs to no integration.
    pub(crate) async fn set_state(&self, entity: &str, state: &str) {
        let body = json!({ "state": state, "attributes": { "device_class": "timestamp" } });
        let (status, answer) = self.call(Method::POST, &format!("states/{entity}"), body).await.unwrap();
        assert!(status.is_success(), "{answer}");
    }

    /// Waits until an entity's state document is as wanted; `what` names it where it is waited for in vain.
    pub(crate) async fn until(&self, entity: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
        let is_as_wanted = async {
            while !self.state(entity).await.as_ref().is_some_and(&wanted) {
                sleep(PAUSE).await;
            }
        };
        if timeout(PATIENCE, is_as_wanted).await.is_err() {
            panic!("{entity} is not {what}: {:?}", self.state(entity).await);
        }
    }

    pub(crate) async fn until_state(&self, entity: &str, state: &str) {
        self.until(entity, state, |it| it["state"] == state).await;
    }

    /// Carries out an action such as `button.press`, and waits until it is done.
    pub(crate) async fn act(&self, action: &str, data: Value) {
        let (status, answer) = self.call(Method::POST, &path_of(action), data).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{action}: {answer}");
    }

    /// Runs a script and returns its response.
    pub(crate) async fn script(&self, name: &str, data: Value) -> Value {
        let path = format!("services/script/{name}?return_response");
        let (status, mut answer) = self.call(Method::POST, &path, data).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{name}: {answer}");
        answer["service_response"].take()
    }

    /// Restarts it and waits until it runs again.
    pub(crate) async fn restart(&self) {
        // It may hang up before it has answered.
        let _ = self.call(Method::POST, "services/homeassistant/restart", json!({})).await;
        let down = self.until_running(false);
        timeout(PATIENCE, down).await.expect("it restarts: is its configuration in order?");
        timeout(PATIENCE, self.until_running(true)).await.expect("it comes back");
    }

    async fn until_running(&self, wanted: bool) {
        while self.is_running().await != wanted {
            sleep(PAUSE).await;
        }
    }

    async fn is_running(&self) -> bool {
        let config = self.call(Method::GET, "config", Value::Null).await;
        config.is_ok_and(|(_, config)| config["state"] == "RUNNING")
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = client().request(method, format!("{}/api/{path}", self.url)).bearer_auth(&self.token);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}

fn path_of(action: &str) -> String {
    format!("services/{}", action.replacen('.', "/", 1))
}

/// One for all tests, since it is slow to make; it keeps no connection, which would belong to one test's runtime.
fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        builder.timeout(Duration::from_secs(150)).build().unwrap()
    });
    &CLIENT
}
