//! The table `aqara_tokens` of the earlier Aqara system (protocol/aqara.md §8).
//!
//! It is read with SQLite itself: a database that is in use, or was not closed, has its newest row in a file beside it,
//! and an older row is a refresh token that is spent.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, types::Value};

use crate::account::ProposedTokens;

use super::{FoundTokens, Trouble, token};

/// The refresh token of the one row there is. Its access token is not wanted: a renewal gives a new one.
pub(super) fn read(file: &Path) -> Result<FoundTokens, Trouble> {
    let failed = |error: rusqlite::Error| {
        let hint = "Stop the other system, and see that this user may read the file and the folder that it is in.";
        let why = in_its_own_words(&error);
        Trouble::new("io", format!("the table aqara_tokens of {} cannot be read: {why}", file.display()), hint)
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(file, flags).map_err(failed)?;
    let row = database.query_row("SELECT refresh_token, updated_at FROM aqara_tokens WHERE id = 1", [], |row| {
        Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Value>(1)?))
    });
    let (refresh, updated_at) = match row {
        Ok(row) => row,
        Err(rusqlite::Error::QueryReturnedNoRows) => (None, Value::Null),
        Err(error) => return Err(failed(error)),
    };
    let Some(refresh) = refresh.as_deref().and_then(token) else {
        let hint = "Copy the refresh token from the developer console, and give it with `latchkey tokens set`.";
        return Err(Trouble::usage(format!("{} holds no refresh token", file.display()), hint));
    };
    Ok(FoundTokens {
        is_akuvox: false,
        tokens: ProposedTokens::Refresh(refresh),
        auth_token: None,
        renewed_at: time(&updated_at),
        section:
            "[accounts.aqara_home]\nvendor = \"aqara\"\nregion = \"<region of the app key>\"\napp_id = \"<app id>\"\n\
                  key_id = \"<key id, with its K.>\"\napp_key = \"<app key>\"\n\n\
                  (`latchkey import config.json` fills in what that system had.)\n"
                .to_owned(),
    })
}

/// What SQLite complains of, up to where it quotes the file: whatever that is, it is nothing to be shown.
fn in_its_own_words(error: &rusqlite::Error) -> String {
    let text = error.to_string();
    let own = text.split(['(', '"', '\'']).next().unwrap_or_default();
    own.chars().filter(|it| !it.is_control()).collect::<String>().trim_end().to_owned()
}

/// Go's drivers write times as texts such as `2025-12-11 18:30:00.5+00:00`, or as seconds since 1970.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Text(text) => text.split(" m=").next()?.trim_end_matches(" UTC").replacen(" +", "+", 1).parse().ok(),
        Value::Integer(seconds) => Timestamp::from_second(*seconds).ok(),
        Value::Real(_) | Value::Blob(_) | Value::Null => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_drivers_of_go_write_them() {
        let date = Some("2025-12-11T18:30:00Z".parse().unwrap());
        for text in [
            "2025-12-11 18:30:00+00:00",
            "2025-12-11T18:30:00Z",
            "2025-12-11 18:30:00 +0000 UTC",
            "2025-12-11 18:30:00 +0000 UTC m=+0.01",
        ] {
            assert_eq!(time(&Value::Text(text.to_owned())), date, "{text}");
        }
        assert_eq!(time(&Value::Integer(1_765_477_800)), date);
        assert_eq!(time(&Value::Text("soon".to_owned())), None);
    }
}
