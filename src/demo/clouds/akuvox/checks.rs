//! What a call to the simulated Akuvox cloud must bear before it is looked at.

use super::AkuvoxKnobs;
use crate::demo::clouds::{
    grants::AccessRefusal,
    simulation::{Desk, Request},
};

/// What is wrong with a call, for the log. The client only reads "request is invalid".
pub(super) struct Malformed(pub(super) String);

/// Why a call was turned away.
pub(super) enum Refusal {
    Malformed(Malformed),
    /// The access token opens nothing; for the log.
    Token(&'static str),
    /// The SMS code does not sign in; for the log.
    SmsCode(&'static str),
    WrongRegion,
}

impl Refusal {
    /// For the log.
    pub(super) fn outcome(&self) -> &str {
        match self {
            Self::Malformed(Malformed(outcome)) => outcome,
            Self::Token(outcome) | Self::SmsCode(outcome) => outcome,
            Self::WrongRegion => "the account lives in another region",
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// An `api-version` that was seen with the call, and the app's user agent where it is required.
pub(super) fn app_headers(knobs: &AkuvoxKnobs, request: &Request, versions: &[&str]) -> Result<(), Malformed> {
    match request.header("api-version") {
        None => return Err(Malformed("no api-version header".to_owned())),
        Some(it) if !versions.contains(&it) => {
            return Err(Malformed(format!("api-version {it:?} instead of {}", versions.join(" or "))));
        }
        Some(_) => {}
    }
    user_agent(knobs, request)
}

/// The app's user agent where it is required.
pub(super) fn user_agent(knobs: &AkuvoxKnobs, request: &Request) -> Result<(), Malformed> {
    if knobs.require_vbell && !request.header("user-agent").is_some_and(|it| it.starts_with("VBell/")) {
        return Err(Malformed("no VBell user agent".to_owned()));
    }
    Ok(())
}

pub(super) fn content_type(request: &Request, wanted: &str) -> Result<(), Malformed> {
    if request.has_content_type(wanted) {
        return Ok(());
    }
    Err(Malformed(format!("content-type is not {wanted}")))
}

/// The token in the query, and the one in the header, if it is there, must be the same and alive.
pub(super) fn token(desk: &Desk<'_, AkuvoxKnobs>, request: &Request, in_header_too: bool) -> Result<usize, Refusal> {
    let Some(in_query) = request.query.get("token") else {
        return Err(Malformed("no token in the query".to_owned()).into());
    };
    match request.header("x-auth-token") {
        None if in_header_too => return Err(Malformed("no x-auth-token header".to_owned()).into()),
        Some(it) if it != in_query => return Err(Refusal::Token("token in query and header differ")),
        _ => {}
    }
    alive(desk, in_query)
}

/// The account that an access token opens, here in its own region.
pub(super) fn alive(desk: &Desk<'_, AkuvoxKnobs>, token: &str) -> Result<usize, Refusal> {
    let checked = desk.grants.check_access(token, desk.now, &desk.rules);
    let account = checked.map_err(|refused| {
        Refusal::Token(match refused {
            AccessRefusal::Unknown => "unknown access token",
            AccessRefusal::Expired => "access token expired",
            AccessRefusal::Ended => "access token superseded or revoked",
        })
    })?;
    at_home(desk, account)
}

/// Other regions do not know the account.
pub(super) fn at_home(desk: &Desk<'_, AkuvoxKnobs>, account: usize) -> Result<usize, Refusal> {
    if desk.is_at_home(account) { Ok(account) } else { Err(Refusal::WrongRegion) }
}
