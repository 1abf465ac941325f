//! `latchkey run`: the service, until it is told to stop. SIGHUP has it read its configuration again.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
};
use tracing::error;

use crate::{clock::Clock, service::Service, systemd};

use super::{ConfigArgs, StopSignals, fail, start_log};

pub(super) async fn run(args: ConfigArgs) -> ExitCode {
    let settings = match args.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    start_log(&settings.log);
    let (mut stop, mut hangup) = match (StopSignals::listen(), Hangup::listen()) {
        (Ok(stop), Ok(hangup)) => (stop, hangup),
        (Err(error), _) | (_, Err(error)) => return fail(format_args!("signals cannot be heard: {error}")),
    };
    let service = match Service::start(settings, Clock::system()) {
        Ok(service) => service,
        Err(error) => return fail(format_args!("{error}")),
    };
    systemd::ready(service.vitals()).await;
    let telling = tokio::spawn(systemd::keep_told(service.vitals().clone()));
    loop {
        tokio::select! {
            () = stop.told_to_stop() => break,
            what = hangup.heard() => match what {
                Heard::Reload => {
                    systemd::reloading();
                    reload(&args, &service).await;
                    systemd::ready(service.vitals()).await;
                }
                Heard::TerminalGone => break,
            },
        }
    }
    telling.abort();
    systemd::stopping();
    service.stop().await;
    ExitCode::SUCCESS
}

async fn reload(args: &ConfigArgs, service: &Service) {
    let args = args.clone();
    // Very many accounts take a while, and everything else goes on meanwhile.
    match spawn_blocking(move || args.read()).await {
        Err(_) => error!("reading the configuration ended by a fault of ours; Latchkey goes on with the one before"),
        Ok(Ok(settings)) => service.reload(settings).await,
        Ok(Err(errors)) => {
            for error in &errors {
                error!("{}: {}. Mend: {}", error.place(), error.problem, error.mend);
            }
            let n_errors = errors.iter().len();
            let problems = if n_errors == 1 { "problem" } else { "problems" };
            error!("the configuration has {n_errors} {problems}; Latchkey goes on with the one before");
        }
    }
}

/// SIGHUP, which no longer ends the process as soon as this exists. It asks for a reload, unless the terminal that
/// Latchkey ran in was closed, which is told by the same signal.
struct Hangup {
    signal: Signal,
    had_terminal: bool,
}

enum Heard {
    Reload,
    TerminalGone,
}

impl Hangup {
    fn listen() -> io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())?, had_terminal: io::stderr().is_terminal() })
    }

    async fn heard(&mut self) -> Heard {
        self.signal.recv().await;
        if self.had_terminal && !io::stderr().is_terminal() { Heard::TerminalGone } else { Heard::Reload }
    }
}
