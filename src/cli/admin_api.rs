//! Commands by way of the running service: a small client of its admin API, on this machine.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use crate::{
    account::{AccountId, Credential, Proposal, Secret},
    config::Settings,
    keeper::Command,
    web::KEY_FILE,
};

use super::{
    answer::{Answer, Trouble},
    plain_http::{
        Method, Request, Silence, exchange,
        header::{CONTENT_TYPE, HOST, HeaderValue},
    },
};

const KEY_HEADER: &str = "x-latchkey-key";
/// A refresh that waits for its turn, is lost and is sent once more takes far less.
const PATIENCE: Duration = Duration::from_secs(180);

/// A service that runs and can be asked.
pub(super) struct AdminApi {
    address: SocketAddr,
    key: Secret,
}

/// What is sent for a command.
struct Ask {
    method: Method,
    /// Below `/v1/accounts`.
    path: Vec<String>,
    body: Option<Value>,
}

impl AdminApi {
    /// The service that holds the store of these settings. Fails where its API is off or the key cannot be had.
    pub(super) fn of(settings: &Settings) -> Result<Self, Trouble> {
        let store = settings.store.path.display();
        let Some(listen) = settings.web.listen else {
            return Err(Trouble::new(
                "service_unreachable",
                format!("the store in {store} is in use by a running Latchkey, and its admin API is switched off"),
                "Switch it on with `enabled = true` under [web] and restart the service, or stop the service meanwhile.",
            ));
        };
        let key = match &settings.web.key {
            Some(key) => key.clone(),
            None => {
                let path = settings.store.path.join(KEY_FILE);
                let text = fs::read_to_string(&path).map(Zeroizing::new).map_err(|error| {
                    Trouble::new(
                        "no_key",
                        format!(
                            "the store in {store} is in use by a running Latchkey, and the key of its admin API cannot \
                             be read from {} ({error})",
                            path.display()
                        ),
                        "Run this as the user of the service and with its configuration, or stop the service meanwhile.",
                    )
                })?;
                Secret::new(text.trim())
            }
        };
        Ok(Self { address: reachable(listen), key })
    }

    pub(super) async fn ask(&self, command: Command) -> Answer {
        self.call(Ask::of(command)).await
    }

    pub(super) async fn accounts(&self) -> Answer {
        self.call(Ask { method: Method::GET, path: Vec::new(), body: None }).await
    }

    pub(super) async fn doors(&self, entry_id: &AccountId) -> Answer {
        self.call(Ask::get(entry_id, &["doors"])).await
    }

    async fn call(&self, ask: Ask) -> Answer {
        let is_harmless = ask.method == Method::GET;
        let answered = match self.request(ask) {
            Ok(request) => exchange(self.address, request, PATIENCE).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        let (status, body) = answered.map_err(|failure| self.explain(failure, is_harmless))?;
        let mut document: Value = serde_json::from_slice(&body).unwrap_or_default();
        match document["status"].as_str() {
            Some("ok") => Ok(document["data"].take()),
            Some("error") if status.as_u16() == 401 => Err(Trouble::new(
                "unauthorized",
                format!("the running Latchkey at {} does not accept the key", self.address),
                "Use the configuration that the service uses: its key is `key` under [web], or web.key beside its store.",
            )),
            Some("error") => Err(serde_json::from_value(document["error"].take())
                .unwrap_or_else(|_| self.explain(Failure::Foreign, is_harmless))),
            _ => Err(self.explain(Failure::Foreign, is_harmless)),
        }
    }

    fn request(&self, ask: Ask) -> Result<Request<Bytes>, Failure> {
        let mut key = HeaderValue::from_str(self.key.expose()).map_err(|_| Failure::Key)?;
        key.set_sensitive(true);
        let body = ask.body.as_ref().map_or_else(Bytes::new, |it| Bytes::from(it.to_string()));
        let request = Request::builder()
            .uri(ask.path())
            .method(ask.method)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header(KEY_HEADER, key);
        request.body(body).map_err(|_| Failure::Key)
    }

    fn explain(&self, failure: Failure, is_harmless: bool) -> Trouble {
        let address = self.address;
        match failure {
            Failure::Nobody => Trouble::new(
                "service_unreachable",
                format!("the store is in use by a running Latchkey, and its admin API does not answer at {address}"),
                "Use the configuration that the service uses (`listen` under [web]), or stop the service meanwhile.",
            ),
            Failure::Cut if is_harmless => {
                Trouble::new("no_answer", format!("the running Latchkey at {address} gave no answer"), "Try again.")
            }
            Failure::Cut => Trouble::new(
                "outcome_unknown",
                format!("the running Latchkey at {address} gave no answer, so it may have happened or not"),
                "See with `latchkey status` what came of it.",
            ),
            Failure::Foreign => Trouble::new(
                "service_unreachable",
                format!("what answers at {address} is not the admin API of this Latchkey"),
                "Use the configuration that the service uses (`listen` under [web]), or stop the service meanwhile.",
            ),
            Failure::Key => Trouble::new(
                "no_key",
                "the key of the admin API has characters that a key does not have",
                "Give it as `key` under [web], or restart the service without web.key, which makes a new one.",
            ),
        }
    }
}

/// Why there is no reply document.
enum Failure {
    /// Nothing was sent.
    Nobody,
    /// It was sent, and no whole answer came.
    Cut,
    /// The answer is not Latchkey's.
    Foreign,
    /// The key cannot be sent.
    Key,
}

impl From<Silence> for Failure {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Nobody => Failure::Nobody,
            Silence::Cut => Failure::Cut,
        }
    }
}

// === impl Ask ===

impl Ask {
    fn of(command: Command) -> Self {
        match command {
            Command::UpdateTokens { entry_id, proposal } => {
                Self { method: Method::PUT, ..Self::post(&entry_id, &["tokens"], tokens(&proposal)) }
            }
            Command::RefreshTokens { entry_id } => Self::post(&entry_id, &["refresh"], json!({})),
            Command::TriggerScene { entry_id, scene } => {
                Self::post(&entry_id, &["scenes", &scene, "trigger"], json!({}))
            }
            Command::OpenDoor { entry_id, door } => Self::post(&entry_id, &["doors", &door, "open"], json!({})),
            Command::ListScenes { entry_id } => Self::get(&entry_id, &["scenes"]),
            Command::RequestLoginCode { entry_id } => Self::post(&entry_id, &["login-code"], json!({})),
            Command::Login { entry_id, credential } => Self::post(&entry_id, &["login"], login(&credential)),
            Command::Forget { entry_id } => Self::post(&entry_id, &["forget"], json!({})),
            Command::Recall { entry_id } => Self::post(&entry_id, &["recall"], json!({})),
            Command::Status { entry_id } => Self::get(&entry_id, &[]),
        }
    }

    fn get(entry_id: &AccountId, path: &[&str]) -> Self {
        let path = std::iter::once(entry_id.as_str()).chain(path.iter().copied()).map(str::to_owned).collect();
        Self { method: Method::GET, path, body: None }
    }

    fn post(entry_id: &AccountId, path: &[&str], body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(entry_id, path) }
    }

    /// With what is not plain in a scene's name encoded.
    fn path(&self) -> String {
        let mut url = Url::parse("http://localhost/v1/accounts").expect("it is a URL");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(&self.path);
        }
        url.path().to_owned()
    }
}

fn tokens(proposal: &Proposal) -> Value {
    let Proposal { tokens, auth_token, issued_at, prove } = proposal;
    let mut body = json!({ "prove": prove });
    let secrets =
        [("token", tokens.access()), ("refresh_token", tokens.refresh()), ("auth_token", auth_token.as_ref())];
    for (key, secret) in secrets.into_iter().filter_map(|(key, it)| Some((key, it?))) {
        body[key] = json!(secret.expose());
    }
    if let Some(time) = issued_at {
        body["issued_at"] = json!(time.to_string());
    }
    body
}

fn login(credential: &Credential) -> Value {
    match credential {
        Credential::Code(code) => json!({ "code": code.expose() }),
        Credential::Password { password, keep } => json!({ "password": password.expose(), "keep": keep }),
    }
}

/// A service that listens everywhere is reached on this machine.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
