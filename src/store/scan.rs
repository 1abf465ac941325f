//! Reads a journal from its first byte to its last, through whatever happened to it.

use super::{
    error::StoreError,
    frame::{self, Frame, Header, Name, Parsed},
};

/// A frame and its offset.
pub(super) type Placed<'a> = (usize, Frame<'a>);

/// What a journal's bytes hold, in the order in which they were written.
pub(super) struct Scan<'a> {
    /// The whole frames.
    pub(super) frames: Vec<Placed<'a>>,
    /// The damaged stretches that lie among them: the header of the frame that was there where it could be read.
    pub(super) damaged: Vec<Option<Header>>,
    /// Where the last whole or stepped-over frame ends. What follows is the torn end of a commit that nobody was told of.
    pub(super) good_len: usize,
    /// Whether anything follows.
    pub(super) is_torn: bool,
}

/// Fails only on frames of a later version.
pub(super) fn scan(bytes: &[u8]) -> Result<Scan<'_>, StoreError> {
    let mut found = Scan { frames: Vec::new(), damaged: Vec::new(), good_len: 0, is_torn: false };
    let mut at = 0;
    while at < bytes.len() {
        match frame::parse(&bytes[at..]) {
            Parsed::Frame(frame) => {
                let len = frame.bytes.len();
                found.frames.push((at, frame));
                at += len;
                found.good_len = at;
            }
            Parsed::DamagedBody { header, len } => {
                found.damaged.push(header);
                at += len;
                found.good_len = at;
            }
            Parsed::Newer(version) => return Err(StoreError::NewerFormat { version }),
            Parsed::Incomplete | Parsed::NoFrame => match next_frame(bytes, at) {
                Some(next) => {
                    found.damaged.push(None);
                    at = next;
                    found.good_len = at;
                }
                None => {
                    found.is_torn = true;
                    break;
                }
            },
        }
    }
    Ok(found)
}

impl<'a> Scan<'a> {
    /// Where the last checkpoint lies, 0 where there is none: what lies before it sled had then.
    pub(super) fn last_checkpoint(&self) -> usize {
        let is_checkpoint = |(_, frame): &&Placed<'_>| frame.header.name == Name::Checkpoint;
        self.frames.iter().rfind(is_checkpoint).map_or(0, |it| it.0)
    }

    /// All frames in the order of their names, those of a name the newest first; of two with one
    /// revision the later one.
    pub(super) fn by_name(&self) -> Vec<&Placed<'a>> {
        let mut frames: Vec<_> = self.frames.iter().rev().collect();
        frames.sort_by(|one, other| {
            let (one, other) = (&one.1.header, &other.1.header);
            one.name.cmp(&other.name).then(other.revision.cmp(&one.revision))
        });
        frames
    }
}

/// The frames of each name of [`Scan::by_name`].
pub(super) fn each_name<'b, 'a>(by_name: &'b [&'a Placed<'a>]) -> impl Iterator<Item = &'b [&'a Placed<'a>]> {
    by_name.chunk_by(|(_, one), (_, other)| one.header.name == other.header.name)
}

fn next_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(step) = frame::next_marker(&bytes[at..]) {
        at += step;
        if matches!(frame::parse(&bytes[at..]), Parsed::Frame(_) | Parsed::DamagedBody { .. } | Parsed::Newer(_)) {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::frame::FORMAT_VERSION;

    fn frame(name: Name, revision: u64) -> Vec<u8> {
        frame::encode(&Header { version: FORMAT_VERSION, name, key_id: [0; 8], revision }, &[revision as u8; 50])
    }

    fn account(revision: u64) -> Vec<u8> {
        frame(Name::Account("home".parse().unwrap()), revision)
    }

    fn revisions(scan: &Scan<'_>) -> Vec<u64> {
        scan.frames.iter().map(|(_, it)| it.header.revision).collect()
    }

    #[test]
    fn a_tail_torn_at_any_byte_costs_only_the_last_frame() {
        let whole = [account(1), account(2)].concat();
        let first_len = account(1).len();
        for len in first_len + 1..whole.len() {
            let scan = scan(&whole[..len]).unwrap();
            assert_eq!((revisions(&scan), scan.good_len, scan.is_torn), (vec![1], first_len, true), "cut at {len}");
            assert!(scan.damaged.is_empty());
        }
    }

    #[test]
    fn any_flipped_byte_in_the_middle_costs_one_frame_and_is_counted() {
        let whole = [account(1), account(2), account(3)].concat();
        let len = account(1).len();
        for at in len..2 * len {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            let scan = scan(&bytes).unwrap();
            assert_eq!((revisions(&scan), scan.damaged.len(), scan.is_torn), (vec![1, 3], 1, false), "byte {at}");
        }
    }

    #[test]
    fn what_lies_before_the_last_checkpoint_is_told_from_what_follows() {
        let frames = [account(1), frame(Name::Checkpoint, 1), account(2), frame(Name::Checkpoint, 2), account(3)];
        assert_eq!(scan(&frames.concat()).unwrap().last_checkpoint(), frames[..3].concat().len());
        assert_eq!(scan(&account(1)).unwrap().last_checkpoint(), 0);
    }

    #[test]
    fn of_two_frames_with_one_revision_the_later_counts() {
        let bytes = [account(2), account(3), account(2), account(3)].concat();
        let scan = scan(&bytes).unwrap();
        let len = account(1).len();
        let by_name: Vec<_> = scan.by_name().iter().map(|(offset, it)| (it.header.revision, offset / len)).collect();
        assert_eq!(by_name, [(3, 3), (3, 1), (2, 2), (2, 0)]);
    }
}
