//! What a command costs at the least: its parts, bare. The same round trip by the same broker, the same request to the
//! same cloud by a client with the same settings, the same bytes on the same disk by the same system calls.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use latchkey::{account::Secret, vendor::sign};
use reqwest::{Client, RequestBuilder};
use rumqttc::v5::{Event, Incoming, mqttbytes::QoS};
use serde_json::{Value, json};

use crate::talker::{Talker, connect};

/// The flag that makes this program the echo.
pub(crate) const ECHO: &str = "--echo";

const ASKED: &str = "floor/asked";
const ANSWERED: &str = "floor/answered";

/// Answers what is said on one topic on another, until it is killed.
pub(crate) fn echo(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut eventloop) = connect(port, "echo");
        client.subscribe(ASKED, QoS::AtLeastOnce).await.unwrap();
        loop {
            if let Event::Incoming(Incoming::Publish(publish)) = eventloop.poll().await.unwrap() {
                client.try_publish(ANSWERED, QoS::AtLeastOnce, false, publish.payload).unwrap();
            }
        }
    });
}

/// An echo behind the broker; gone when dropped.
pub(crate) struct Echo {
    child: Child,
    talker: Talker,
}

impl Echo {
    pub(crate) async fn start(port: u16) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let child = command.args([ECHO, &port.to_string()]).stdin(Stdio::null()).spawn().unwrap();
        let mut talker = Talker::connect(port, &[ANSWERED]).await;
        // Until it listens, nobody answers.
        loop {
            talker.say(ASKED, "there?").await;
            tokio::select! {
                _ = talker.hear() => break,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        Self { child, talker }
    }

    /// There and back.
    pub(crate) async fn round_trip(&mut self, payload: &'static [u8]) {
        self.talker.ask(ASKED, payload).await;
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with the settings of `src/vendor/http.rs`.
pub(crate) fn client() -> Client {
    let builder = Client::builder().timeout(Duration::from_secs(15)).connect_timeout(Duration::from_secs(5));
    let builder = builder.redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never());
    builder.pool_max_idle_per_host(0).no_proxy().tcp_nodelay(true).build().unwrap()
}

/// An Akuvox login that is renewed by nothing but a client.
pub(crate) struct BareLogin {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl BareLogin {
    pub(crate) fn new(client: Client, gate: &str, held: &Value) -> Self {
        let text = |key: &str| held[key].as_str().unwrap().to_owned();
        let (access, refresh) = (text("token"), text("refresh_token"));
        Self { client, url: format!("{gate}/refresh_token"), access, refresh }
    }

    pub(crate) async fn renew(&mut self) {
        let request = self.client.post(&self.url).header("accept", "application/json");
        let request = request.header("accept-language", "en").header("x-cloud-lang", "en").header("api-version", "6.8");
        let request = request.header("user-agent", "VBell/7.20.5 (iPhone; iOS 26.1; Scale/2.00)");
        let request = request.header("content-type", "application/json").header("x-auth-token", &self.access);
        let answer = send(request.body(json!({ "refresh_token": self.refresh }).to_string())).await;
        let tokens = ["datas", "data", "result"].iter().map(|it| &answer[*it]).find(|it| it.is_object());
        let tokens = tokens.unwrap_or_else(|| panic!("the cloud refuses: {answer}"));
        self.access = tokens["token"].as_str().unwrap().to_owned();
        self.refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    }
}

/// An Aqara authorisation with a live access token, and a scene.
pub(crate) struct BareScene {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) keys: Value,
    pub(crate) scene: String,
}

impl BareScene {
    pub(crate) async fn run(&self) {
        let text = |key: &str| self.keys[key].as_str().unwrap();
        let (app, key_id, access) = (text("app_id"), text("key_id"), text("access_token"));
        let nonce = format!("{:032x}", fastrand::u128(..));
        let time = jiff::Timestamp::now().as_millisecond().to_string();
        let sign = sign(Some(access), app, key_id, &nonce, &time, &Secret::new(text("app_key")));
        let request =
            self.client.post(format!("{}/v3.0/open/api", self.url)).header("content-type", "application/json");
        let request = request.header("appid", app).header("keyid", key_id).header("nonce", nonce).header("time", time);
        let request = request.header("sign", sign).header("lang", "en").header("accesstoken", access);
        let body = json!({ "intent": "config.scene.run", "data": { "sceneId": self.scene } });
        let answer = send(request.body(body.to_string())).await;
        assert_eq!(answer["code"], 0, "the cloud refuses: {answer}");
    }
}

async fn send(request: RequestBuilder) -> Value {
    serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap()
}

/// A file that is appended to as the journal is.
pub(crate) struct BareJournal {
    file: File,
    len: u64,
}

impl BareJournal {
    pub(crate) fn create(folder: &Path) -> Self {
        Self { file: File::create_new(folder.join("bare-journal")).unwrap(), len: 0 }
    }

    pub(crate) fn append(&mut self, n_bytes: usize) -> Duration {
        let bytes = vec![0x5a; n_bytes];
        let began = Instant::now();
        self.file.write_all_at(&bytes, self.len).unwrap();
        self.file.sync_data().unwrap();
        self.len += bytes.len() as u64;
        began.elapsed()
    }
}
