//! The seam to the clouds: what the keeper needs of a vendor, and one folder for each.
//!
//! A vendor sends requests and reads answers. It holds no tokens, decides nothing about them and writes nothing down:
//! the keeper does, which lets it put the raw answer on disk before anybody interprets it.

mod akuvox;
mod aqara;
mod error;
mod http;
mod json;
mod latency;
mod post;
mod skew;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

pub use akuvox::Akuvox;
#[cfg(feature = "fuzzing")]
pub(crate) use akuvox::read_all as read_as_akuvox;
#[cfg(feature = "fuzzing")]
pub(crate) use aqara::read_all as read_as_aqara;
pub use aqara::{Aqara, sign};
pub use error::VendorError;
pub use http::{Answer, Http, Request};
pub use latency::{BOUNDS, Latency};
pub use post::PostError;

use crate::{
    account::{Credential, FreshTokens, Inventory, Secret},
    config::{AccountSettings, VendorSettings},
};

/// A cloud that Latchkey knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VendorKind {
    Akuvox,
    Aqara,
}

impl VendorKind {
    /// As it is written in the configuration, and in what is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Akuvox => "akuvox",
            Self::Aqara => "aqara",
        }
    }
}

impl fmt::Display for VendorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tokens that a refresh sends.
#[derive(Clone, Copy, Debug)]
pub struct Spend<'a> {
    pub refresh: &'a Secret,
    /// The access token of the same pair, where the vendor wants it (protocol/akuvox.md §3.11).
    pub access: Option<&'a Secret>,
}

/// One account's connection to its vendor.
#[async_trait]
pub trait Vendor: Send + Sync {
    fn kind(&self) -> VendorKind;

    /// Whether it is connected as these settings say, so that another one made of them would do the same. One that does not
    /// know says no.
    fn serves(&self, _settings: &VendorSettings) -> bool {
        false
    }

    /// What its vendor prescribes; the user's choices are laid over it.
    fn rules(&self) -> Rules;

    /// The host that refreshes go to, and whose load is limited.
    fn host(&self) -> &str;

    /// Whose calls count together against the vendor's limit; none where no limit is known.
    fn budget(&self) -> Option<Budget> {
        None
    }

    /// Spends a refresh token. Destructive, and never repeated here.
    ///
    /// `Ok` is an answer of the vendor's own, unread. Errors: what did not reach the vendor is `Transient`; whatever
    /// else is not the vendor's answer is `Ambiguous`.
    async fn refresh(&self, spend: Spend<'_>) -> Result<Answer, VendorError>;

    /// Reads the answer to a refresh. Pure, and cheap to run again over an answer that was kept.
    ///
    /// `Protocol`: the vendor accepted, and what it gave could not be read.
    fn read_refresh(&self, answer: &Answer) -> Result<FreshTokens, VendorError>;

    /// What of an answer may be stored; none where it cannot be told from what may not.
    fn storable(&self, answer: &Answer) -> Option<Secret>;

    /// Asks cheaply whether the access token is good. `None`: this vendor has no such call.
    async fn check_access(&self, access: &Secret) -> Option<Result<(), VendorError>>;

    /// The targets that the user named, in whatever the vendor lists.
    fn configured(&self) -> Inventory;

    /// Lists what the login can act on, by the vendor's ids, in as many calls as that takes; `toll` is taken before each.
    async fn inventory(&self, access: &Secret, toll: &dyn Toll) -> Result<Inventory, VendorError>;

    /// Runs a scene by its vendor id. Errors `Ambiguous` where it may have run.
    async fn trigger_scene(&self, _access: &Secret, _scene_id: &str) -> Result<(), VendorError> {
        Err(VendorError::not_supported())
    }

    /// Opens a door by the id that [`Vendor::inventory`] gave. Errors `Ambiguous` where it may have been opened.
    async fn open_door(&self, _access: &Secret, _door_id: &str) -> Result<(), VendorError> {
        Err(VendorError::not_supported())
    }

    /// Has a code sent to the configured phone or address. Errors: `LoginNotSet` where none is configured.
    async fn request_code(&self) -> Result<(), VendorError> {
        Err(VendorError::not_supported())
    }

    /// Signs in for a new grant. Never repeated here: a code works once. Errors as with [`Vendor::refresh`], and
    /// `LoginNotSet` where nobody is configured who could sign in so.
    async fn login(&self, _with: SignIn<'_>) -> Result<Answer, VendorError> {
        Err(VendorError::not_supported())
    }

    /// Reads the answer to a login, as [`Vendor::read_refresh`] does. Errors: `WrongCode` and `LoginRefused` where that
    /// is what the vendor said; which of them depends on what the login was done `by`.
    fn read_login(&self, _answer: &Answer, _by: SignInKind) -> Result<FreshTokens, VendorError> {
        Err(VendorError::not_supported())
    }

    /// What is kept of a password so that [`SignIn::Kept`] works.
    fn kept_form(&self, _password: &Secret) -> Option<Secret> {
        None
    }

    /// Shows an access token that a user brought to the vendor, as its own apps do at a login with tokens. The answer may
    /// bring others. `None`: this vendor has no such call.
    async fn check_in(&self, _access: &Secret, _auth_token: Option<&Secret>) -> Option<Result<Answer, VendorError>> {
        None
    }

    /// Reads the answer to [`Vendor::check_in`]: what it does not bring is absent. `AccessRejected`: it is not accepted.
    fn read_check_in(&self, _answer: &Answer) -> Result<FreshTokens, VendorError> {
        Err(VendorError::not_supported())
    }

    /// The vendor's idea of the time, from any answer's `Date` header. Spends no token.
    async fn server_time(&self) -> Option<Timestamp>;

    /// How many requests it sent, since it was last asked, beside the one that the keeper counts for a call: those that
    /// were refused for their time and sent anew.
    fn take_unbilled(&self) -> u32 {
        0
    }

    /// How far the vendor's clock was ahead of ours at its last answer to this account.
    fn vendor_ahead_by(&self) -> Option<SignedDuration> {
        None
    }

    /// How long this account's calls took since the start.
    fn latencies(&self) -> Vec<Latency> {
        Vec::new()
    }
}

/// What a login is done with.
#[derive(Clone, Copy, Debug)]
pub enum SignIn<'a> {
    Code(&'a Secret),
    Password(&'a Secret),
    /// What [`Vendor::kept_form`] made of a password.
    Kept(&'a Secret),
}

/// What a login was done with, less the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInKind {
    Code,
    Password,
}

impl SignIn<'_> {
    pub fn kind(&self) -> SignInKind {
        match self {
            Self::Code(_) => SignInKind::Code,
            Self::Password(_) | Self::Kept(_) => SignInKind::Password,
        }
    }
}

impl<'a> From<&'a Credential> for SignIn<'a> {
    fn from(credential: &'a Credential) -> Self {
        match credential {
            Credential::Code(code) => Self::Code(code),
            Credential::Password { password, .. } => Self::Password(password),
        }
    }
}

/// Takes one call from what a vendor allows, before the call is made.
pub trait Toll: Sync {
    /// Fails with `Throttled` where there is no room.
    fn take(&self) -> Result<(), VendorError>;
}

/// What a vendor prescribes for its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub usual_lifetime: Duration,
    pub refresh_outlives_access: Option<Duration>,
    pub refresh_needs_access: bool,
    pub persist_access: bool,
    pub has_scenes: bool,
    pub has_doors: bool,
}

/// A limit on calls that accounts may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Accounts with the same key share it.
    pub key: String,
    pub calls: u32,
    pub per: Duration,
    /// Calls that only refreshes may use.
    pub kept_for_refreshes: u32,
    /// Quotas that are counted and warned of, and stop nothing.
    pub per_month: u64,
    pub in_all: u64,
}

/// Connects an account to its vendor.
pub fn connect(settings: &AccountSettings, http: &Http) -> Arc<dyn Vendor> {
    match &settings.vendor {
        VendorSettings::Akuvox(akuvox) => Arc::new(Akuvox::new(akuvox.clone(), http.apart())),
        VendorSettings::Aqara(aqara) => Arc::new(Aqara::new(aqara.clone(), http.apart())),
    }
}

/// The vendor of an account.
pub fn kind(settings: &AccountSettings) -> VendorKind {
    match settings.vendor {
        VendorSettings::Akuvox(_) => VendorKind::Akuvox,
        VendorSettings::Aqara(_) => VendorKind::Aqara,
    }
}
