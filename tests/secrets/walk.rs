//! One walk along every path, at the most talkative log level, with secrets that are looked for everywhere afterwards.

use std::{fs, process::Command};

use latchkey::mqtt::Inbound;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use crate::{
    canaries::Canaries,
    commands::{self, CODE, ELSEWHERE, PASSWORD, PASTED, PROPOSED, log_in, sign_in_anew, speak, suffer},
    support::{
        latchkey::{Bench, Client, Latchkey, files_below, output, text},
        mosquitto::{Mosquitto, MosquittoOptions},
    },
    web,
};

const BROKER_PASSWORD: &str = "Canary-broker/pa55word+\"quoted\"=";
const ALERT_TOKEN: &str = "Canary-alert/token+0123456789=";
const ALERT_PATH: &str = "/Canary-hook-0123456789";
const PASSPHRASE: &str = "Canary passphrase that nobody guesses";

/// A broker with users, clouds with phones, somebody to be alerted; and nothing too quick for anybody.
async fn bench(alerts: &str) -> Bench {
    let users = vec![("latchkey".to_owned(), BROKER_PASSWORD.to_owned()), ("test".to_owned(), "test".to_owned())];
    let mosquitto = Mosquitto::start_with(&MosquittoOptions { users, ..MosquittoOptions::default() });
    let mut bench = Bench { mosquitto, ..Bench::new().await };
    let (resident, home) = (bench.akuvox.credentials(0), bench.aqara.credentials(0));
    bench.keeper.push_str("call_timeout = \"5s\"\n");
    bench.mqtt = format!("username = \"latchkey\"\npassword = {}\n", json!(BROKER_PASSWORD));
    bench.web = format!("key = {}\n", json!(web::KEY));
    bench.front_door = format!(
        "share_access_token = true\ndial_code = {:?}\nphone = {:?}\nuser = {:?}\n",
        resident.dial_code, resident.phone_number, resident.login
    );
    bench.more = format!("[alert]\nurl = \"{alerts}{ALERT_PATH}\"\ntoken = {}\nafter = \"0s\"\n", json!(ALERT_TOKEN));
    bench.environment =
        vec![("RUST_LOG".to_owned(), "trace".to_owned()), ("LATCHKEY__ACCOUNTS__HOME__LOGIN".to_owned(), home.account)];
    bench.aqara.turn_knobs(|it| it.rate_limit_calls = None);
    bench
}

fn canaries(bench: &Bench) -> Canaries {
    let mut canaries = Canaries::default();
    for (what, secret) in [
        ("the broker's password", BROKER_PASSWORD),
        ("the key of the admin API", web::KEY),
        ("the token for alerts", ALERT_TOKEN),
        ("the address for alerts", ALERT_PATH),
        ("the passphrase of the backup", PASSPHRASE),
        ("what was pasted", PASTED),
        ("a wrong code", CODE),
        ("a wrong password", PASSWORD),
        ("a topic of others", ELSEWHERE),
    ] {
        canaries.add(what, secret);
    }
    for proposed in PROPOSED {
        canaries.add("what was proposed", proposed);
    }
    canaries.add("the application's key", bench.aqara.credentials(0).app_key);
    canaries.add("the Akuvox auth token", bench.akuvox.credentials(0).auth_token);
    canaries.add_live(bench);
    canaries
}

/// Takes alerts; what it is sent comes by the channel.
async fn take_alerts() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 16 * 1024];
            let mut len = 0;
            while !bytes[..len].ends_with(b"}") && len < bytes.len() {
                match stream.read(&mut bytes[len..]).await {
                    Ok(read) if 0 < read => len += read,
                    _ => break,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            if sender.send(String::from_utf8_lossy(&bytes[..len]).into_owned()).is_err() {
                break;
            }
        }
    });
    (address, received)
}

/// The configuration is read again with every secret where it cannot be read, then with others, then as it was.
async fn read_again(bench: &Bench, latchkey: &Latchkey) {
    let file = bench.configuration();
    let good = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        good.replace("password = ", "pasword = ").replace("app_key = ", "app_kee = ").replace("key = ", "k = "),
    )
    .unwrap();
    latchkey.signal("HUP");
    latchkey.logged("goes on with the one before").await;
    let others = [BROKER_PASSWORD, web::KEY, ALERT_TOKEN].map(|it| json!(it).to_string());
    let with_others = others.iter().fold(good.clone(), |text, it| text.replace(it, &json!(PROPOSED[0]).to_string()));
    assert_ne!(with_others, good);
    for text in [with_others, good] {
        fs::write(&file, text).unwrap();
        latchkey.reload().await;
    }
}

async fn said_by(command: Command) -> String {
    let output = output(command).await;
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn no_secret_is_found_anywhere_outside_the_seal() {
    let (alerts, mut received) = take_alerts().await;
    let mut bench = bench(&alerts).await;
    let mut canaries = canaries(&bench);
    let client = Client::connect_as(bench.mosquitto.port, Some(("test", "test"))).await;
    let mut logs = Vec::new();
    let latchkey = bench.run().await;
    let key = fs::read_to_string(bench.store().join("key")).unwrap();
    canaries.add("the store's key", key.trim());
    canaries.add("the store's key", hex::decode(key.trim()).unwrap());
    bench.sign_in(&client).await;
    canaries.add_live(&bench);
    speak(&bench, &client, &mut canaries).await;
    log_in(&bench, &client, &mut canaries).await;
    sign_in_anew(&bench, &client, &mut canaries).await;
    web::ask(&bench, &latchkey, &mut canaries).await;
    sign_in_anew(&bench, &client, &mut canaries).await;
    let passphrase = bench.folder.path().join("passphrase");
    let backup = bench.folder.path().join("backup");
    fs::write(&passphrase, PASSPHRASE).unwrap();
    let mut command = bench.command("backup");
    command.arg(&backup).arg("--passphrase-file").arg(&passphrase);
    logs.push(said_by(command).await);
    suffer(&bench, &client, &mut canaries).await;
    read_again(&bench, &latchkey).await;
    logs.push(latchkey.log());
    latchkey.kill().await;

    // A start with everything on disk, where alerts are not taken; and one whose broker refuses the password.
    let alert = received.recv().await.unwrap();
    assert!(alert.contains(ALERT_TOKEN) && alert.contains(ALERT_PATH), "the search finds nothing even where it is");
    received.close();
    while let Some(alert) = received.recv().await {
        canaries.look_into("an alert", alert.split_once("\r\n\r\n").unwrap().1.as_bytes());
    }
    bench.more = bench.more.replace(&alerts, "http://127.0.0.1:1");
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
    logs.push(said_by(bench.command("check")).await);
    bench.mqtt = password;
    logs.push(said_by(bench.command("diagnostics")).await);
    let mut command = bench.command("restore");
    command.arg(&backup).arg("--set-aside").arg("--passphrase-file").arg(&passphrase);
    logs.push(said_by(command).await);
    logs.push(said_by(bench.command("rotate-key")).await);

    assert!(logs[1].contains("DEBUG"), "the log was not as talkative as it can be");
    assert!(logs.iter().all(|it| !it.is_empty()));
    for log in &logs {
        canaries.look_into("the log", log.as_bytes());
    }
    look_into_the_broker(&client, &canaries);
    let files = files_below(&bench.store());
    let hides_nothing = |it: &&std::path::PathBuf| !it.ends_with("key");
    assert!(10 < files.len(), "{files:?}");
    for file in files.iter().filter(hides_nothing).chain([&backup]) {
        canaries.look_into(&file.display().to_string(), &fs::read(file).unwrap());
    }
}

/// All that was published, but for the commands themselves, which carry what they carry.
fn look_into_the_broker(client: &Client, canaries: &Canaries) {
    let verbs = ["update_tokens", "refresh_tokens", "trigger_scene", "status", "login"];
    let is_command =
        |topic: &str| verbs.iter().any(|it| topic.ends_with(&format!("/{it}"))) && !topic.contains("/response/");
    let (commands, said): (Vec<_>, Vec<_>) = client.since(0).into_iter().partition(|it| is_command(&it.topic));
    let is_seen = |it: &Inbound| text(it).contains(&json!(commands::PROPOSED[0]).to_string());
    assert!(commands.iter().any(is_seen), "the search finds nothing even where it is");
    assert!(said.iter().any(|it| it.topic == "latchkey/reply/the-test"), "a reply topic of ours was not used");
    for message in said {
        canaries.look_into(&message.topic, message.topic.as_bytes());
        canaries.look_into(&message.topic, &message.payload);
    }
}
