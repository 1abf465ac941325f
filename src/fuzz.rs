//! Every reader of bytes that come from elsewhere, as a function of those bytes: what `tests/fuzz/` and the targets in
//! `fuzz/` drive. Behind the feature `fuzzing`, so never in what users install.
//!
//! HTTP has no place here: its bytes are read by hyper, and `tests/fuzz/http.rs` sends them to a listening port.

use std::{fs, path::Path, thread};

use crate::{
    account::{AccountId, Secret},
    cli,
    config::{self, add_on::Options},
    mqtt::{
        request::{Request, Target},
        topics::{Topics, Verb},
    },
    store,
    vendor::{Answer, read_as_akuvox, read_as_aqara},
};

/// A reader. Seeds for it lie in `tests/corpus/<name>/`.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pub name: &'static str,
    /// Gives what a user would be told of the input: each complaint as it is worded, and for some also what was found.
    pub read: fn(&[u8]) -> Vec<String>,
}

pub const READERS: [Reader; 10] = [
    Reader { name: "command", read: command },
    Reader { name: "topic", read: topic },
    Reader { name: "config", read: |bytes| with_file(bytes, config) },
    Reader { name: "options", read: options },
    Reader { name: "akuvox", read: |bytes| of_vendor(bytes, read_as_akuvox) },
    Reader { name: "aqara", read: |bytes| of_vendor(bytes, read_as_aqara) },
    Reader { name: "journal", read: store::read_journal },
    Reader { name: "record", read: store::read_record },
    Reader { name: "backup", read: store::read_backup },
    Reader { name: "import", read: |bytes| with_file(bytes, cli::read_import) },
];

/// The reader of that name.
pub fn reader(name: &str) -> Option<Reader> {
    READERS.into_iter().find(|it| it.name == name)
}

/// A payload, as one of every command on every topic that it has.
fn command(payload: &[u8]) -> Vec<String> {
    let Ok(account) = "front_door".parse::<AccountId>() else { return Vec::new() };
    let targets = [Target::Bridge, Target::Account(account.clone()), Target::Thing(account, "gate".to_owned())];
    let requests =
        Verb::ALL.iter().flat_map(|verb| targets.iter().map(|it| Request::parse(*verb, it.clone(), payload)));
    requests.filter_map(|it| it.command.err()).map(|it| format!("{it}. {}", it.hint)).collect()
}

fn topic(topic: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(topic);
    let topics = text.parse().map(|it| Topics::new(&it));
    if let Ok(topics) = &topics {
        let _ = topics.parse(&topics.bridge_info());
    }
    if let Ok(latchkey) = "latchkey".parse() {
        let _ = Topics::new(&latchkey).parse(&text);
    }
    topics.err().map(|it| it.to_string()).into_iter().collect()
}

fn config(file: &Path) -> Vec<String> {
    config::load(Some(file), std::iter::empty()).err().map(|it| it.to_string()).into_iter().collect()
}

/// The add-on's, as Home Assistant's supervisor keeps them.
fn options(bytes: &[u8]) -> Vec<String> {
    let options = Options::parse(&String::from_utf8_lossy(bytes));
    let configuration = options.and_then(|it| it.configuration(None, Path::new("/data")));
    configuration.err().map(|it| it.to_string()).into_iter().collect()
}

/// As the HTTP client hands them on, with a status of success and with another.
fn of_vendor(bytes: &[u8], read: fn(&Answer) -> Vec<crate::vendor::VendorError>) -> Vec<String> {
    let answer = Answer::of(Secret::new(String::from_utf8_lossy(bytes)));
    let refusal = Answer { http_status: Some(404), ..answer.clone() };
    [answer, refusal].iter().flat_map(read).map(|it| it.to_string()).collect()
}

/// A file of these bytes, one for each thread.
fn with_file(bytes: &[u8], read: impl Fn(&Path) -> Vec<String>) -> Vec<String> {
    let name = format!("latchkey-fuzz-{}-{:?}", std::process::id(), thread::current().id());
    let path = std::env::temp_dir().join(name);
    if fs::write(&path, bytes).is_err() {
        return Vec::new();
    }
    let said = read(&path);
    let _ = fs::remove_file(&path);
    said
}
