//! Where records are in memory: those that were needed last lie open on the desk, and those of accounts at rest are packed.
//! So most of the thousands that there may be take a third of the room.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
};

use zeroize::Zeroizing;

use crate::{account::Record, store::codec};

use super::heart::Heart;

/// So many accounts have their records open: those of a household always, and of very many those that are busy.
const ROOM: usize = 256;

/// The hearts whose records lie open, in the order in which they were laid there.
#[derive(Default)]
pub(super) struct Desk(Mutex<VecDeque<Weak<Heart>>>);

/// One account's record.
pub(super) struct Held(RwLock<Form>);

enum Form {
    Open(Arc<Record>),
    /// As the store's codec packs it, with the access token, whether or not that is ever stored.
    Packed {
        bytes: Zeroizing<Box<[u8]>>,
        revision: u64,
    },
}

impl Desk {
    /// Lays open the record of a heart that is about to be worked with.
    pub(super) fn open(&self, heart: &Arc<Heart>) {
        if heart.held.unpack() {
            self.lay(heart);
        }
    }

    /// Lays a heart's record, which is open, behind the others, and packs the one that has lain there for longest where
    /// there are many.
    pub(super) fn lay(&self, heart: &Arc<Heart>) {
        let mut hearts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hearts.push_back(Arc::downgrade(heart));
        let longest = if ROOM < hearts.len() { hearts.pop_front() } else { None };
        drop(hearts);
        if let Some(heart) = longest.and_then(|it| it.upgrade()) {
            heart.held.pack();
        }
    }
}

impl Held {
    pub(super) fn new(record: Arc<Record>) -> Self {
        Self(RwLock::new(Form::Open(record)))
    }

    pub(super) fn record(&self) -> Arc<Record> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Form::Open(record) => record.clone(),
            Form::Packed { bytes, revision } => Arc::new(unpacked(bytes, *revision)),
        }
    }

    /// Gives whether it was packed: it is not any more.
    fn unpack(&self) -> bool {
        let mut form = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Form::Packed { bytes, revision } = &*form else { return false };
        *form = Form::Open(Arc::new(unpacked(bytes, *revision)));
        true
    }

    /// Puts another record in the place of this one. Gives whether this one was packed: the other one is not.
    pub(super) fn replace(&self, record: Arc<Record>) -> bool {
        let mut form = self.0.write().unwrap_or_else(PoisonError::into_inner);
        matches!(std::mem::replace(&mut *form, Form::Open(record)), Form::Packed { .. })
    }

    /// One with answers that could not be read stays open, which is seldom: whoever reads it copies them, and they may hold
    /// tokens.
    fn pack(&self) {
        let mut form = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Form::Open(record) = &*form
            && !record.has_unread()
        {
            *form = Form::packed(record);
        }
    }
}

impl Form {
    fn packed(record: &Record) -> Self {
        let bytes = std::mem::take(&mut *codec::pack(record)).into_boxed_slice();
        Self::Packed { bytes: Zeroizing::new(bytes), revision: record.revision }
    }
}

fn unpacked(bytes: &[u8], revision: u64) -> Record {
    codec::unpack(bytes, revision).expect("what was packed here can be read here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::fixture::{grant, holding},
        keeper::start::ReadRecord,
        vendor::VendorKind,
    };

    /// With an access token, which the store would not have.
    fn record(revision: u64) -> Record {
        Record { revision, ..holding(grant(revision)) }
    }

    fn is_open(heart: &Heart) -> bool {
        matches!(*heart.held.0.read().unwrap(), Form::Open(_))
    }

    #[test]
    fn those_that_changed_last_lie_open_and_whoever_reads_finds_all_of_each() {
        let desk = Desk::default();
        let born = |number| Some(ReadRecord { record: record(number), is_ahead: false });
        let last = ROOM as u64 + 2;
        let hearts: Vec<_> = (1..=last).map(|it| Heart::new(VendorKind::Aqara, born(it), &desk)).collect();
        let packed = || Vec::from_iter((1..=last).filter(|it| !is_open(&hearts[*it as usize - 1])));
        assert_eq!(packed(), [1, 2]);
        for (heart, number) in hearts.iter().zip(1..) {
            assert_eq!(*heart.record(), record(number));
        }
        assert_eq!(packed(), [1, 2], "who reads changes nothing");

        hearts[0].replace(Arc::new(record(1000)), &desk);
        assert_eq!((packed(), hearts[0].record().revision), (vec![2, 3], 1000));
        hearts[0].replace(Arc::new(record(1001)), &desk);
        assert_eq!((packed(), hearts[0].record().revision), (vec![2, 3], 1001));

        for _ in 0..2 {
            desk.open(&hearts[1]);
            assert_eq!((packed(), &*hearts[1].record()), (vec![3, 4], &record(2)));
        }
    }
}
