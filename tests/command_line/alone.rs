//! Commands without a service: the store is opened, the command carried out, the store closed.

use std::{fs, os::unix::fs::PermissionsExt};

use jiff::Timestamp;
use latchkey::{
    clock::Clock,
    demo::clouds::{Fault, FaultKind, Scope, What},
};

use crate::{
    command, run, run_json, stderr,
    support::latchkey::{Bench, output},
};

/// A bench whose two accounts have their tokens, given on the command line.
pub(crate) async fn signed_in() -> Bench {
    let mut bench = Bench::new().await;
    bench.front_door = "doors = true".to_owned();
    let (code, said, _) = run(&bench, &["tokens", "set", "front_door"], &bench.front_door_tokens()).await;
    assert_eq!((code, said.as_str()), (0, "front_door: the tokens are good, and were renewed once.\n"));
    let (code, reply) = run_json(&bench, &["tokens", "set", "home"], &bench.home_tokens()).await;
    assert_eq!((code, &reply["data"]["outcome"]), (0, &"proved".into()), "{reply}");
    bench
}

#[tokio::test]
async fn every_command_is_carried_out_without_a_service() {
    let bench = signed_in().await;
    let (code, said, _) = run(&bench, &["status"], "").await;
    assert_eq!(code, 0);
    assert!(said.starts_with("ACCOUNT     VENDOR  CONDITION  TOKEN ENDS"), "{said}");
    assert!(said.contains("front_door  akuvox  ok         in 7 days"), "{said}");
    assert!(said.contains("home: The login is well."), "{said}");
    assert!(!said.contains('\x1b'), "colours are for terminals: {said:?}");

    let (code, said, _) = run(&bench, &["trigger", "home", "tv_warning"], "").await;
    assert_eq!((code, said.as_str()), (0, "home: tv_warning was run.\n"));
    let (code, said, _) = run(&bench, &["trigger", "warn"], "").await;
    assert_eq!((code, said.as_str()), (0, "home: tv_warning was run.\n"));
    assert_eq!(bench.aqara.counters().scene_runs.values().sum::<u64>(), 2);
    let (code, reply) = run_json(&bench, &["scenes"], "").await;
    assert_eq!((code, &reply["data"]["entry_id"]), (0, &"home".into()), "{reply}");
    assert!(reply["data"]["scenes"].as_array().unwrap().iter().any(|it| it["key"] == "tv_warning"), "{reply}");
    let (code, said, _) = run(&bench, &["scenes", "home"], "").await;
    assert!(code == 0 && said.starts_with("KEY") && said.contains("tv_warning"), "{said}");

    let (code, reply) = run_json(&bench, &["doors"], "").await;
    assert_eq!(code, 0, "{reply}");
    let door = reply["data"]["doors"][0]["key"].as_str().expect("no door was listed");
    let (code, said, _) = run(&bench, &["open", "front_door", door], "").await;
    assert_eq!((code, said), (0, format!("front_door: {door} was opened.\n")));
    assert_eq!(bench.akuvox.counters().door_openings.values().sum::<u64>(), 1);

    let (code, reply) = run_json(&bench, &["refresh", "front_door"], "").await;
    assert_eq!((code, &reply["data"]["generation"]), (0, &3.into()), "{reply}");
    let (code, said, _) = run(&bench, &["forget", "front_door"], "").await;
    assert!(code == 0 && said.contains("`latchkey recall front_door` brings it back"), "{said}");
    let (_, reply) = run_json(&bench, &["status", "front_door"], "").await;
    assert_eq!(reply["data"]["accounts"][0]["condition"], "missing", "{reply}");
    let (code, said, _) = run(&bench, &["recall", "front_door"], "").await;
    assert!(code == 0 && said.starts_with("front_door: brought back"), "{said}");
    let (_, reply) = run_json(&bench, &["status", "front_door"], "").await;
    assert_eq!(reply["data"]["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(reply["data"]["accounts"][0]["condition"], "ok", "{reply}");
}

#[tokio::test]
async fn status_calls_no_vendor_and_makes_no_store_and_nothing_is_renewed_by_the_way() {
    let bench = Bench::new().await;
    let (code, said, complaints) = run(&bench, &["status"], "").await;
    assert_eq!((code, complaints.as_str()), (0, ""));
    assert!(said.contains("front_door: No tokens are held. Sign in with `latchkey login front_door`"), "{said}");
    for arguments in [&["doors"][..], &["diagnostics"], &["refresh", "home"], &["trigger", "warn"]] {
        run(&bench, arguments, "").await;
        assert!(!bench.store().exists(), "{arguments:?}");
    }
    assert_eq!(bench.n_calls(), 0);

    // Not even where something is due.
    let mut bench = signed_in().await;
    bench.front_door = "refresh_every = \"1s\"\njitter = \"0s\"".to_owned();
    let n_calls = bench.n_calls();
    loop {
        let (_, reply) = run_json(&bench, &["status", "front_door"], "").await;
        let due: Timestamp = reply["data"]["accounts"][0]["next_refresh_at"].as_str().unwrap().parse().unwrap();
        if due < Clock::system().now() {
            break;
        }
    }
    assert_eq!(bench.n_calls(), n_calls);

    // Nor does a command for one account call another's vendor, however long it takes.
    let n_calls = bench.akuvox.counters().calls;
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(1.0).on(Scope::Action, 1));
    let (code, _, complaints) = run(&bench, &["trigger", "warn"], "").await;
    assert_eq!((code, bench.akuvox.counters().calls), (0, n_calls), "{complaints}");
}

#[tokio::test]
async fn what_is_wrong_is_one_sentence_with_the_mend_and_the_right_exit_code() {
    let bench = signed_in().await;
    for (arguments, input, expected, sentence) in [
        (&["refresh", "nowhere"][..], "", 64, "there is no account `nowhere`. Configured are: front_door, home."),
        (&["refresh"], "", 64, "there are several accounts: front_door, home. Name one of them"),
        (&["trigger", "home", "no_such_scene"], "", 64, "there is no scene of this name"),
        (&["open", "no_such_door"], "", 64, "there is no door of this name"),
        (&["scenes", "front_door"], "", 64, "this vendor has no such thing"),
        (&["tokens", "set", "home"], "", 64, "no tokens came by standard input. Send JSON"),
        (&["tokens", "set", "home"], "R1", 64, "the payload is not a JSON object"),
        (&["tokens", "set", "home"], "{\"refresh\": \"R1\"}", 64, "the payload lacks a field"),
        (
            &["tokens", "set", "home"],
            "{\"refresh_token\": \"nobody-knows-it\"}",
            1,
            "does not accept the refresh token",
        ),
        (&["login", "home"], "", 64, "standard input holds no code"),
        (&["login", "home", "--request-code"], "", 64, "who is to sign in is not configured"),
        (&["login", "home", "--password"], "", 64, "there is no terminal to ask for the password"),
        (&["login", "home", "--keep-password"], "123456", 64, "there is no password to keep"),
        (&["recall", "home"], "", 1, "there is nothing that could be brought back"),
    ] {
        let (code, said, complaints) = run(&bench, arguments, input).await;
        assert_eq!((code, said.as_str()), (expected, ""), "{arguments:?}: {complaints}");
        assert_eq!(complaints.lines().count(), 1, "{arguments:?}: {complaints}");
        assert!(complaints.starts_with("latchkey: ") && complaints.contains(sentence), "{arguments:?}: {complaints}");
        let (code, reply) = run_json(&bench, arguments, input).await;
        assert_eq!((code, &reply["status"]), (expected, &"error".into()), "{arguments:?}: {reply}");
        assert!(!reply["error"]["code"].as_str().unwrap().is_empty());
    }
    // What may be a token in the wrong place is not quoted.
    let output = output(command(&bench, &["refresh", "Eyj-canary-token"])).await;
    assert!(output.status.code() == Some(64) && !stderr(&output).contains("canary"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_refusal_of_the_vendor_is_told_and_ends_with_1() {
    let bench = signed_in().await;
    bench.aqara.revoke(0, What::Grant);
    let (code, _, complaints) = run(&bench, &["refresh", "home"], "").await;
    assert_eq!(code, 1, "{complaints}");
    assert!(complaints.contains("does not accept the refresh token"), "{complaints}");
    let (code, said, _) = run(&bench, &["status"], "").await;
    assert!(code == 0 && said.contains("home: The vendor does not accept the login any more. Sign in with"), "{said}");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_told_with_the_mend() {
    let bench = signed_in().await;
    let key = bench.store().join("key");
    let aside = bench.folder.path().join("key");
    fs::rename(&key, &aside).unwrap();
    let (code, _, complaints) = run(&bench, &["status"], "").await;
    assert_eq!(code, 1);
    assert!(complaints.contains("is missing beside an existing store. Put the key back"), "{complaints}");
    fs::rename(&aside, &key).unwrap();
    fs::set_permissions(bench.store(), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, _, complaints) = run(&bench, &["refresh", "home"], "").await;
    assert_eq!(code, 1);
    assert!(complaints.contains("chmod 700"), "{complaints}");
}

#[tokio::test]
async fn a_code_is_asked_for_and_handed_over_by_a_script() {
    let mut bench = Bench::new().await;
    let resident = bench.akuvox.credentials(0);
    bench.front_door = format!("dial_code = {:?}\nphone = {:?}", resident.dial_code, resident.phone_number);
    let (code, said, _) = run(&bench, &["login", "front_door", "--request-code"], "").await;
    assert_eq!(
        (code, said.as_str()),
        (0, "front_door: the code is on its way. Hand it over with `latchkey login front_door`.\n")
    );
    let (code, reply) = run_json(&bench, &["login", "front_door", "--request-code"], "").await;
    assert_eq!((code, &reply["error"]["code"]), (1, &"too_soon".into()));
    assert!(0 < reply["error"]["retry_after"].as_u64().unwrap());
    let (code, _, complaints) = run(&bench, &["login", "front_door"], "000000\n").await;
    assert!(code == 1 && complaints.contains("does not accept the code"), "{complaints}");
    let sent = bench.akuvox.newest_code(0).unwrap();
    let (code, said, complaints) = run(&bench, &["login", "front_door"], &format!("{sent}\n")).await;
    assert!(code == 0 && said.starts_with("front_door: signed in"), "{said}{complaints}");
    let (_, reply) = run_json(&bench, &["status", "front_door"], "").await;
    assert_eq!(reply["data"]["accounts"][0]["condition"], "ok", "{reply}");
}

#[tokio::test]
async fn a_password_comes_from_a_file_or_by_standard_input() {
    let mut bench = Bench::new().await;
    let resident = bench.akuvox.credentials(0);
    bench.front_door = format!("user = {:?}", resident.login);
    let file = bench.folder.path().join("password");
    fs::write(&file, format!("{}\n", resident.password)).unwrap();
    let by_file = ["login", "front_door", "--password-file", file.to_str().unwrap()];
    let (code, said, complaints) = run(&bench, &by_file, "").await;
    assert!(code == 0 && said.starts_with("front_door: signed in"), "{said}{complaints}");
    let by_input = ["login", "front_door", "--password-file", "-", "--keep-password"];
    let (code, _, complaints) = run(&bench, &by_input, "wrong").await;
    assert_eq!(code, 1, "{complaints}");
    assert!(!complaints.contains(&resident.password));
}
