//! `latchkey rotate-key`: another key for the store.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use crate::{clock::Clock, service, store};

use super::{
    answer::{Answer, tell, text},
    seat::Common,
    terminal,
};

/// Make a new key and seal the whole store with it
///
/// Stop Latchkey first. It may be cut off at any moment: one of the two keys opens everything, and the next start or the
/// next `rotate-key` finishes. Whoever copied the store and the old key can still read that copy: refresh each account
/// afterwards, which makes the tokens in it worthless.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  latchkey rotate-key                          # a new key in place of the one in store.key_file
  latchkey rotate-key --to /etc/latchkey/key   # where the key is given by the environment, systemd or Docker

With --to, give Latchkey the key in that file before you start it again: store.key_file, LATCHKEY__STORE__KEY, or the
credential latchkey-store-key.")]
pub(super) struct RotateKeyArgs {
    /// Seal with the key in this file, which is made where there is none
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn rotate_key(args: RotateKeyArgs) -> ExitCode {
    let answer = carry_out(&args).await;
    tell(&answer, args.common.json, |data| words(data, args.to.is_some()))
}

/// `{"key_file", "still_old": ["<file>"]}`: what is still sealed with the old key.
async fn carry_out(args: &RotateKeyArgs) -> Answer {
    let store = service::store_settings(&args.common.settings()?);
    let to = args.to.clone();
    let rotate = move || store::rotate_key(&store, to.as_deref(), &Clock::system());
    let rotated = terminal::patiently_blocking("sealing the store with the new key", rotate).await?;
    Ok(json!({ "key_file": rotated.key_file, "still_old": rotated.still_old }))
}

fn words(data: &Value, is_elsewhere: bool) -> String {
    let mut said = vec![format!("The store is sealed with the new key in {}.", text(data, "key_file"))];
    if is_elsewhere {
        said.push("Give Latchkey that key before you start it: it no longer opens with the old one.".to_owned());
    }
    for path in data["still_old"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        said.push(format!("{path} is still sealed with the old key; delete it when you need it no more."));
    }
    said.join("\n")
}
