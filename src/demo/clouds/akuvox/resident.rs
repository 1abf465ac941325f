//! The made-up people of a simulated Akuvox cloud, and how the app veils what they type in (protocol/akuvox.md §3).

use md5::{Digest, Md5};

/// An account's owner with a phone, and a family member with a password.
pub struct Resident {
    /// The national number. All begin with a 7, so that they are veiled with a leading zero.
    pub phone_number: String,
    pub dial_code: &'static str,
    /// What the family member signs in with.
    pub login: String,
    pub password: String,
    /// Issued by SMS logins only, never by a refresh, and without an end.
    pub auth_token: String,
}

pub fn resident(account: usize) -> Resident {
    Resident {
        phone_number: format!("7700{:06}", 900_000 + account),
        dial_code: "44",
        login: format!("Zoe{account}@example.com"),
        password: format!("simulated-password-{account}"),
        auth_token: format!("simulated-auth-token-{account:08}"),
    }
}

/// A phone number as `sms_login` and `servers_list` take it: each digit three further.
pub fn veil_phone(number: &str) -> String {
    number.chars().map(|it| shifted(it, b'0', 10)).collect()
}

/// A login as `login` takes it: each letter three further, and each digit too where the cloud says so.
pub fn veil_login(login: &str, shifts_digits: bool) -> String {
    login
        .chars()
        .map(|it| match it {
            'a'..='z' => shifted(it, b'a', 26),
            'A'..='Z' => shifted(it, b'A', 26),
            '0'..='9' if shifts_digits => shifted(it, b'0', 10),
            _ => it,
        })
        .collect()
}

/// A password as `login` takes it: the MD5 of the MD5, in lower-case hex both times.
pub fn veil_password(password: &str) -> String {
    hex::encode(Md5::digest(hex::encode(Md5::digest(password))))
}

/// Leaves alone what is not within `n` characters from `first`.
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
    fn a_veiled_number_may_begin_with_zeros() {
        assert_eq!(veil_phone("7700900000"), "0033233333");
        assert_eq!(veil_phone("0123456789"), "3456789012");
    }

    #[test]
    fn a_veiled_login_keeps_its_case_and_its_signs() {
        assert_eq!(veil_login("Zoe0@example.com", true), "Crh3@hadpsoh.frp");
        assert_eq!(veil_login("Zoe0@example.com", false), "Crh0@hadpsoh.frp");
    }

    #[test]
    fn a_veiled_password_is_hashed_twice() {
        assert_eq!(veil_password("hello"), "69a329523ce1ec88bf63061863d9cb14");
    }
}
