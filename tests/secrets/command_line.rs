//! Commands that work without a service, with everything logged.

use std::{fs, path::Path, process::Command};

use latchkey::demo::clouds::{Fault, FaultKind};
use serde_json::json;

use crate::{
    canaries::Canaries,
    support::{
        latchkey::{Bench, files_below},
        process::output_with,
    },
};

const CODE: &str = "Canary-code/4711+0815=";
const PASTED: &str = "Canary pasted/token+0123456789=";

/// What a command says, given `input`.
async fn said_by(command: Command, input: &str) -> Vec<u8> {
    let output = output_with(command, input).await;
    let said = [output.stdout, output.stderr].concat();
    assert!(!said.is_empty());
    said
}

fn with<'a>(bench: &Bench, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut arguments = arguments.into_iter();
    let mut command = bench.command(arguments.next().unwrap());
    command.args(arguments);
    command
}

#[tokio::test]
async fn no_command_shows_what_it_is_given_or_gets() {
    let mut bench = Bench::new().await;
    bench.environment.push(("RUST_LOG".to_owned(), "trace".to_owned()));
    let (akuvox, aqara) = (bench.akuvox.credentials(0), bench.aqara.credentials(0));
    bench.front_door = format!("dial_code = {:?}\nphone = {:?}\n", akuvox.dial_code, akuvox.phone_number);
    bench.keeper.push_str("call_timeout = \"2s\"\n");
    let mut canaries = Canaries::default();
    for (what, secret) in [("a wrong code", CODE), ("what was pasted", PASTED)] {
        canaries.add(what, secret);
    }
    canaries.add("the application's key", aqara.app_key.as_str());
    canaries.add("an auth token", akuvox.auth_token.as_str());
    canaries.add_live(&bench);

    let file = |name: &str, text: &str| {
        let path = bench.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let data = json!({ "token": akuvox.token, "refresh_token": akuvox.refresh_token, "auth_token": akuvox.auth_token });
    let storage = file("local_akuvox_storage", &json!({ "version": 1, "data": data }).to_string());
    let system = file("config.json", &json!({ "aqara": { "app_id": "a", "app_key": PASTED } }).to_string());
    let notes = file("notes", PASTED);
    let token = file("token.txt", &bench.aqara.sign_in(0).refresh_token);
    canaries.add_live(&bench);
    let mut logged = 0;
    for (arguments, input) in [
        (&["import", &storage][..], ""),
        (&["import", &system], ""),
        (&["import", &notes], ""),
        (&["tokens", "set", "front_door"], PASTED),
        (&["login", "front_door", "--request-code"], ""),
        (&["login", "front_door"], CODE),
        (&["refresh", "front_door"], ""),
        (&["trigger", "--refresh-token-file", &token, "home", "tv_warning"], ""),
        (&["trigger", "--refresh-token-file", &notes, "home", "tv_warning"], ""),
        (&["status", "--json"], ""),
        (&["diagnostics"], ""),
    ] {
        let command = match arguments {
            // Its configuration follows the second word.
            ["tokens", "set", rest @ ..] => {
                let mut command = crate::support::latchkey::latchkey(&["tokens", "set"]);
                command.arg("--config").arg(bench.configuration()).envs(bench.environment.iter().cloned()).args(rest);
                command
            }
            arguments => with(&bench, arguments.iter().copied()),
        };
        let said = said_by(command, input).await;
        logged += usize::from(String::from_utf8_lossy(&said).contains("DEBUG"));
        canaries.add_live(&bench);
        canaries.look_into(&format!("what {arguments:?} says"), &said);
    }

    assert!(6 < logged, "the log was not as talkative as it can be");

    // What a command leaves that got no answer.
    bench.aqara.inject(Fault { times: u32::MAX, ..Fault::new(FaultKind::Hang) });
    let left = with(&bench, ["trigger", "--refresh-token-file", &token, "home", "tv_warning"]);
    canaries.look_into("what a lost reply makes of it", &said_by(left, "").await);
    let folders = [bench.store(), Path::new(&token).with_extension("txt.latchkey")];
    for file in folders.iter().flat_map(|it| files_below(it)).filter(|it| !it.ends_with("key")) {
        canaries.look_into(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}
