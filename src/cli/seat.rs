//! Where a command is carried out: by a keeper of our own where nobody else holds the store, else by the running service.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    account::AccountId,
    config::{self, AccountSettings, Settings, VendorSettings},
    keeper::Command,
    store::is_in_use,
};

use super::{
    ConfigArgs,
    admin_api::AdminApi,
    alone::Alone,
    answer::{Answer, Trouble},
    start_log, terminal,
};

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) config: ConfigArgs,

    /// Print the reply as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// An account, which need not be said where only one fits.
#[derive(Args, Clone, Debug)]
pub(super) struct AccountArgs {
    /// The account's id, as it stands under [accounts]; not needed where there is only one that fits
    pub(super) account: Option<String>,

    #[command(flatten)]
    pub(super) common: Common,
}

/// Why the store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To use what it holds: where there is none, none is made.
    Use,
    /// To put something into it.
    Fill,
}

/// Who carries commands out.
pub(super) enum Seat {
    Alone(Box<Alone>),
    Service(AdminApi),
}

impl Common {
    /// The settings. What goes on inside is logged only where RUST_LOG asks for it: a command says itself what it did.
    pub(super) fn settings(&self) -> Result<Settings, Trouble> {
        let settings = config::load(self.config.file().as_deref(), config::process_environment())?;
        if config::process_environment().any(|it| it.0 == "RUST_LOG") && !tracing::dispatcher::has_been_set() {
            start_log(&settings.log);
        }
        Ok(settings)
    }
}

impl Seat {
    /// Opens the store, or finds the service that holds it.
    pub(super) fn take(settings: &Settings, purpose: Purpose) -> Result<Self, Trouble> {
        if is_in_use(&settings.store.path) {
            return AdminApi::of(settings).map(Self::Service);
        }
        Alone::start(settings, purpose).map(|it| Self::Alone(Box::new(it)))
    }

    /// Has one command carried out.
    pub(super) async fn ask(&self, command: Command) -> Answer {
        let asked = async {
            match self {
                Self::Alone(alone) => alone.ask(command).await,
                Self::Service(service) => service.ask(command).await,
            }
        };
        terminal::patiently("waiting for the answer", asked).await
    }

    /// How all accounts are: `{"accounts": [{"entry_id", "vendor", "name", "condition", ...}]}`. Asks no vendor.
    pub(super) async fn accounts(&self) -> Answer {
        match self {
            Self::Alone(alone) => Ok(alone.accounts()),
            Self::Service(service) => service.accounts().await,
        }
    }

    /// The doors of an account, as far as they are known: `{"entry_id", "doors": [{"key", "id", "name"}]}`.
    pub(super) async fn doors(&self, entry_id: &AccountId) -> Answer {
        let asked = async {
            match self {
                Self::Alone(alone) => alone.doors(entry_id).await,
                Self::Service(service) => service.doors(entry_id).await,
            }
        };
        terminal::patiently("waiting for the answer", asked).await
    }

    /// What was found when the store was opened, for diagnostics.
    pub(super) fn store_report(&self) -> Value {
        match self {
            Self::Alone(alone) => alone.store_report(),
            Self::Service(_) => json!("in use by the running service"),
        }
    }

    /// Lets what still runs finish, and closes the store.
    pub(super) async fn leave(self) {
        match self {
            Self::Alone(alone) => terminal::patiently("closing the store", alone.stop()).await,
            Self::Service(_) => {}
        }
    }
}

/// Takes a seat, has one command carried out, and leaves.
pub(super) async fn ask_once(settings: &Settings, purpose: Purpose, command: Command) -> Answer {
    let seat = Seat::take(settings, purpose)?;
    let answer = seat.ask(command).await;
    seat.leave().await;
    answer
}

/// The account that is meant: the given one, or the only one that `fits`. `what`: what such an account is called.
pub(super) fn choose<'a>(
    settings: &'a Settings,
    given: Option<&str>,
    what: &str,
    fits: impl Fn(&AccountSettings) -> bool,
) -> Result<&'a AccountSettings, Trouble> {
    let list =
        |accounts: Vec<&AccountSettings>| accounts.iter().map(|it| it.id.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(given) = given {
        let found = settings.accounts.values().find(|it| it.id.as_str() == given);
        return found.ok_or_else(|| {
            // It is quoted only where it can be an id: it may be a token in the wrong place.
            let name = given.parse::<AccountId>().map(|it| format!(" `{it}`")).unwrap_or_default();
            let hint = format!("Configured are: {}.", list(settings.accounts.values().collect()));
            Trouble::new("unknown_account", format!("there is no account{name}"), hint)
        });
    }
    let fitting: Vec<&AccountSettings> = settings.accounts.values().filter(|it| fits(it)).collect();
    match fitting.as_slice() {
        [only] => Ok(only),
        [] => {
            let hint = format!("Configured are: {}.", list(settings.accounts.values().collect()));
            Err(Trouble::usage(format!("no {what} is configured"), hint))
        }
        [first, ..] => {
            let hint = format!("Name one of them, `{}` for example.", first.id);
            Err(Trouble::usage(format!("there are several accounts: {}", list(fitting.clone())), hint))
        }
    }
}

pub(super) fn any(_: &AccountSettings) -> bool {
    true
}

pub(super) fn is_akuvox(account: &AccountSettings) -> bool {
    matches!(account.vendor, VendorSettings::Akuvox(_))
}

pub(super) fn is_aqara(account: &AccountSettings) -> bool {
    matches!(account.vendor, VendorSettings::Aqara(_))
}

impl ConfigArgs {
    /// The file that was named, or the usual one where it exists.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let usual = PathBuf::from("config/latchkey.toml");
        self.config.clone().or_else(|| usual.exists().then_some(usual))
    }
}
