//! Letting go of a sled that may have failed in the middle of a write, as where there was no room for a big value, which it
//! keeps in a file of its own.
//!
//! It waits for the rest of that write, for ever, when it is dropped, and holds the lock of its file until the process ends.
//! So a thread of its own drops it.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::clock::Clock;

/// Who is not done by then is stuck: one that is well was told to flush before, and has little left to write.
const PATIENCE: Duration = Duration::from_secs(5);

/// A sled that is being dropped.
pub(super) struct Leaving {
    /// Disconnected when it is gone.
    gone: Receiver<()>,
    since: Clock,
}

impl Leaving {
    pub(super) fn start(database: sled::Db) -> Self {
        let (guard, gone) = mpsc::channel::<()>();
        let leave = move || {
            let _guard = guard;
            // It flushes once more, which may panic where the work before did.
            drop(database);
        };
        // Without a thread it is dropped at once.
        let _ = thread::Builder::new().name("sled-end".to_owned()).spawn(leave);
        Self { gone, since: Clock::system() }
    }

    /// Waits until it is gone, as long as it may yet be; whether it is.
    pub(super) fn wait(&self) -> bool {
        let left = PATIENCE.saturating_sub(self.since.monotonic());
        self.gone.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
    }
}
