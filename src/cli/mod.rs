//! The command line: one file a subcommand.

mod backup;
mod check;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "demo")]
mod onlooker;
mod passphrase;
mod restore;
mod rotate_key;
mod run;
#[cfg(feature = "demo")]
pub mod simulate;

use std::{
    io::{self, IsTerminal, Write},
    panic::PanicHookInfo,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{self, LogFormat, LogSettings, Settings};

/// Bad usage or configuration, as in sysexits.
const USAGE: u8 = 64;

/// Keeps vendor-cloud logins alive and shows them in Home Assistant
///
/// Latchkey renews the tokens of Akuvox SmartPlus and Aqara Cloud before they die, and takes commands by MQTT.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until Ctrl-C or SIGTERM
    Run(ConfigArgs),
    /// Check configuration, store, broker and clouds; each line is ok or says the mend. Spends no token
    Check(check::CheckArgs),
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

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(tell_panic));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if is_help { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("the runtime cannot start: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Check(args) => check::check(args).await,
            Command::Backup(args) => backup::backup(&args),
            Command::Restore(args) => restore::restore(&args),
            Command::RotateKey(args) => rotate_key::rotate_key(&args),
            #[cfg(feature = "demo")]
            Command::Demo(args) => demo::demo(args).await,
            #[cfg(feature = "demo")]
            Command::Simulate(args) => simulate::simulate(args).await,
        }
    })
}

impl ConfigArgs {
    /// The settings, or the exit code after everything that is wrong with them was said.
    fn load(&self) -> Result<Settings, ExitCode> {
        let usual = Path::new("config/latchkey.toml");
        let file = self.config.as_deref().or_else(|| usual.exists().then_some(usual));
        config::load(file, config::process_environment()).map_err(|errors| {
            let _ = writeln!(io::stderr(), "{errors}");
            ExitCode::from(USAGE)
        })
    }
}

fn start_log(settings: &LogSettings) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let guard = filter_fn(may_be_logged);
    match settings.format {
        LogFormat::Human => {
            builder.with_target(false).with_ansi(io::stderr().is_terminal()).finish().with(guard).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).finish().with(guard).init(),
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
