//! The name of an account, as the configuration, the topics and the commands (`entry_id`) give it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// An account's id: 1 to 32 characters of `[a-z0-9_]`, and not `bridge`, which names Latchkey itself. It is held in many
/// places, which share one text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(Arc<str>);

/// Why a text is no account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountIdError {
    #[error("an account id is 1 to 32 characters long")]
    Length,
    #[error("an account id has only a-z, 0-9 and _")]
    Character,
    #[error("`bridge` names Latchkey itself; choose another account id")]
    Reserved,
}

impl AccountId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = AccountIdError;

    fn from_str(text: &str) -> Result<Self, AccountIdError> {
        if text.is_empty() || text.len() > 32 {
            return Err(AccountIdError::Length);
        }
        if !text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            return Err(AccountIdError::Character);
        }
        if text == "bridge" {
            return Err(AccountIdError::Reserved);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for AccountId {
    type Error = AccountIdError;

    fn try_from(text: String) -> Result<Self, AccountIdError> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_topic_segment_and_not_the_bridge() {
        assert!("front_door2".parse::<AccountId>().is_ok());
        assert_eq!("".parse::<AccountId>(), Err(AccountIdError::Length));
        assert_eq!("a".repeat(33).parse::<AccountId>(), Err(AccountIdError::Length));
        for wrong in ["Front", "a/b", "a b", "ä", "a+", "#"] {
            assert_eq!(wrong.parse::<AccountId>(), Err(AccountIdError::Character), "{wrong}");
        }
        assert_eq!("bridge".parse::<AccountId>(), Err(AccountIdError::Reserved));
    }
}
