//! The object that a command brings, apart from what it means.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use crate::account::Code;

/// The object of a command: what its reply is to repeat, and all else.
#[derive(Debug, Default)]
pub struct Payload {
    pub transaction: Option<Box<RawValue>>,
    pub fields: Map<String, Value>,
}

impl Payload {
    /// Reads an object.
    pub fn parse(text: &str) -> Result<Self, Code> {
        let read = || {
            let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            let transaction = fields.remove("transaction").map(RawValue::to_owned);
            if let Some(transaction) = &transaction {
                let _: Sound = serde_json::from_str(transaction.get())?;
            }
            let field = |(key, value): (String, &RawValue)| Ok((key, serde_json::from_str(value.get())?));
            Ok(Self { transaction, fields: fields.into_iter().map(field).collect::<serde_json::Result<_>>()? })
        };
        read().map_err(|_: serde_json::Error| Code::NotJson)
    }
}

/// JSON that every reader takes, read and let go of: `RawValue` itself takes halves of characters, numbers beyond all bounds
/// and any depth.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self, A::Error> {
        while parts.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Self, A::Error> {
        while parts.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_other_readers_would_not_take_is_not_json() {
        for unsound in [r#""\ud800""#, "1e999", &format!("{}{}", "[".repeat(500), "]".repeat(500))] {
            let payload = format!("{{\"transaction\": {unsound}}}");
            assert_eq!(Payload::parse(&payload).unwrap_err(), Code::NotJson, "{unsound}");
        }
    }
}
