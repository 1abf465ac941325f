//! The command line: one file a subcommand.
//!
//! A command that an account can be asked takes a `seat`: `alone`, with the store open and a keeper of its own, or at the
//! `admin_api` of the service that holds the store. Either way it ends in one `answer`.

mod add_on;
mod admin_api;
mod alone;
mod answer;
mod backup;
mod check;
mod completions;
#[cfg(feature = "demo")]
mod demo;
mod diagnostics;
mod forget;
mod health;
mod import;
mod login;
mod man;
mod one_shot;
#[cfg(feature = "demo")]
mod onlooker;
mod passphrase;
mod plain_http;
mod privacy;
mod refresh;
mod restore;
mod rotate_key;
mod run;
mod seat;
#[cfg(feature = "demo")]
pub mod simulate;
mod status;
mod supervisor;
mod table;
mod targets;
mod terminal;
mod tokens;
mod trigger;

use std::{
    io::{self, IsTerminal, Write},
    panic::PanicHookInfo,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::{Targets, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

#[cfg(feature = "fuzzing")]
pub(crate) use import::read_as_text as read_import;

use crate::config::{self, ConfigErrors, LogFormat, LogSettings, Settings};

/// Bad usage or configuration, as in sysexits.
const USAGE: u8 = 64;

/// The version, the commit and the features of this build.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("LATCHKEY_BUILD"), ")");

/// Keeps vendor-cloud logins alive and shows them in Home Assistant
///
/// Latchkey renews the tokens of Akuvox SmartPlus and Aqara Cloud before they die, and takes commands by MQTT.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version = VERSION, propagate_version = true)]
#[command(after_help = "\
Examples:
  latchkey check                see that configuration, store, broker and clouds are well
  latchkey login front_door     sign in, guided
  latchkey status               how every account is
  latchkey trigger home pin     run a scene

Commands work beside a running service, by its admin API, and without one. `--json` prints the reply as a script reads it.
They end with 0 (done), 1 (failed) or 64 (bad usage or configuration). `latchkey help login` teaches one of them.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until Ctrl-C or SIGTERM
    #[command(after_help = "\
Examples:
  latchkey run --config /etc/latchkey.toml
  LATCHKEY__MQTT__HOST=broker.local latchkey run

`latchkey check` says before what is wrong. When it is told to stop, a renewal that is under way is brought to its end.
SIGHUP has it read its configuration again: accounts come, go and change without a restart. It logs to stderr.")]
    Run(ConfigArgs),
    Check(check::CheckArgs),
    Health(health::HealthArgs),
    Status(status::StatusArgs),
    Login(login::LoginArgs),
    Tokens(tokens::TokensArgs),
    Refresh(refresh::RefreshArgs),
    Trigger(trigger::TriggerArgs),
    Scenes(targets::ScenesArgs),
    Doors(targets::DoorsArgs),
    Open(targets::OpenArgs),
    Forget(forget::ForgetArgs),
    Recall(forget::RecallArgs),
    Import(import::ImportArgs),
    Diagnostics(diagnostics::DiagnosticsArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    AddOn(add_on::AddOnArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    RotateKey(rotate_key::RotateKeyArgs),
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    #[cfg(feature = "demo")]
    Simulate(simulate::SimulateArgs),
}

#[derive(Args, Clone, Debug)]
struct ConfigArgs {
    /// The configuration file; config/latchkey.toml where that exists. `LATCHKEY__…` variables are laid over it
    #[arg(long, value_name = "FILE", env = "LATCHKEY_CONFIG")]
    config: Option<PathBuf>,
}

/// The commands and their arguments, as `--help` tells of them.
pub fn commands() -> clap::Command {
    Cli::command()
}

/// One thread: a command waits for disks and clouds, and each change of threads on its way takes longer than what is done there.
/// Simulated clouds have more, so that they are not what a measurement waits for.
#[cfg_attr(not(feature = "demo"), allow(unused_variables, reason = "all commands are alike then"))]
fn runtime(command: &Command) -> io::Result<Runtime> {
    #[cfg(feature = "demo")]
    if let Command::Simulate(_) = command {
        return Runtime::new();
    }
    runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    privacy::ensure();
    std::panic::set_hook(Box::new(tell_panic));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if is_help { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let runtime = match runtime(&cli.command) {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("the runtime cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Check(args) => check::check(args).await,
            Command::Health(args) => health::health(args).await,
            Command::Status(args) => status::status(args).await,
            Command::Login(args) => login::login(args).await,
            Command::Tokens(args) => tokens::tokens(args).await,
            Command::Refresh(args) => refresh::refresh(args).await,
            Command::Trigger(args) => trigger::trigger(args).await,
            Command::Scenes(args) => targets::scenes(args).await,
            Command::Doors(args) => targets::doors(args).await,
            Command::Open(args) => targets::open(args).await,
            Command::Forget(args) => forget::forget(args).await,
            Command::Recall(args) => forget::recall(args).await,
            Command::Import(args) => import::import(args).await,
            Command::Diagnostics(args) => diagnostics::diagnostics(args).await,
            Command::Completions(args) => completions::completions(&args),
            Command::Man(args) => man::man(&args),
            Command::AddOn(args) => add_on::add_on(args).await,
            Command::Backup(args) => backup::backup(args).await,
            Command::Restore(args) => restore::restore(args).await,
            Command::RotateKey(args) => rotate_key::rotate_key(args).await,
            #[cfg(feature = "demo")]
            Command::Demo(args) => demo::demo(args).await,
            #[cfg(feature = "demo")]
            Command::Simulate(args) => simulate::simulate(args).await,
        }
    });
    // A question that was given up still waits for its line.
    runtime.shutdown_background();
    code
}

impl ConfigArgs {
    /// The settings, or the exit code after everything that is wrong with them was said.
    fn load(&self) -> Result<Settings, ExitCode> {
        self.read().map_err(|errors| {
            let _ = writeln!(io::stderr(), "{errors}");
            ExitCode::from(USAGE)
        })
    }

    fn read(&self) -> Result<Settings, ConfigErrors> {
        config::load(self.file().as_deref(), config::process_environment())
    }
}

fn start_log(settings: &LogSettings) {
    let filter = settings.filter.parse().unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(io::stderr);
    let guard = filter_fn(may_be_logged);
    match settings.format {
        LogFormat::Human => {
            let ansi = io::stderr().is_terminal();
            builder.with_target(false).with_ansi(ansi).finish().with(filter).with(guard).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).finish().with(filter).with(guard).init(),
    }
}

/// A panic's message may quote what was being read, tokens included: only its place is told.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    if tracing::dispatcher::has_been_set() {
        tracing::error!(place, "a fault inside Latchkey");
    } else {
        let _ = writeln!(io::stderr(), "latchkey: a fault inside Latchkey, at {place}");
    }
}

/// Our own words are free of secrets at every level. Libraries are stopped at DEBUG, whatever RUST_LOG asks for: none was
/// seen to show a secret at TRACE, but reqwest has lines there for the bytes of requests, and what keeps those quiet is
/// not ours to promise for its next versions. Libraries that log through `log` (sled, rumqttc) are not heard at all:
/// sled does so while its threads end, when a subscriber can only panic.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
    is_ours || *metadata.level() <= Level::DEBUG
}

fn fail(why: std::fmt::Arguments<'_>) -> ExitCode {
    let _ = writeln!(io::stderr(), "latchkey: {why}");
    ExitCode::FAILURE
}

/// Ctrl-C and SIGTERM, which no longer end the process at once as soon as this exists.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{catch_unwind, set_hook, take_hook},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_told_by_its_place_and_without_its_words() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            set_hook(Box::new(tell_panic));
            let panicked = catch_unwind(|| panic!("cannot read canary-token"));
            drop(take_hook());
            assert!(panicked.is_err());
        });
        let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(said.contains("a fault inside Latchkey") && said.contains("src/cli/mod.rs:"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
