//! Secrets that are looked for in everything that leaves, however they are written.

use std::collections::{BTreeMap, HashMap};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::json;

use crate::support::latchkey::Bench;

/// So many bytes of a spelling tell whether it may begin somewhere.
const START: usize = 6;

/// Secrets, each with what it is.
#[derive(Default)]
pub(crate) struct Canaries {
    secrets: BTreeMap<Vec<u8>, String>,
    spellings: Vec<Spelling>,
    by_start: HashMap<[u8; START], Vec<usize>>,
    /// By the first two bytes, as nearly every place of a text has none.
    may_start: Vec<bool>,
}

struct Spelling {
    bytes: Vec<u8>,
    what: String,
}

impl Canaries {
    pub(crate) fn add(&mut self, what: &str, secret: impl Into<Vec<u8>>) {
        let secret = secret.into();
        assert!(16 <= secret.len(), "{what} might be found by chance");
        if self.secrets.insert(secret.clone(), what.to_owned()).is_some() {
            return;
        }
        spellings(&secret).into_iter().for_each(|it| self.add_spelling(what, it));
    }

    /// For what is too short to be no chance, with what stands around it.
    pub(crate) fn add_as_it_is(&mut self, what: &str, text: &str) {
        self.add_spelling(what, text.as_bytes().to_vec());
    }

    fn add_spelling(&mut self, what: &str, bytes: Vec<u8>) {
        self.may_start.resize(1 << 16, false);
        self.may_start[pair(&bytes)] = true;
        let start = *bytes.first_chunk::<START>().unwrap();
        self.by_start.entry(start).or_default().push(self.spellings.len());
        self.spellings.push(Spelling { bytes, what: what.to_owned() });
    }

    /// The pairs that are good now.
    pub(crate) fn add_live(&mut self, bench: &Bench) {
        for (cloud, account) in [("Akuvox", bench.akuvox.account(0).owner), ("Aqara", bench.aqara.account(0).owner)] {
            self.add(&format!("{cloud}'s access token {}", account.generation), account.access_token);
            self.add(&format!("{cloud}'s refresh token {}", account.generation), account.refresh_token);
        }
        if let Some(member) = bench.akuvox.account(0).family {
            self.add("a family member's access token", member.access_token);
            self.add("a family member's refresh token", member.refresh_token);
        }
    }

    /// Panics where one of them is in it.
    #[track_caller]
    pub(crate) fn look_into(&self, place: &str, bytes: &[u8]) {
        for at in 0..bytes.len().saturating_sub(START - 1) {
            if !self.may_start[pair(&bytes[at..])] {
                continue;
            }
            let start = bytes[at..].first_chunk::<START>().unwrap();
            for spelling in self.by_start.get(start).into_iter().flatten().map(|it| &self.spellings[*it]) {
                let shown = String::from_utf8_lossy(&spelling.bytes);
                assert!(!bytes[at..].starts_with(&spelling.bytes), "{} is in {place}, as {shown}", spelling.what);
            }
        }
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// A secret as it is, as URLs, JSON and Debug write it, as bytes in a list, in hexadecimal, and in base64 wherever in a
/// longer text it stands.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let list = |separator: &str| secret.iter().map(u8::to_string).collect::<Vec<_>>().join(separator);
    let mut spellings = vec![list(", "), list(","), hex::encode(secret), hex::encode_upper(secret)];
    for offset in 0..3 {
        for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
            let text = engine.encode([&vec![0; offset], secret].concat());
            // The first and the last letters hold bits of what stands beside the secret.
            spellings.push(text[(8 * offset).div_ceil(6)..8 * (offset + secret.len()) / 6].to_owned());
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let json = json!(text).to_string();
        spellings.extend([
            percent(secret, true),
            percent(secret, false),
            json.trim_matches('"').replace('/', "\\/"),
            json[1..json.len() - 1].to_owned(),
            json!(json).to_string().trim_matches('"').to_owned(),
            text.escape_debug().to_string(),
            text.escape_default().to_string(),
        ]);
    }
    let mut spellings: Vec<Vec<u8>> = spellings.into_iter().map(String::into_bytes).collect();
    spellings.push(secret.to_vec());
    spellings.sort();
    spellings.dedup();
    spellings
}

fn percent(secret: &[u8], is_upper: bool) -> String {
    let encode = |byte: &u8| match *byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        byte if is_upper => format!("%{byte:02X}"),
        byte => format!("%{byte:02x}"),
    };
    secret.iter().map(encode).collect()
}

#[test]
fn a_secret_is_found_in_every_spelling_and_nothing_else_is() {
    let secret = "Canary/of+the=search\"\u{e9}";
    let mut canaries = Canaries::default();
    canaries.add("it", secret);
    canaries.look_into("a text", b"Canary/of+the=searcg, Canary%2Fof%2Bthe, and much more");
    let around = |text: &str| format!("before {text} after").into_bytes();
    let mut hiding = vec![around(secret), around(&hex::encode_upper(secret)), around(&json!(secret).to_string())];
    hiding.extend(["", "x", "yz", "more"].map(|it| BASE64_STANDARD_NO_PAD.encode(format!("{it}{secret}{it}")).into()));
    hiding.extend(["", "?", "??"].map(|it| BASE64_URL_SAFE_NO_PAD.encode(format!("{it}{secret}?{it}")).into()));
    hiding.push(format!("{:?}", secret.as_bytes()).into_bytes());
    hiding.push(around(&percent(secret.as_bytes(), false)));
    for text in hiding {
        let found = std::panic::catch_unwind(|| canaries.look_into("a text", &text)).is_err();
        assert!(found, "{}", String::from_utf8_lossy(&text));
    }
}
