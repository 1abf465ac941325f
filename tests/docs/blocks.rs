//! Blocks of code in the documentation are what they say: JSON is JSON, TOML is a configuration, commands are commands.

use std::fs;

use latchkey::config::{self, Problem};
use serde_json::Value;
use yaml_rust2::YamlLoader;

use super::{
    page::{Block, Page, pages},
    shell::latchkey_commands,
};

#[test]
fn what_says_that_it_is_json_is() {
    let n_checked = check("json", |text| serde_json::from_str::<Value>(text).map(drop).map_err(|why| why.to_string()));
    assert!(5 < n_checked);
}

#[test]
fn what_says_that_it_is_yaml_is() {
    let n_checked = check("yaml", |text| YamlLoader::load_from_str(text).map(drop).map_err(|why| why.to_string()));
    assert!(5 < n_checked);
}

/// With an account beside it where it has none. Files of secrets are not there, which is no fault of the example.
#[test]
fn what_says_that_it_is_toml_is_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    let n_checked = check("toml", |text| {
        let account = "\n[accounts.another]\nvendor = \"akuvox\"\ncountry = \"SE\"\n";
        let home = "\n[accounts.home]\nvendor = \"aqara\"\nregion = \"eu\"\napp_id = \"a\"\nkey_id = \"K.1\"\napp_key = \"k\"\n";
        let more =
            if text.contains("[accounts.home.scenes]") && !text.contains("[accounts.home]") { home } else { account };
        fs::write(&file, format!("{text}{more}")).unwrap();
        let Err(errors) = config::load(Some(&file), std::iter::empty()) else { return Ok(()) };
        let is_fault =
            |it: &config::ConfigError| !matches!(it.problem, Problem::UnreadableFile(_)) && !is_secret_missing(it);
        if errors.iter().any(is_fault) { Err(errors.to_string()) } else { Ok(()) }
    });
    assert!(5 < n_checked);
}

/// What `app_key_file` names is not there.
fn is_secret_missing(error: &config::ConfigError) -> bool {
    matches!(error.problem, Problem::Missing { .. }) && error.key.ends_with("app_key")
}

#[test]
fn every_command_of_latchkey_is_one() {
    let mut n_checked = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let lines = page.blocks.iter().filter(|it| is_shell(it)).flat_map(|it| it.text.lines());
        let in_text = page.code.iter().map(String::as_str);
        let in_tables = page.rows.iter().flat_map(|it| it.cells.iter().flatten()).map(String::as_str);
        for line in lines.chain(in_text).chain(in_tables) {
            for words in latchkey_commands(line) {
                n_checked += 1;
                wrong.extend(why_not_taken(&words).map(|why| format!("{}: {line}\n{why}", page.path.display())));
            }
        }
    }
    assert!(30 < n_checked);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn why_not_taken(words: &[String]) -> Option<String> {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    // The name of a command in the running text: `latchkey tokens set`, `latchkey backup`, or of the program.
    let mut command = latchkey::cli::commands();
    let mut rest = words[1..].iter();
    let is_name = rest.all(|word| match command.find_subcommand(word).cloned() {
        Some(found) => {
            command = found;
            true
        }
        None => false,
    });
    if is_name {
        return None;
    }
    let error = latchkey::cli::commands().try_get_matches_from(words).err()?;
    (!matches!(error.kind(), DisplayHelp | DisplayVersion)).then(|| error.to_string())
}

fn is_shell(block: &Block) -> bool {
    matches!(block.language.as_str(), "" | "sh" | "bash" | "console")
}

/// Checks all blocks of a language, and gives how many there are.
fn check(language: &str, read: impl Fn(&str) -> Result<(), String>) -> usize {
    let pages = pages();
    let of_page = |page: &'_ Page| page.blocks.iter().filter(|it| it.language == language).cloned().collect::<Vec<_>>();
    let mut n_checked = 0;
    let mut wrong = Vec::new();
    for page in &pages {
        for block in of_page(page) {
            n_checked += 1;
            wrong.extend(read(&block.text).err().map(|why| format!("{}:{}: {why}", page.path.display(), block.line)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    n_checked
}
