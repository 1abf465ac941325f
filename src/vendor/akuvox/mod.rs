//! Akuvox SmartPlus: the gate renews tokens, the REST host checks them (protocol/akuvox.md).

mod answer;
mod doors;
mod rest;
#[cfg(test)]
mod shapes;
mod veil;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    account::{Class, Code, FreshTokens, Inventory, Secret, Target},
    config::{AkuvoxSettings, BaseUrl, VendorSettings},
};

use super::{
    Answer, Http, Latency, Rules, SignIn, SignInKind, Spend, Toll, Vendor, VendorError, VendorKind,
    http::{Request, header_value},
};

/// The versions of `servers_list`, whose body differs (protocol/akuvox.md §3.5).
const SERVERS_LIST_WITH_AUTH_TOKEN: &str = "6.6";
const SERVERS_LIST: &str = "6.8";

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What stands where the access token will stand after a login.
const NO_TOKEN: HeaderValue = HeaderValue::from_static("");

/// A lifetime that every source agrees on (protocol/akuvox.md §4).
const USUAL_LIFETIME: Duration = Duration::from_secs(604_800);

/// One login at SmartPlus.
pub struct Akuvox {
    settings: Arc<AkuvoxSettings>,
    http: Http,
    /// The REST host, once the gate has named it. The gate itself is never changed by an answer.
    rest: Mutex<Option<Box<BaseUrl>>>,
}

impl Akuvox {
    pub fn new(settings: Arc<AkuvoxSettings>, http: Http) -> Self {
        Self { settings, http, rest: Mutex::default() }
    }

    fn headers(&self, api_version: &str) -> Result<HeaderMap, VendorError> {
        let mut headers = self.headers_without_version()?;
        headers.insert("api-version", header_value(api_version)?);
        Ok(headers)
    }

    fn headers_without_version(&self) -> Result<HeaderMap, VendorError> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", JSON);
        headers.insert("accept-language", HeaderValue::from_static("en"));
        headers.insert("x-cloud-lang", HeaderValue::from_static("en"));
        headers.insert("user-agent", header_value(&self.settings.user_agent)?);
        Ok(headers)
    }

    /// The headers of a call that bears an access token.
    fn headers_with(&self, access: &Secret, api_version: &str) -> Result<HeaderMap, VendorError> {
        let mut headers = self.headers(api_version)?;
        headers.insert("x-auth-token", header_value(access.expose())?);
        Ok(headers)
    }

    /// Makes a call at the gate. `query`: empty, or with its question mark.
    async fn ask_gate(&self, call: &'static str, query: &str, headers: HeaderMap) -> Result<Answer, VendorError> {
        let url = format!("{}/{call}{query}", self.settings.gate);
        self.http.send(Request { call, method: Method::GET, url: &url, headers, body: None }).await
    }

    async fn post_to_gate(&self, call: &'static str, headers: HeaderMap, body: String) -> Result<Answer, VendorError> {
        let url = format!("{}/{call}", self.settings.gate);
        self.http.send(Request { call, method: Method::POST, url: &url, headers, body: Some(body) }).await
    }

    /// Makes a call at the REST host: a POST where there is a body. A host that cannot be reached may have moved: the gate
    /// is asked for it again the next time.
    async fn call_rest(
        &self,
        call: &'static str,
        query: &str,
        headers: HeaderMap,
        body: Option<String>,
    ) -> Result<Answer, VendorError> {
        let url = format!("{}/{call}{query}", self.rest().await?);
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let sent = self.http.send(Request { call, method, url: &url, headers, body }).await;
        if matches!(&sent, Err(error) if error.code == Code::Unreachable) {
            *self.rest.lock().await = None;
        }
        sent
    }

    /// The REST host, which the gate is asked for before it is used (protocol/akuvox.md §3.1).
    ///
    /// Errors leave nothing in doubt: what was to be asked of the REST host has not been sent.
    async fn rest(&self) -> Result<BaseUrl, VendorError> {
        if let Some(rest) = &self.settings.rest {
            return Ok(rest.clone());
        }
        let mut known = self.rest.lock().await;
        if let Some(rest) = known.as_deref() {
            return Ok(rest.clone());
        }
        let headers = self.headers(&self.settings.api_versions.rest_server)?;
        let answer = self.ask_gate("rest_server", "", headers).await.map_err(without_effect)?;
        let named = rest::named(&answer, &self.settings.gate)?;
        Ok(known.insert(Box::new(named)).as_ref().clone())
    }

    /// Signs in by a code that was sent to the phone (protocol/akuvox.md §3.3). The phone's app is signed out by that.
    async fn login_by_code(&self, code: &Secret) -> Result<Answer, VendorError> {
        let Some(phone) = &self.settings.phone else { return Err(login_not_set()) };
        let number = veil::phone(&phone.number);
        let code = veil::percent_encoded(code.expose().trim());
        let query = format!("?phone={}&code={code}&area_code={}", number.expose(), phone.dial_code);
        self.ask_gate("sms_login", &query, self.headers(&self.settings.api_versions.sms_login)?).await
    }

    /// Signs a family member in (protocol/akuvox.md §3.4). `password`: as [`veil::password`] leaves it.
    async fn login_by_password(&self, password: &Secret) -> Result<Answer, VendorError> {
        let Some(user) = &self.settings.user else { return Err(login_not_set()) };
        let user = veil::percent_encoded_user(veil::user(user).expose());
        let password = veil::percent_encoded(password.expose());
        let query = format!("?user={user}&passwd={password}&id_code=(null)");
        let mut headers = self.headers(&self.settings.api_versions.login)?;
        headers.insert("user-agent", header_value(&self.settings.login_user_agent)?);
        headers.insert("x-auth-token", NO_TOKEN);
        self.ask_gate("login", &query, headers).await
    }
}

#[async_trait]
impl Vendor for Akuvox {
    fn kind(&self) -> VendorKind {
        VendorKind::Akuvox
    }

    fn serves(&self, settings: &VendorSettings) -> bool {
        matches!(settings, VendorSettings::Akuvox(it) if *it == self.settings)
    }

    fn rules(&self) -> Rules {
        Rules {
            usual_lifetime: USUAL_LIFETIME,
            refresh_outlives_access: None,
            refresh_needs_access: true,
            persist_access: true,
            has_scenes: false,
            has_doors: self.settings.doors,
        }
    }

    fn host(&self) -> &str {
        self.settings.gate.as_url().authority()
    }

    async fn refresh(&self, spend: Spend<'_>) -> Result<Answer, VendorError> {
        let Some(access) = spend.access else {
            return Err(VendorError::new(Class::Target, Code::TokenRequired));
        };
        let mut headers = self.headers_with(access, &self.settings.api_versions.refresh_token)?;
        headers.insert("content-type", JSON);
        let body = json!({ "refresh_token": spend.refresh.expose() }).to_string();
        self.post_to_gate("refresh_token", headers, body).await
    }

    fn read_refresh(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        answer::refresh(answer)
    }

    fn storable(&self, answer: &Answer) -> Option<Secret> {
        Some(answer.body.clone())
    }

    async fn check_access(&self, access: &Secret) -> Option<Result<(), VendorError>> {
        let check = async {
            let headers = self.headers_with(access, &self.settings.api_versions.login_conf)?;
            let query = format!("?token={}", veil::percent_encoded(access.expose()));
            answer::accepted(&self.call_rest("login_conf", &query, headers, None).await?)
        };
        Some(check.await)
    }

    fn configured(&self) -> Inventory {
        let doors = self.settings.door_names.iter().map(|(key, id)| Target::configured(key.as_str(), id.as_str()));
        Inventory { doors: doors.collect(), scenes: Vec::new() }
    }

    async fn inventory(&self, access: &Secret, toll: &dyn Toll) -> Result<Inventory, VendorError> {
        toll.take()?;
        let headers = self.headers_with(access, &self.settings.api_versions.userconf)?;
        let query = format!("?token={}", veil::percent_encoded(access.expose()));
        let answer = self.call_rest("userconf", &query, headers, None).await.map_err(without_effect)?;
        let doors = doors::read(&answer).map_err(without_effect)?;
        Ok(Inventory { doors, scenes: Vec::new() })
    }

    /// A refusal may be about the token or about the door, and its words do not count. So the cloud is asked whether it
    /// takes the token: a door that does not exist must not cost a refresh.
    async fn open_door(&self, access: &Secret, door_id: &str) -> Result<(), VendorError> {
        let (mac, relay) = doors::parts(door_id).ok_or_else(|| VendorError::new(Class::Target, Code::UnknownDoor))?;
        let mut headers = self.headers_with(access, &self.settings.api_versions.opendoor)?;
        headers.insert("content-type", FORM);
        let query = format!("?token={}", veil::percent_encoded(access.expose()));
        let body = format!("mac={}&relay={}", veil::percent_encoded(mac), veil::percent_encoded(relay));
        let answer = self.call_rest("opendoor", &query, headers, Some(body)).await?;
        let Err(refusal) = answer::done(&answer, Class::Target, Code::TargetRefused) else { return Ok(()) };
        if refusal.class != Class::Target {
            return Err(refusal);
        }
        match self.check_access(access).await {
            Some(Err(rejected)) if rejected.class == Class::AccessRejected => Err(rejected),
            _ => Err(refusal),
        }
    }

    async fn request_code(&self) -> Result<(), VendorError> {
        let Some(phone) = &self.settings.phone else { return Err(login_not_set()) };
        let mut headers = self.headers_without_version()?;
        headers.insert("content-type", FORM);
        headers.insert("x-auth-token", NO_TOKEN);
        let body = format!("AreaCode={}&MobileNumber={}&Type=0", phone.dial_code, phone.number.expose());
        let answer = self.call_rest("send_mobile_checkcode", "", headers, Some(body)).await?;
        answer::done(&answer, Class::Target, Code::LoginRefused)
    }

    async fn login(&self, with: SignIn<'_>) -> Result<Answer, VendorError> {
        let answer = match with {
            SignIn::Code(code) => self.login_by_code(code).await?,
            SignIn::Password(password) => self.login_by_password(&veil::password(password)).await?,
            SignIn::Kept(kept) => self.login_by_password(kept).await?,
        };
        // It names the REST host of this very login. Where it does not, the gate is asked when the host is needed. The
        // answer holds tokens that nobody has kept yet, so nothing is waited for.
        if let (Ok(named), Ok(mut rest)) = (rest::named(&answer, &self.settings.gate), self.rest.try_lock()) {
            *rest = Some(Box::new(named));
        }
        Ok(answer)
    }

    fn read_login(&self, answer: &Answer, by: SignInKind) -> Result<FreshTokens, VendorError> {
        answer::login(answer, by)
    }

    fn kept_form(&self, password: &Secret) -> Option<Secret> {
        Some(veil::password(password))
    }

    async fn check_in(&self, access: &Secret, auth_token: Option<&Secret>) -> Option<Result<Answer, VendorError>> {
        let user = veil::phone(&self.settings.phone.as_ref()?.number);
        let (user, token) = (user.expose(), access.expose());
        let (usual_version, body) = match auth_token.map(Secret::expose) {
            Some(auth_token) => {
                let body = json!({ "auth_token": auth_token, "passwd": auth_token, "token": token, "user": user });
                (SERVERS_LIST_WITH_AUTH_TOKEN, body)
            }
            None => (SERVERS_LIST, json!({ "token": token, "user": user })),
        };
        let version = self.settings.api_versions.servers_list.as_deref().unwrap_or(usual_version);
        let mut headers = match self.headers_with(access, version) {
            Ok(headers) => headers,
            Err(error) => return Some(Err(error)),
        };
        headers.insert("content-type", JSON);
        Some(self.post_to_gate("servers_list", headers, body.to_string()).await)
    }

    fn read_check_in(&self, answer: &Answer) -> Result<FreshTokens, VendorError> {
        answer::check_in(answer)
    }

    async fn server_time(&self) -> Option<Timestamp> {
        self.http.server_time(&format!("{}/rest_server", self.settings.gate)).await
    }

    fn vendor_ahead_by(&self) -> Option<SignedDuration> {
        self.http.vendor_ahead_by()
    }

    fn latencies(&self) -> Vec<Latency> {
        self.http.latencies()
    }
}

fn login_not_set() -> VendorError {
    VendorError::new(Class::Target, Code::LoginNotSet)
}

/// The failure of a call that does nothing but ask: without an answer nothing is in doubt.
fn without_effect(error: VendorError) -> VendorError {
    match error.class {
        Class::Ambiguous => VendorError { class: Class::Transient, ..error },
        _ => error,
    }
}

/// Reads an answer as that to every call; gives what is wrong with it.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_all(answer: &Answer) -> Vec<VendorError> {
    let gates = ["https://gate.ecloud.akuvox.com:8600", "http://127.0.0.1:8600"];
    let gates = gates.iter().filter_map(|it| it.parse::<BaseUrl>().ok());
    let named = gates.filter_map(|it| rest::named(answer, &it).err());
    let read = [
        answer::refresh(answer).err(),
        answer::login(answer, SignInKind::Code).err(),
        answer::login(answer, SignInKind::Password).err(),
        answer::check_in(answer).err(),
        answer::accepted(answer).err(),
        answer::done(answer, Class::Target, Code::TargetRefused).err(),
        doors::read(answer).err(),
    ];
    read.into_iter().flatten().chain(named).collect()
}
