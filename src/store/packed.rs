//! A record in one piece: what is sealed for an account, and what is in memory of one at rest.

use std::fmt;

use zeroize::Zeroizing;

use super::error::StoreError;
use crate::account::{Fingerprint, SecretBuffer};

/// How many tokens it remembers to have spent in two bytes, their fingerprints of eight bytes each, oldest first, so that a
/// lost sled can be refilled; then the payload, which the codec writes and reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Zeroizing<Box<[u8]>>);

impl Packed {
    /// Fails with [`StoreError::TooLong`] where there are more than 65,535 fingerprints.
    pub fn new(spent: &[Fingerprint], payload: &[u8]) -> Result<Self, StoreError> {
        Self::written(spent.iter(), payload.len(), |to| to.extend(payload))
    }

    /// As [`Packed::new`], with what `write` writes as the payload, which is mostly not longer than `usual_length`.
    pub(super) fn written<'a>(
        spent: impl ExactSizeIterator<Item = &'a Fingerprint>,
        usual_length: usize,
        write: impl FnOnce(&mut SecretBuffer),
    ) -> Result<Self, StoreError> {
        let count = u16::try_from(spent.len())
            .map_err(|_| StoreError::TooLong { what: "the list of spent fingerprints".to_owned() })?;
        let mut bytes = SecretBuffer::with_capacity(2 + 8 * spent.len() + usual_length);
        bytes.extend(&count.to_be_bytes());
        spent.for_each(|it| bytes.extend(it.as_bytes()));
        write(&mut bytes);
        // Of its own length, so that it fits where another one was.
        Ok(Self(Zeroizing::new(Box::from(&*bytes))))
    }

    /// What was sealed; nothing where the bytes are not what [`Packed::as_bytes`] gives.
    pub(super) fn read(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        parts(&bytes)?;
        Some(Self(Zeroizing::new(Box::from(bytes.as_slice()))))
    }

    /// The fingerprints, oldest first.
    pub fn spent(&self) -> impl ExactSizeIterator<Item = Fingerprint> {
        let (fingerprints, _) = self.parts();
        fingerprints.iter().copied().map(Fingerprint::from_bytes)
    }

    pub fn payload(&self) -> &[u8] {
        self.parts().1
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parts(&self) -> (&[[u8; 8]], &[u8]) {
        parts(&self.0).expect("it was put together so, or was read")
    }
}

/// It holds tokens.
impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

fn parts(bytes: &[u8]) -> Option<(&[[u8; 8]], &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    let (fingerprints, payload) = rest.split_at_checked(8 * usize::from(u16::from_be_bytes(*count)))?;
    Some((fingerprints.as_chunks().0, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Packed> {
        Packed::read(Zeroizing::new(bytes.to_vec()))
    }

    #[test]
    fn what_was_packed_is_read_as_it_was() {
        let spent = [Fingerprint::from_bytes([1; 8]), Fingerprint::from_bytes([2; 8])];
        for spent in [&spent[..], &[]] {
            for payload in [&b"payload"[..], b""] {
                let packed = Packed::new(spent, payload).unwrap();
                assert_eq!((Vec::from_iter(packed.spent()), packed.payload()), (spent.to_vec(), payload));
                assert_eq!(read(packed.as_bytes()), Some(packed));
            }
        }
        assert_eq!(read(&[0]), None);
        assert_eq!(read(&[0, 1, 0]), None);
        let many = vec![spent[0]; 1 << 16];
        assert!(Packed::new(&many[1..], b"").is_ok());
        assert!(matches!(Packed::new(&many, b""), Err(StoreError::TooLong { .. })));
    }
}
