//! What is sealed for an account: the payload, and the fingerprints of what was spent, so that a lost sled can be refilled.

use zeroize::Zeroizing;

use super::error::StoreError;
use crate::account::Fingerprint;

/// A count of fingerprints in two bytes, eight bytes each, then the payload.
pub(super) fn pack(spent: &[Fingerprint], payload: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let count = u16::try_from(spent.len())
        .map_err(|_| StoreError::TooLong { what: "the list of spent fingerprints".to_owned() })?;
    // The exact capacity keeps the buffer from growing, which would leave unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 + 8 * spent.len() + payload.len()));
    bytes.extend(count.to_be_bytes());
    for fingerprint in spent {
        bytes.extend(fingerprint.as_bytes());
    }
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// The fingerprints and the payload, or nothing where the bytes are not what [`pack`] makes.
pub(super) fn unpack(bytes: &[u8]) -> Option<(Vec<Fingerprint>, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    let (fingerprints, payload) = rest.split_at_checked(8 * usize::from(u16::from_be_bytes(*count)))?;
    let (fingerprints, _) = fingerprints.as_chunks::<8>();
    Some((fingerprints.iter().copied().map(Fingerprint::from_bytes).collect(), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_unpacks_to_what_was_packed() {
        let spent = [Fingerprint::from_bytes([1; 8]), Fingerprint::from_bytes([2; 8])];
        for spent in [&spent[..], &[]] {
            let packed = pack(spent, b"payload").unwrap();
            assert_eq!(unpack(&packed), Some((spent.to_vec(), &b"payload"[..])));
        }
        assert_eq!(unpack(&[0]), None);
        assert_eq!(unpack(&[0, 1, 0]), None);
    }
}
