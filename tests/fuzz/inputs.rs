//! Inputs: what is known, bent in a few places; documents that nobody wrote; noise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, sample::Index};

/// Stands in many inputs, as a token would; it must not come back.
pub(crate) const CANARY: &str = "Canary/7hX9+secret=0123456789abc";

/// What parsers stumble over.
const WORDS: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b"=",
    b"\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d\\ude00",
    "\u{202e}".as_bytes(),
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e999",
    b"-0.0",
    b"18446744073709551616",
    b"9223372036854775807",
    b"99999999999999999999999999999999",
    b"\"\"",
    b"{}",
    b"[]",
    b"<html>",
    b"../../../etc/passwd",
    b"%00",
    b"/",
    b"+",
    b"#",
    b"\xd7LKJ",
    CANARY.as_bytes(),
    b"\"token\":",
];

#[derive(Clone, Debug)]
enum Bend {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A stretch stands there so many times.
    Repeat(Index, usize, usize),
    Overwrite(Index, u8),
    CutOff(Index),
    /// The end of another input follows.
    Splice(Index, Index, Index),
    /// What stands between two quotes becomes something else.
    Replace(Index, Vec<u8>),
}

/// The seeds of a reader: what lies in `tests/corpus/<name>/`, and fixtures that other tests have.
pub(crate) fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let more: &[&str] = match name {
        "akuvox" => &["tests/fixtures/akuvox"],
        "aqara" => &["tests/fixtures/aqara"],
        "journal" => &["tests/fixtures/store/v1/journal", "tests/fixtures/store/v1/identity"],
        "config" => &["config/latchkey.toml"],
        _ => &[],
    };
    let own = root.join("tests/corpus").join(name);
    // A reader whose seeds are all other tests' fixtures has no folder of its own until something is found.
    let own = own.exists().then_some(own);
    let paths = more.iter().map(|it| root.join(it)).chain(own);
    let mut files: Vec<PathBuf> = paths.flat_map(|it| files_at(&it)).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no corpus");
    files.into_iter().map(|it| (it.clone(), fs::read(it).unwrap())).collect()
}

fn files_at(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    fs::read_dir(path).unwrap().flat_map(|it| files_at(&it.unwrap().path())).collect()
}

/// Inputs made of these seeds.
pub(crate) fn inputs(seeds: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds = seeds.to_vec();
    let bent = (any::<Index>(), prop::collection::vec(bend(), 1..6)).prop_map(move |(seed, bends)| {
        let input = seed.get(&seeds).clone();
        bends.iter().fold(input, |input, bend| bend.apply(input, &seeds))
    });
    prop_oneof![
        12 => bent,
        2 => document(),
        1 => prop::collection::vec(any::<u8>(), 0..400),
    ]
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(&WORDS[..]).prop_map(<[u8]>::to_vec),
        1 => (prop::sample::select(&WORDS[..]), prop::sample::select(&[3, 130, 2000][..]))
            .prop_map(|(word, times)| word.repeat(times)),
        1 => prop::collection::vec(any::<u8>(), 1..9),
        1 => (0_usize..70_000).prop_map(|it| vec![b'a'; it]),
    ]
}

fn bend() -> impl Strategy<Value = Bend> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), word()).prop_map(|(at, word)| Bend::Insert(at, word)),
        2 => (at(), 1_usize..40).prop_map(|(at, len)| Bend::Remove(at, len)),
        1 => (at(), 1_usize..60, prop::sample::select(&[2, 20, 300][..]))
            .prop_map(|(at, len, times)| Bend::Repeat(at, len, times)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Bend::Overwrite(at, byte)),
        1 => at().prop_map(Bend::CutOff),
        1 => (at(), at(), at()).prop_map(|(at, other, from)| Bend::Splice(at, other, from)),
        3 => (at(), word()).prop_map(|(at, word)| Bend::Replace(at, word)),
    ]
}

/// JSON with keys that are known somewhere, and values that belong to others.
fn document() -> impl Strategy<Value = Vec<u8>> {
    use serde_json::{Value, json};
    let keys = [
        "token",
        "refresh_token",
        "auth_token",
        "code",
        "password",
        "keep",
        "prove",
        "issued_at",
        "entry_id",
        "scene",
        "door",
        "transaction",
        "err_code",
        "result",
        "datas",
        "data",
        "message",
        "token_valid",
        "refreshToken",
        "accessToken",
        "expiresIn",
        "openId",
        "requestId",
        "dev_list",
        "relay",
        "mac",
        "rest_server_https",
        "sceneId",
        "positionId",
        "totalCount",
        "aqara",
        "scenes",
        "v",
        "current",
        "access",
        "generation",
        "accounts",
        "record",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|it| json!(it)),
        Just(Value::from(0)),
        Just(Value::from(CANARY)),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        let object = prop::collection::vec((prop::sample::select(keys.to_vec()), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::from),
            object.prop_map(|it| it.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    });
    value.prop_map(|it| it.to_string().into_bytes())
}

impl Bend {
    fn apply(&self, mut input: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
        let place = |at: &Index, input: &[u8]| at.index(input.len() + 1);
        match self {
            Self::Insert(at, word) => {
                let at = place(at, &input);
                input.splice(at..at, word.iter().copied());
            }
            Self::Remove(at, len) => {
                let at = place(at, &input);
                input.drain(at..input.len().min(at + len));
            }
            Self::Repeat(at, len, times) => {
                let at = place(at, &input);
                let stretch = input[at..input.len().min(at + len)].repeat(*times);
                input.splice(at..at, stretch);
            }
            Self::Overwrite(at, byte) => {
                let at = place(at, &input);
                if let Some(there) = input.get_mut(at) {
                    *there = *byte;
                }
            }
            Self::CutOff(at) => input.truncate(place(at, &input)),
            Self::Splice(at, other, from) => {
                let other = other.get(seeds);
                input.truncate(place(at, &input));
                input.extend_from_slice(&other[place(from, other)..]);
            }
            Self::Replace(at, word) => {
                let quotes: Vec<usize> = (0..input.len()).filter(|it| input[*it] == b'"').collect();
                if 1 < quotes.len() {
                    let first = at.index(quotes.len() - 1);
                    input.splice(quotes[first] + 1..quotes[first + 1], word.iter().copied());
                }
            }
        }
        input
    }
}
