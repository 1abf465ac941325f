//! sled in a thread of its own, so that nobody waits for ever for what it never ends.
//!
//! Where a write failed half-way, as where there was no room for a big value, which sled keeps in a file of its own, it waits
//! for the rest of that write, for ever, when it is dropped. It does so, too, when its own threads have panicked one by one.

use std::{
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use super::{
    breakage::{Breakage, Kind},
    sled_folder,
};
use crate::clock::Clock;

const CACHE_BYTES: u64 = 4 * 1024 * 1024;
pub(super) const SEGMENT_BYTES: usize = 64 * 1024;

/// No piece of work should take longer, on whatever disk.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nor should it to let go of one that was told to flush before.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(5);
/// After this long one that was to let go is not slow but stuck.
const STUCK_AFTER: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 60 });

/// After a kill the lock of sled's file may linger for a moment.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A minute.
const TIMER_SLACK_NANOSECONDS: u64 = 60_000_000_000;

/// Is called with sled, or with why it could not be opened.
type Work = Box<dyn FnOnce(Result<&sled::Db, &Breakage>) + Send>;

pub(super) struct SledThread {
    work: Sender<Work>,
    gone: Receiver<()>,
}

/// One that was told to let go of its files.
pub(super) struct Leaving {
    /// Disconnected when it has.
    gone: Receiver<()>,
    since: Clock,
}

impl SledThread {
    /// Begins to open sled in this folder. Whether that succeeds is said to whoever asks.
    pub(super) fn start(path: &Path) -> Result<Self, Breakage> {
        let (work, requests) = mpsc::channel::<Work>();
        let (guard, gone) = mpsc::channel();
        let path = path.to_owned();
        let thread = thread::Builder::new().name("sled".to_owned()).spawn(move || {
            let _guard: Sender<()> = guard;
            let opened = open(&path);
            for work in requests {
                work(opened.as_ref());
            }
            // sled flushes once more when it is dropped, now.
        });
        match thread {
            Ok(_) => Ok(Self { work, gone }),
            Err(error) => Err(Breakage::new(Kind::Shortage, format!("it gets no thread: {error}"))),
        }
    }

    /// Has sled do this, and waits for it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&sled::Db) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, Breakage> {
        let (reply, answer) = mpsc::channel();
        let work = move |opened: Result<&sled::Db, &Breakage>| {
            let outcome = opened.map_err(Breakage::clone).and_then(|database| catch(|| work(database)));
            let _ = reply.send(outcome);
        };
        // If the thread is gone, the answer says so.
        let _ = self.work.send(Box::new(work));
        answer.recv_timeout(PATIENCE).unwrap_or_else(|why| match why {
            RecvTimeoutError::Timeout => Err(Breakage::new(Kind::Silence, "it does not answer")),
            RecvTimeoutError::Disconnected => Err(Breakage::new(Kind::Damage, "its thread panicked")),
        })
    }

    pub(super) fn leave(self) -> Leaving {
        Leaving { gone: self.gone, since: Clock::system() }
    }
}

impl Leaving {
    /// Waits until it is gone, as long as it may yet be; whether it is.
    pub(super) fn wait(&self) -> bool {
        let left = PATIENCE_AT_THE_END.saturating_sub(self.since.monotonic());
        self.gone.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
    }

    /// Whether it will never be.
    pub(super) fn is_stuck(&self) -> bool {
        STUCK_AFTER <= self.since.monotonic()
    }
}

fn open(path: &Path) -> Result<sled::Db, Breakage> {
    sled_folder::prepare(path)?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::LowSpace);
    let mut tries = 1;
    loop {
        set_timer_slack(NonZeroU64::new(TIMER_SLACK_NANOSECONDS));
        let opened = catch(|| config.open());
        if opened.is_ok() {
            let _ = sled_folder::keep_private(path);
        }
        let is_held = opened.as_ref().is_err_and(|it| it.kind == Kind::Locked);
        if !is_held || tries == LOCK_TRIES {
            return opened;
        }
        tries += 1;
        set_timer_slack(None);
        thread::sleep(LOCK_PAUSE);
    }
}

/// sled panics on some damage. It is dropped then, so nothing half-done is seen again.
fn catch<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Breakage> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(Breakage::from),
        Err(_) => Err(Breakage::new(Kind::Damage, "it panicked")),
    }
}

/// The threads that sled keeps for its writes, from its first one on, look around once a second, all seven of them and for
/// ever, although they are told of every piece of work. They inherit from the thread that makes them how late its timers
/// may be, so sled's thread is not in a hurry. There is no timer in sled that anything waits for.
///
/// None: as it was when the thread started.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "only Linux knows it"))]
fn set_timer_slack(nanoseconds: Option<NonZeroU64>) {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(nanoseconds);
}
