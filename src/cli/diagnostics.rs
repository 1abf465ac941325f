//! `latchkey diagnostics`: all that helps somebody else to help, and nothing that is secret.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    config::{AccountSettings, Settings, StoreKey, VendorSettings},
};

use super::{
    VERSION,
    answer::{Answer, Trouble, tell},
    seat::{Common, Purpose, Seat},
};

/// Print what helps to find a fault: versions, settings, statuses, the store; no token, no key, no person
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  latchkey diagnostics > diagnostics.json

It is made to be shown to others: of the settings only those stand in it that are no secret and name nobody. Read it
before you send it all the same: it has the names of your accounts and hosts.")]
pub(super) struct DiagnosticsArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) async fn diagnostics(args: DiagnosticsArgs) -> ExitCode {
    let answer = gather(&args.common).await;
    tell(&answer, args.common.json, |data| serde_json::to_string_pretty(data).unwrap_or_default())
}

async fn gather(args: &Common) -> Answer {
    let settings = args.settings()?;
    let clock = Clock::system();
    // A store that does not open is what somebody may be looking for.
    let (store, accounts) = match Seat::take(&settings, Purpose::Use) {
        Ok(seat) => {
            let accounts = seat.accounts().await.map_or_else(|it| trouble(&it), |mut it| it["accounts"].take());
            let report = seat.store_report();
            seat.leave().await;
            (report, accounts)
        }
        Err(why) => (trouble(&why), Value::Null),
    };
    Ok(json!({
        "latchkey": VERSION,
        "system": { "os": std::env::consts::OS, "architecture": std::env::consts::ARCH },
        "time": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "settings": settings_document(&settings),
        "store": store,
        "accounts": accounts,
    }))
}

fn trouble(trouble: &Trouble) -> Value {
    json!({ "error": trouble })
}

/// An allow-list: a setting that is not named here is not shown.
fn settings_document(settings: &Settings) -> Value {
    let Settings { instance, mqtt, store, home_assistant, log, keeper, web, alert, accounts } = settings;
    let span = |it: std::time::Duration| humantime::format_duration(it).to_string();
    let account = |it: &AccountSettings| {
        let mut document = match &it.vendor {
            VendorSettings::Akuvox(akuvox) => json!({
                "vendor": "akuvox",
                "gate": akuvox.gate.as_str(),
                "rest": akuvox.rest.as_ref().map(|it| it.as_str()),
                "doors": akuvox.doors,
                "door_names": akuvox.door_names.len(),
                "has_phone": akuvox.phone.is_some(),
                "has_user": akuvox.user.is_some(),
            }),
            VendorSettings::Aqara(aqara) => json!({
                "vendor": "aqara",
                "base_url": aqara.base_url.as_str(),
                "scenes": aqara.scenes.keys().map(|it| it.as_str()).collect::<Vec<_>>(),
                "has_login": aqara.login.is_some(),
            }),
        };
        document["refresh_every"] = json!(it.refresh_every.map(span));
        document["safety_margin"] = json!(span(it.safety_margin));
        document["jitter"] = json!(span(it.jitter));
        document["min_refresh_gap"] = json!(span(it.min_refresh_gap));
        document["ambiguous"] = json!(format!("{:?}", it.ambiguous));
        (it.id.to_string(), document)
    };
    json!({
        "instance": instance.as_str(),
        "mqtt": {
            "host": mqtt.host,
            "port": mqtt.port,
            "base_topic": mqtt.base_topic.as_str(),
            "has_username": mqtt.username.is_some(),
            "has_password": mqtt.password.is_some(),
            "tls": mqtt.tls.is_some(),
            "keep_alive": span(mqtt.keep_alive),
        },
        "store": {
            "path": store.path,
            "key": match &store.key {
                StoreKey::Given(_) => json!("given"),
                StoreKey::File(path) => json!({ "file": path, "exists": path.exists() }),
            },
        },
        "home_assistant": {
            "discovery": home_assistant.discovery,
            "discovery_prefix": home_assistant.discovery_prefix.as_str(),
            "birth_topic": home_assistant.birth_topic.as_str(),
        },
        "log": { "filter": log.filter },
        "keeper": {
            "min_refresh_gap": span(keeper.min_refresh_gap),
            "refreshes_per_host": keeper.refreshes_per_host,
            "call_timeout": span(keeper.call_timeout),
            "backoff_first": span(keeper.back_off.first),
            "backoff_longest": span(keeper.back_off.longest),
        },
        "web": { "listen": web.listen, "has_public_url": web.public_url.is_some(), "has_key": web.key.is_some() },
        "has_alert": alert.is_some(),
        "accounts": accounts.values().map(account).collect::<serde_json::Map<_, _>>(),
    })
}
