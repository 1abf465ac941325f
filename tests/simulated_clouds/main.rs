//! The simulated clouds are as strict as the real ones are known or feared to be, and their faults look as they should.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod akuvox;
mod akuvox_house;
mod akuvox_logins;
mod akuvox_web;
mod aqara_accounts;
mod aqara_apps;
mod aqara_cloud;
mod control;
mod faults;
mod http;
mod places;
