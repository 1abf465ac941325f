//! `latchkey health`: whether the running service lives, as a container's HEALTHCHECK asks it.

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use crate::config::Settings;

use super::{
    admin_api::reachable,
    answer::{Answer, Trouble, tell, text},
    plain_http::{Request, StatusCode, exchange, header::HOST},
    seat::Common,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Ask whether the running service lives, and with --ready whether store and broker are there, too
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey health
  latchkey health --ready && echo ready

It needs no key. A broker that is away is no reason to restart Latchkey, which renews all the same: a container's
HEALTHCHECK asks without --ready.")]
pub(super) struct HealthArgs {
    #[command(flatten)]
    common: Common,

    /// Ask also whether the store takes commits and the broker is connected
    #[arg(long)]
    ready: bool,
}

pub(super) async fn health(args: HealthArgs) -> ExitCode {
    let answer = match args.common.settings() {
        Ok(settings) => ask(&settings, args.ready).await,
        Err(trouble) => Err(trouble),
    };
    tell(&answer, args.common.json, |data| if data["ready"] == true { "ready".to_owned() } else { "alive".to_owned() })
}

async fn ask(settings: &Settings, ready: bool) -> Answer {
    let listen = settings.web.listen.ok_or_else(|| {
        Trouble::new(
            "service_unreachable",
            "nobody can be asked: the admin API is switched off",
            "Switch it on with `enabled = true` under [web].",
        )
    })?;
    let address = reachable(listen);
    let path = if ready { "/readyz" } else { "/healthz" };
    let request = Request::builder().uri(path).header(HOST, address.to_string()).body(Bytes::new());
    let request = request.map_err(|error| Trouble::new("internal", error.to_string(), ""))?;
    let (status, body) = exchange(address, request, PATIENCE).await.map_err(|_| {
        Trouble::new(
            "service_unreachable",
            format!("nothing answers at {address}"),
            "See that `latchkey run` runs, with this configuration (`listen` under [web]).",
        )
    })?;
    let readiness: Value = serde_json::from_slice(&body).unwrap_or_default();
    match status {
        StatusCode::OK if ready => Ok(readiness),
        StatusCode::OK => Ok(json!({ "alive": true })),
        StatusCode::SERVICE_UNAVAILABLE if ready => Err(Trouble::new(
            "not_ready",
            format!("the store is {}, the broker is {}", text(&readiness, "store"), text(&readiness, "broker")),
            "`latchkey check` tells what to mend.",
        )),
        other => Err(Trouble::new(
            "service_unreachable",
            format!("what answers at {address} is not this Latchkey ({other})"),
            "Use the configuration that the service uses (`listen` under [web]).",
        )),
    }
}
