//! The topics of Latchkey: where commands come in, and where everything goes out.

use crate::{account::AccountId, config::Topic};

/// A command's name as it stands in topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    UpdateTokens,
    RefreshTokens,
    TriggerScene,
    Status,
}

/// The topics below one base topic.
#[derive(Clone, Debug)]
pub struct Topics {
    base: String,
}

/// What a topic that we subscribed to is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A command with `entry_id` in its payload.
    BridgeRequest(Verb),
    /// A command for the account that the topic names; `account` is not checked yet.
    AccountCommand { account: String, verb: Verb },
    /// What the Home Assistant scene publishes to.
    SceneSet { account: String, scene: String },
    /// An account's retained state document, ours.
    State(AccountId),
    /// Whether the bridge is online, ours.
    BridgeState,
}

impl Verb {
    pub const ALL: [Verb; 4] = [Self::UpdateTokens, Self::RefreshTokens, Self::TriggerScene, Self::Status];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UpdateTokens => "update_tokens",
            Self::RefreshTokens => "refresh_tokens",
            Self::TriggerScene => "trigger_scene",
            Self::Status => "status",
        }
    }

    /// What acts on the house is never queued for later, and so never delivered twice.
    pub fn acts_on_house(self) -> bool {
        match self {
            Self::TriggerScene => true,
            Self::UpdateTokens | Self::RefreshTokens | Self::Status => false,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl Topics {
    pub fn new(base: &Topic) -> Self {
        Self { base: base.as_str().to_owned() }
    }

    pub fn bridge_state(&self) -> String {
        format!("{}/bridge/state", self.base)
    }

    pub fn bridge_info(&self) -> String {
        format!("{}/bridge/info", self.base)
    }

    pub fn state(&self, account: &AccountId) -> String {
        format!("{}/{account}/state", self.base)
    }

    pub fn event(&self, account: &AccountId) -> String {
        format!("{}/{account}/event", self.base)
    }

    pub fn bridge_response(&self, verb: Verb) -> String {
        format!("{}/bridge/response/{}", self.base, verb.as_str())
    }

    /// `account` is what a topic bore there, which need not be an account's id.
    pub fn account_response(&self, account: &str, verb: Verb) -> String {
        format!("{}/{account}/response/{}", self.base, verb.as_str())
    }

    /// The filters of all commands, each with whether it acts on the house. No two match the same topic.
    pub fn command_filters(&self) -> Vec<(String, bool)> {
        let of_verb = |verb: Verb| {
            let (base, name) = (&self.base, verb.as_str());
            [format!("{base}/bridge/request/{name}"), format!("{base}/+/{name}")].map(|it| (it, verb.acts_on_house()))
        };
        let scene_set = (format!("{}/+/scene/+/set", self.base), true);
        Verb::ALL.into_iter().flat_map(of_verb).chain([scene_set]).collect()
    }

    /// The filter of the accounts' state documents and of the bridge's own state.
    pub fn state_filter(&self) -> String {
        format!("{}/+/state", self.base)
    }

    pub fn parse(&self, topic: &str) -> Option<Address> {
        let below = topic.strip_prefix(&self.base)?.strip_prefix('/')?;
        let levels: Vec<&str> = below.split('/').collect();
        match levels.as_slice() {
            ["bridge", "state"] => Some(Address::BridgeState),
            ["bridge", "request", name] => Verb::named(name).map(Address::BridgeRequest),
            [account, "state"] => account.parse().ok().map(Address::State),
            [account, "scene", scene, "set"] => {
                Some(Address::SceneSet { account: (*account).to_owned(), scene: (*scene).to_owned() })
            }
            [account, name] => {
                Verb::named(name).map(|verb| Address::AccountCommand { account: (*account).to_owned(), verb })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new(&"home/latchkey".parse().unwrap())
    }

    #[test]
    fn every_command_topic_is_read_back() {
        let read = |topic| topics().parse(topic);
        let request = Some(Address::BridgeRequest(Verb::RefreshTokens));
        assert_eq!(read("home/latchkey/bridge/request/refresh_tokens"), request);
        let command = Address::AccountCommand { account: "front".into(), verb: Verb::TriggerScene };
        assert_eq!(read("home/latchkey/front/trigger_scene"), Some(command));
        let set = Address::SceneSet { account: "aqara".into(), scene: "tv_warning".into() };
        assert_eq!(read("home/latchkey/aqara/scene/tv_warning/set"), Some(set));
        assert_eq!(read("home/latchkey/front/state"), Some(Address::State("front".parse().unwrap())));
        assert_eq!(read("home/latchkey/bridge/state"), Some(Address::BridgeState));
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        for topic in ["home", "home/latchkeyx/front/status", "home/latchkey/front/response/status", "home/latchkey"] {
            assert_eq!(topics().parse(topic), None, "{topic}");
        }
    }
}
