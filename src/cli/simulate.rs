//! `latchkey simulate`: the simulated clouds alone, until Ctrl-C or SIGTERM.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::demo::clouds::{
    AkuvoxCloud, AqaraCloud, Cloud, Options, Places, Simulation, Tls, akuvox::AkuvoxKnobs, aqara::AqaraKnobs,
};

use super::StopSignals;

/// Runs simulated vendor clouds to try Latchkey, or any other client, against
///
/// Their tokens open nothing. `GET /_sim/` on any address says how to move their time, inject faults and read the codes
/// that they send. Without --akuvox and --aqara, both run on free loopback ports.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey simulate
  latchkey simulate --aqara 127.0.0.1:9000 --token-lifetime 60s
  latchkey simulate --json | jq -r .akuvox.url")]
pub struct SimulateArgs {
    /// Where the Akuvox gate listens; port 0 for a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub akuvox: Option<SocketAddr>,

    /// Where the Akuvox REST host listens; a free port beside the gate unless told
    #[arg(long, value_name = "HOST:PORT", requires = "akuvox")]
    pub akuvox_rest: Option<SocketAddr>,

    /// Where the Akuvox web host listens; a free port beside the gate unless told
    #[arg(long, value_name = "HOST:PORT", requires = "akuvox")]
    pub akuvox_web: Option<SocketAddr>,

    /// Where the Aqara cloud listens; port 0 for a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub aqara: Option<SocketAddr>,

    /// How many accounts are signed in at each cloud
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub accounts: u16,

    /// How many regions each cloud has; the accounts are dealt out to them in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub regions: u16,

    /// How long access tokens live, for instance 60s; 7 days unless told
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub token_lifetime: Option<Duration>,

    /// Speak https with this certificate (PEM, its chain after it)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Print addresses and credentials as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// The clouds that `latchkey simulate` runs.
pub struct Simulators {
    akuvox: Option<AkuvoxCloud>,
    aqara: Option<AqaraCloud>,
    n_accounts: usize,
}

/// Runs the clouds until the process is told to stop. Fails if an address cannot be listened at, or the certificate
/// cannot be used.
pub async fn simulate(args: SimulateArgs) -> ExitCode {
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            let _ = writeln!(io::stderr(), "the simulated clouds cannot run: {err}");
            ExitCode::FAILURE
        }
    }
}

impl Simulators {
    /// Starts what the arguments name, or both clouds.
    ///
    /// # Errors
    /// An address cannot be listened at; the certificate or its key cannot be read or used.
    pub async fn start(args: &SimulateArgs) -> io::Result<Self> {
        let (akuvox, aqara) = match (args.akuvox, args.aqara) {
            (None, None) => (Some(free_port()), Some(free_port())),
            some => some,
        };
        let tls = match (&args.tls_cert, &args.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::from_pem(&read(certificate)?, &read(key)?)?),
            _ => None,
        };
        let n_accounts = usize::from(args.accounts);
        let places = Places { n_regions: usize::from(args.regions), tls, ..Places::default() };
        let lifetime = args.token_lifetime.map(|it| it.as_secs().max(1));
        let akuvox = match akuvox {
            None => None,
            Some(address) => {
                let mut knobs = AkuvoxKnobs::default();
                knobs.token_lifetime_seconds = lifetime.unwrap_or(knobs.token_lifetime_seconds);
                let parts = [("rest", args.akuvox_rest), ("web", args.akuvox_web)];
                let parts: BTreeMap<_, _> = parts.into_iter().filter_map(|(part, at)| Some((part, at?))).collect();
                let places = Places { parts, ..places.clone() };
                Some(AkuvoxCloud::start(address, Options { n_accounts, knobs, time: None, places }).await?)
            }
        };
        let aqara = match aqara {
            None => None,
            Some(address) => {
                let mut knobs = AqaraKnobs::default();
                knobs.token_lifetime_seconds = lifetime.unwrap_or(knobs.token_lifetime_seconds);
                Some(AqaraCloud::start(address, Options { n_accounts, knobs, time: None, places }).await?)
            }
        };
        Ok(Self { akuvox, aqara, n_accounts })
    }

    /// The addresses and the first account's credentials, by vendor; `accounts` lists all where there are several, and
    /// `regions` the addresses of all regions where there are several.
    pub fn describe(&self) -> Value {
        let mut described = json!({});
        if let Some(cloud) = &self.akuvox {
            described["akuvox"] = describe(cloud, self.n_accounts);
        }
        if let Some(cloud) = &self.aqara {
            described["aqara"] = describe(cloud, self.n_accounts);
        }
        described
    }

    /// Stops listening.
    pub async fn shutdown(self) {
        if let Some(cloud) = self.akuvox {
            cloud.shutdown().await;
        }
        if let Some(cloud) = self.aqara {
            cloud.shutdown().await;
        }
    }
}

async fn run(args: &SimulateArgs) -> io::Result<()> {
    let mut signals = StopSignals::listen()?;
    let simulators = Simulators::start(args).await?;
    let described = simulators.describe();
    let text = if args.json { described.to_string() } else { as_text(&described) };
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    signals.told_to_stop().await;
    simulators.shutdown().await;
    Ok(())
}

fn describe<S: Simulation>(cloud: &Cloud<S>, n_accounts: usize) -> Value {
    let mut described = json!(cloud.credentials(0));
    described["url"] = json!(cloud.url());
    for part in &S::PARTS[1..] {
        described[format!("{part}_url")] = json!(cloud.url_of(0, part));
    }
    described["codes_url"] = json!(format!("{}/_sim/sms", cloud.url()));
    if 1 < cloud.n_regions() {
        let urls = |region| S::PARTS.iter().map(move |it| ((*it).to_owned(), json!(cloud.url_of(region, it))));
        described["regions"] = (0..cloud.n_regions()).map(|it| urls(it).collect::<Map<_, _>>()).collect();
    }
    if 1 < n_accounts {
        described["accounts"] = (0..n_accounts).map(|it| json!(cloud.credentials(it))).collect();
    }
    described
}

fn as_text(described: &Value) -> String {
    let pretty = serde_json::to_string_pretty(described).unwrap_or_default();
    format!("Simulated clouds are up; GET <url>/_sim/ says what they can do. Ctrl-C stops them.\n{pretty}")
}

fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|err| io::Error::new(err.kind(), format!("{}: {err}", path.display())))
}

fn free_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
