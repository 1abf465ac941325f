//! `latchkey demo`: the whole product on this machine alone, with simulated clouds and a broker of its own.

use std::{collections::BTreeMap, io, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;

use crate::{
    account::Secret,
    clock::Clock,
    config::{self, LogFormat, LogSettings},
    demo::{
        broker::Broker,
        clouds::{
            AkuvoxCloud, AqaraCloud, Options,
            akuvox::{AkuvoxCredentials, AkuvoxKnobs, devices},
            aqara::AqaraKnobs,
        },
    },
    mqtt::{Outgoing, Qos},
    service::{Service, StartError},
    web::KEY_FILE,
};

use super::{
    StopSignals, fail,
    onlooker::{Gone, Onlooker, say},
    start_log,
};

/// How long the bridge may take to answer the demo's own commands.
const PATIENCE: Duration = Duration::from_secs(30);

/// Show everything working: simulated clouds, an MQTT broker, and the bridge between them
///
/// Tokens live for a minute, so that their renewal can be watched. Nothing outside this machine is touched.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  latchkey demo
  latchkey demo --token-lifetime 10s --broker localhost:1883
  latchkey demo --json | jq -r .web       # one line when all is up: mqtt_port, akuvox, aqara, store, web, key")]
pub(super) struct DemoArgs {
    /// Print one line of JSON when all is up, and nothing else
    #[arg(long)]
    json: bool,

    /// The port of the demo's own broker; a free one unless told
    #[arg(long, value_name = "N", default_value_t = 0)]
    mqtt_port: u16,

    /// Use this broker instead of the demo's own
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "mqtt_port", value_parser = host_and_port)]
    broker: Option<(String, u16)>,

    /// How long the simulated clouds' tokens live
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = humantime::parse_duration)]
    token_lifetime: Duration,
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Config(#[from] config::ConfigErrors),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("the bridge did not answer within half a minute; is the broker there?")]
    NoAnswer,
    #[error("{0}")]
    Gone(#[from] Gone),
}

pub(super) async fn demo(args: DemoArgs) -> ExitCode {
    let filter = std::env::vars().find(|(name, _)| name == "RUST_LOG").map_or("error".to_owned(), |it| it.1);
    start_log(&LogSettings { filter, format: LogFormat::Human });
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("{error}")),
    }
}

async fn run(args: &DemoArgs) -> Result<(), DemoError> {
    let mut signals = StopSignals::listen()?;
    let folder = tempfile::Builder::new().prefix("latchkey-demo-").tempdir()?;
    let own_broker = match args.broker {
        Some(_) => None,
        None => Some(Broker::start(args.mqtt_port).await?),
    };
    let (host, port) = match (&args.broker, &own_broker) {
        (Some(there), _) => there.clone(),
        (None, Some(broker)) => ("127.0.0.1".to_owned(), broker.port()),
        (None, None) => return Err(DemoError::NoAnswer),
    };
    let clouds = Clouds::start(args.token_lifetime).await?;
    let store = folder.path().join("store");
    let file = folder.path().join("latchkey.toml");
    std::fs::write(&file, clouds.configuration(&host, port, &store))?;
    let settings = config::load(Some(&file), std::iter::empty())?;
    let service = Service::start(settings, Clock::system())?;
    let page = Page::of(&service, &store)?;
    let mut onlooker = Onlooker::connect(&host, port)?;
    tokio::select! {
        () = signals.told_to_stop() => {}
        result = watch(args, &mut onlooker, &clouds, &store, &page, (&host, port)) => {
            match result {
                Ok(never) => match never {},
                Err(error) => {
                    service.stop().await;
                    return Err(error);
                }
            }
        }
    }
    if !args.json {
        say(format_args!("\nStopping: a running refresh may finish, `offline` is left at the broker."))?;
    }
    service.stop().await;
    onlooker.link.stop(Vec::new()).await;
    if let Some(broker) = own_broker {
        broker.stop().await;
    }
    clouds.stop().await;
    Ok(())
}

async fn watch(
    args: &DemoArgs,
    onlooker: &mut Onlooker,
    clouds: &Clouds,
    store: &std::path::Path,
    page: &Page,
    (host, port): (&str, u16),
) -> Result<std::convert::Infallible, DemoError> {
    let (akuvox, aqara) = (clouds.akuvox.url().to_string(), clouds.aqara.url().to_string());
    if !args.json {
        say(format_args!(
            "Latchkey demo: two simulated clouds, tokens that live for {}.",
            humantime::format_duration(args.token_lifetime)
        ))?;
        say(format_args!("  broker   {host}:{port}   (mosquitto_sub -h {host} -p {port} -v -t 'latchkey/#')"))?;
        say(format_args!("  akuvox   {akuvox}\n  aqara    {aqara}"))?;
        say(format_args!("  page     {}   with the key {}", page.url, page.key.expose()))?;
        say(format_args!("Each account is given its first tokens by update_tokens, as you would do it once:\n"))?;
    }
    tokio::time::timeout(PATIENCE, onlooker.until("latchkey/bridge/state", "online", !args.json))
        .await
        .map_err(|_| DemoError::NoAnswer)??;
    for (account, tokens) in clouds.first_tokens() {
        let command = format!("latchkey/{account}/update_tokens");
        onlooker.link.publish(Outgoing::passing(command, tokens.expose().to_owned()));
        let response = format!("latchkey/{account}/response/update_tokens");
        tokio::time::timeout(PATIENCE, onlooker.until(&response, "\"ok\"", !args.json))
            .await
            .map_err(|_| DemoError::NoAnswer)??;
    }
    if args.json {
        let ready = json!({
            "ready": true,
            "mqtt_port": port,
            "akuvox": akuvox,
            "aqara": aqara,
            "store": store,
            "web": page.url,
            "key": page.key.expose(),
        });
        say(format_args!("{ready}"))?;
    } else {
        onlooker.link.publish(Outgoing {
            qos: Qos::AtMostOnce,
            ..Outgoing::passing("latchkey/home/trigger_scene", "tv_pin_entry")
        });
        let response = "latchkey/home/response/trigger_scene";
        tokio::time::timeout(PATIENCE, onlooker.until(response, "\"ok\"", true))
            .await
            .map_err(|_| DemoError::NoAnswer)??;
        say(format_args!("\nNow watch the renewals, or try it yourself:"))?;
        say(format_args!("  mosquitto_pub -h {host} -p {port} -t latchkey/home/trigger_scene -m tv_warning"))?;
        say(format_args!("  mosquitto_pub -h {host} -p {port} -t latchkey/front_door/refresh_tokens -m '{{}}'"))?;
        say(format_args!("The page is at {}; codes that the clouds send are at {akuvox}/_sim/sms", page.url))?;
        say(format_args!("Ctrl-C ends it.\n"))?;
    }
    loop {
        onlooker.next(!args.json).await?;
    }
}

/// Where the page is, and what opens it.
struct Page {
    url: String,
    key: Secret,
}

impl Page {
    /// The key is the one that was made beside the demo's own store.
    fn of(service: &Service, store: &std::path::Path) -> io::Result<Self> {
        let address = service.web.ok_or(io::ErrorKind::NotConnected)?;
        let key = Secret::new(std::fs::read_to_string(store.join(KEY_FILE))?.trim());
        Ok(Self { url: format!("http://{address}/"), key })
    }
}

/// Where the door is that the configuration names.
const GARAGE: &str = "Garage";

/// The simulated clouds and what they were seeded with.
struct Clouds {
    akuvox: AkuvoxCloud,
    aqara: AqaraCloud,
}

impl Clouds {
    async fn start(token_lifetime: Duration) -> io::Result<Self> {
        let free = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let seconds = token_lifetime.as_secs().max(1);
        let akuvox_knobs = AkuvoxKnobs { token_lifetime_seconds: seconds, ..AkuvoxKnobs::default() };
        let aqara_knobs = AqaraKnobs { token_lifetime_seconds: seconds, ..AqaraKnobs::default() };
        Ok(Self {
            akuvox: AkuvoxCloud::start(free, Options { knobs: akuvox_knobs, ..Options::default() }).await?,
            aqara: AqaraCloud::start(free, Options { knobs: aqara_knobs, ..Options::default() }).await?,
        })
    }

    /// The configuration that a user would write for two such accounts.
    fn configuration(&self, host: &str, port: u16, store: &std::path::Path) -> String {
        let aqara = self.aqara.credentials(0);
        let scenes: BTreeMap<&str, &str> =
            [("tv_pin_entry", "TV PIN entry"), ("tv_warning", "TV warning"), ("tv_power_off", "TV power off")]
                .into_iter()
                .filter_map(|(key, name)| Some((key, aqara.scenes.get(name)?.as_str())))
                .collect();
        let scenes: String = scenes.iter().map(|(key, id)| format!("{key} = {id:?}\n")).collect();
        let (akuvox_url, aqara_url) = (self.akuvox.url(), self.aqara.url());
        let (app_id, key_id, app_key, login) = (&aqara.app_id, &aqara.key_id, &aqara.app_key, &aqara.account);
        let AkuvoxCredentials { dial_code, phone_number, login: user, .. } = self.akuvox.credentials(0);
        let garage = devices(0).into_iter().find(|it| it.location == GARAGE);
        let garage = garage.map(|it| format!("{}/{}", it.mac, it.relays[0].id)).unwrap_or_default();
        format!(
            "[mqtt]\nhost = {host:?}\nport = {port}\n\n[store]\npath = {store:?}\n\n\
             [web]\nlisten = \"127.0.0.1:0\"\n\n\
             [keeper]\nmin_refresh_gap = \"1s\"\n\n\
             [accounts.front_door]\nvendor = \"akuvox\"\nname = \"Front door\"\ngate = \"{akuvox_url}\"\n\
             dial_code = {dial_code:?}\nphone = {phone_number:?}\nuser = {user:?}\ndoors = true\n\
             [accounts.front_door.door_names]\ngarage = {garage:?}\n\n\
             [accounts.home]\nvendor = \"aqara\"\nname = \"Home\"\nbase_url = \"{aqara_url}\"\n\
             app_id = {app_id:?}\nkey_id = {key_id:?}\napp_key = {app_key:?}\nlogin = {login:?}\n\n\
             [accounts.home.scenes]\n{scenes}"
        )
    }

    /// The payloads by which the accounts get their first tokens.
    fn first_tokens(&self) -> [(&'static str, Secret); 2] {
        let akuvox = self.akuvox.credentials(0);
        let aqara = self.aqara.credentials(0);
        let akuvox = json!({ "token": akuvox.token, "refresh_token": akuvox.refresh_token });
        let aqara = json!({ "refresh_token": aqara.refresh_token });
        [("front_door", Secret::new(akuvox.to_string())), ("home", Secret::new(aqara.to_string()))]
    }

    async fn stop(self) {
        self.akuvox.shutdown().await;
        self.aqara.shutdown().await;
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
    let port = port.parse().map_err(|_| "expected a port from 1 to 65535 after the last colon")?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}
