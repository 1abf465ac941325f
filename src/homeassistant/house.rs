//! Which Latchkey speaks, and the names that follow from it: topics, device keys, entity ids.

use crate::account::AccountId;

/// What every announcement of one Latchkey shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct House {
    /// `homeassistant` unless the user changed it there.
    pub discovery_prefix: String,
    /// `latchkey` unless the user changed it.
    pub base_topic: String,
    /// The name of this instance, `[a-z0-9_]+`; none where there is only one.
    pub instance: Option<String>,
    pub version: &'static str,
    /// Where people reach Latchkey's page: an http or https URL. Anything else makes Home Assistant refuse the device.
    pub public_url: Option<String>,
}

/// What every device key ends with that names a bridge. No account is called so.
const BRIDGE: &str = "bridge";

impl House {
    /// `latchkey_bridge`, or `latchkey_<instance>-bridge`.
    pub(super) fn bridge_key(&self) -> String {
        self.device_key(BRIDGE)
    }

    /// `latchkey_<account>`, or `latchkey_<instance>-<account>`.
    ///
    /// The dash is what neither name can hold, so no account of one instance has the key of another's: `latchkey_a_b` is
    /// the account `a_b` of the unnamed instance, and `latchkey_a-b` the account `b` of the instance `a`.
    pub(super) fn account_key(&self, account: &AccountId) -> String {
        self.device_key(account.as_str())
    }

    pub(super) fn discovery_topic(&self, device_key: &str) -> String {
        format!("{}/device/{device_key}/config", self.discovery_prefix)
    }

    /// A topic below the base topic: `bridge/state`, `<account>/event`.
    pub(super) fn topic(&self, levels: &[&str]) -> String {
        format!("{}/{}", self.base_topic, levels.join("/"))
    }

    fn device_key(&self, name: &str) -> String {
        match &self.instance {
            Some(instance) => format!("latchkey_{instance}-{name}"),
            None => format!("latchkey_{name}"),
        }
    }
}

/// The device key in a discovery topic.
pub(super) fn key_in_topic(discovery_topic: &str) -> &str {
    discovery_topic.rsplit('/').nth(1).unwrap_or(discovery_topic)
}

/// Whether a discovery topic is that of a bridge device, of whatever instance.
pub(super) fn is_bridge_topic(discovery_topic: &str) -> bool {
    let key = key_in_topic(discovery_topic);
    key.strip_suffix(BRIDGE).is_some_and(|it| it == "latchkey_" || it.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_account_of_one_instance_has_the_key_of_another() {
        let names = ["a", "b", "a_b", "b_a", "bridge_", "a_bridge", "_", "latchkey_a"];
        let instances = names.map(Some).into_iter().chain([None, Some("bridge")]);
        let houses = instances.map(|instance| House {
            discovery_prefix: "homeassistant".to_owned(),
            base_topic: "latchkey".to_owned(),
            instance: instance.map(str::to_owned),
            version: "1",
            public_url: None,
        });
        let keys: Vec<String> = houses
            .flat_map(|house| {
                let accounts = names.map(|it| house.account_key(&it.parse().unwrap()));
                accounts.into_iter().chain([house.bridge_key()]).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        let bridges = keys.iter().filter(|it| is_bridge_topic(&format!("homeassistant/device/{it}/config"))).count();
        assert_eq!(bridges, 10);
    }
}
