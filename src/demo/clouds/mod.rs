//! Simulated vendor clouds: the test bench, and the far side of the demo.
//!
//! - [`Cloud`]: one simulated cloud on its own listeners; [`AkuvoxCloud`] and [`AqaraCloud`] are the two there are.
//! - [`akuvox`], [`aqara`]: what each vendor answers, and the switches for what nobody knows about it.
//! - [`grants`]: single use and rotation, which both vendors share.
//! - [`Places`]: regions, the parts of a cloud that listen apart, [`Tls`].
//! - [`PhoneAct`]: what the vendor's app on a phone does meanwhile. [`Message`]: codes on their way to residents.
//! - [`Fault`]: a mishap that is injected once or more often. [`Counters`] and [`LogEntry`] tell what happened.
//! - `engine`: one call on its way through faults, simulation and log; `control`: the bench over HTTP, below `/_sim/`.
//! - `listener`: connections that can be cut at any byte.
//! - [`Simulation`]: the seam; a third vendor implements it.
//!
//! Tokens are made up here and open nothing, so they are plain text, and `/_sim/state` shows them. The request log still
//! shows hashes only, so that it can be compared with a client's own.

mod cloud;
mod control;
mod counters;
mod drip;
mod engine;
mod fault;
mod journal;
mod listener;
mod messages;
mod phone;
mod places;
mod simulation;
mod state;
mod tls;

pub mod akuvox;
pub mod aqara;
pub mod grants;

pub use cloud::{Cloud, Options, What};
pub use counters::Counters;
pub use fault::{Fault, FaultKind, Scope};
pub use journal::{IssuedPair, LogEntry, short_hash};
pub use messages::{Message, Messages};
pub use phone::PhoneAct;
pub use places::{Entrance, Places};
pub use simulation::{Answer, Call, Desk, Reply, Request, Simulation};
pub use state::{AccountState, SessionState};
pub use tls::Tls;

/// A simulated Akuvox SmartPlus cloud (protocol/akuvox.md).
pub type AkuvoxCloud = Cloud<akuvox::Akuvox>;

/// A simulated Aqara Open API v3.0 (protocol/aqara.md).
pub type AqaraCloud = Cloud<aqara::Aqara>;
