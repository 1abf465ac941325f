//! What happens to a message on a command topic: read, judged by its retain flag, carried out, acknowledged, answered.

use std::{mem, sync::Arc};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{
    account::{AccountId, Code, Condition},
    config::TopicPrefix,
    keeper::{Command, CommandError, Keeper, Reply, reply_json},
};

use super::{
    Inbound, Link, Outgoing,
    request::{Request, Target},
    topics::{Address, Topics, Verb},
};

/// What commands that are being carried out may weigh together, in bytes. Those beyond it are refused.
const ROOM: usize = 16 << 20;
/// What a command weighs beside what it brought, in bytes.
const OWN_WEIGHT: usize = 4096;

/// Carries out commands that came by MQTT.
pub struct Commands {
    link: Link,
    keeper: Keeper,
    topics: Topics,
    /// Below which a request may have its answer sent.
    reply_prefix: TopicPrefix,
    room: Arc<Semaphore>,
}

/// The field for a login code, when a code may be typed into it. It never holds one, so it is always an empty text.
pub(super) const FIELD_READY: &str = r#"{"code":"","availability":"online"}"#;
/// The same while a login is under way. Home Assistant empties the field of what was typed when it is back.
const FIELD_BUSY: &str = r#"{"code":"","availability":"offline"}"#;

/// A command that is under way, without what it brought.
struct Errand {
    verb: Verb,
    message: Inbound,
    transaction: Option<Box<RawValue>>,
    reply_to: ReplyTo,
}

/// Where the answer goes.
struct ReplyTo {
    topic: String,
    /// The MQTT 5 response topic, if it is one that we may speak on.
    wished: Option<String>,
    correlation_data: Option<Bytes>,
}

impl Commands {
    pub fn new(link: Link, keeper: Keeper, topics: Topics, reply_prefix: TopicPrefix) -> Self {
        Self { link, keeper, topics, reply_prefix, room: Arc::new(Semaphore::new(ROOM)) }
    }

    /// Takes one message from receipt to reply; what is carried out is so in a task of its own. Exactly one reply,
    /// whatever the message holds.
    pub(super) fn take(self: &Arc<Self>, address: Address, mut message: Inbound, tasks: &TaskTracker) {
        if message.payload.is_empty() {
            // This is what clearing a retained message looks like.
            self.acknowledge(&message);
            return;
        }
        debug!(topic = message.topic, length = message.payload.len(), retain = message.retain, "a command arrived");
        let Some((verb, target, reply_to)) = self.locate(address, &message) else {
            self.acknowledge(&message);
            return;
        };
        let room = self.room_for(&message);
        let payload = mem::take(&mut message.payload);
        let (transaction, command) = match target {
            Some(target) => {
                let Request { command, transaction, .. } = Request::parse(verb, target, &payload);
                (transaction, command)
            }
            None => (None, Err(CommandError::new(Code::UnknownAccount, verb.as_str()))),
        };
        drop(payload);
        let judged = command.and_then(|it| self.judge(it, verb, &message));
        let errand = Errand { verb, message, transaction, reply_to };
        match judged.and_then(|command| Ok((room?, command))) {
            Ok((room, command)) => {
                let commands = self.clone();
                tasks.spawn(async move {
                    let _room = room;
                    let reply = commands.carry_out(command, &errand.message).await;
                    commands.finish(&reply, errand);
                });
            }
            Err(error) => {
                self.acknowledge(&errand.message);
                self.finish(&Err(error), errand);
            }
        }
    }

    /// Who waits for room would hold up those behind: acknowledgements go in order.
    fn room_for(&self, message: &Inbound) -> Result<OwnedSemaphorePermit, CommandError> {
        let weight = u32::try_from(OWN_WEIGHT + message.weight()).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(weight);
        room.map_err(|_| CommandError::new(Code::Busy, "Latchkey"))
    }

    fn finish(&self, reply: &Reply, errand: Errand) {
        let Errand { verb, message, transaction, reply_to } = errand;
        if message.retain {
            warn!(topic = message.topic, "a retained command was found and is cleared from the broker");
            self.link.publish(Outgoing::retained(message.topic, Bytes::new()));
        }
        self.answer(reply, transaction.as_deref(), verb, reply_to);
    }

    /// What is asked of whom (none where no account can be called that), and where the answer goes.
    fn locate(&self, address: Address, message: &Inbound) -> Option<(Verb, Option<Target>, ReplyTo)> {
        let (verb, target, topic) = match address {
            Address::BridgeRequest(verb) => (verb, Some(Target::Bridge), self.topics.bridge_response(verb)),
            Address::AccountCommand { account, verb } => {
                let topic = self.topics.account_response(&account, verb);
                (verb, account.parse().ok().map(Target::Account), topic)
            }
            Address::SceneSet { account, scene } => {
                let topic = self.topics.account_response(&account, Verb::TriggerScene);
                (Verb::TriggerScene, account.parse().ok().map(|it| Target::Thing(it, scene)), topic)
            }
            Address::DoorPress { account, door } => {
                let topic = self.topics.account_response(&account, Verb::OpenDoor);
                (Verb::OpenDoor, account.parse().ok().map(|it| Target::Thing(it, door)), topic)
            }
            Address::State(_) | Address::BridgeState => return None,
        };
        let wished = message.response_topic.clone().filter(|it| self.reply_prefix.covers(it));
        if wished.is_none() && message.response_topic.is_some() {
            debug!("a response topic outside {} is not used", self.reply_prefix.as_str());
        }
        Some((verb, target, ReplyTo { topic, wished, correlation_data: message.correlation_data.clone() }))
    }

    /// Whether a command that could be read is to be carried out now.
    ///
    /// A retained one was meant for another moment: only new tokens are worth having from it. What acts on the house is
    /// not done late either; it is subscribed to at QoS 0, which some brokers keep for those who are away all the same.
    fn judge(&self, command: Command, verb: Verb, message: &Inbound) -> Result<Command, CommandError> {
        let entry_id = command.entry_id();
        if self.keeper.card(entry_id).is_none() {
            // The id is not shown: what looks like one may be a token in the wrong place.
            return Err(CommandError::new(Code::UnknownAccount, verb.as_str()));
        }
        let is_welcome_retained = match &command {
            Command::UpdateTokens { proposal, .. } => {
                proposal.tokens.refresh().is_some() || self.needs_tokens(entry_id)
            }
            _ => false,
        };
        if message.retain && !is_welcome_retained {
            return Err(CommandError::new(Code::Retained, entry_id));
        }
        if message.was_kept && verb.acts_on_house() {
            return Err(CommandError::new(Code::TooLate, entry_id));
        }
        Ok(command)
    }

    fn needs_tokens(&self, account: &AccountId) -> bool {
        let condition = self.keeper.status(account).map(|it| it.condition);
        matches!(condition, Some(Condition::Missing | Condition::ReauthRequired))
    }

    /// New tokens are acknowledged when they are durable, everything else on receipt: acknowledgements go in order, and a
    /// slow vendor must not hold up the others. So a login may be delivered again, which the keeper knows by its code.
    async fn carry_out(&self, command: Command, message: &Inbound) -> Reply {
        let brings_tokens = matches!(command, Command::UpdateTokens { .. });
        if !brings_tokens {
            self.acknowledge(message);
        }
        let whom = command.entry_id().clone();
        let is_login = matches!(command, Command::Login { .. });
        let has_field = || self.keeper.card(&whom).is_some_and(|it| it.logs_in_by_code);
        let field = (is_login && has_field()).then(|| self.topics.login_field(&whom));
        if let Some(field) = &field {
            self.link.publish(Outgoing::retained(field.as_str(), FIELD_BUSY));
        }
        let ticket = self.keeper.submit(command);
        if brings_tokens {
            // An error means that it was answered without being taken, which settles it as well.
            let _ = ticket.taken.await;
            self.acknowledge(message);
        }
        let reply = ticket.reply.await.unwrap_or_else(|_| Err(CommandError::new(Code::Internal, &whom)));
        // It may have been taken out of the configuration meanwhile, and its field with it.
        if let Some(field) = field.filter(|_| has_field()) {
            self.link.publish(Outgoing::retained(field, FIELD_READY));
        }
        reply
    }

    fn acknowledge(&self, message: &Inbound) {
        if let Some(token) = message.ack {
            self.link.ack(token);
        }
    }

    fn answer(&self, reply: &Reply, transaction: Option<&RawValue>, verb: Verb, to: ReplyTo) {
        if let Err(error) = reply {
            warn!(command = verb.as_str(), code = %error.code, "not done: {error}. {}", error.hint);
        }
        let payload = Bytes::from(reply_json(reply, transaction));
        if let Some(wished) = to.wished {
            let answer = Outgoing::passing(wished, payload.clone());
            self.link.publish(Outgoing { correlation_data: to.correlation_data, ..answer });
        }
        self.link.publish(Outgoing::passing(to.topic, payload));
    }
}
