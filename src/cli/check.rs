//! `latchkey check`: walks the whole chain and prints the mend for each failure.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use crate::{
    clock::Clock,
    config::Settings,
    mqtt::probe::{self, Denied, Probe},
    service,
    store::{SledStore, StoreError},
    vendor::{self, Http},
};

use super::ConfigArgs;

/// A broker that holds small packets back answers in 40 ms or more on every network; one that does not, far sooner.
const HELD_BACK: Duration = Duration::from_millis(38);
/// Beyond this, signatures and schedules suffer.
const WORST_SKEW_SECONDS: i64 = 120;

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey check --config /etc/latchkey.toml
  latchkey check --json | jq '.[] | select(.ok | not)'

It may run beside the service, and changes nothing. It ends with 1 where something is wrong.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Print the findings as one line of JSON
    #[arg(long)]
    json: bool,
}

/// One link of the chain.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

pub(super) async fn check(args: CheckArgs) -> ExitCode {
    let settings = match args.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let clock = Clock::system();
    let mut findings = vec![
        Finding::ok("configuration", format!("{} accounts", settings.accounts.len())),
        check_store(&settings, &clock),
    ];
    findings.extend(check_broker(&settings, &clock).await);
    findings.push(check_discovery(&settings));
    findings.extend(check_clouds(&settings, &clock).await);
    let _ = if args.json { print_json(&findings) } else { print_lines(&findings) };
    if findings.iter().all(|it| it.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check_store(settings: &Settings, clock: &Clock) -> Finding {
    let path = &settings.store.path;
    if !path.exists() {
        return Finding::ok("store", format!("{} will be made at the first start", path.display()));
    }
    match SledStore::open(service::store_settings(settings), clock.clone()) {
        Ok((_, report)) if report.is_clean() => Finding::ok("store", format!("{} is well", path.display())),
        Ok(_) => Finding::ok("store", format!("{} was damaged and has been mended", path.display())),
        Err(StoreError::Locked { .. }) => {
            Finding::ok("store", format!("{} is in use by a running Latchkey", path.display()))
        }
        Err(trouble) => Finding::wrong("store", trouble.to_string(), trouble.mend()),
    }
}

async fn check_broker(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let where_to = format!("{}:{}", settings.mqtt.host, settings.mqtt.port);
    let link = service::link_settings(settings, std::iter::empty());
    let Probe { denied, round_trip } = match probe::probe(&link, &service::rights(settings), clock).await {
        Ok(probe) => probe,
        Err(why) => {
            return vec![Finding::wrong(
                "broker",
                format!("{where_to}: {why}"),
                "See that Mosquitto runs there, and check mqtt.host, port, username and password.",
            )];
        }
    };
    let time = match round_trip {
        Some(time) if time < HELD_BACK => format!(", a message takes {:.1} ms", time.as_secs_f64() * 1e3),
        _ => String::new(),
    };
    let mut findings = vec![Finding::ok("broker", format!("{where_to} answers{time}"))];
    if let Some(time) = round_trip.filter(|it| HELD_BACK <= *it) {
        findings.push(Finding::advice(
            "broker speed",
            format!("a command takes {} ms on its way, because the broker holds small packets back", time.as_millis()),
            "Put `set_tcp_nodelay true` into mosquitto.conf (it works without, only slower).",
        ));
    }
    if !denied.is_empty() {
        findings.push(Finding::wrong(
            "broker access",
            describe(&denied),
            "Give its user the lines that config/mosquitto.acl has for `latchkey`.",
        ));
    }
    findings
}

fn describe(denied: &[Denied]) -> String {
    let of = |what: &str, filter: fn(&Denied) -> Option<&str>| {
        let filters: Vec<&str> = denied.iter().filter_map(filter).collect();
        (!filters.is_empty()).then(|| format!("may not {what} {}", filters.join(", ")))
    };
    let reading = of("read", |it| if let Denied::Reading(filter) = it { Some(filter) } else { None });
    let writing = of("write", |it| if let Denied::Writing(filter) = it { Some(filter) } else { None });
    let denials: Vec<String> = [reading, writing].into_iter().flatten().collect();
    format!("Latchkey {}", denials.join(", and "))
}

fn check_discovery(settings: &Settings) -> Finding {
    let home_assistant = &settings.home_assistant;
    let says = if home_assistant.discovery {
        format!("announced below {}; its MQTT integration has to use that prefix", home_assistant.discovery_prefix)
    } else {
        "not announced, as home_assistant.discovery says".to_owned()
    };
    Finding::ok("home assistant", says)
}

async fn check_clouds(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let http = match Http::new(settings.keeper.call_timeout, clock.clone()) {
        Ok(http) => http,
        Err(why) => return vec![Finding::wrong("clouds", why, "See that this machine has CA certificates.")],
    };
    let mut findings = Vec::new();
    for account in settings.accounts.values() {
        let vendor = vendor::connect(account, &http);
        let (what, host) = (format!("{} ({})", account.id, vendor.kind()), vendor.host().to_owned());
        let finding = match vendor.server_time().await {
            None => Finding::wrong(
                &what,
                format!("{host} does not answer"),
                "Check the network, the region and the gate or base_url.",
            ),
            Some(time) => {
                let skew = time.duration_since(clock.now()).as_secs();
                let side = if skew < 0 { "behind" } else { "ahead of" };
                if WORST_SKEW_SECONDS < skew.abs() {
                    Finding::wrong(
                        &what,
                        format!("{host} answers, and its clock is {} s {side} ours", skew.abs()),
                        "Set this machine's clock.",
                    )
                } else {
                    Finding::ok(&what, format!("{host} answers"))
                }
            }
        };
        findings.push(finding);
    }
    findings
}

fn print_lines(findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let width = findings.iter().map(|it| it.what.len()).max().unwrap_or(0);
    for Finding { what, ok, says, mend } in findings {
        let mark = match (ok, mend) {
            (true, None) => "ok   ",
            (true, Some(_)) => "could",
            (false, _) => "WRONG",
        };
        writeln!(out, "{mark} {what:width$}  {says}")?;
        if let Some(mend) = mend {
            writeln!(out, "      {:width$}  -> {mend}", "")?;
        }
    }
    Ok(())
}

fn print_json(findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, findings)?;
    writeln!(out)
}

// === impl Finding ===

impl Finding {
    fn ok(what: &str, says: impl Into<String>) -> Self {
        Self { what: what.to_owned(), ok: true, says: says.into(), mend: None }
    }

    /// Works, and could be better.
    fn advice(what: &str, says: impl Into<String>, mend: &str) -> Self {
        Self { mend: Some(mend.to_owned()), ..Self::ok(what, says) }
    }

    fn wrong(what: &str, says: impl Into<String>, mend: &str) -> Self {
        Self { what: what.to_owned(), ok: false, says: says.into(), mend: Some(mend.to_owned()) }
    }
}
