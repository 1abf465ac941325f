//! What a user chose in Home Assistant for the add-on, turned into a configuration.
//!
//! The supervisor keeps it as JSON, by the `schema` in the add-on's config.yaml. The keys are those of the configuration,
//! but for what its form cannot show: accounts are a list with their ids inside, scenes and doors are texts `name=id`.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::errors::shown;
use crate::account::Secret;

/// The port that config.yaml calls `ingress_port`.
const LISTEN: &str = "0.0.0.0:8780";

/// The supervisor's address in the network of add-ons, wherever Home Assistant is installed.
const SUPERVISOR: &str = "172.30.32.2";

/// Tables whose entries come as texts `name=id`.
const NAMED: [&str; 2] = ["scenes", "door_names"];

/// What the user chose.
#[derive(Deserialize)]
pub struct Options {
    accounts: Vec<Account>,
    #[serde(default)]
    mqtt: Map<String, Value>,
    #[serde(default)]
    alert: Map<String, Value>,
    log_level: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    id: String,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

/// The broker of the house, as the supervisor knows it.
#[derive(Deserialize)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    #[serde(default)]
    pub ssl: bool,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

/// Options that cannot be used. None of them quotes a value, which may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error("the options cannot be read (line {line}, column {column})")]
    Syntax { line: usize, column: usize },
    #[error("the options hold a value that a configuration cannot")]
    Unwritable,
    #[error("there is no account yet")]
    NoAccount,
    #[error("two accounts have the id {}", shown(.0))]
    Twice(String),
    #[error("accounts.{}.{key}: an entry is not of the form name=id", shown(.account))]
    NotNamed { account: String, key: &'static str },
}

impl Options {
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        let syntax = |error: serde_json::Error| OptionsError::Syntax { line: error.line(), column: error.column() };
        let options: Self = serde_json::from_str(text).map_err(syntax)?;
        if options.accounts.is_empty() {
            return Err(OptionsError::NoAccount);
        }
        let mut ids = BTreeSet::new();
        match options.accounts.iter().find(|it| !ids.insert(&it.id)) {
            Some(second) => Err(OptionsError::Twice(second.id.clone())),
            None => Ok(options),
        }
    }

    /// Whether the user has a broker of their own; the supervisor's is not asked for then.
    pub fn names_a_broker(&self) -> bool {
        self.mqtt.get("host").is_some_and(|it| !is_nothing(it))
    }

    /// The configuration, in TOML, with the store in a folder below `data`.
    pub fn configuration(self, broker: Option<&Broker>, data: &Path) -> Result<Zeroizing<String>, OptionsError> {
        let mut mqtt = broker.map(mqtt_of).unwrap_or_default();
        mqtt.extend(self.mqtt.into_iter().filter(|it| !is_nothing(&it.1)));
        let mut accounts = Map::new();
        for account in self.accounts {
            let (id, settings) = account.into_table()?;
            accounts.insert(id, settings);
        }
        let mut configuration = json!({
            "mqtt": mqtt,
            "store": { "path": data.join("store") },
            "web": { "listen": LISTEN, "ingress_from": SUPERVISOR },
            "alert": self.alert,
            "log": { "level": self.log_level },
            "accounts": accounts,
        });
        remove_nothings(&mut configuration);
        toml::to_string(&configuration).map(Zeroizing::new).map_err(|_| OptionsError::Unwritable)
    }
}

impl Account {
    fn into_table(mut self) -> Result<(String, Value), OptionsError> {
        for key in NAMED {
            let Some(entries) = self.settings.remove(key) else { continue };
            let not_named = || OptionsError::NotNamed { account: self.id.clone(), key };
            let mut table = Map::new();
            for entry in entries.as_array().ok_or_else(not_named)? {
                let (name, id) = entry.as_str().and_then(|it| it.split_once('=')).ok_or_else(not_named)?;
                table.insert(name.trim().to_owned(), json!(id.trim()));
            }
            self.settings.insert(key.to_owned(), Value::Object(table));
        }
        Ok((self.id, Value::Object(self.settings)))
    }
}

fn mqtt_of(broker: &Broker) -> Map<String, Value> {
    let Broker { host, port, ssl, username, password } = broker;
    let mut mqtt = Map::new();
    mqtt.insert("host".to_owned(), json!(host));
    mqtt.insert("port".to_owned(), json!(port));
    mqtt.insert("tls".to_owned(), json!(ssl));
    mqtt.insert("username".to_owned(), json!(username));
    mqtt.insert("password".to_owned(), json!(password.as_ref().map(Secret::expose)));
    mqtt
}

/// A field that was left empty, or cleared again.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|it| it.trim().is_empty())
}

fn remove_nothings(value: &mut Value) {
    if let Value::Object(table) = value {
        table.retain(|_, it| !is_nothing(it));
        table.values_mut().for_each(remove_nothings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, OptionsError> {
        Options::parse(text)
    }

    fn configuration(text: &str, broker: Option<&Broker>) -> String {
        options(text).unwrap().configuration(broker, Path::new("/data")).unwrap().to_string()
    }

    #[test]
    fn what_was_left_empty_is_not_set_and_a_broker_of_ones_own_stands_alone() {
        let broker = Broker {
            host: "core-mosquitto".into(),
            port: 1883,
            ssl: false,
            username: Some("addons".into()),
            password: Some(Secret::new("pass\"word\\")),
        };
        let plain =
            r#"{"accounts": [{"id": "home", "vendor": "aqara", "name": "", "region": null}], "mqtt": {"host": ""}}"#;
        let text = configuration(plain, Some(&broker));
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["accounts"]["home"].as_table().unwrap().len(), 1);
        assert_eq!(table["mqtt"]["host"].as_str(), Some("core-mosquitto"));
        assert_eq!(table["mqtt"]["password"].as_str(), Some("pass\"word\\"));
        assert!(!options(plain).unwrap().names_a_broker());

        let own = r#"{"accounts": [{"id": "home"}], "mqtt": {"host": "broker.local", "tls": true}}"#;
        assert!(options(own).unwrap().names_a_broker());
        let table: toml::Table = configuration(own, None).parse().unwrap();
        assert_eq!(table["mqtt"].as_table().unwrap().len(), 2);
    }

    #[test]
    fn options_that_cannot_be_used_are_told_without_a_value() {
        let wrong = |text: &str| options(text).err().unwrap();
        assert!(matches!(wrong(r#"{"accounts": "canary"}"#), OptionsError::Syntax { line: 1, .. }));
        assert!(!wrong(r#"{"accounts": "canary"}"#).to_string().contains("canary"));
        assert_eq!(wrong(r#"{"accounts": []}"#), OptionsError::NoAccount);
        assert_eq!(wrong(r#"{"accounts": [{"id": "a"}, {"id": "a"}]}"#), OptionsError::Twice("a".into()));
        let scene = options(r#"{"accounts": [{"id": "home", "scenes": ["tv"]}]}"#).unwrap();
        let error = scene.configuration(None, Path::new("/data")).err().unwrap();
        assert_eq!(error.to_string(), "accounts.home.scenes: an entry is not of the form name=id");
        let odd = options(r#"{"accounts": [{"id": "home", "country": [null]}]}"#).unwrap();
        assert_eq!(odd.configuration(None, Path::new("/data")).err(), Some(OptionsError::Unwritable));
    }
}
