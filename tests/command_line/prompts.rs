//! At a terminal: questions, secrets that are not shown, colours.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use latchkey::demo::clouds::{Fault, FaultKind};

use crate::{
    alone, command, run,
    support::{latchkey::Bench, scripted_broker::PATIENCE},
};

/// A command at a terminal of its own, as `script` gives it one.
struct Terminal {
    child: Child,
    said: mpsc::Receiver<Vec<u8>>,
    transcript: String,
}

impl Terminal {
    fn start(command: &Command) -> Self {
        let quoted = |it: &std::ffi::OsStr| format!("'{}'", it.to_str().unwrap().replace('\'', "'\\''"));
        let words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-f", "-c", &words.join(" "), "/dev/null"]);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().expect("script is missing; it is part of util-linux");
        let mut stdout = child.stdout.take().unwrap();
        let (sender, said) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(n_bytes @ 1..) = stdout.read(&mut bytes) {
                let _ = sender.send(bytes[..n_bytes].to_vec());
            }
        });
        Self { child, said, transcript: String::new() }
    }

    /// Waits until `text` stands on the screen, after what stood there before.
    fn shows(&mut self, text: &str) {
        while !self.transcript.contains(text) {
            match self.said.recv_timeout(PATIENCE) {
                Ok(bytes) => self.transcript.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} was not shown; shown was {:?}", self.transcript),
            }
        }
    }

    fn types(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits for the end: the exit code, and everything that was shown.
    fn ends(mut self) -> (i32, String) {
        for bytes in self.said.iter() {
            self.transcript.push_str(&String::from_utf8_lossy(&bytes));
        }
        (self.child.wait().unwrap().code().unwrap(), self.transcript)
    }
}

/// What a person does at a terminal, without holding up the simulated clouds.
async fn at_terminal<T: Send + 'static>(command: Command, act: impl FnOnce(Terminal) -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(move || act(Terminal::start(&command))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_guided_to_the_code_and_a_typo_may_be_mended() {
    let mut bench = Bench::new().await;
    let resident = bench.akuvox.credentials(0);
    bench.front_door = format!("dial_code = {:?}\nphone = {:?}", resident.dial_code, resident.phone_number);
    let asking = command(&bench, &["login", "front_door"]);
    let bench = std::sync::Arc::new(bench);
    let clouds = bench.clone();
    let (code, shown) = at_terminal(asking, move |mut terminal| {
        terminal.shows("A code is on its way to the configured phone or address.");
        terminal.shows("Code (empty to give up): ");
        terminal.types("000000");
        terminal.shows("does not accept the code");
        terminal.types(&clouds.akuvox.newest_code(0).unwrap());
        terminal.shows("front_door: signed in");
        terminal.ends()
    })
    .await;
    assert_eq!(code, 0, "{shown}");

    let (code, shown) = at_terminal(command(&bench, &["login", "front_door"]), |mut terminal| {
        terminal.shows("No new code was asked for: ");
        terminal.shows("Code (empty to give up): ");
        terminal.types("");
        terminal.ends()
    })
    .await;
    assert!(code == 1 && shown.contains("not signed in. Nothing was changed."), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_passwords_are_not_shown_while_they_are_typed() {
    let mut bench = Bench::new().await;
    let credentials = bench.akuvox.credentials(0);
    bench.front_door = format!("user = {:?}", credentials.login);
    let (token, refresh) = (credentials.token.clone(), credentials.refresh_token.clone());
    let (code, shown) = at_terminal(command(&bench, &["tokens", "set", "front_door"]), move |mut terminal| {
        terminal.shows("Access token (it is not shown): ");
        terminal.types(&token);
        terminal.shows("Refresh token (it is not shown): ");
        terminal.types(&refresh);
        terminal.ends()
    })
    .await;
    assert!(code == 0 && shown.contains("the tokens are good"), "{shown}");
    assert!(!shown.contains(&credentials.token) && !shown.contains(&credentials.refresh_token), "{shown}");

    let password = credentials.password.clone();
    let (code, shown) = at_terminal(command(&bench, &["login", "front_door"]), move |mut terminal| {
        terminal.shows("Password (it is not shown): ");
        terminal.types(&password);
        terminal.ends()
    })
    .await;
    assert!(code == 0 && shown.contains("front_door: signed in"), "{shown}");
    assert!(!shown.contains(&credentials.password), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_that_want_them() {
    let bench = alone::signed_in().await;
    let (code, shown) = at_terminal(command(&bench, &["status"]), Terminal::ends).await;
    assert!(code == 0 && shown.contains("\x1b[32mok\x1b[0m"), "{shown:?}");
    let mut plain = command(&bench, &["status"]);
    plain.env("NO_COLOR", "1");
    let (code, shown) = at_terminal(plain, Terminal::ends).await;
    assert!(code == 0 && shown.contains("ok") && !shown.contains('\x1b'), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_over_a_second_shows_that_it_goes_on_at_a_terminal_alone() {
    let bench = alone::signed_in().await;
    let slow = || bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(3.0));
    slow();
    let (code, shown) = at_terminal(command(&bench, &["refresh", "front_door"]), |mut terminal| {
        terminal.shows("waiting for the answer");
        terminal.ends()
    })
    .await;
    assert!(code == 0 && shown.contains("the tokens are renewed"), "{shown:?}");
    // The line is wiped before the answer stands there.
    let last = shown.rsplit('\r').find(|it| it.contains("the tokens are renewed")).unwrap();
    assert!(!last.contains("waiting"), "{shown:?}");
    slow();
    let (code, said, complaints) = run(&bench, &["refresh", "front_door"], "").await;
    assert!(code == 0 && !said.contains("waiting") && complaints.is_empty(), "{said}{complaints}");
}
