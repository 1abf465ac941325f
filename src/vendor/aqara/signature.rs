//! The signature of a request (protocol/aqara.md §3).

use md5::{Digest, Md5};

use crate::account::Secret;

/// Signs exactly the header values that are sent; without an access token its pair is left out, not empty.
///
/// `time` is Unix time in milliseconds. The body is not signed. Gives 32 lower-case hexadecimal digits.
pub fn sign(access: Option<&str>, app_id: &str, key_id: &str, nonce: &str, time: &str, app_key: &Secret) -> String {
    let access = access.map(|it| format!("Accesstoken={it}&")).unwrap_or_default();
    let text = format!("{access}Appid={app_id}&Keyid={key_id}&Nonce={nonce}&Time={time}{}", app_key.expose());
    let text = zeroize::Zeroizing::new(text.to_lowercase());
    hex::encode(Md5::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(access: Option<&str>, nonce: &str, time: &str) -> String {
        let app_key = Secret::new("AbCdEfGhIjKlMnOpQrStUvWxYz012345");
        sign(access, "1234567890abcdef12345678", "K.900000000000000001", nonce, time, &app_key)
    }

    #[test]
    fn the_vectors_hold() {
        let access = Some("0123456789abcdef0123456789abcdef");
        assert_eq!(ours(access, "q7Zt0LmX4bRk9sYw", "1765432100000"), "6db9ba72cd1ab47e751f2cfdbd76b5d8");
        assert_eq!(ours(None, "q7Zt0LmX4bRk9sYw", "1765432100000"), "06ddcb012762c7bece1c24a5b0d3cefd");
        assert_eq!(ours(None, "AAAAbbbbCCCCdddd", "1765432100123"), "e538dffd556cdc9f74f604a525b0d827");
    }

    #[test]
    fn the_documented_example_holds_with_the_key_id_as_sent() {
        let example = |key_id| {
            sign(
                Some("532cad73c5493193d63d367016b98b27"),
                "4e693d54d75db580a56d1263",
                key_id,
                "C6wuzd0Qguxzelhb",
                "1618914078668",
                &Secret::new("gU7Qtxi4dWnYAdmudyxni52bWZ58b8uN"),
            )
        };
        assert_eq!(example("k.78784564654feda454557"), "314a6f6fd46264e6ec872e21f88361c3");
        // The documentation prints this one: the input of its Java demo, which strips the prefix.
        assert_eq!(example("78784564654feda454557"), "bfd8dd0e7c108353e6740d81e05982d8");
    }

    #[test]
    fn what_must_be_refused_is_not_what_we_sign() {
        let signed = ours(None, "q7Zt0LmX4bRk9sYw", "1765432100000");
        let empty_pair = "1e07feb075a72ba20b5f07bfc71b46d6";
        let not_lower_cased = "d5ad6ec44e5f1e23d1fee95790eafd15";
        let prefix_stripped = "9a1b0e73e259d860cd6136d2da4c68ff";
        assert!(![empty_pair, not_lower_cased, prefix_stripped].contains(&signed.as_str()));
        assert_eq!(ours(Some(""), "q7Zt0LmX4bRk9sYw", "1765432100000"), empty_pair);
    }
}
