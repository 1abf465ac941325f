//! The little of Home Assistant's API that these tests need.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{LazyLock, Mutex},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::socket::Socket;

/// How long anything may take that should take a second.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// The devices that were deleted by hand.
static DELETED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether a line of Home Assistant's log tells of what it does itself when a device is deleted by hand.
pub(crate) fn is_about_deletion(line: &str) -> bool {
    let deleted = DELETED.lock().unwrap();
    deleted.iter().any(|it| line.contains(&format!("No device components to cleanup for {it}, ")))
}

/// What Home Assistant remembers of the devices that came by MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// Their names, by the keys in their discovery topics.
    pub(crate) devices: BTreeMap<String, String>,
    /// By the key of a device, the key of the one by way of which it is connected.
    pub(crate) by_way_of: BTreeMap<String, String>,
    pub(crate) entities: BTreeSet<String>,
}

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

    /// Waits until the registries are as wanted; `what` names it where it is waited for in vain.
    pub(crate) async fn until_registered(&self, what: &str, wanted: impl Fn(&Registered) -> bool) -> Registered {
        let is_as_wanted = async {
            loop {
                let registered = self.registered().await;
                if wanted(&registered) {
                    return registered;
                }
                sleep(PAUSE).await;
            }
        };
        match timeout(PATIENCE, is_as_wanted).await {
            Ok(registered) => registered,
            Err(_) => panic!("the registries are not {what}: {:#?}", self.registered().await),
        }
    }

    /// What is in the registries of Latchkey's devices, be it available or not, disabled or not.
    pub(crate) async fn registered(&self) -> Registered {
        let entries = self.ask(json!({ "type": "config/device_registry/list" })).await;
        let key = |it: &Value| {
            let ours = it["identifiers"].as_array()?.iter().find(|it| it[0] == "mqtt");
            Some(ours?[1].as_str()?.to_owned())
        };
        let of_mqtt = entries.as_array().unwrap().iter().filter_map(|it| Some((key(it)?, it)));
        let of_mqtt: Vec<(String, &Value)> = of_mqtt.collect();
        let entries = self.ask(json!({ "type": "config/entity_registry/list" })).await;
        let entities = entries.as_array().unwrap().iter().filter(|it| it["platform"] == "mqtt");
        let entities = entities.map(|it| it["entity_id"].as_str().unwrap().to_owned()).collect();
        let name = |it: &Value| it["name"].as_str().unwrap_or("nameless").to_owned();
        let devices: BTreeMap<String, String> = of_mqtt.iter().map(|(key, it)| (key.clone(), name(it))).collect();
        assert_eq!(devices.len(), of_mqtt.len(), "a device is there twice: {devices:?}");
        let by_way_of = of_mqtt.iter().filter_map(|(key, it)| {
            let other = of_mqtt.iter().find(|(_, other)| other["id"] == it["via_device_id"])?;
            Some((key.clone(), other.0.clone()))
        });
        Registered { devices, by_way_of: by_way_of.collect(), entities }
    }

    /// Deletes a device as the button on its page does.
    ///
    /// Home Assistant then clears its topic once for each entity, and complains to itself about all but the first.
    pub(crate) async fn delete_device(&self, key: &str) {
        DELETED.lock().unwrap().insert(key.to_owned());
        let entries = self.ask(json!({ "type": "config/device_registry/list" })).await;
        let mut entries = entries.as_array().unwrap().iter();
        let device = entries.find(|it| it["identifiers"] == json!([["mqtt", key]])).unwrap();
        let command = json!({
            "type": "config/device_registry/remove_config_entry",
            "device_id": device["id"],
            "config_entry_id": device["config_entries"][0],
        });
        self.ask(command).await;
    }

    async fn ask(&self, command: Value) -> Value {
        Socket::connect(client(), &self.url, &self.token).await.ask(command).await
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
