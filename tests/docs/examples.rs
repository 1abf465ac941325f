//! Examples that are marked with `<!-- run -->` are run as they stand: in a shell, against a real Mosquitto, a running
//! Latchkey, and clouds that are simulated. A page is read from its top to its end.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::TcpListener,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use latchkey::demo::clouds::akuvox::devices;
use serde_json::{Value, json};

use super::{
    alert_rules,
    page::{Block, Page, pages},
    shell,
    support::{
        latchkey::{Bench, Client, Latchkey, output},
        scripted_broker::PATIENCE,
    },
};

/// What the pages call what has to be one's own.
const CODE: &str = "012345";
const PASSPHRASE: &str = "correct horse battery staple";

/// The tools beside Latchkey that examples may use.
const TOOLS: [&str; 5] = ["curl", "jq", "mosquitto_pub", "mosquitto_rr", "mosquitto_sub"];

#[tokio::test]
async fn the_examples_of_every_page_do_what_they_say() {
    let pages: Vec<Page> = pages().into_iter().filter(|it| it.blocks.iter().any(is_run)).collect();
    assert!(4 < pages.len(), "no examples were found");
    let mut running = tokio::task::JoinSet::new();
    for page in pages {
        running.spawn(async move { run_page(&page).await });
    }
    let outcomes = running.join_all().await;
    let n_commands: usize = outcomes.iter().sum();
    assert!(25 < n_commands, "only {n_commands} commands were run");
}

/// `/metrics` has what the reference says, and what the rules for alerts look at.
#[tokio::test]
async fn every_metric_is_in_the_reference() {
    let reader = Reader::sit_down().await;
    let page = reader.run("curl -s -H \"X-Latchkey-Key: $(cat data/web.key)\" http://127.0.0.1:8780/metrics").await;
    let known: BTreeSet<String> =
        page.lines().filter_map(|it| it.strip_prefix("# TYPE ")?.split(' ').next()).map(ToOwned::to_owned).collect();
    let told: BTreeSet<String> = Page::of("docs/administration.md").first_cells("Metrics").into_iter().collect();
    assert_eq!(told, known);
    let unknown: Vec<String> = alert_rules::metrics().difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "config/prometheus-alerts.yml looks at {unknown:?}");
}

fn is_run(block: &Block) -> bool {
    block.mark.as_ref().is_some_and(|it| it.starts_with("run"))
}

/// Runs the examples of a page, and gives how many commands that were.
async fn run_page(page: &Page) -> usize {
    let mut reader = Reader::sit_down().await;
    let mut n_commands = 0;
    for block in page.blocks.iter().filter(|it| is_run(it)) {
        let place = format!("{}:{}", page.path.display(), block.line);
        if let Some(missing) = TOOLS.into_iter().find(|it| block.text.contains(it) && !is_there(it)) {
            assert!(std::env::vars().all(|it| it.0 != "CI"), "{place} needs {missing}");
            let _ = writeln!(io::stderr(), "SKIPPED: {place} needs {missing}");
            continue;
        }
        n_commands += block.text.lines().filter(|it| !it.starts_with([' ', '#'])).count();
        match block.mark.as_deref() {
            Some("run") => reader.follow(block, &place).await,
            Some("run afresh") => {
                reader = Reader::sit_down().await;
                reader.follow(block, &place).await;
            }
            Some("run stopped") => {
                reader.stop().await;
                reader.run(&block.text).await;
                reader.start().await;
            }
            other => panic!("{place} is marked {other:?}"),
        }
        reader.heard_nothing_unknown();
    }
    n_commands
}

/// Whether a topic is one of `latchkey/<account>/state` and the like.
fn is_like(topic: &str, pattern: &str) -> bool {
    let (levels, wanted): (Vec<&str>, Vec<&str>) = (topic.split('/').collect(), pattern.split('/').collect());
    levels.len() == wanted.len() && wanted.iter().zip(levels).all(|it| it.0.starts_with('<') || *it.0 == it.1)
}

fn is_there(tool: &str) -> bool {
    Command::new("which").arg(tool).stdout(Stdio::null()).status().is_ok_and(|it| it.success())
}

/// Somebody who has installed Latchkey as the README says, is signed in at both clouds, and reads on.
struct Reader {
    bench: Bench,
    /// None while it is stopped.
    latchkey: Option<Latchkey>,
    client: Client,
}

impl Reader {
    async fn sit_down() -> Self {
        let mut bench = Bench::new().await;
        configure(&mut bench);
        let latchkey = bench.run().await;
        let client = bench.client().await;
        bench.sign_in(&client).await;
        let reader = Self { bench, latchkey: Some(latchkey), client };
        reader.lay_out();
        reader
    }

    async fn stop(&mut self) {
        assert!(self.latchkey.take().unwrap().stop().await.success());
    }

    async fn start(&mut self) {
        self.latchkey = Some(self.bench.run().await);
    }

    /// What lies in the folder in which the reader works.
    fn lay_out(&self) {
        let folder = self.bench.folder.path();
        let settings = folder.join(".config");
        fs::create_dir(&settings).unwrap();
        for tool in ["mosquitto_pub", "mosquitto_rr", "mosquitto_sub"] {
            fs::write(settings.join(tool), format!("-p {}\n", self.bench.mosquitto.port)).unwrap();
        }
        let mapped = format!("connect-to = \"127.0.0.1:8780:{}\"\nfail-with-body\nsilent\nshow-error\n", self.web());
        fs::write(folder.join(".curlrc"), mapped).unwrap();
        fs::create_dir(folder.join("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_latchkey"), folder.join("bin/latchkey")).unwrap();
        symlink(self.bench.store(), folder.join("data")).unwrap();
        fs::write(folder.join("passphrase.txt"), format!("{PASSPHRASE}\n")).unwrap();
        fs::write(folder.join("password.txt"), format!("{}\n", self.bench.akuvox.credentials(0).password)).unwrap();
    }

    fn web(&self) -> &str {
        let listen = self.bench.environment.iter().find(|it| it.0 == "LATCHKEY__WEB__LISTEN");
        listen.map(|it| it.1.as_str()).unwrap()
    }

    /// Runs an example up to its end. Whatever was sent by MQTT has to be answered, and well.
    async fn follow(&self, block: &Block, place: &str) {
        let mark = self.client.mark();
        fs::write(self.bench.folder.path().join("tokens.json"), self.tokens(&block.text)).unwrap();
        let text = self.with_tokens(&block.text);
        let is_answer = |topic: &str| topic.starts_with("latchkey/") && topic.contains("/response/");
        match text.lines().position(|it| it.contains(CODE)) {
            // Who types one command after another has seen the answer to the one before.
            None if text.lines().all(|it| it.starts_with("mosquitto_pub")) => {
                for line in text.lines() {
                    let mark = self.client.mark();
                    self.run(line).await;
                    self.client.heard(mark, line, |it| is_answer(&it.topic)).await;
                }
            }
            None => drop(self.run(&text).await),
            Some(at) => {
                let lines: Vec<&str> = text.lines().collect();
                self.run(&lines[..at].join("\n")).await;
                let code = self.code(&text).await;
                self.run(&lines[at..].join("\n").replace(CODE, &code)).await;
            }
        }
        let n_sent =
            text.lines().filter(|it| it.starts_with("mosquitto_pub") || it.starts_with("mosquitto_rr")).count();
        let answers = self.client.heard_times(n_sent, mark, place, |it| is_answer(&it.topic)).await;
        for answer in answers {
            let reply: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert_eq!(reply["status"], "ok", "{place}: {}: {reply}", answer.topic);
        }
    }

    /// Whatever was said at the broker has a topic that the reference has.
    fn heard_nothing_unknown(&self) {
        let page = Page::of("docs/mqtt.md");
        let known = ["Where commands go", "What Latchkey publishes"].map(|it| page.first_cells(it)).concat();
        let is_known =
            |topic: &str| topic.starts_with("latchkey/reply/") || known.iter().any(|pattern| is_like(topic, pattern));
        for heard in self.client.since(0).into_iter().filter(|it| it.topic.starts_with("latchkey/")) {
            assert!(is_known(&heard.topic), "docs/mqtt.md lacks {}", heard.topic);
        }
    }

    /// Runs lines in a shell, in the reader's folder.
    async fn run(&self, lines: &str) -> String {
        let folder = self.bench.folder.path();
        let mut path = vec![folder.join("bin")];
        path.extend(
            std::env::vars_os()
                .filter(|it| it.0 == "PATH")
                .flat_map(|it| std::env::split_paths(&it.1).collect::<Vec<PathBuf>>()),
        );
        let mut shell = Command::new("bash");
        shell.args(["-eu", "-o", "pipefail", "-c", lines]).current_dir(folder).stdin(Stdio::null());
        for (name, _) in
            std::env::vars().filter(|it| it.0.starts_with("LATCHKEY") || it.0 == "RUST_LOG" || it.0.starts_with("XDG"))
        {
            shell.env_remove(name);
        }
        shell.env("HOME", folder).env("PATH", std::env::join_paths(path).unwrap());
        shell.env("LATCHKEY_CONFIG", folder.join("latchkey.toml")).envs(self.bench.environment.iter().cloned());
        let output = output(shell).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = self.latchkey.as_ref().map(Latchkey::log).unwrap_or_default();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{lines}\n{said}{complaints}\nLatchkey's log: {log}");
        said
    }

    /// The tokens that the cloud holds for the account that an example is about.
    fn tokens(&self, example: &str) -> String {
        if example.contains("front_door") { self.bench.front_door_tokens() } else { self.bench.home_tokens() }
    }

    /// An example as a reader types it, with tokens of one's own.
    fn with_tokens(&self, example: &str) -> String {
        let typed = |line: &str| {
            let tokens: Value = serde_json::from_str(&self.tokens(line)).unwrap();
            let line = line.replace("YOUR_REFRESH_TOKEN_HERE", tokens["refresh_token"].as_str().unwrap());
            let of = |field: &str| (format!("\"{field}\": \"...\""), format!("\"{field}\": {}", tokens[field]));
            let typed = ["token", "refresh_token"].map(of).into_iter();
            typed.fold(line, |line, (shown, own)| line.replace(&shown, &own))
        };
        example.lines().map(typed).collect::<Vec<_>>().join("\n")
    }

    /// The code that a cloud sent.
    async fn code(&self, example: &str) -> String {
        let newest = || {
            let (akuvox, aqara) = (self.bench.akuvox.newest_code(0), self.bench.aqara.newest_code(0));
            if example.contains("front_door") { akuvox } else { aqara }
        };
        let sent = async {
            loop {
                match newest() {
                    Some(code) => return code,
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, sent).await.expect("no code was sent")
    }
}

/// The accounts that the pages speak of: `front_door` with a phone, a password and a door called `garage`, `home` with
/// the three scenes.
fn configure(bench: &mut Bench) {
    let resident = bench.akuvox.credentials(0);
    let garage = devices(0).into_iter().find(|it| it.location == "Garage").unwrap();
    bench.front_door = format!(
        "dial_code = {:?}\nphone = {:?}\nuser = {:?}\ndoors = true\n[accounts.front_door.door_names]\ngarage = \"{}/{}\"\n",
        resident.dial_code, resident.phone_number, resident.login, garage.mac, garage.relays[0].id
    );
    let home = bench.aqara.credentials(0);
    bench.more = format!(
        "tv_pin_entry = {}\ntv_power_off = {}\n",
        json!(home.scenes["TV PIN entry"]),
        json!(home.scenes["TV power off"])
    );
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.environment.push(("LATCHKEY__WEB__LISTEN".to_owned(), free.to_string()));
    bench.environment.push(("LATCHKEY__ACCOUNTS__HOME__LOGIN".to_owned(), home.account));
}

/// An example of what the reader has at hand is run, or a comment before it says why not.
#[test]
fn every_example_that_could_be_run_is_or_says_why_not() {
    let is_at_hand = |line: &str| {
        let commands = shell::commands(line).into_iter();
        commands.filter_map(|it| it.into_iter().next()).any(|it| it == "latchkey" || TOOLS.contains(&it.as_str()))
    };
    for page in pages() {
        for block in &page.blocks {
            let mark = block.mark.as_deref().unwrap_or_default();
            let place = format!("{}:{}", page.path.display(), block.line);
            if block.language == "sh" && block.text.lines().any(is_at_hand) {
                let is_marked = is_run(block) || mark.starts_with("not run: ");
                assert!(is_marked, "{place}: put `<!-- run -->` before it, or `<!-- not run: ... -->` with the reason");
            } else {
                assert!(!is_run(block), "{place} is marked, and is no example in a shell");
            }
        }
    }
}
