//! `latchkey scenes`, `latchkey doors` and `latchkey open`: what a login can act on.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::keeper::Command;

use super::{
    answer::{Answer, tell, text},
    seat::{self, AccountArgs, Common, Purpose, Seat},
    table::Table,
    terminal::{Paint, Tone},
};

/// List an Aqara account's scenes; asks its cloud
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey scenes home
  latchkey scenes --json | jq -r '.data.scenes[].id'

Each scene has a key, an id and a name; `latchkey trigger` takes any of them. To choose the key yourself, name the id
under [accounts.home.scenes].")]
pub(super) struct ScenesArgs {
    #[command(flatten)]
    account: AccountArgs,
}

/// List an Akuvox account's doors
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  latchkey doors front_door

Each door has a key, an id and a name; `latchkey open` takes any of them. To choose the key yourself, name the id under
[accounts.front_door.door_names].")]
pub(super) struct DoorsArgs {
    #[command(flatten)]
    account: AccountArgs,
}

/// Open a door, at most once
#[derive(Args, Clone, Debug)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  latchkey open front_door garage
  latchkey open garage          where there is only one Akuvox account

It is never repeated by itself: where no answer came, it says so.")]
pub(super) struct OpenArgs {
    /// The account's id; not needed where there is only one Akuvox account
    account: Option<String>,

    /// The door: its key, its id, or a name that only one door has; `latchkey doors` lists them
    door: String,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn scenes(args: ScenesArgs) -> ExitCode {
    let answer = list_scenes(&args.account).await;
    tell(&answer, args.account.common.json, |data| list(&data["scenes"], "The cloud lists no scenes."))
}

pub(super) async fn doors(args: DoorsArgs) -> ExitCode {
    let answer = list_doors(&args.account).await;
    tell(&answer, args.account.common.json, |data| {
        list(
            &data["doors"],
            "No doors are known: they are listed once the account says `doors = true` and is signed in.",
        )
    })
}

pub(super) async fn open(args: OpenArgs) -> ExitCode {
    let answer = open_door(&args).await;
    tell(&answer, args.common.json, |data| format!("{}: {} was opened.", text(data, "entry_id"), text(data, "door")))
}

async fn list_scenes(args: &AccountArgs) -> Answer {
    let settings = args.common.settings()?;
    let entry_id = seat::choose(&settings, args.account.as_deref(), "Aqara account", seat::is_aqara)?.id.clone();
    seat::ask_once(&settings, Purpose::Use, Command::ListScenes { entry_id }).await
}

async fn list_doors(args: &AccountArgs) -> Answer {
    let settings = args.common.settings()?;
    let account = seat::choose(&settings, args.account.as_deref(), "Akuvox account", seat::is_akuvox)?;
    let seat = Seat::take(&settings, Purpose::Use)?;
    let answer = seat.doors(&account.id).await;
    seat.leave().await;
    answer
}

async fn open_door(args: &OpenArgs) -> Answer {
    let settings = args.common.settings()?;
    let account = seat::choose(&settings, args.account.as_deref(), "Akuvox account", seat::is_akuvox)?;
    let command = Command::OpenDoor { entry_id: account.id.clone(), door: args.door.clone() };
    seat::ask_once(&settings, Purpose::Use, command).await
}

fn list(targets: &Value, if_none: &str) -> String {
    let targets: &[Value] = targets.as_array().map_or(&[], Vec::as_slice);
    if targets.is_empty() {
        return if_none.to_owned();
    }
    let mut table = Table::new(&["KEY", "ID", "NAME"]);
    for target in targets {
        table.row(["key", "id", "name"].map(|it| (Tone::Plain, text(target, it).to_owned())).to_vec());
    }
    table.render(Paint::for_stdout())
}
