//! What a user may set, read and validated before anything starts.
//!
//! Layers, each over the one before: built-in defaults, the TOML file, the environment (`LATCHKEY__SECTION__KEY`), and
//! for every secret a file named by its `_file` variant. [`load`] merges them into one tree (`layers.rs`), takes the
//! tree apart section by section (`section.rs`; one file a section), and tells of everything that is wrong at once.

mod accounts;
pub mod add_on;
mod akuvox;
mod alert;
mod api_versions;
mod aqara;
mod differences;
mod doors;
mod errors;
mod getters;
mod home_assistant;
mod instance;
mod keeper;
mod layers;
mod log;
mod mqtt;
mod secrets;
mod section;
mod store;
mod topic;
mod url;
mod web;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

pub use accounts::{AccountSettings, VendorSettings};
pub use akuvox::{AkuvoxSettings, Phone};
pub use alert::{AlertFormat, AlertSettings};
pub use api_versions::ApiVersions;
pub use aqara::{
    AccountType, AqaraSettings, Lang, SceneId, SceneIdError, SceneKey, SceneKeyError, Validity, ValidityError,
};
pub use doors::{DoorId, DoorIdError, DoorKey, DoorKeyError};
pub use errors::{ConfigError, ConfigErrors, Problem};
pub use home_assistant::HomeAssistantSettings;
pub use instance::{Instance, InstanceError};
pub use keeper::KeeperSettings;
pub use log::{LogFormat, LogSettings};
pub use mqtt::{ClientCertificate, MqttSettings, Tls};
pub use store::{StoreKey, StoreSettings};
pub use topic::{Topic, TopicError, TopicPrefix};
pub use url::{BaseUrl, PublicUrl, UrlError};
pub use web::WebSettings;

use crate::account::AccountId;

/// Everything that a user may set, validated, with the defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub instance: Instance,
    pub mqtt: MqttSettings,
    pub store: StoreSettings,
    pub home_assistant: HomeAssistantSettings,
    pub log: LogSettings,
    pub keeper: KeeperSettings,
    pub web: WebSettings,
    /// None where nobody is to be told.
    pub alert: Option<AlertSettings>,
    /// At least one.
    pub accounts: BTreeMap<AccountId, AccountSettings>,
}

/// Reads the settings from `file`, where one is given, and `environment`.
///
/// Beside `LATCHKEY__...`, the environment's `RUST_LOG` and `CREDENTIALS_DIRECTORY` are heeded.
/// Files of secrets are read, and files of certificates are opened; nothing is written.
///
/// # Errors
///
/// Everything that is wrong, all at once, with the mend; no error shows a secret.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, ConfigErrors> {
    let environment: HashMap<String, String> = environment.collect();
    let findings = errors::Findings::default();
    let Some(values) = layers::merge(file, &environment, &findings) else {
        return findings.into_result(None);
    };
    let mut root = section::Section::root(&values, &findings);
    let instance = root.parsed("instance", "default").unwrap_or_default();
    let mqtt = mqtt::read(root.section("mqtt"), &instance);
    let keeper = keeper::read(root.section("keeper"));
    let settings = Settings {
        store: store::read(root.section("store"), &environment),
        home_assistant: home_assistant::read(root.section("home_assistant"), &mqtt.base_topic),
        log: log::read(root.section("log"), &environment),
        web: web::read(root.section("web")),
        alert: alert::read(root.section("alert")),
        accounts: accounts::read(&mut root, &keeper, &mqtt),
        instance,
        mqtt,
        keeper,
    };
    root.finish();
    findings.into_result(Some(settings))
}

/// The environment of this process, without what is not UTF-8: no setting is.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
