//! A running service with simulated clouds and no broker, and a client that writes requests by hand.

use std::{fs, net::SocketAddr, time::Duration};

use latchkey::{
    clock::Clock,
    config,
    demo::clouds::{AkuvoxCloud, AqaraCloud},
    service::Service,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Whatever takes longer hangs.
const STUCK: Duration = Duration::from_secs(60);
pub(crate) const KEY: &str = "the-key-of-the-tests";

/// `front_door` (Akuvox) and `home` (Aqara, with the scene `tv_warning`), and the admin API on a free port.
pub(crate) struct House {
    pub(crate) akuvox: AkuvoxCloud,
    pub(crate) aqara: AqaraCloud,
    pub(crate) address: SocketAddr,
    pub(crate) service: Service,
    pub(crate) folder: TempDir,
}

/// What a house is made of beside the usual, as lines of the configuration.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) web: &'static str,
    pub(crate) front_door: &'static str,
    pub(crate) home: &'static str,
    /// Whether a second account of Aqara is there: `cabin`.
    pub(crate) has_cabin: bool,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::of(Plan::default()).await
    }

    /// A house whose accounts have their tokens.
    pub(crate) async fn signed_in() -> Self {
        let house = Self::new().await;
        house.sign_in().await;
        house
    }

    pub(crate) async fn of(plan: Plan) -> Self {
        Self::at(Clock::system(), plan).await
    }

    pub(crate) async fn at(clock: Clock, plan: Plan) -> Self {
        let (akuvox, aqara) = (AkuvoxCloud::start_default().await.unwrap(), AqaraCloud::start_default().await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latchkey.toml");
        fs::write(&file, configuration(&plan, &akuvox, &aqara, &folder)).unwrap();
        let service = Service::start(config::load(Some(&file), std::iter::empty()).unwrap(), clock).unwrap();
        Self { akuvox, aqara, address: service.web.unwrap(), service, folder }
    }

    pub(crate) async fn sign_in(&self) {
        let akuvox = self.akuvox.credentials(0);
        let tokens = json!({ "token": akuvox.token, "refresh_token": akuvox.refresh_token });
        assert_eq!(self.put("/v1/accounts/front_door/tokens", &tokens).await.status, 200);
        let tokens = json!({ "refresh_token": self.aqara.credentials(0).refresh_token });
        assert_eq!(self.put("/v1/accounts/home/tokens", &tokens).await.status, 200);
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &body.to_string()).await
    }

    /// With the key.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send_with(method, path, &format!("X-Latchkey-Key: {KEY}\r\n"), body).await
    }

    /// With these header lines instead of the key.
    pub(crate) async fn send_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let host = self.address;
        self.send_raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        ))
        .await
    }

    /// Byte for byte.
    pub(crate) async fn send_raw(&self, request: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(stream, request).await
    }
}

/// Sends a request, and reads until the other side closes.
pub(crate) async fn exchange(mut stream: TcpStream, request: &str) -> Answer {
    let answered = async {
        // It may answer and close before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    };
    let bytes = tokio::time::timeout(STUCK, answered).await.expect("no answer");
    Answer::read(&String::from_utf8(bytes).unwrap())
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|it| it.split(' ').nth(1)).and_then(|it| it.parse().ok()).unwrap_or(0);
        let header = |line: &str| line.split_once(": ").map(|it| (it.0.to_ascii_lowercase(), it.1.to_owned()));
        Self { status, headers: lines.filter_map(header).collect(), text: body.to_owned() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }
}

fn configuration(plan: &Plan, akuvox: &AkuvoxCloud, aqara: &AqaraCloud, folder: &TempDir) -> String {
    let seeds = aqara.credentials(0);
    let of_aqara = |name: &str| {
        format!(
            "[accounts.{name}]\nvendor = \"aqara\"\nbase_url = {:?}\napp_id = {:?}\nkey_id = {:?}\napp_key = {:?}\n",
            aqara.url(),
            seeds.app_id,
            seeds.key_id,
            seeds.app_key
        )
    };
    let cabin = if plan.has_cabin { of_aqara("cabin") } else { String::new() };
    format!(
        "[mqtt]\nhost = \"127.0.0.1\"\nport = 1\n[store]\npath = {:?}\n\
         [keeper]\nmin_refresh_gap = \"0s\"\nbackoff_first = \"50ms\"\nbackoff_longest = \"1s\"\n\
         [web]\nlisten = \"127.0.0.1:0\"\nkey = {KEY:?}\n{}\n\
         [accounts.front_door]\nvendor = \"akuvox\"\nname = \"Front door\"\ngate = {:?}\n{}\n\
         {}{}\n[accounts.home.scenes]\ntv_warning = {:?}\n{cabin}",
        folder.path().join("store"),
        plan.web,
        akuvox.url(),
        plan.front_door,
        of_aqara("home"),
        plan.home,
        seeds.scenes["TV warning"],
    )
}
