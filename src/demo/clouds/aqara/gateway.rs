//! What the simulated gateway checks before an intent is looked at (protocol/aqara.md §2, §3, §6).

use std::collections::HashSet;

use super::{
    accounts::Accounts,
    envelope::Refused,
    knobs::{AccessRefusalCode, AqaraKnobs},
    quota::Quota,
    sign::Signed,
};
use crate::demo::clouds::{
    grants::AccessRefusal,
    simulation::{Desk, Request},
};

/// How many applications a region has. [`AqaraKnobs::apps_per_region`] says how many of them have accounts.
pub(super) const MAX_APPS: usize = 4;

/// The applications of one region.
pub(super) struct Region(Vec<Gateway>);

/// An application. Its keys are of no use in another region, and open no account of another application.
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
    fn new() -> Self {
        Self { app: App::new(), quota: Quota::default(), nonces: HashSet::new() }
    }
}

impl Region {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(Gateway::new).take(MAX_APPS).collect())
    }

    pub(super) fn app(&self, number: usize) -> &App {
        &self.0[number].app
    }

    /// The application that a form names.
    pub(super) fn of_client(&mut self, client_id: &str) -> Option<(usize, &mut Gateway)> {
        self.0.iter_mut().enumerate().find(|it| it.1.app.app_id == client_id)
    }

    /// Headers, application, signature, time, nonce and quota, in this order. Tells which application calls.
    pub(super) fn admit(&mut self, desk: &mut Desk<'_, AqaraKnobs>, request: &Request) -> Result<usize, Refused> {
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
        let app = self.caller(desk.knobs, &signed)?;
        let gateway = &mut self.0[app];
        if signature != signed.signature(&gateway.app.app_key) {
            return Err(Refused::new(106, "Invalid sign"));
        }
        let skew = desk.now.as_millisecond().abs_diff(time);
        if desk.knobs.time_window_seconds.is_some_and(|it| it.saturating_mul(1000) < skew) {
            return Err(Refused::new(105, "Time is outside of the window"));
        }
        if desk.knobs.reject_replayed_nonce && !gateway.nonces.insert(signed.nonce.to_owned()) {
            return Err(Refused::new(105, "Nonce was used before"));
        }
        gateway.quota.count(desk)?;
        Ok(app)
    }

    fn caller(&self, knobs: &AqaraKnobs, signed: &Signed<'_>) -> Result<usize, Refused> {
        let app = self.0.iter().position(|it| it.app.app_id == signed.app_id);
        let key = self.0.iter().position(|it| it.app.key_id == signed.key_id);
        match (app, key) {
            (Some(app), Some(key)) if app == key => Ok(app),
            (Some(_), Some(_)) => Err(Refused::new(knobs.wrong_pair_code, "Keyid is another application's")),
            _ => Err(Refused::new(knobs.wrong_app_code, "Appid or Keyid illegal")),
        }
    }
}

/// The Accesstoken header. One client sends an empty one and means none.
pub(super) fn access_token(request: &Request) -> Option<&str> {
    request.header("Accesstoken").filter(|it| !it.is_empty())
}

/// The account that the call's access token opens.
pub(super) fn authorise(
    accounts: &Accounts,
    desk: &Desk<'_, AqaraKnobs>,
    app: usize,
    request: &Request,
) -> Result<usize, Refused> {
    let Some(token) = access_token(request) else {
        return Err(Refused::new(109, "Accesstoken is missing"));
    };
    let checked = desk.grants.check_access(token, desk.now, &desk.rules);
    // Another region, or another application, has never heard of the account.
    let known = checked.and_then(|it| if accounts.is_of(desk, it, app) { Ok(it) } else { Err(AccessRefusal::Unknown) });
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
