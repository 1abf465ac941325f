//! What the references say is what the code knows: nothing is missing there, and nothing is there beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use latchkey::{
    account::{AccountId, Code},
    config,
    keeper::CommandError,
    mqtt::{
        bridge::{AccountInfo, Info},
        request::fields_of,
        topics::{Topics, Verb},
    },
    vendor::VendorKind,
    web::{RefusalCode, openapi, status_of},
};
use serde_json::Value;

use super::page::{Page, files, read};

type Words = BTreeSet<String>;

fn words<T: ToString>(from: impl IntoIterator<Item = T>) -> Words {
    from.into_iter().map(|it| it.to_string()).collect()
}

/// What the code knows by its HTTP interface.
fn document() -> Value {
    serde_json::from_str(&openapi::text()).unwrap()
}

/// The words of an enumeration.
fn options(schema: &str) -> Words {
    words(document()["components"]["schemas"][schema]["enum"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()))
}

// === MQTT ===

#[test]
fn every_topic_is_in_the_reference() {
    let topics = Topics::new(&"latchkey".parse().unwrap());
    let account: AccountId = "account".parse().unwrap();
    let page = Page::of("docs/mqtt.md");

    let verbs = words(Verb::ALL.map(Verb::as_str));
    let heard = topics.command_filters().into_iter().map(|(filter, _)| {
        let (above, last) = filter.rsplit_once('/').unwrap();
        let last = if verbs.contains(last) { "<command>" } else { last };
        format!("{above}/{last}").replacen('+', "<account>", 1).replace('+', "<key>")
    });
    assert_eq!(words(page.first_cells("Where commands go")), words(heard));

    let verb = Verb::Status;
    let spoken = [
        topics.bridge_state(),
        topics.bridge_info(),
        topics.echo(),
        topics.state(&account),
        topics.advice(&account),
        topics.event(&account),
        topics.login_field(&account),
        topics.account_response("account", verb),
        topics.bridge_response(verb),
    ];
    let spoken =
        spoken.map(|it| it.replace("/account/", "/<account>/").replace("response/status", "response/<command>"));
    assert_eq!(words(page.first_cells("What Latchkey publishes")), words(spoken));
}

#[test]
fn every_key_of_the_bridge_is_in_the_reference() {
    let account = AccountInfo { id: "account".parse().unwrap(), vendor: VendorKind::Akuvox };
    let info = Info { accounts: vec![account], ..Info::new("default".to_owned(), &[], Timestamp::UNIX_EPOCH) };
    let info = serde_json::to_value(info).unwrap();
    let keys = |of: &Value| words(of.as_object().unwrap().keys());
    let page = Page::of("docs/mqtt.md");
    let rows = page.rows_of("What Latchkey publishes");
    let row = rows.iter().find(|it| it.cells[0][0] == "latchkey/bridge/info").unwrap();
    assert_eq!(words(&row.cells[2]), keys(&info).union(&keys(&info["accounts"][0])).cloned().collect());
}

#[test]
fn every_command_is_in_the_reference_with_its_fields() {
    let page = Page::of("docs/mqtt.md");
    assert_eq!(words(page.first_cells("Commands")), words(Verb::ALL.map(Verb::as_str)));
    assert_eq!(words(page.first_cells("Answers")), words(Verb::ALL.map(Verb::as_str)));
    let rows = page.rows_of("Fields");
    let told = rows.iter().map(|it| (it.cells[1][0].clone(), it.cells[0][0].clone()));
    let known = Verb::ALL
        .into_iter()
        .flat_map(|verb| fields_of(verb).iter().map(move |it| (verb.as_str().to_owned(), (*it).to_owned())));
    assert_eq!(told.collect::<BTreeSet<_>>(), known.collect());
}

#[test]
fn every_key_of_the_state_every_condition_and_every_event_is_in_the_reference() {
    let page = Page::of("docs/mqtt.md");
    let status = document()["components"]["schemas"]["Status"]["properties"].clone();
    assert_eq!(words(page.first_cells("The state document")), words(status.as_object().unwrap().keys()));
    assert_eq!(words(page.first_cells("Conditions")), options("Condition"));
    assert_eq!(words(page.first_cells("Events")), words(latchkey::account::EventType::ALL));
    // A refusal is answered as an error.
    let outcomes = options("UpdateOutcome").into_iter().filter(|it| it != "refused");
    assert_eq!(words(page.first_cells("Outcomes of update_tokens")), words(outcomes));
    let rows = page.rows_of("The state document");
    let row = rows.iter().find(|it| it.cells[0][0] == "access_token_status").unwrap();
    assert_eq!(words(&row.cells[1]), options("AccessTokenStatus"));
}

// === Errors ===

/// Each has a heading of its own, which others can link to, and below it the sentence and the mend as they are answered.
#[test]
fn every_error_code_is_told_with_its_sentence_its_mend_and_its_status() {
    let page = Page::of("docs/troubleshooting.md");
    let said: BTreeMap<&str, &str> = page.quotes.iter().map(|it| (it.section.as_str(), it.text.as_str())).collect();
    let mut known = BTreeMap::new();
    for word in options("Code") {
        let code: Code = serde_json::from_value(Value::from(word.as_str())).unwrap();
        let error = CommandError::new(code, "");
        let message = error.message.trim_start_matches(": ");
        known.insert(word, format!("{message}. {} (HTTP {})", error.hint, status_of(code).as_u16()));
    }
    for code in RefusalCode::ALL {
        let (status, message, hint) = code.words();
        let word = serde_json::to_value(code).unwrap().as_str().unwrap().to_owned();
        known.insert(word, format!("{message}. {hint} (HTTP {})", status.as_u16()));
    }
    assert_eq!(words(known.keys()), options("Code").union(&options("RefusalCode")).cloned().collect());
    for (code, line) in &known {
        assert_eq!(said.get(code.as_str()), Some(&line.as_str()), "docs/troubleshooting.md, under {code}");
    }
    assert_eq!(words(said.keys()), words(known.keys()));
}

// === Administration ===

#[test]
fn every_route_is_in_the_reference() {
    let document = document();
    let routes = document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    assert_eq!(words(Page::of("docs/administration.md").first_cells("By HTTP")), words(routes));
}

#[test]
fn every_subcommand_is_in_the_reference() {
    let page = Page::of("docs/administration.md");
    let cells = page.first_cells("On the command line");
    let told = cells.iter().map(|it| it.split(' ').nth(1).unwrap());
    let commands = latchkey::cli::commands();
    let only_in_the_demo = ["demo", "simulate"];
    let known = commands.get_subcommands().map(|it| it.get_name()).filter(|it| !only_in_the_demo.contains(it));
    assert_eq!(words(told), words(known));
    for name in only_in_the_demo {
        assert!(page.code.contains(&format!("latchkey {name}")), "{name}");
    }
}

// === Configuration ===

/// The code tells what it knows when it meets a key that it does not.
fn known_keys(section: &str) -> Vec<String> {
    let stranger = "zzzzzzzzzzzzzzzz";
    let vendor = match section {
        "accounts.home" => "vendor = \"aqara\"\nregion = \"eu\"\napp_id = \"a\"\nkey_id = \"K.1\"\napp_key = \"k\"\n",
        _ => "",
    };
    // The account stands first, so that a table in it finds one.
    let account = "[accounts.front_door]\nvendor = \"akuvox\"\ncountry = \"SE\"\n";
    let table = match section {
        "" => String::new(),
        "accounts.front_door" => account.to_owned(),
        _ => format!("{account}[{section}]\n{vendor}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    fs::write(&file, format!("{table}{stranger} = 1\n")).unwrap();
    let errors = config::load(Some(&file), std::iter::empty()).unwrap_err();
    let error = errors.iter().find(|it| it.key.ends_with(stranger)).unwrap();
    let known = error.mend.split_once("known here: ").unwrap().1;
    known.split(", ").map(ToOwned::to_owned).collect()
}

/// The keys of the file that is shipped, set or not, by their sections. In sections whose keys are the user's choice
/// there are none.
fn shipped_keys() -> BTreeMap<String, Words> {
    let mut section = String::new();
    let mut keys: BTreeMap<String, Words> = BTreeMap::from([(String::new(), Words::new())]);
    for line in read("config/latchkey.toml").lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = name.to_owned();
            keys.entry(section.clone()).or_default();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
            && !section.ends_with("scenes")
            && !section.ends_with("door_names")
        {
            keys.get_mut(&section).unwrap().insert(key.to_owned());
        }
    }
    keys
}

#[test]
fn every_key_of_the_configuration_is_in_the_file_that_is_shipped() {
    let shipped = shipped_keys();
    let sections = words(shipped.keys());
    for (section, keys) in shipped.iter().filter(|it| !it.0.ends_with("scenes") && !it.0.ends_with("door_names")) {
        let known = known_keys(section);
        for key in &known {
            let below = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            let is_section = sections.iter().any(|it| *it == below || it.starts_with(&format!("{below}.")));
            // A secret is shown by its value or by its file; the text says that every one has both.
            let other = key.strip_suffix("_file").map_or(format!("{key}_file"), ToOwned::to_owned);
            let is_told = keys.contains(key) || (known.contains(&other) && keys.contains(&other));
            assert!(is_section || is_told || is_told_in_words(section, key), "config/latchkey.toml lacks {below}");
        }
        for key in keys {
            assert!(known.contains(key), "[{section}] of config/latchkey.toml has {key}, which the code does not know");
        }
    }
}

/// Keys that a comment tells of, in words or beside another.
fn is_told_in_words(section: &str, key: &str) -> bool {
    let text = read("config/latchkey.toml");
    match (section, key) {
        ("store", "key") => text.contains("LATCHKEY__STORE__KEY"),
        ("accounts.front_door" | "accounts.home", "min_refresh_gap") => text.contains("an account may have its own"),
        ("accounts.home", "base_url") => text.contains("or base_url = "),
        _ => false,
    }
}

// === Home Assistant ===

#[test]
fn every_entity_is_in_the_reference() {
    let page = Page::of("docs/home-assistant.md");
    let told = page.rows_of("What each account gets").into_iter().map(|it| (it.texts[0].clone(), it.texts[1].clone()));
    let told: BTreeSet<(String, String)> = told.collect();
    let mut known = BTreeSet::new();
    for file in ["ha-discovery/akuvox.json", "ha-discovery/aqara.json"] {
        let golden: Value = serde_json::from_str(&read(file)).unwrap();
        for (key, component) in golden["payload"]["components"].as_object().unwrap() {
            if !key.starts_with("open_") && !key.starts_with("scene_") {
                let text = |key: &str| component[key].as_str().unwrap().replace('_', " ");
                known.insert((text("name"), text("platform")));
            }
        }
    }
    assert_eq!(told, known);
}

// === Adding a vendor ===

/// Where a new variant has to be added, beside the vendor's own folder.
#[test]
fn every_place_that_tells_vendors_apart_is_in_the_guide() {
    let names = ["VendorKind::Aqara", "VendorSettings::Aqara", "VendorName::Aqara"];
    let is_source = |it: &Path| it.extension().is_some_and(|it| it == "rs");
    let sources =
        files(is_source).into_iter().filter(|it| it.starts_with("src") && !it.starts_with("src/vendor/aqara"));
    let tells_apart = |it: &PathBuf| {
        let text = read(&it.to_string_lossy());
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        names.iter().any(|it| code.contains(it))
    };
    let places = sources.filter(tells_apart).map(|it| it.display().to_string());
    let page = Page::of("docs/adding-a-vendor.md");
    assert_eq!(words(page.first_cells("Where vendors are told apart")), words(places));
}

/// What the guide quotes is compiled and run.
#[test]
fn the_guide_quotes_its_example_to_the_letter() {
    let example: String =
        ["vendor.rs", "cloud.rs", "main.rs"].map(|it| read(&format!("tests/adding_a_vendor/{it}"))).concat();
    let page = Page::of("docs/adding-a-vendor.md");
    let quoted: Vec<_> = page.blocks.iter().filter(|it| it.language == "rust").collect();
    assert!(4 < quoted.len());
    for block in quoted {
        assert!(example.contains(&block.text), "docs/adding-a-vendor.md:{}", block.line);
    }
}
