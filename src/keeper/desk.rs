//! Where records are in memory: those that were needed last, or came first, lie open on the desk, and those of accounts at
//! rest are packed.
//! So most of the thousands that there may be take a third of the room.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
};

use crate::{
    account::Record,
    store::{Packed, codec},
};

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
    /// With the access token, whether or not that is ever stored.
    Packed {
        record: Packed,
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

    /// Takes in one of many hearts that are new, whose record is open: it stays so if there is room.
    pub(super) fn take_in(&self, heart: &Arc<Heart>) {
        let mut hearts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = hearts.len() < ROOM;
        if has_room {
            hearts.push_back(Arc::downgrade(heart));
        }
        drop(hearts);
        if !has_room {
            heart.held.pack();
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
            Form::Packed { record, revision } => Arc::new(unpacked(record, *revision)),
        }
    }

    /// Gives whether it was packed: it is not any more.
    fn unpack(&self) -> bool {
        let mut form = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Form::Packed { record, revision } = &*form else { return false };
        *form = Form::Open(Arc::new(unpacked(record, *revision)));
        true
    }

    /// Puts another record in the place of this one. Gives whether that is to be laid on the desk, as this one was packed,
    /// or open without lying there.
    pub(super) fn replace(&self, record: Arc<Record>) -> bool {
        let mut form = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *form, Form::Open(record)) {
            Form::Packed { .. } => true,
            Form::Open(before) => before.has_unread(),
        }
    }

    /// One with answers that could not be read stays open, which is seldom: whoever reads it copies them, and they may hold
    /// tokens.
    fn pack(&self) {
        let mut form = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Form::Open(record) = &*form
            && !record.has_unread()
        {
            *form = Form::Packed { record: codec::encode(record, None, true), revision: record.revision };
        }
    }
}

fn unpacked(record: &Packed, revision: u64) -> Record {
    codec::decode(record, revision).expect("what was packed here can be read here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::fixture::{grant, holding},
        keeper::{mentions::Number, start::ReadRecord},
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
        let hearts: Vec<_> = (1..=last).map(|it| Heart::new(VendorKind::Aqara, Number::default(), born(it))).collect();
        hearts.iter().for_each(|it| desk.take_in(it));
        let packed = || Vec::from_iter((1..=last).filter(|it| !is_open(&hearts[*it as usize - 1])));
        assert_eq!(packed(), [last - 1, last]);
        for (heart, number) in hearts.iter().zip(1..) {
            assert_eq!(*heart.record(), record(number));
        }
        assert_eq!(packed(), [last - 1, last], "who reads changes nothing");

        let newest = &hearts[ROOM];
        newest.replace(Arc::new(record(1000)), &desk);
        assert_eq!((packed(), newest.record().revision), (vec![1, last], 1000));
        newest.replace(Arc::new(record(1001)), &desk);
        assert_eq!((packed(), newest.record().revision), (vec![1, last], 1001));

        for _ in 0..2 {
            desk.open(&hearts[0]);
            assert_eq!((packed(), &*hearts[0].record()), (vec![2, last], &record(1)));
        }
    }
}
