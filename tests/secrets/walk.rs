//! One walk along every path, at the most talkative log level, with tokens that are looked for everywhere afterwards.

use std::{collections::BTreeMap, fs, process::Command};

use latchkey::{
    demo::clouds::{Fault, FaultKind, Scope, What, akuvox::TokenValid},
    mqtt::Inbound,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    latchkey::{Bench, Client, Latchkey, files_below, latchkey, output, text},
    mosquitto::{Mosquitto, MosquittoOptions},
};

/// Of letters and signs that an encoding would change, so that each spelling is one of its own.
const BROKER_PASSWORD: &str = "Canary-broker/pa55word+\"quoted\"=";
const WEB_KEY: &str = "Canary-web/key+0123456789";
const PASTED: &str = "Canary/pasted+token=0123456789\u{e9}";
const PROPOSED: [&str; 4] =
    ["Canary-proposed/access+1=", "Canary-proposed/refresh+1=", "Canary-proposed/access+2=", "Canary-auth/token+3="];

/// Secrets by what they are.
#[derive(Default)]
struct Canaries(BTreeMap<String, String>);

impl Canaries {
    fn add(&mut self, what: &str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(16 <= secret.len(), "{what} might be found by chance");
        self.0.insert(secret, what.to_owned());
    }

    /// The pairs that are good now.
    fn add_live(&mut self, bench: &Bench) {
        for (cloud, account) in [("Akuvox", bench.akuvox.account(0).owner), ("Aqara", bench.aqara.account(0).owner)] {
            self.add(&format!("{cloud}'s access token {}", account.generation), account.access_token);
            self.add(&format!("{cloud}'s refresh token {}", account.generation), account.refresh_token);
        }
    }

    fn look_into(&self, place: &str, bytes: &[u8]) {
        // What is not UTF-8 is replaced, and what a spelling is made of is not.
        let text = String::from_utf8_lossy(bytes);
        for (secret, what) in &self.0 {
            for spelling in spellings(secret) {
                assert!(!text.contains(&spelling), "{what} is in {place}, as {spelling}");
            }
        }
    }
}

/// A secret as it is, as URLs, JSON and Debug write it, as bytes in a list, and in hexadecimal.
fn spellings(secret: &str) -> Vec<String> {
    let percent = |is_upper: bool| {
        let encode = |byte: u8| match byte {
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
            _ if is_upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        secret.bytes().map(encode).collect::<String>()
    };
    let json = json!(secret).to_string();
    let list = |separator: &str| secret.bytes().map(|it| it.to_string()).collect::<Vec<_>>().join(separator);
    let mut spellings = vec![
        secret.to_owned(),
        percent(true),
        percent(false),
        json.trim_matches('"').replace('/', "\\/"),
        json[1..json.len() - 1].to_owned(),
        secret.escape_debug().to_string(),
        secret.escape_default().to_string(),
        list(", "),
        list(","),
        hex::encode(secret),
        hex::encode_upper(secret),
    ];
    spellings.sort();
    spellings.dedup();
    spellings
}

/// Every command, well and badly formed.
async fn speak(bench: &Bench, client: &Client, canaries: &mut Canaries) {
    let [access, refresh, other, auth] = PROPOSED;
    let good = [
        ("latchkey/front_door/refresh_tokens", "{}".to_owned()),
        ("latchkey/bridge/request/refresh_tokens", "home".to_owned()),
        ("latchkey/home/trigger_scene", "tv_warning".to_owned()),
        ("latchkey/home/scene/tv_warning/set", "ON".to_owned()),
        ("latchkey/home/status", "{}".to_owned()),
        ("latchkey/bridge/request/status", "front_door".to_owned()),
    ];
    for (topic, payload) in good {
        client.request(topic, payload.as_bytes()).await;
        canaries.add_live(bench);
    }
    let bad = [
        ("latchkey/front_door/update_tokens", json!({ "token": access, "refresh_token": refresh }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": access, "refresh_token": refresh }).to_string()),
        ("latchkey/home/update_tokens", json!({ "refresh_token": refresh, "auth_token": auth }).to_string()),
        ("latchkey/home/update_tokens", json!({ "token": other }).to_string()),
        ("latchkey/front_door/update_tokens", format!("{{\"token\": \"{PASTED}")),
        ("latchkey/front_door/update_tokens", PASTED.to_owned()),
        ("latchkey/front_door/update_tokens", json!({ "token": PASTED }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": [other] }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": other, "prove": other }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ "token": other, "issued_at": other }).to_string()),
        ("latchkey/front_door/update_tokens", json!({ other: 1, PASTED: 2 }).to_string()),
        ("latchkey/bridge/request/update_tokens", json!({ "entry_id": other, "token": access }).to_string()),
        ("latchkey/bridge/request/refresh_tokens", PASTED.to_owned()),
        ("latchkey/home/trigger_scene", PASTED.to_owned()),
        ("latchkey/home/status", json!({ "entry_id": other }).to_string()),
    ];
    for (topic, payload) in bad {
        client.request(topic, payload.as_bytes()).await;
        canaries.add_live(bench);
    }
    let (_, retained) = client
        .request_with(
            "latchkey/front_door/update_tokens",
            json!({ "token": other }).to_string().as_bytes(),
            &["-r", "-q", "1"],
        )
        .await;
    assert_eq!(retained["error"]["code"], "retained");
}

/// Both accounts again as after a sign-in, by tokens that are looked for too.
async fn sign_in_anew(bench: &Bench, client: &Client, canaries: &mut Canaries) {
    bench.akuvox.sign_in(0);
    bench.aqara.sign_in(0);
    canaries.add_live(bench);
    bench.sign_in(client).await;
    canaries.add_live(bench);
}

/// Everything that a cloud may do instead of answering.
async fn suffer(bench: &Bench, client: &Client, canaries: &mut Canaries) {
    let kinds = [
        FaultKind::ReplyLostAfterRotation,
        FaultKind::ResetBefore,
        FaultKind::Http500,
        FaultKind::Html,
        FaultKind::TruncatedJson,
        FaultKind::CutBody,
        FaultKind::WrongTypes,
        FaultKind::Throttled429,
        FaultKind::VendorBusy,
        FaultKind::MissingRefreshToken,
    ];
    for kind in kinds {
        let has_two_moments = matches!(kind, FaultKind::Http500 | FaultKind::Html | FaultKind::VendorBusy);
        for is_after in [false, true].into_iter().take(1 + usize::from(has_two_moments)) {
            let fault = Fault { after: is_after, retry_after: Some(0), ..Fault::new(kind) };
            bench.akuvox.inject(fault.clone());
            bench.aqara.inject(fault);
            for account in ["front_door", "home"] {
                client.request(&format!("latchkey/{account}/refresh_tokens"), b"{}").await;
                canaries.add_live(bench);
            }
            bench.aqara.inject(Fault { retry_after: Some(0), ..Fault::new(kind) }.on(Scope::Action, 1));
            client.request("latchkey/home/trigger_scene", b"tv_warning").await;
            bench.akuvox.clear_faults();
            bench.aqara.clear_faults();
            sign_in_anew(bench, client, canaries).await;
        }
    }
    // Aqara's 108 repeats the access token in its detail.
    bench.aqara.revoke(0, What::Access);
    client.request("latchkey/home/trigger_scene", b"tv_warning").await;
    canaries.add_live(bench);
    bench.aqara.revoke(0, What::Grant);
    client.request("latchkey/home/trigger_scene", b"tv_warning").await;
    client.request("latchkey/home/refresh_tokens", b"{}").await;
    bench.akuvox.revoke(0, What::Grant);
    client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    sign_in_anew(bench, client, canaries).await;
    // A vendor that quotes what it was sent.
    let quoted = bench.akuvox.credentials(0);
    bench.akuvox.turn_knobs(|it| {
        it.refusal_message = format!("invalid: {} {}", quoted.token, quoted.refresh_token);
        it.refusal_code = quoted.refresh_token.clone();
        it.token_valid = TokenValid::Zero;
    });
    client.request("latchkey/front_door/refresh_tokens", b"{}").await;
    canaries.add_live(bench);
    bench.akuvox.revoke(0, What::Grant);
    client.request("latchkey/front_door/refresh_tokens", b"{}").await;
}

/// Every path of the admin API, well and badly asked. The one answer that is to hold a token is looked at apart.
async fn ask_the_web(bench: &Bench, latchkey: &Latchkey, canaries: &mut Canaries) {
    let log = latchkey.log();
    let (_, address) = log.split_once("listens on http://").unwrap();
    let address = address.lines().next().unwrap().to_owned();
    let ask = async |method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Latchkey-Key: {WEB_KEY}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let shared = ask("GET", "/v1/accounts/front_door/access-token", "").await;
    let token = bench.akuvox.account(0).access_token.clone();
    assert!(String::from_utf8_lossy(&shared).contains(&token), "the search finds nothing even where it is");

    let document = String::from_utf8(ask("GET", "/openapi.json", "").await).unwrap();
    let document: Value = serde_json::from_str(document.split_once("\r\n\r\n").unwrap().1).unwrap();
    let (token, refresh_token) = (PROPOSED[0], PROPOSED[1]);
    let bodies = [
        String::new(),
        json!({ "refresh_token": bench.aqara.credentials(0).refresh_token }).to_string(),
        json!({ "token": token, "refresh_token": refresh_token }).to_string(),
        json!({ "code": PROPOSED[2] }).to_string(),
        json!({ "password": PROPOSED[2], "keep": true }).to_string(),
        json!({ "token": PASTED, token: 1 }).to_string(),
        format!("{{\"refresh_token\": \"{PASTED}"),
    ];
    for (path, item) in document["paths"].as_object().unwrap() {
        if path.ends_with("/access-token") || path.ends_with("/events") {
            continue;
        }
        for method in item.as_object().unwrap().keys().map(|it| it.to_ascii_uppercase()) {
            for id in ["front_door", "home", PROPOSED[2]] {
                let path = path.replace("{id}", id).replace("{key}", PROPOSED[3]);
                for body in &bodies {
                    let answer = ask(&method, &path, body).await;
                    assert!(answer.starts_with(b"HTTP/1.1 "), "{method} {path}");
                    canaries.add_live(bench);
                    canaries.look_into(&format!("the answer to {method} {path}"), &answer);
                }
            }
        }
    }
}

fn with_users() -> Mosquitto {
    let users = vec![("latchkey".to_owned(), BROKER_PASSWORD.to_owned()), ("test".to_owned(), "test".to_owned())];
    Mosquitto::start_with(&MosquittoOptions { users, ..MosquittoOptions::default() })
}

#[tokio::test]
async fn no_secret_is_found_anywhere_outside_the_seal() {
    let mut bench = Bench { mosquitto: with_users(), ..Bench::new().await };
    bench.keeper.push_str("call_timeout = \"5s\"\n");
    bench.mqtt = format!("username = \"latchkey\"\npassword = {}\n", json!(BROKER_PASSWORD));
    bench.web = format!("key = {}\n", json!(WEB_KEY));
    bench.front_door.push_str("share_access_token = true\n");
    bench.environment = vec![("RUST_LOG".to_owned(), "trace".to_owned())];
    bench.aqara.turn_knobs(|it| it.rate_limit_calls = None);
    let mut canaries = Canaries::default();
    canaries.add("the broker's password", BROKER_PASSWORD);
    canaries.add("the application's key", bench.aqara.credentials(0).app_key);
    canaries.add("what was pasted", PASTED);
    canaries.add("the key of the admin API", WEB_KEY);
    for proposed in PROPOSED {
        canaries.add("what was proposed", proposed);
    }
    canaries.add_live(&bench);

    let client = Client::connect_as(bench.mosquitto.port, Some(("test", "test"))).await;
    let mut logs = Vec::new();
    let latchkey = bench.run().await;
    bench.sign_in(&client).await;
    canaries.add_live(&bench);
    speak(&bench, &client, &mut canaries).await;
    sign_in_anew(&bench, &client, &mut canaries).await;
    ask_the_web(&bench, &latchkey, &mut canaries).await;
    sign_in_anew(&bench, &client, &mut canaries).await;
    suffer(&bench, &client, &mut canaries).await;
    logs.push(latchkey.log());
    latchkey.kill().await;

    // A start with everything on disk, and one whose broker refuses the password.
    let latchkey = bench.run().await;
    client.round().await;
    logs.push(latchkey.log());
    assert!(latchkey.stop().await.success());
    let password =
        std::mem::replace(&mut bench.mqtt, format!("username = \"latchkey\"\npassword = {}\n", json!(PASTED)));
    let mut refused = Latchkey::start(bench.command("run"));
    refused.logged("login").await;
    refused.signal("TERM");
    refused.ended().await;
    logs.push(refused.log());
    let check = output(bench.command("check")).await;
    logs.push(String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned());
    bench.mqtt = password;

    assert!(logs[0].contains("DEBUG"), "the log was not as talkative as it can be");
    for log in &logs {
        canaries.look_into("the log", log.as_bytes());
    }
    let verbs = ["update_tokens", "refresh_tokens", "trigger_scene", "status"];
    let is_command = |topic: &str| verbs.iter().any(|it| topic.ends_with(it)) && !topic.contains("/response/");
    let (commands, said): (Vec<_>, Vec<_>) = client.since(0).into_iter().partition(|it| is_command(&it.topic));
    let is_seen = |it: &Inbound| text(it).contains(&json!(PROPOSED[0]).to_string());
    assert!(commands.iter().any(is_seen), "the search finds nothing even where it is");
    for message in said {
        canaries.look_into(&message.topic, message.topic.as_bytes());
        canaries.look_into(&message.topic, &message.payload);
    }
    let files = files_below(&bench.store());
    assert!(3 < files.len(), "{files:?}");
    for file in files {
        canaries.look_into(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}

#[tokio::test]
async fn a_broken_configuration_is_told_without_its_secrets() {
    let bench = Bench::new().await;
    let aqara = bench.aqara.credentials(0);
    let mut canaries = Canaries::default();
    canaries.add("the application's key", aqara.app_key.clone());
    canaries.add("the broker's password", BROKER_PASSWORD);
    let password = json!(BROKER_PASSWORD);
    let key = &aqara.app_key;
    let broken = [
        // Not TOML, with the secret in the line.
        format!("[mqtt]\nusername = \"l\"\npassword = {password} oops\n"),
        format!("[mqtt]\npassword = {password}\n{password}\n"),
        // In the wrong place, of the wrong kind, under a misspelt key.
        format!("[mqtt]\nhost = {password}\nport = {password}\nkeep_alive = {password}\n"),
        format!("[mqtt]\npassword = [{password}]\n"),
        format!("[mqtt]\npasword = {password}\n"),
        format!("[mqtt]\nusername = \"l\"\npassword_file = {password}\n"),
        format!(
            "[accounts.home]\nvendor = \"aqara\"\nregion = \"eu\"\napp_id = 5\nkey_id = \"\"\napp_key = [\"{key}\"]\n"
        ),
        format!("[accounts.home]\nvendor = \"aqara\"\nregion = \"{key}\"\napp_key = \"{key}\"\napp_kee = \"{key}\"\n"),
        format!("[accounts.home]\nvendor = \"{key}\"\napp_key = \"{key}\"\n"),
        format!("[store]\nkey = \"{key}\"\nkey_file = \"{key}\"\n"),
    ];
    let file = bench.folder.path().join("broken.toml");
    for text in broken {
        fs::write(&file, &text).unwrap();
        for subcommand in ["run", "check"] {
            let mut command: Command = latchkey(&[subcommand, "--config"]);
            command.arg(&file).env("RUST_LOG", "trace");
            let output = output(command).await;
            assert_eq!(output.status.code(), Some(64), "{text}");
            assert!(!output.stderr.is_empty(), "{text}");
            canaries.look_into(&format!("what is said of {text}"), &[output.stdout, output.stderr].concat());
        }
    }
}
