//! What the simulated gateway checks before an intent is looked at (protocol/aqara.md §2, §3, §6).

use std::collections::HashSet;

use super::{
    envelope::Refused,
    knobs::{AccessRefusalCode, AqaraKnobs},
    quota::Quota,
    sign::Signed,
};
use crate::demo::clouds::{
    grants::AccessRefusal,
    simulation::{Desk, Request},
};

/// The application that all accounts of a region belong to. Its keys are of no use in another region.
pub(super) struct App {
    pub(super) app_id: String,
    pub(super) key_id: String,
    pub(super) app_key: String,
}

/// An application, and what its gateway remembers from call to call.
pub(super) struct Gateway {
    pub(super) app: App,
    pub(super) quota: Quota,
    nonces: HashSet<String>,
}

impl App {
    /// Made up: 24 hex digits, `K.` and digits, 32 characters of mixed case.
    fn new() -> Self {
        Self {
            app_id: format!("{:024x}", fastrand::u128(..) >> 32),
            key_id: format!("K.{:018}", fastrand::u64(..1_000_000_000_000_000_000)),
            app_key: std::iter::repeat_with(fastrand::alphanumeric).take(32).collect(),
        }
    }
}

impl Gateway {
    pub(super) fn new() -> Self {
        Self { app: App::new(), quota: Quota::default(), nonces: HashSet::new() }
    }

    /// Headers, application, signature, time, nonce and quota, in this order.
    pub(super) fn admit(&mut self, desk: &mut Desk<'_, AqaraKnobs>, request: &Request) -> Result<(), Refused> {
        let app = &self.app;
        if !request.has_content_type("application/json") {
            return Err(Refused::new(305, "Content-Type is not application/json"));
        }
        let signed = Signed {
            access_token: access_token(request),
            app_id: required(request, "Appid")?,
            key_id: required(request, "Keyid")?,
            nonce: required(request, "Nonce")?,
            time: required(request, "Time")?,
        };
        let signature = required(request, "Sign")?;
        let Ok(time) = signed.time.parse::<i64>() else {
            return Err(Refused::new(305, "Time is not a number of milliseconds"));
        };
        if signed.app_id != app.app_id || signed.key_id != app.key_id {
            return Err(Refused::new(desk.knobs.wrong_app_code, "Appid or Keyid illegal"));
        }
        if signature != signed.signature(&app.app_key) {
            return Err(Refused::new(106, "Invalid sign"));
        }
        let skew = desk.now.as_millisecond().abs_diff(time);
        if desk.knobs.time_window_seconds.is_some_and(|it| it.saturating_mul(1000) < skew) {
            return Err(Refused::new(105, "Time is outside of the window"));
        }
        if desk.knobs.reject_replayed_nonce && !self.nonces.insert(signed.nonce.to_owned()) {
            return Err(Refused::new(105, "Nonce was used before"));
        }
        self.quota.count(desk)
    }
}

/// The Accesstoken header. One client sends an empty one and means none.
pub(super) fn access_token(request: &Request) -> Option<&str> {
    request.header("Accesstoken").filter(|it| !it.is_empty())
}

/// The account that the call's access token opens.
pub(super) fn authorise(desk: &Desk<'_, AqaraKnobs>, request: &Request) -> Result<usize, Refused> {
    let Some(token) = access_token(request) else {
        return Err(Refused::new(109, "Accesstoken is missing"));
    };
    let checked = desk.grants.check_access(token, desk.now, &desk.rules);
    // Another region has never heard of the account.
    let known = checked.and_then(|it| if desk.is_at_home(it) { Ok(it) } else { Err(AccessRefusal::Unknown) });
    known.map_err(|refused| {
        let (reason, oauth_code) = match refused {
            AccessRefusal::Unknown => ("access token unknown", 2004),
            AccessRefusal::Ended => ("access token superseded or revoked", 2004),
            AccessRefusal::Expired => ("access token expired", 2005),
        };
        match desk.knobs.access_refusal {
            AccessRefusalCode::Gateway => Refused {
                detail: format!("Parameter AccessToken illegal, accessToken:{token}"),
                ..Refused::new(108, reason)
            },
            AccessRefusalCode::Oauth => Refused::new(oauth_code, reason),
        }
    })
}

fn required<'a>(request: &'a Request, name: &str) -> Result<&'a str, Refused> {
    let value = request.header(name).filter(|it| !it.is_empty());
    value.ok_or_else(|| Refused::new(305, format!("header {name} is missing")))
}
