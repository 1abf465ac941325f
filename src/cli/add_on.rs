//! `latchkey add-on`: the service as Home Assistant's supervisor starts it.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use tokio::time::sleep;

use crate::{
    account::Secret,
    config::{
        self,
        add_on::{Broker, Options},
    },
};

use super::{
    ConfigArgs,
    answer::{Trouble, tell},
    run,
    supervisor::{self, NoBroker},
};

/// The variable in which the supervisor hands over the add-on's own token.
const TOKEN: &str = "SUPERVISOR_TOKEN";
/// Between two questions to the supervisor.
const PAUSE: Duration = Duration::from_secs(3);

/// Run as an add-on of Home Assistant: options and broker come from its supervisor
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example, the start of the add-on's container:
  latchkey add-on

The options become a configuration in the file that LATCHKEY_CONFIG names, so that every other command finds it, too.
Then it is `latchkey run`.")]
pub(super) struct AddOnArgs {
    /// What the user chose, as the supervisor writes it
    #[arg(long, value_name = "FILE", default_value = "/data/options.json")]
    options: PathBuf,

    /// Where what has to last is kept
    #[arg(long, value_name = "FOLDER", default_value = "/data")]
    data: PathBuf,

    /// Where the configuration is written to
    #[arg(long, value_name = "FILE", env = "LATCHKEY_CONFIG", default_value = "/tmp/latchkey.toml")]
    config: PathBuf,

    /// Where the supervisor is
    #[arg(long, value_name = "HOST:PORT", default_value = "supervisor:80")]
    supervisor: String,

    /// How long to wait for the supervisor to know a broker
    #[arg(long, value_name = "DURATION", default_value = "1min", value_parser = humantime::parse_duration)]
    wait: Duration,
}

pub(super) async fn add_on(args: AddOnArgs) -> ExitCode {
    match configure(&args).await {
        Ok(()) => run::run(ConfigArgs { config: Some(args.config) }).await,
        Err(trouble) => tell(&Err(trouble), false, |_| String::new()),
    }
}

/// Writes the configuration.
async fn configure(args: &AddOnArgs) -> Result<(), Trouble> {
    let options = fs::read_to_string(&args.options).map_err(|it| Trouble::io("read the options", &it))?;
    let unusable = |it: config::add_on::OptionsError| {
        Trouble::new("configuration", it.to_string(), "Mend it on the tab Configuration, and start again.")
    };
    let options = Options::parse(&options).map_err(unusable)?;
    let broker = if options.names_a_broker() { None } else { Some(find_broker(args).await?) };
    let configuration = options.configuration(broker.as_ref(), &args.data).map_err(unusable)?;
    write_private(&args.config, configuration.as_bytes()).map_err(|it| Trouble::io("write the configuration", &it))
}

/// Asks until a broker is known: when a machine starts, its broker may be slower than we are.
async fn find_broker(args: &AddOnArgs) -> Result<Broker, Trouble> {
    let token = config::process_environment().find(|it| it.0 == TOKEN).map(|it| Secret::new(it.1));
    let token = token.ok_or_else(|| {
        Trouble::usage(format!("{TOKEN} is not set"), "Only Home Assistant's supervisor starts this command.")
    })?;
    let mut waited = Duration::ZERO;
    loop {
        let why = match supervisor::broker(&args.supervisor, &token).await {
            Ok(broker) => return Ok(broker),
            Err(why) => why,
        };
        if matches!(why, NoBroker::Refused(_) | NoBroker::Foreign) || args.wait <= waited {
            let hint =
                "Install and start the app Mosquitto broker, or name a broker of yours on the tab Configuration.";
            return Err(Trouble::new("no_broker", why.to_string(), hint));
        }
        if waited.is_zero() {
            let _ = writeln!(io::stderr(), "latchkey: {why}; waiting for it");
        }
        sleep(PAUSE).await;
        waited += PAUSE;
    }
}

/// The file is nobody else's from its first byte on.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text)
}
