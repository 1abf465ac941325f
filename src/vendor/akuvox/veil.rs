//! How SmartPlus wants what people type in: shifted, hashed, and encoded in its own way (protocol/akuvox.md §3).

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::account::Secret;

/// A phone number as `sms_login` and `servers_list` take it: each digit three further. It stays a text, since a number
/// would lose its leading zeros.
pub(super) fn phone(number: &Secret) -> Secret {
    Secret::new(number.expose().chars().map(|it| shifted(it, b'0', 10)).collect::<String>())
}

/// A user as `login` takes it: each letter and each digit three further.
pub(super) fn user(user: &Secret) -> Secret {
    let veiled = user.expose().chars().map(|it| match it {
        'a'..='z' => shifted(it, b'a', 26),
        'A'..='Z' => shifted(it, b'A', 26),
        _ => shifted(it, b'0', 10),
    });
    Secret::new(veiled.collect::<String>())
}

/// A password as `login` takes it: the MD5 of the MD5, in lower-case hexadecimal both times.
pub(super) fn password(password: &Secret) -> Secret {
    let once = Zeroizing::new(hex::encode(Md5::digest(password.expose())));
    Secret::new(hex::encode(Md5::digest(once.as_bytes())))
}

/// Percent-encodes everything but unreserved characters.
pub(super) fn percent_encoded(text: &str) -> String {
    encoded(text, b"-._~")
}

/// The same, and leaves `@` alone, which `login` does not understand otherwise.
pub(super) fn percent_encoded_user(text: &str) -> String {
    encoded(text, b"-._~@")
}

fn encoded(text: &str, spared: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || spared.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Three further among the `n` characters from `first`; whatever is not among them stays as it is.
fn shifted(it: char, first: u8, n: u8) -> char {
    match u8::try_from(it) {
        Ok(byte) if (first..first + n).contains(&byte) => char::from(first + (byte - first + 3) % n),
        _ => it,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_veiled_number_keeps_the_zeros_that_it_begins_with() {
        assert_eq!(phone(&Secret::new("7701234567")).expose(), "0034567890");
        assert_eq!(phone(&Secret::new("0701234567")).expose(), "3034567890");
    }

    #[test]
    fn a_veiled_user_has_its_letters_and_digits_shifted_and_nothing_else() {
        assert_eq!(user(&Secret::new("Zoe.Xyz+89@example.com")).expose(), "Crh.Abc+12@hadpsoh.frp");
        assert_eq!(user(&Secret::new("Jörg")).expose(), "Möuj");
    }

    #[test]
    fn a_password_is_hashed_twice() {
        assert_eq!(password(&Secret::new("hello")).expose(), "69a329523ce1ec88bf63061863d9cb14");
    }

    #[test]
    fn what_a_query_cannot_hold_is_encoded() {
        assert_eq!(percent_encoded("a b&c=d@é"), "a%20b%26c%3Dd%40%C3%A9");
        assert_eq!(percent_encoded_user("a+b@c.d"), "a%2Bb@c.d");
    }
}
