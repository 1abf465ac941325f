//! Logins that came before: a code works once, so the same command delivered again must not be carried out again.
//!
//! A login is acknowledged on receipt. Where the connection ends before the broker has seen that, it delivers the login
//! again; and where a sender's connection ends so, the broker passes it on twice. What was carried out is answered again
//! with the same content. What came before Latchkey was started is not known here.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    account::Credential,
    clock::Clock,
    keeper::{Command, Reply},
};

use super::Inbound;

/// Longer than a session is kept by the broker, and than a code lives.
const REMEMBERED_FOR: Duration = Duration::from_secs(15 * 60);

/// The logins and code requests of the last minutes.
pub(super) struct Repeats {
    clock: Clock,
    /// Its keys are random: from what it makes, nobody finds a code.
    hasher: RandomState,
    known: Mutex<HashMap<u64, Known>>,
}

/// What to do with a command.
pub(super) enum Meeting {
    /// Carry it out.
    New,
    /// Carry it out, and tell those who are waiting for the reply.
    First(watch::Sender<Option<Reply>>),
    /// It was carried out, or is being: answer as it was answered.
    Again(watch::Receiver<Option<Reply>>),
}

struct Known {
    since: Duration,
    reply: watch::Receiver<Option<Reply>>,
}

impl Repeats {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, hasher: RandomState::new(), known: Mutex::default() }
    }

    pub(super) fn meet(&self, command: &Command, message: &Inbound) -> Meeting {
        let has_code = match command {
            Command::Login { credential, .. } => matches!(credential, Credential::Code(_)),
            Command::RequestLoginCode { .. } => false,
            _ => return Meeting::New,
        };
        let now = self.clock.monotonic();
        let mark = self.hasher.hash_one((&message.topic, &message.payload, &message.correlation_data));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, it| now < it.since + REMEMBERED_FOR);
        if let Some(before) = known.get(&mark) {
            let reply = before.reply.borrow();
            // Whoever carried it out is gone without a reply: nothing can be said of it.
            let is_lost = reply.is_none() && before.reply.has_changed().is_err();
            // A code that was taken is spent. One that was not may be tried again, unless the broker repeats itself.
            let is_spent = has_code && matches!(&*reply, Some(Ok(_)));
            if !is_lost && (reply.is_none() || message.dup || is_spent) {
                drop(reply);
                return Meeting::Again(before.reply.clone());
            }
        }
        let (sender, reply) = watch::channel(None);
        known.insert(mark, Known { since: now, reply });
        Meeting::First(sender)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        account::{AccountId, Code, Secret},
        keeper::{CommandError, ReplyData},
    };

    use super::*;

    fn home() -> AccountId {
        "home".parse().unwrap()
    }

    fn login(credential: Credential) -> Command {
        Command::Login { entry_id: home(), credential }
    }

    fn code(code: &str) -> (Command, Inbound) {
        (login(Credential::Code(Secret::new(code))), message(code, false))
    }

    fn message(payload: &str, dup: bool) -> Inbound {
        Inbound {
            topic: "latchkey/home/login".to_owned(),
            payload: payload.to_owned().into(),
            qos: super::super::Qos::AtLeastOnce,
            retain: false,
            dup,
            response_topic: None,
            correlation_data: None,
            ack: None,
        }
    }

    fn repeats() -> (Repeats, crate::clock::Hand) {
        let (clock, hand) = Clock::paused("2026-11-22T10:00:00Z".parse().unwrap());
        (Repeats::new(clock), hand)
    }

    fn first(repeats: &Repeats, command: &Command, message: &Inbound) -> watch::Sender<Option<Reply>> {
        let Meeting::First(sender) = repeats.meet(command, message) else { panic!("it is not the first") };
        sender
    }

    fn done() -> Reply {
        Ok(ReplyData::LoggedIn { entry_id: home(), generation: 1, has_refresh_token: true })
    }

    fn again(repeats: &Repeats, command: &Command, message: &Inbound) -> bool {
        matches!(repeats.meet(command, message), Meeting::Again(_))
    }

    #[test]
    fn a_login_that_is_under_way_or_done_is_not_done_again_by_the_same_message() {
        let (repeats, _) = repeats();
        let (command, message) = code("012345");
        let sender = first(&repeats, &command, &message);
        assert!(again(&repeats, &command, &message));
        sender.send_replace(Some(done()));
        drop(sender);
        let Meeting::Again(reply) = repeats.meet(&command, &message) else { panic!("it is done twice") };
        assert_eq!(*reply.borrow(), Some(done()));
        let (other, its_message) = code("543210");
        assert!(!again(&repeats, &other, &its_message));
    }

    #[test]
    fn a_login_that_failed_may_be_tried_again_but_not_by_the_broker() {
        let (repeats, _) = repeats();
        let (command, sent) = code("012345");
        let failed = Err(CommandError::new(Code::Unreachable, home()));
        first(&repeats, &command, &sent).send_replace(Some(failed));
        assert!(again(&repeats, &command, &message("012345", true)));
        assert!(!again(&repeats, &command, &sent));
    }

    #[test]
    fn a_password_works_more_than_once_and_a_code_may_be_asked_for_again() {
        let (repeats, _) = repeats();
        let password = login(Credential::Password { password: Secret::new("p"), keep: false });
        let request = Command::RequestLoginCode { entry_id: home() };
        for command in [password, request] {
            let sent = message(&format!("{command:?}"), false);
            first(&repeats, &command, &sent).send_replace(Some(done()));
            assert!(again(&repeats, &command, &Inbound { dup: true, ..sent.clone() }));
            assert!(!again(&repeats, &command, &sent));
        }
    }

    #[test]
    fn what_was_given_up_or_is_long_ago_is_done_anew() {
        let (repeats, hand) = repeats();
        let (command, sent) = code("012345");
        drop(first(&repeats, &command, &sent));
        first(&repeats, &command, &sent).send_replace(Some(done()));
        assert!(again(&repeats, &command, &sent));
        hand.advance(REMEMBERED_FOR);
        assert!(!again(&repeats, &command, &sent));
    }

    #[test]
    fn other_commands_are_nobodys_repetition() {
        let (repeats, _) = repeats();
        let command = Command::RefreshTokens { entry_id: home() };
        for _ in 0..2 {
            assert!(matches!(repeats.meet(&command, &message("{}", true)), Meeting::New));
        }
    }
}
