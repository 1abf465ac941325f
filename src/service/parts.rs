//! What each part is given of the settings.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    account::{AccountId, Secret},
    clock::Clock,
    config::{AccountSettings, Settings, StoreKey},
    homeassistant::{Announcer, AnnouncerSettings, Devices, House, Ledger},
    keeper::{Account, Keeper},
    mqtt::{
        Backoff, LinkSettings, Qos, Subscription, TlsSettings, Will,
        bridge::{LEDGER, OFFLINE},
        probe::Right,
        topics::Topics,
    },
    store::{CHECKPOINT_EVERY, KeySource, Store, StoreSettings},
    vendor::{self, Http},
};

use super::StartError;

/// How long a broker keeps our session, so that a blip loses no command.
const SESSION_EXPIRY: Duration = Duration::from_secs(300);
/// A reconnect within this time is not announced as an outage.
const WILL_DELAY: Duration = Duration::from_secs(10);
const OUTBOX_LIMIT: usize = 50_000;

/// Connects every account to its vendor.
pub(crate) fn connect(accounts: BTreeMap<AccountId, AccountSettings>, http: &Http) -> impl Iterator<Item = Account> {
    accounts.into_values().map(|settings| Account { vendor: vendor::connect(&settings, http), settings })
}

pub(crate) fn http(settings: &Settings, clock: &Clock) -> Result<Http, StartError> {
    Http::new(settings.keeper.call_timeout, clock.clone()).map_err(StartError::Http)
}

pub(crate) fn store_settings(settings: &Settings) -> StoreSettings {
    let key = match &settings.store.key {
        StoreKey::Given(key) => KeySource::Given(key.clone()),
        StoreKey::File(path) => KeySource::File(path.clone()),
    };
    StoreSettings { path: settings.store.path.clone(), key, checkpoint_every: CHECKPOINT_EVERY }
}

/// `device_topics`: where the devices are announced.
pub(crate) fn link_settings(settings: &Settings, device_topics: impl Iterator<Item = String>) -> LinkSettings {
    let mqtt = &settings.mqtt;
    let topics = Topics::new(&mqtt.base_topic);
    let mut subscriptions = subscriptions(settings, &topics);
    if settings.home_assistant.discovery {
        subscriptions.extend(device_topics.map(Subscription::live));
    }
    LinkSettings {
        host: mqtt.host.clone(),
        port: mqtt.port,
        client_id: mqtt.client_id.clone(),
        credentials: mqtt.username.clone().map(|name| (name, mqtt.password.clone().unwrap_or_else(|| Secret::new("")))),
        tls: mqtt.tls.as_ref().map(|tls| TlsSettings {
            ca_file: tls.ca_file.clone(),
            client_cert_file: tls.client.as_ref().map(|it| it.cert_file.clone()),
            client_key_file: tls.client.as_ref().map(|it| it.key_file.clone()),
        }),
        keep_alive: mqtt.keep_alive,
        session_expiry: SESSION_EXPIRY,
        will: Some(Will { topic: topics.bridge_state(), payload: OFFLINE.into(), delay: WILL_DELAY }),
        subscriptions,
        echo_topic: Some(topics.echo()),
        outbox_limit: OUTBOX_LIMIT,
        backoff: Backoff::default(),
    }
}

/// All but those to the topics of devices. What acts on the house at QoS 0, so that the broker never queues it for later;
/// tokens at QoS 1.
pub(super) fn subscriptions(settings: &Settings, topics: &Topics) -> Vec<Subscription> {
    let command = |(filter, acts_on_house): (String, bool)| {
        Subscription::new(filter, if acts_on_house { Qos::AtMostOnce } else { Qos::AtLeastOnce })
    };
    let mut subscriptions: Vec<Subscription> = topics.command_filters().into_iter().map(command).collect();
    // What we retained in an earlier life tells whether the store has become an older one meanwhile.
    subscriptions.push(Subscription { no_local: false, ..Subscription::new(topics.state_filter(), Qos::AtMostOnce) });
    if settings.home_assistant.discovery {
        subscriptions.push(Subscription::live(settings.home_assistant.birth_topic.as_str()));
    }
    subscriptions
}

/// What the broker has to let us do.
pub(crate) fn rights(settings: &Settings) -> Vec<Right> {
    // No id of an account has a hyphen.
    let nobody = format!("check-{:08x}", fastrand::u32(..));
    let mut rights = Topics::new(&settings.mqtt.base_topic).rights(&settings.mqtt.reply_prefix, &nobody);
    if settings.home_assistant.discovery {
        let prefix = settings.home_assistant.discovery_prefix.as_str();
        let (filter, sample) = (format!("{prefix}/device/+/config"), Some(format!("{prefix}/device/{nobody}/config")));
        rights.push(Right { filter, sample, reads: true, writes: true });
        let filter = settings.home_assistant.birth_topic.as_str().to_owned();
        rights.push(Right { filter, sample: None, reads: true, writes: false });
    }
    rights
}

pub(super) fn announcer(settings: &Settings, store: &dyn Store, devices: &Devices, keeper: &Keeper) -> Announcer {
    let ledger: Ledger = store.note(LEDGER).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let announcer_settings = AnnouncerSettings {
        discovery_prefix: settings.home_assistant.discovery_prefix.as_str().to_owned(),
        birth_payload: settings.home_assistant.birth_payload.clone(),
        announce_delay: settings.home_assistant.announce_delay,
    };
    let announcements = devices.announcements(|account| keeper.inventory(account));
    Announcer::new(announcer_settings, ledger, announcements)
}

pub(super) fn house(settings: &Settings) -> House {
    House {
        discovery_prefix: settings.home_assistant.discovery_prefix.as_str().to_owned(),
        base_topic: settings.mqtt.base_topic.as_str().to_owned(),
        instance: (!settings.instance.is_default()).then(|| settings.instance.to_string()),
        version: env!("CARGO_PKG_VERSION"),
        public_url: settings.web.public_url.as_ref().map(|it| it.as_str().to_owned()),
    }
}
