//! Help, versions, completions, and what is said where the command itself is not right.

use std::{fs, path::Path, process::Command};

use crate::{
    stderr, stdout,
    support::latchkey::{latchkey, output},
};

#[tokio::test]
async fn a_bad_configuration_ends_with_64_and_the_whole_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    fs::write(&file, "[mqtt]\nport = 70000\nhots = \"x\"\n\n[accounts.home]\nvendor = \"aqara\"\n").unwrap();
    for subcommand in ["run", "check"] {
        let mut command = latchkey(&[subcommand, "--config"]);
        command.arg(&file);
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(64));
        let said = stderr(&output);
        for key in ["mqtt.port", "mqtt.hots", "accounts.home.app_id", "accounts.home.app_key"] {
            assert!(said.contains(key), "{key} is not in {said}");
        }
        assert!(said.matches("mend:").count() >= 4, "{said}");
    }
    let mut command = latchkey(&["run", "--config"]);
    command.arg(folder.path().join("nowhere.toml"));
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("there is no such file"), "{}", stderr(&output));
}

#[tokio::test]
async fn help_and_version_are_no_failures_and_bad_usage_is_64() {
    let help = output(latchkey(&["--help"])).await;
    assert!(help.status.success());
    for subcommand in ["run", "check", "demo", "simulate"] {
        assert!(stdout(&help).contains(subcommand), "{}", stdout(&help));
        let help = output(latchkey(&[subcommand, "--help"])).await;
        assert!(help.status.success() && stdout(&help).contains("Usage: latchkey"), "{}", stdout(&help));
    }
    let version = output(latchkey(&["--version"])).await;
    let said = format!("latchkey {} (development build, with demo)\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&version), said);
    for bad in [&[][..], &["bogus"], &["run", "--bogus"], &["demo", "--mqtt-port", "x"], &["demo", "--broker", "x"]] {
        let output = output(latchkey(bad)).await;
        assert_eq!(output.status.code(), Some(64), "{bad:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{bad:?}: {}", stderr(&output));
    }
}

/// Commands whose help is held to a file in `help/`; `UPDATE_GOLDEN=1` rewrites them.
const TAUGHT: [&str; 23] = [
    "add-on",
    "backup",
    "check",
    "completions",
    "demo",
    "diagnostics",
    "doors",
    "forget",
    "health",
    "import",
    "login",
    "man",
    "open",
    "recall",
    "refresh",
    "restore",
    "rotate-key",
    "run",
    "scenes",
    "simulate",
    "status",
    "tokens set",
    "trigger",
];

#[tokio::test]
async fn every_command_teaches_itself_by_example() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command_line/help");
    for name in TAUGHT {
        let mut arguments: Vec<&str> = name.split(' ').collect();
        arguments.push("--help");
        let help = output(latchkey(&arguments)).await;
        let said = stdout(&help);
        assert!(help.status.success() && stderr(&help).is_empty(), "{name}");
        assert!(said.contains("Example"), "{name}: {said}");
        assert!(said.contains("--json") || ["run", "add-on"].contains(&name), "{name}: {said}");
        let file = folder.join(format!("{}.txt", name.replace(' ', "_")));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &said).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(said, golden, "the help of {name} has changed; if that is meant, run with UPDATE_GOLDEN=1");
    }
    let top = stdout(&output(latchkey(&["--help"])).await);
    for name in TAUGHT {
        assert!(top.contains(name.split(' ').next().unwrap()), "{name} is not in {top}");
    }
}

#[tokio::test]
async fn a_shell_takes_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = output(latchkey(&["completions", shell])).await;
        assert!(script.status.success() && stdout(&script).contains("trigger"), "{shell}");
    }
    let script = stdout(&output(latchkey(&["completions", "bash"])).await);
    let mut bash = Command::new("bash");
    let words = "COMP_WORDS=(latchkey tri); COMP_CWORD=1; _latchkey latchkey tri latchkey; echo \"${COMPREPLY[@]}\"";
    bash.args(["--norc", "-c", &format!("{script}\n{words}")]);
    let completed = output(bash).await;
    assert_eq!(stdout(&completed).trim(), "trigger", "{}", stderr(&completed));
    let document: serde_json::Value =
        serde_json::from_str(&stdout(&output(latchkey(&["completions", "bash", "--json"])).await)).unwrap();
    assert_eq!(document["data"]["script"], script.as_str());
}

#[tokio::test]
async fn the_manual_has_a_page_for_every_command_with_its_options_and_examples() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    let written = output(latchkey(&["man", "--into", into.to_str().unwrap()])).await;
    assert!(written.status.success() && written.stdout.is_empty(), "{}", stderr(&written));
    let page =
        |name: &str| fs::read_to_string(into.join(format!("{name}.1"))).unwrap_or_else(|why| panic!("{name}: {why}"));
    for name in TAUGHT {
        let page = page(&format!("latchkey-{}", name.replace(' ', "-")));
        assert!(page.starts_with(".ie ") || page.starts_with(".TH "), "{name}: {page}");
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH NOTES\nExample", "\n.nf\n  latchkey "] {
            assert!(page.contains(part), "{part} is not in the page of {name}: {page}");
        }
    }
    let top = page("latchkey");
    assert_eq!(stdout(&output(latchkey(&["man"])).await), top);
    assert!(TAUGHT.iter().all(|it| top.contains(&it.split(' ').next().unwrap().replace('-', "\\-"))), "{top}");
    let json = |arguments: &[&str]| {
        let command = latchkey(&[&["man", "--json"], arguments].concat());
        async { serde_json::from_str::<serde_json::Value>(&stdout(&output(command).await)).unwrap() }
    };
    assert_eq!(json(&[]).await["data"]["page"], top.as_str());
    let n_files = json(&["--into", into.to_str().unwrap()]).await["data"]["files"].as_array().unwrap().len();
    assert_eq!(n_files, fs::read_dir(&into).unwrap().count());
    // A folder that cannot be made.
    let nowhere = output(latchkey(&["man", "--into", "/dev/null/man1"])).await;
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("the manual cannot be written"), "{}", stderr(&nowhere));
}

#[tokio::test]
async fn an_access_token_in_the_configuration_is_told_apart_from_a_typo() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    let text =
        "[accounts.home]\nvendor = \"aqara\"\nregion = \"eu\"\napp_id = \"a\"\nkey_id = \"K.1\"\napp_key = \"k\"\n";
    fs::write(&file, format!("{text}access_token = \"canary-token\"\nacces_tokn = \"canary-typo\"\n")).unwrap();
    let output = output(latchkey(&["status", "--config", file.to_str().unwrap()])).await;
    assert_eq!(output.status.code(), Some(64));
    let said = stderr(&output);
    assert!(said.contains("accounts.home.access_token: it is no longer used"), "{said}");
    assert!(said.contains("mend: remove it; Latchkey gets access tokens by itself"), "{said}");
    assert!(said.contains("accounts.home.acces_tokn: this key is not known"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}
