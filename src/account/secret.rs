//! A text that must not leave the process by accident: tokens, keys, passwords.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// A secret text, wiped from memory when dropped.
///
/// It has no `Display`, no `Serialize` and no `Deref`; `Debug` shows a mask; comparison takes constant time.
/// [`Secret::expose`] is the only door, so every use can be found by its name.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        // The text may be longer than what is in it, and making it shorter would leave a copy behind.
        let text = Zeroizing::new(text.into());
        Self(Zeroizing::new(text.as_str().into()))
    }

    /// The text itself, for a request to the vendor, the sealed store or a signature; never for a log or an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What a log line may show: the first three and last three characters of 16 or more, else `***`.
    pub fn masked(&self) -> Masked<'_> {
        Masked(self)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.masked())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A document that may have secrets in it: its texts are wiped from memory when it is dropped.
///
/// Like a secret it has no `Debug`, and unlike one it can be looked into.
pub struct SecretDocument(Value);

impl SecretDocument {
    pub fn new(document: Value) -> Self {
        Self(document)
    }
}

impl Deref for SecretDocument {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for SecretDocument {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

impl Drop for SecretDocument {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// serde_json bounds how deep a document can be.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A secret's mask, which may be shown.
pub struct Masked<'a>(&'a Secret);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.expose();
        let n_chars = text.chars().count();
        if n_chars < 16 {
            return f.write_str("***");
        }
        let first: String = text.chars().take(3).collect();
        let last: String = text.chars().skip(n_chars - 3).collect();
        write!(f, "{first}...{last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_three_characters_at_each_end_of_long_secrets_only() {
        assert_eq!(Secret::new("abcdefghijklmnop").masked().to_string(), "abc...nop");
        assert_eq!(Secret::new("abcdefghijklmno").masked().to_string(), "***");
        assert_eq!(format!("{:?}", Secret::new("äbcdefghijklmnoü")), "Secret(äbc...noü)");
    }

    #[test]
    fn a_document_is_wiped_to_its_last_text() {
        let mut document = serde_json::json!({ "a": ["token", { "b": "token" }], "c": 5, "d": "token" });
        wipe(&mut document);
        assert_eq!(document.to_string(), r#"{"a":["",{"b":""}],"c":5,"d":""}"#);
    }

    #[test]
    fn secrets_compare_by_content() {
        assert_eq!(Secret::new("same"), Secret::new("same"));
        assert_ne!(Secret::new("same"), Secret::new("other"));
    }
}
