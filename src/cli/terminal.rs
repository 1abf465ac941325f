//! The person at the terminal: questions, colours, and a sign of life while something takes its time.

use std::{
    fmt,
    future::Future,
    io::{self, BufRead, IsTerminal, Read, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressFinish};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::{account::Secret, config};

use super::{StopSignals, answer::Trouble};

/// What takes longer shows that it is alive.
const SOON: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(120);
const LONGEST_INPUT: u64 = 64 * 1024;

/// Whether somebody can be asked.
pub(super) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line that may be seen. Ctrl-C ends the asking.
pub(super) async fn ask(question: &str) -> Result<String, Trouble> {
    let line = read_line(question).await?;
    Ok(line.expose().to_owned())
}

/// Asks for a secret, which is not shown while it is typed or pasted. Nothing where it is left empty.
pub(super) async fn ask_secret(question: &str) -> Result<Option<Secret>, Trouble> {
    // Before the question: whoever is quick would see the first letters.
    let silence = Silence::begin().map_err(|error| Trouble::io("keep what is typed from the screen", &error))?;
    let line = read_line(question).await;
    drop(silence);
    // Neither was the line break shown.
    let _ = writeln!(io::stderr());
    line.map(|it| (!it.expose().is_empty()).then_some(it))
}

async fn read_line(question: &str) -> Result<Secret, Trouble> {
    let mut signals = StopSignals::listen().map_err(|error| Trouble::io("hear signals", &error))?;
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let line = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line).map(|_| Secret::new(line.trim()))
    });
    tokio::select! {
        () = signals.told_to_stop() => Err(Trouble::new("interrupted", "interrupted", "")),
        line = line => match line {
            Ok(line) => line.map_err(|error| Trouble::io("read from the terminal", &error)),
            Err(_) => Err(Trouble::new("internal", "the terminal could not be read", "")),
        },
    }
}

/// While it lives, what is typed is not shown.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Everything that comes by standard input, or is in `file`; at most 64 KiB.
pub(super) fn read_all(file: Option<&std::path::Path>) -> Result<Secret, Trouble> {
    // It does not grow, as that would leave copies behind.
    let mut text = String::with_capacity(64 * 1024 + 1);
    let read = match file {
        Some(path) => std::fs::File::open(path).and_then(|it| it.take(LONGEST_INPUT + 1).read_to_string(&mut text)),
        None => io::stdin().lock().take(LONGEST_INPUT + 1).read_to_string(&mut text),
    };
    // The text is wiped with the secret, whatever came of it.
    let secret = Secret::new(text);
    match read {
        Ok(n_bytes) if n_bytes as u64 <= LONGEST_INPUT => Ok(secret),
        Ok(_) => Err(Trouble::new("too_large", "the input is too large", "It has at most 64 KiB.")),
        Err(error) => {
            let whence = file.map_or_else(|| "standard input".to_owned(), |it| it.display().to_string());
            Err(Trouble::io(&format!("read {whence}"), &error))
        }
    }
}

/// Waits for `work`. After a second a person at a terminal sees that it goes on; in a pipe there is nothing of that.
pub(super) async fn patiently<T>(doing: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(SOON, &mut work).await {
        return done;
    }
    // It draws on stderr, where that is a terminal, and wipes itself away when it is dropped.
    let spinner = ProgressBar::new_spinner().with_message(doing.to_owned()).with_finish(ProgressFinish::AndClear);
    spinner.enable_steady_tick(TURN);
    work.await
}

/// As [`patiently`], for work that keeps a thread busy.
pub(super) async fn patiently_blocking<T, E>(
    doing: &str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Trouble>
where
    T: Send + 'static,
    E: Send + 'static,
    Trouble: From<E>,
{
    match patiently(doing, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.map_err(Trouble::from),
        Err(_) => Err(Trouble::new("internal", "it ended by a fault inside Latchkey", "Nothing was thrown away.")),
    }
}

/// How words are coloured on standard output, if at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    is_on: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Odd,
    Bad,
    Faint,
    Strong,
}

impl Paint {
    /// Colours where there is a terminal, unless `NO_COLOR` is set or the terminal is a dumb one.
    pub(super) fn for_stdout() -> Self {
        let is_unwanted = |(name, value): (String, String)| {
            (name == "NO_COLOR" && !value.is_empty()) || (name == "TERM" && value == "dumb")
        };
        Self { is_on: io::stdout().is_terminal() && !config::process_environment().any(is_unwanted) }
    }

    pub(super) fn paint(self, tone: Tone, text: impl fmt::Display) -> String {
        let code = match tone {
            Tone::Plain => return text.to_string(),
            Tone::Good => "32",
            Tone::Odd => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}
