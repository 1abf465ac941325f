//! A pair of tokens as `/refresh_token` and the logins answer it (protocol/akuvox.md §3.3, §3.4 and §3.11).

use serde_json::{Map, Value, json};

use super::{AkuvoxKnobs, TokenValid};
use crate::demo::clouds::{grants::Pair, simulation::Desk};

/// `token`, `refresh_token` if it is to be there, and `token_valid`, whose oddities are a switch.
pub(super) fn shown(desk: &Desk<'_, AkuvoxKnobs>, pair: &Pair, with_refresh_token: bool) -> Map<String, Value> {
    let lifetime = pair.access_expires_at.duration_since(desk.now).as_secs();
    let mut tokens = Map::new();
    tokens.insert("token".to_owned(), json!(pair.access_token));
    if with_refresh_token {
        tokens.insert("refresh_token".to_owned(), json!(pair.refresh_token));
    }
    let token_valid = match desk.knobs.token_valid {
        TokenValid::Text => Some(json!(lifetime.to_string())),
        TokenValid::Number => Some(json!(lifetime)),
        TokenValid::Zero => Some(json!("0")),
        TokenValid::Missing => None,
        TokenValid::Absurd => Some(json!("99999999999999999999")),
    };
    tokens.extend(token_valid.map(|it| ("token_valid".to_owned(), it)));
    tokens
}
