//! Sealing: XChaCha20-Poly1305 over every record, bound to its name, revision, key and format version.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    cipher::{Cipher, TAG_LEN},
    error::StoreError,
    frame::{self, FORMAT_VERSION, Frame, Header, MAX_BODY, Name},
};

const NONCE_LEN: usize = 24;
const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// Seals and unseals under one key. The key id names the key in each frame without telling anything of it.
pub(super) struct Sealer {
    key: Zeroizing<[u8; 32]>,
    key_id: [u8; 8],
}

/// A sealed record, ready to be written.
#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) name: Name,
    pub(super) revision: u64,
    pub(super) bytes: Vec<u8>,
}

impl Sealer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let source = Hkdf::<Sha256>::new(None, key);
        let mut key = Zeroizing::new([0; 32]);
        let mut key_id = [0; 8];
        source.expand(b"latchkey store seal", &mut *key).expect("32 bytes are within what HKDF gives");
        source.expand(b"latchkey store key id", &mut key_id).expect("8 bytes are within what HKDF gives");
        Self { key, key_id }
    }

    pub(super) fn key_id(&self) -> [u8; 8] {
        self.key_id
    }

    /// Fails when the content is too long or the system gives no random numbers.
    pub(super) fn seal(&self, name: &Name, revision: u64, content: &[u8]) -> Result<Sealed, StoreError> {
        if content.len() > MAX_BODY - OVERHEAD || name.text().len() > usize::from(u8::MAX) {
            return Err(StoreError::TooLong { what: format!("the record `{}`", name.text()) });
        }
        let header = Header { version: FORMAT_VERSION, name: name.clone(), key_id: self.key_id, revision };
        let nonce: [u8; NONCE_LEN] = random()?;
        let (cipher, left) = Cipher::extended(&self.key, &nonce);
        // The exact capacity keeps the buffer from growing, which would leave plain copies behind.
        let mut body = Vec::with_capacity(OVERHEAD + content.len());
        body.extend(nonce);
        cipher.seal(left, &header.associated_data(), content, &mut body);
        Ok(Sealed { name: name.clone(), revision, bytes: frame::encode(&header, &body) })
    }

    /// The content, or nothing if it was sealed with another key or is not what was sealed.
    pub(super) fn unseal(&self, frame: &Frame<'_>) -> Option<Zeroizing<Vec<u8>>> {
        if frame.header.key_id != self.key_id {
            return None;
        }
        let (nonce, sealed) = frame.body.split_first_chunk::<NONCE_LEN>()?;
        let (cipher, left) = Cipher::extended(&self.key, nonce);
        cipher.open(left, &frame.header.associated_data(), sealed)
    }
}

impl From<&Frame<'_>> for Sealed {
    fn from(frame: &Frame<'_>) -> Self {
        let Header { name, revision, .. } = &frame.header;
        Self { name: name.clone(), revision: *revision, bytes: frame.bytes.to_vec() }
    }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Io {
        doing: "read random numbers from",
        path: "the operating system".into(),
        reason: error.to_string(),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Name {
        Name::Account("home".parse().unwrap())
    }

    #[test]
    fn what_was_sealed_unseals_under_the_same_key_only() {
        let sealed = Sealer::new(&[1; 32]).seal(&home(), 3, b"content").unwrap();
        let frame = frame::parse_exact(&sealed.bytes).unwrap();
        assert_eq!(Sealer::new(&[1; 32]).unseal(&frame).unwrap().as_slice(), b"content");
        assert!(Sealer::new(&[2; 32]).unseal(&frame).is_none());
        assert!(!sealed.bytes.windows(7).any(|it| it == b"content"));
    }

    #[test]
    fn a_frame_given_another_name_or_revision_does_not_unseal() {
        let sealer = Sealer::new(&[1; 32]);
        let sealed = sealer.seal(&home(), 3, b"content").unwrap();
        let body = frame::parse_exact(&sealed.bytes).unwrap().body;
        let header = Header { version: FORMAT_VERSION, name: home(), key_id: sealer.key_id(), revision: 3 };
        for forged in [
            Header { revision: 4, ..header.clone() },
            Header { name: Name::Account("work".parse().unwrap()), ..header.clone() },
            Header { name: Name::Note("home".into()), ..header.clone() },
        ] {
            let bytes = frame::encode(&forged, body);
            assert!(sealer.unseal(&frame::parse_exact(&bytes).unwrap()).is_none(), "{forged:?}");
        }
        assert!(sealer.unseal(&frame::parse_exact(&frame::encode(&header, body)).unwrap()).is_some());
    }
}
