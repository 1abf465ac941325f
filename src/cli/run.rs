//! `latchkey run`: the service.

use std::process::ExitCode;

use crate::{clock::Clock, service::Service};

use super::{ConfigArgs, StopSignals, fail, start_log};

pub(super) async fn run(args: ConfigArgs) -> ExitCode {
    let settings = match args.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    start_log(&settings.log);
    let mut signals = match StopSignals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(format_args!("signals cannot be heard: {error}")),
    };
    let service = match Service::start(settings, Clock::system()) {
        Ok(service) => service,
        Err(error) => return fail(format_args!("{error}")),
    };
    signals.told_to_stop().await;
    service.stop().await;
    ExitCode::SUCCESS
}
