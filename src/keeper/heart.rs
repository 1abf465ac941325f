//! What of an account does not depend on its configuration: its record, what is under way for it, what is known of this
//! moment.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use jiff::Timestamp;

use crate::{account::Record, vendor::VendorKind};

use super::{
    desk::{Desk, Held},
    flight::Flight,
    mentions::Number,
    start::ReadRecord,
    tally::{Tallies, Tally},
};

/// There is one for an account at a time, whatever is reloaded, so that single flight and the order of commits hold. It has
/// one vendor for life.
pub(super) struct Heart {
    pub(super) vendor: VendorKind,
    /// How the index of tokens names it.
    pub(super) number: Number,
    /// What is on disk; replaced only after a commit.
    pub(super) held: Held,
    /// The record became another one when it was read, which is to be on disk, too.
    is_ahead: AtomicBool,
    /// Nothing until something happens: most of very many accounts are at rest.
    doings: OnceLock<Box<Doings>>,
}

/// What is under way for an account, and what was counted.
#[derive(Default)]
pub(super) struct Doings {
    pub(super) flight: Mutex<Option<Flight>>,
    pub(super) tallies: Tallies,
    /// Tokens are proposed one after the other, and what is asked behind them waits.
    pub(super) proposing: tokio::sync::Mutex<()>,
    /// One commit at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) present: Mutex<Present>,
}

/// What is known of this moment and is lost with the process.
#[derive(Clone, Default)]
pub(super) struct Present {
    /// Why this machine cannot refresh, in words for the log.
    pub(super) blocked: Option<String>,
    pub(super) is_cloud_reached: Option<bool>,
    /// Not before this time, for reasons that are not the record's.
    pub(super) hold_until: Option<Timestamp>,
}

impl Heart {
    /// Of an account of this vendor; none is read where the store has nothing of it. Its record lies open until a desk takes
    /// it in.
    pub(super) fn new(vendor: VendorKind, number: Number, read: Option<ReadRecord>) -> Arc<Self> {
        let blank = || ReadRecord {
            record: Record { vendor: Some(vendor.as_str().into()), ..Record::default() },
            is_ahead: false,
        };
        let ReadRecord { record, is_ahead } = read.unwrap_or_else(blank);
        let (held, is_ahead) = (Held::new(Arc::new(record)), AtomicBool::new(is_ahead));
        Arc::new(Self { vendor, number, held, is_ahead, doings: OnceLock::new() })
    }

    /// The record as it is on disk.
    pub(super) fn record(&self) -> Arc<Record> {
        self.held.record()
    }

    /// A record that was committed takes the place of the one before.
    pub(super) fn replace(self: &Arc<Self>, record: Arc<Record>, desk: &Desk) {
        if self.held.replace(record) {
            desk.lay(self);
        }
    }

    pub(super) fn is_ahead(&self) -> bool {
        self.is_ahead.load(Relaxed)
    }

    pub(super) fn caught_up(&self) {
        self.is_ahead.store(false, Relaxed);
    }

    pub(super) fn doings(&self) -> &Doings {
        self.doings.get_or_init(Box::default)
    }

    /// Whether anything happened to it since the start.
    pub(super) fn is_touched(&self) -> bool {
        self.doings.get().is_some()
    }

    /// Lets go of a flight that nobody can join any more.
    pub(super) fn forget_landed(&self) {
        let mut flight = self.doings().flight.lock().unwrap_or_else(PoisonError::into_inner);
        flight.take_if(|it| !it.is_running());
    }

    pub(super) fn tally(&self) -> Tally {
        self.doings.get().map(|it| it.tallies.tally()).unwrap_or_default()
    }

    pub(super) fn present(&self) -> Present {
        let present = self.doings.get().map(|it| it.present.lock().unwrap_or_else(PoisonError::into_inner).clone());
        present.unwrap_or_default()
    }
}
