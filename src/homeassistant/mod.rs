//! What Home Assistant is told: MQTT discovery, and when to repeat or take back what was told.
//!
//! [`Devices`] says what there is, as closed types, and [`advice()`] what a person is to do. The [`Ledger`] remembers
//! what was ever told, so that what is gone can be taken back; the [`Announcer`] knows when to say what. Nothing here
//! sends anything or asks for the time: `mqtt` drives the announcer and publishes what it hands out.

mod account;
mod advice;
mod announcement;
mod announcer;
mod bridge;
mod component;
mod devices;
mod house;
mod ledger;
mod plan;

pub use account::account_device;
pub use advice::advice;
pub use announcement::{Announcement, Message};
pub use announcer::{Announcer, AnnouncerSettings, Batch};
pub use bridge::bridge_device;
pub use component::Platform;
pub use devices::Devices;
pub use house::House;
pub use ledger::Ledger;
