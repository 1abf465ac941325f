//! The connection, the topics, commands in and replies out.
//!
//! From the bottom up: [`message`] and [`settings`] are what goes in and comes out, [`link`] is the handle that the
//! rest of Latchkey holds, and behind it `session` keeps a `connection` alive, `subscribed` to what is wanted, and feeds it
//! from the `outbox`. On top of it, [`topics`] names what goes where, [`request`] is payloads in, [`commands`] carries one
//! message from receipt to reply, and [`bridge`] is the task that drives all of it.

mod backoff;
mod connection;
mod failure;
mod outbox;
mod presence;
mod receipts;
mod session;
mod subscribed;

pub mod bridge;
pub mod commands;
pub mod link;
pub mod message;
pub mod payload;
pub mod probe;
pub mod request;
pub mod settings;
pub mod tls;
pub mod topics;

pub use failure::LinkFailure;
pub use link::{Events, Link, LinkStats};
pub use message::{AckToken, Inbound, LinkEvent, Outgoing, Qos};
pub use settings::{Backoff, LinkSettings, Subscription, Will};
pub use tls::{TlsError, TlsSettings};
