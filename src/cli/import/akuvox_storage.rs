//! The storage file of the Akuvox integrations of Home Assistant: JSON with the tokens under `data`.

use jiff::Timestamp;
use serde_json::Value;

use crate::account::{ProposedTokens, Secret};

use super::{FoundTokens, quoted, token};

/// Counts of seconds below this (the year 2001) are not since 1970: some versions wrote the time since the machine's start.
const FIRST_SECOND: f64 = 1e9;
/// From here on they are milliseconds.
const FIRST_MILLISECOND: f64 = 1e11;

/// The tokens in a storage file; none where it is no such file.
pub(super) fn of(document: &Value) -> Option<FoundTokens> {
    let data = if document["data"].is_object() { &document["data"] } else { document };
    let secret = |key: &str| -> Option<Secret> { data[key].as_str().and_then(token) };
    let tokens = match (secret("token"), secret("refresh_token")) {
        (Some(access), Some(refresh)) => ProposedTokens::Both { access, refresh },
        (Some(access), None) => ProposedTokens::Access(access),
        (None, Some(refresh)) => ProposedTokens::Refresh(refresh),
        (None, None) => return None,
    };
    let region = match data["subdomain"].as_str().filter(|it| !it.is_empty()) {
        Some(subdomain) => format!("subdomain = {}", quoted(subdomain)),
        None => "country = \"<two-letter country code>\"".to_owned(),
    };
    Some(FoundTokens {
        is_akuvox: true,
        tokens,
        auth_token: secret("auth_token"),
        renewed_at: time(&data["last_token_refresh"]),
        section: format!("[accounts.front_door]\nvendor = \"akuvox\"\n{region}\n"),
    })
}

/// A date, where it is one: a text with its offset, or seconds or milliseconds since 1970.
fn time(value: &Value) -> Option<Timestamp> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    let number = value.as_f64().filter(|it| FIRST_SECOND <= *it)?;
    let seconds = if FIRST_MILLISECOND <= number { number / 1e3 } else { number };
    // What is not in the range of dates saturates, and is refused there.
    Timestamp::from_second(seconds as i64).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_read_from_the_storage_of_home_assistant_and_from_its_data_alone() {
        let data = json!({ "token": "A1", "refresh_token": "R1", "last_token_refresh": 1_763_805_600.5 });
        let storage = json!({ "version": 1, "minor_version": 1, "key": "local_akuvox_storage", "data": data });
        for document in [storage, data] {
            let found = of(&document).unwrap();
            assert!(matches!(found.tokens, ProposedTokens::Both { .. }));
            assert_eq!(found.renewed_at, Some("2025-11-22T10:00:00Z".parse().unwrap()));
        }
        assert!(of(&json!({ "data": { "token": "", "devices": [] } })).is_none());
        assert!(of(&json!([1, 2])).is_none());
    }

    #[test]
    fn a_time_since_the_machines_start_is_no_date() {
        assert_eq!(time(&json!(182_233.4)), None);
        assert_eq!(time(&json!("yesterday")), None);
        assert_eq!(time(&Value::Null), None);
        let date = Some("2025-11-22T10:00:00Z".parse().unwrap());
        assert_eq!(time(&json!("2025-11-22T11:00:00+01:00")), date);
        assert_eq!(time(&json!(1_763_805_600_000_u64)), date);
    }
}
