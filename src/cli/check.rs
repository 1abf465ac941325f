//! `latchkey check`: walks the whole chain and prints the mend for each failure.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    config::{AccountSettings, Settings},
    mqtt::probe::{self, Denied, Probe},
    service,
    store::{SledStore, StoreError},
    vendor::{self, Http},
};

use super::{
    answer::{Answer, tell},
    seat::Common,
    terminal::{Paint, Tone, patiently},
};

/// A broker that holds small packets back answers in 40 ms or more on every network; one that does not, far sooner.
const HELD_BACK: Duration = Duration::from_millis(38);
/// Beyond this, signatures and schedules suffer.
const WORST_SKEW_SECONDS: i64 = 120;

/// Check configuration, store, broker and clouds; each line is ok or says the mend. Spends no token
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey check --config /etc/latchkey.toml
  latchkey check --json | jq '.data.findings[] | select(.ok | not)'

It may run beside the service, and changes nothing. It ends with 1 where something is wrong.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    common: Common,
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

/// The chain as far as it was walked. People read each finding as soon as there is one.
struct Chain {
    findings: Vec<Finding>,
    is_told: bool,
    width: usize,
    paint: Paint,
}

pub(super) async fn check(args: CheckArgs) -> ExitCode {
    let answer = walk(&args.common).await;
    let code = tell(&answer, args.common.json, summary);
    if answer.is_ok_and(|it| it["ok"] != true) { ExitCode::FAILURE } else { code }
}

/// `{"ok", "findings": [{"what", "ok", "says", "mend"}]}`; `mend` only where something could be better.
async fn walk(args: &Common) -> Answer {
    let settings = args.settings()?;
    let clock = Clock::system();
    let http = Http::new(settings.keeper.call_timeout, clock.clone());
    let accounts = settings.accounts.values().map(|it| (format!("{} ({})", it.id, vendor::kind(it)), it));
    let accounts: Vec<(String, &AccountSettings)> = accounts.collect();
    let width = accounts.iter().map(|it| it.0.len()).max().unwrap_or(0).max("home assistant".len());
    let mut chain = Chain { findings: Vec::new(), is_told: !args.json, width, paint: Paint::for_stdout() };
    let s = if accounts.len() == 1 { "" } else { "s" };
    chain.add([Finding::ok("configuration", format!("{} account{s}", accounts.len()))]);
    chain.add([check_store(&settings, &clock)]);
    chain.add(patiently("asking the broker", check_broker(&settings, &clock)).await);
    chain.add([check_discovery(&settings)]);
    match http {
        Ok(http) => {
            for (what, account) in accounts {
                let asking = format!("asking the cloud of {}", account.id);
                chain.add([patiently(&asking, check_cloud(&what, account, &http, &clock)).await]);
            }
        }
        Err(why) => chain.add([Finding::wrong("clouds", why, "See that this machine has CA certificates.")]),
    }
    let is_well = chain.findings.iter().all(|it| it.ok);
    Ok(json!({ "ok": is_well, "findings": chain.findings }))
}

fn summary(data: &Value) -> String {
    let findings = data["findings"].as_array().map_or(&[][..], Vec::as_slice);
    match findings.iter().filter(|it| it["ok"] != true).count() {
        0 => "All is well.".to_owned(),
        1 => "One of them has to be mended.".to_owned(),
        n => format!("{n} of them have to be mended."),
    }
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

async fn check_cloud(what: &str, account: &AccountSettings, http: &Http, clock: &Clock) -> Finding {
    let vendor = vendor::connect(account, http);
    let host = vendor.host();
    let Some(time) = vendor.server_time().await else {
        let mend = "Check the network, the region and the gate or base_url.";
        return Finding::wrong(what, format!("{host} does not answer"), mend);
    };
    let skew = time.duration_since(clock.now()).as_secs();
    let side = if skew < 0 { "behind" } else { "ahead of" };
    if WORST_SKEW_SECONDS < skew.abs() {
        let says = format!("{host} answers, and its clock is {} s {side} ours", skew.abs());
        return Finding::wrong(what, says, "Set this machine's clock.");
    }
    Finding::ok(what, format!("{host} answers"))
}

// === impl Chain ===

impl Chain {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if self.is_told {
                // Whoever has gone has read enough.
                let _ = self.tell(&finding);
            }
            self.findings.push(finding);
        }
    }

    fn tell(&self, Finding { what, ok, says, mend }: &Finding) -> io::Result<()> {
        let width = self.width;
        let (tone, mark) = match (ok, mend) {
            (true, None) => (Tone::Good, "ok   "),
            (true, Some(_)) => (Tone::Odd, "could"),
            (false, _) => (Tone::Bad, "WRONG"),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{} {what:width$}  {says}", self.paint.paint(tone, mark))?;
        if let Some(mend) = mend {
            writeln!(out, "      {:width$}  -> {mend}", "")?;
        }
        Ok(())
    }
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
