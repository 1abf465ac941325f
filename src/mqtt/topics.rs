//! The topics of Latchkey: where commands come in, and where everything goes out.

use crate::{
    account::AccountId,
    config::{Topic, TopicPrefix},
};

use super::probe::Right;

/// A command's name as it stands in topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    UpdateTokens,
    RefreshTokens,
    TriggerScene,
    OpenDoor,
    ListScenes,
    RequestLoginCode,
    Login,
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
    /// What the Home Assistant button of a door publishes to.
    DoorPress { account: String, door: String },
    /// An account's retained state document, ours.
    State(AccountId),
    /// Whether the bridge is online, ours.
    BridgeState,
}

impl Verb {
    pub const ALL: [Verb; 8] = [
        Self::UpdateTokens,
        Self::RefreshTokens,
        Self::TriggerScene,
        Self::OpenDoor,
        Self::ListScenes,
        Self::RequestLoginCode,
        Self::Login,
        Self::Status,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UpdateTokens => "update_tokens",
            Self::RefreshTokens => "refresh_tokens",
            Self::TriggerScene => "trigger_scene",
            Self::OpenDoor => "open_door",
            Self::ListScenes => "list_scenes",
            Self::RequestLoginCode => "request_login_code",
            Self::Login => "login",
            Self::Status => "status",
        }
    }

    /// What acts on the house is never queued for later, and so never delivered twice.
    pub fn acts_on_house(self) -> bool {
        match self {
            Self::TriggerScene | Self::OpenDoor => true,
            Self::UpdateTokens
            | Self::RefreshTokens
            | Self::ListScenes
            | Self::RequestLoginCode
            | Self::Login
            | Self::Status => false,
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

    /// What we say to ourselves after a connect, to know what the broker had kept for us.
    pub fn echo(&self) -> String {
        format!("{}/bridge/echo", self.base)
    }

    pub fn state(&self, account: &AccountId) -> String {
        format!("{}/{account}/state", self.base)
    }

    pub fn event(&self, account: &AccountId) -> String {
        format!("{}/{account}/event", self.base)
    }

    /// What a person is to do for the account, retained.
    pub fn advice(&self, account: &AccountId) -> String {
        format!("{}/{account}/advice", self.base)
    }

    /// How the field for a login code is, retained. It never holds a code.
    pub fn login_field(&self, account: &AccountId) -> String {
        format!("{}/{account}/login/state", self.base)
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
        let of_entities = ["scene/+/set", "door/+/press"].map(|it| (format!("{}/+/{it}", self.base), true));
        Verb::ALL.into_iter().flat_map(of_verb).chain(of_entities).collect()
    }

    /// The filter of the accounts' state documents and of the bridge's own state.
    pub fn state_filter(&self) -> String {
        format!("{}/+/state", self.base)
    }

    /// What the broker has to let us do with these topics, and with those below `reply_prefix`. `nobody` is a level that is
    /// no account, scene or door: an empty message there is no command and no state.
    pub fn rights(&self, reply_prefix: &TopicPrefix, nobody: &str) -> Vec<Right> {
        let own = self.command_filters().into_iter().map(|it| it.0).chain([self.state_filter()]);
        // Commands are written as well: one that was found retained is cleared.
        let own = own.map(|filter| {
            let sample = Some(filter.replace('+', nobody));
            Right { filter, sample, reads: true, writes: true }
        });
        let prefix = reply_prefix.as_str();
        let (filter, sample) = (format!("{prefix}#"), Some(format!("{prefix}{nobody}")));
        own.chain([Right { filter, sample, reads: false, writes: true }]).collect()
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
            [account, "door", door, "press"] => {
                Some(Address::DoorPress { account: (*account).to_owned(), door: (*door).to_owned() })
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
        let read = |topic: &str| topics().parse(topic);
        let request = Some(Address::BridgeRequest(Verb::RefreshTokens));
        assert_eq!(read("home/latchkey/bridge/request/refresh_tokens"), request);
        let command = Address::AccountCommand { account: "front".into(), verb: Verb::TriggerScene };
        assert_eq!(read("home/latchkey/front/trigger_scene"), Some(command));
        let set = Address::SceneSet { account: "aqara".into(), scene: "tv_warning".into() };
        assert_eq!(read("home/latchkey/aqara/scene/tv_warning/set"), Some(set));
        let press = Address::DoorPress { account: "front".into(), door: "0c1105aabbcc_0".into() };
        assert_eq!(read("home/latchkey/front/door/0c1105aabbcc_0/press"), Some(press));
        for verb in Verb::ALL {
            let name = verb.as_str();
            assert_eq!(read(&format!("home/latchkey/bridge/request/{name}")), Some(Address::BridgeRequest(verb)));
            let command = Address::AccountCommand { account: "front".into(), verb };
            assert_eq!(read(&format!("home/latchkey/front/{name}")), Some(command));
        }
        assert_eq!(read("home/latchkey/front/state"), Some(Address::State("front".parse().unwrap())));
        assert_eq!(read("home/latchkey/bridge/state"), Some(Address::BridgeState));
    }

    #[test]
    fn nothing_that_is_published_is_heard_as_a_command() {
        let (topics, front) = (topics(), "front".parse().unwrap());
        let spoken = [
            topics.echo(),
            topics.bridge_info(),
            topics.event(&front),
            topics.advice(&front),
            topics.login_field(&front),
        ];
        let answers = Verb::ALL.map(|it| [topics.bridge_response(it), topics.account_response("front", it)]);
        for topic in spoken.into_iter().chain(answers.into_iter().flatten()) {
            assert_eq!(topics.parse(&topic), None, "{topic}");
        }
        assert_eq!(topics.parse(&topics.state(&front)), Some(Address::State(front)));
        assert_eq!(topics.parse(&topics.bridge_state()), Some(Address::BridgeState));
    }

    #[test]
    fn what_acts_on_the_house_is_subscribed_to_so_that_it_is_never_kept() {
        let filters = topics().command_filters();
        let acting: Vec<&str> = filters.iter().filter(|it| it.1).map(|it| it.0.as_str()).collect();
        let below = |it: &str| format!("home/latchkey/{it}");
        let expected = [
            "bridge/request/trigger_scene",
            "+/trigger_scene",
            "bridge/request/open_door",
            "+/open_door",
            "+/scene/+/set",
            "+/door/+/press",
        ];
        assert_eq!(acting, expected.map(below));
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        for topic in ["home", "home/latchkeyx/front/status", "home/latchkey/front/response/status", "home/latchkey"] {
            assert_eq!(topics().parse(topic), None, "{topic}");
        }
    }
}
