//! Reads a journal from its first byte to its last, through whatever happened to it.

use std::collections::HashMap;

use super::{
    error::StoreError,
    frame::{self, Frame, Header, Name, Parsed},
};

/// What a journal's bytes hold, in the order in which they were written.
pub(super) struct Scan<'a> {
    /// The whole frames, each with its offset.
    pub(super) frames: Vec<(usize, Frame<'a>)>,
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
    /// The highest revision of each name that lies before the last checkpoint: sled had it then.
    pub(super) fn checkpointed(&self) -> HashMap<&Name, u64> {
        let is_checkpoint = |(_, frame): &(usize, Frame<'_>)| frame.header.name == Name::Checkpoint;
        let last = self.frames.iter().rposition(is_checkpoint).unwrap_or(0);
        let mut revisions = HashMap::new();
        for (_, frame) in &self.frames[..last] {
            let revision = revisions.entry(&frame.header.name).or_insert(0);
            *revision = frame.header.revision.max(*revision);
        }
        revisions
    }

    /// All frames of each name, the newest first; of two with one revision the later one.
    pub(super) fn by_name(&self) -> HashMap<&Name, Vec<&Frame<'a>>> {
        let mut by_name: HashMap<&Name, Vec<&Frame<'a>>> = HashMap::new();
        for (_, frame) in self.frames.iter().rev() {
            by_name.entry(&frame.header.name).or_default().push(frame);
        }
        for frames in by_name.values_mut() {
            frames.sort_by_key(|it| std::cmp::Reverse(it.header.revision));
        }
        by_name
    }
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
        let bytes =
            [account(1), frame(Name::Checkpoint, 1), account(2), frame(Name::Checkpoint, 2), account(3)].concat();
        let scan = scan(&bytes).unwrap();
        assert_eq!(scan.checkpointed()[&Name::Account("home".parse().unwrap())], 2);
    }

    #[test]
    fn of_two_frames_with_one_revision_the_later_counts() {
        let bytes = [account(2), account(3), account(2), account(3)].concat();
        let scan = scan(&bytes).unwrap();
        let newest = scan.by_name()[&Name::Account("home".parse().unwrap())][0].clone();
        assert_eq!(newest.header.revision, 3);
        assert_eq!(newest.bytes.as_ptr(), bytes[3 * account(1).len()..].as_ptr());
    }
}
