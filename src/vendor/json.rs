//! Reading vendors' JSON, which writes numbers as strings, and strings as numbers.

use std::time::Duration;

use serde_json::Value;

use crate::account::Secret;

/// A lifetime beyond this is no lifetime.
const LONGEST_LIFETIME: u64 = 20 * 366 * 24 * 3600;

/// A token field: absent, there, or there and not a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenField {
    Absent,
    Token(Secret),
    /// Not a string, or a string that cannot go into a header.
    Unreadable,
}

impl TokenField {
    pub(super) fn read(object: &Value, key: &str) -> Self {
        match object.get(key) {
            None | Some(Value::Null) => Self::Absent,
            Some(Value::String(text)) if text.is_empty() => Self::Absent,
            Some(Value::String(text)) if text.bytes().all(|it| it.is_ascii_graphic()) => {
                Self::Token(Secret::new(text.as_str()))
            }
            Some(_) => Self::Unreadable,
        }
    }

    pub(super) fn token(self) -> Option<Secret> {
        match self {
            Self::Token(token) => Some(token),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// An integer, whether written as a number or as a string.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Some backends write `0.0`.
fn whole(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() < 1e15;
    is_whole.then_some(number as i64)
}

/// A lifetime in seconds. None for what is missing, zero, negative or absurd: the expiry is unknown then.
pub(super) fn lifetime(value: Option<&Value>) -> Option<Duration> {
    let seconds = u64::try_from(integer(value?)?).ok()?;
    (1..=LONGEST_LIFETIME).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// What was cut short, without the value that the cut went through and with its brackets closed. None where no value of an
/// object or a list is whole.
pub(super) fn completed(cut: &str) -> Option<String> {
    let mut open = Vec::new();
    // How far every value is whole, and what is open there.
    let mut whole = None;
    let (mut is_in_text, mut is_escaped, mut is_value) = (false, false, false);
    for (at, byte) in cut.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_text => is_escaped = true,
            b'"' => {
                if is_in_text && is_value {
                    whole = Some((at + 1, open.clone()));
                }
                is_in_text = !is_in_text;
            }
            _ if is_in_text => {}
            b'{' | b'[' => {
                is_value = byte == b'[';
                open.push(if is_value { b']' } else { b'}' });
            }
            b':' => is_value = true,
            b',' => {
                is_value = open.last() == Some(&b']');
                whole = Some((at, open.clone()));
            }
            b'}' | b']' => {
                open.pop();
                whole = Some((at + 1, open.clone()));
            }
            _ => {}
        }
    }
    let (end, open) = whole.filter(|(_, open)| !open.is_empty())?;
    let closing = open.iter().rev().map(|it| char::from(*it));
    Some(cut[..end].chars().chain(closing).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_odd_lifetime_means_that_the_expiry_is_unknown() {
        for odd in
            [json!("0"), json!(0), json!(-5), json!("soon"), json!(null), json!({}), json!(1e300), json!(u64::MAX)]
        {
            assert_eq!(lifetime(Some(&odd)), None, "{odd}");
        }
        assert_eq!(lifetime(None), None);
        assert_eq!(lifetime(Some(&json!("604800"))), Some(Duration::from_secs(604_800)));
        assert_eq!(lifetime(Some(&json!(86400))), Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn what_was_cut_anywhere_is_completed_to_what_of_it_is_whole() {
        let text = r#"{"code":0,"say":"a \"b\", {c}","result":{"list":[1,"x"],"token":"A\\2","refresh":"R2","n":12}}"#;
        let whole: Value = serde_json::from_str(text).unwrap();
        for end in 0..text.len() {
            let Some(completed) = completed(&text[..end]) else {
                assert!(end <= r#"{"code":0,"#.len(), "{end}");
                continue;
            };
            let read: Value = serde_json::from_str(&completed).unwrap_or_else(|error| panic!("{completed}: {error}"));
            for key in ["code", "say"] {
                assert!(read.get(key).is_none_or(|it| *it == whole[key]), "{completed}");
            }
            for key in ["token", "refresh", "n"] {
                let found = read.get("result").and_then(|it| it.get(key));
                assert!(found.is_none_or(|it| *it == whole["result"][key]), "{completed}");
                let is_whole = text[..end].contains(&format!("\"{key}\":{},", whole["result"][key]));
                assert!(found.is_some() || !is_whole, "{completed}");
            }
        }
        for nothing in ["", "null", "[", "{", r#"{"a":"#, r#"{"a":1"#, "<html>", "]]", "{}"] {
            assert_eq!(completed(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_token_of_the_wrong_type_is_not_taken_for_an_absent_one() {
        let object = json!({"number": 5, "empty": "", "null": null, "good": "abc", "torn": "a\nb"});
        assert_eq!(TokenField::read(&object, "number"), TokenField::Unreadable);
        assert_eq!(TokenField::read(&object, "torn"), TokenField::Unreadable);
        assert_eq!(TokenField::read(&object, "empty"), TokenField::Absent);
        assert_eq!(TokenField::read(&object, "null"), TokenField::Absent);
        assert_eq!(TokenField::read(&object, "missing"), TokenField::Absent);
        assert_eq!(TokenField::read(&object, "good"), TokenField::Token(Secret::new("abc")));
    }
}
