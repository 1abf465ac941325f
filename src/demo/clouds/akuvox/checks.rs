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
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// The `api-version` that belongs to the call, and the app's user agent where it is required.
pub(super) fn app_headers(knobs: &AkuvoxKnobs, request: &Request, api_version: &str) -> Result<(), Malformed> {
    match request.header("api-version") {
        None => return Err(Malformed("no api-version header".to_owned())),
        Some(it) if it != api_version => return Err(Malformed(format!("api-version {it:?} instead of {api_version}"))),
        Some(_) => {}
    }
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
    desk.grants.check_access(in_query, desk.now, &desk.rules).map_err(|refused| {
        Refusal::Token(match refused {
            AccessRefusal::Unknown => "unknown access token",
            AccessRefusal::Expired => "access token expired",
            AccessRefusal::Ended => "access token superseded or revoked",
        })
    })
}
