//! `latchkey run`: the service.

use std::process::ExitCode;

use crate::{clock::Clock, service::Service};

use super::{ConfigArgs, fail, start_log, told_to_stop};

pub(super) async fn run(args: ConfigArgs) -> ExitCode {
    let settings = match args.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    start_log(&settings.log);
    let service = match Service::start(settings, Clock::system()) {
        Ok(service) => service,
        Err(error) => return fail(format_args!("{error}")),
    };
    let told = told_to_stop().await;
    service.stop().await;
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("signals cannot be heard: {error}")),
    }
}
