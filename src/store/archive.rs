//! A file that a passphrase seals: Argon2id makes a key of the passphrase, XChaCha20-Poly1305 seals with it.
//!
//! ```text
//! marker 16 | version 1 | zero 3 | memory in KiB 4 | passes 4 | lanes 4 | salt 16 | nonce 24 | ciphertext, tag 16
//! ```
//!
//! Numbers are big-endian. The seal covers everything before it, so that nobody can make the passphrase cheaper to guess.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use super::{error::StoreError, seal::random};
use crate::account::Secret;

const MARKER: [u8; 16] = *b"latchkey backup\n";
const VERSION: u8 = 1;
const SALT_AT: usize = 32;
const NONCE_AT: usize = 48;
const HEADER_LEN: usize = 72;

/// About a second on a Raspberry Pi.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
/// What somebody else's file may make us spend.
const HIGHEST_COST: Cost = Cost { memory_kib: 256 * 1024, passes: 16, lanes: 4 };

/// Why a file cannot be unsealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    #[error("it is no backup of Latchkey")]
    Foreign,
    #[error("it was written by a later Latchkey (format {version})")]
    Newer { version: u8 },
    #[error("the passphrase is wrong, or the file is damaged")]
    Sealed,
}

struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Fails where the system gives no random numbers.
pub(super) fn seal(plain: &[u8], passphrase: &Secret) -> Result<Vec<u8>, StoreError> {
    let (salt, nonce): ([u8; 16], [u8; 24]) = (random()?, random()?);
    let mut sealed = Vec::from(MARKER);
    sealed.extend([VERSION, 0, 0, 0]);
    sealed.extend([COST.memory_kib, COST.passes, COST.lanes].map(u32::to_be_bytes).as_flattened());
    sealed.extend(salt);
    sealed.extend(nonce);
    let cipher = cipher(passphrase, &salt, &COST).expect("the cost and the lengths are what Argon2 takes");
    let payload = Payload { msg: plain, aad: &sealed };
    let body = cipher.encrypt(&XNonce::from(nonce), payload).expect("a store is far below the cipher's limit");
    sealed.extend(body);
    Ok(sealed)
}

pub(super) fn unseal(sealed: &[u8], passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, ArchiveError> {
    let header = Header::read(sealed)?;
    let cipher = cipher(passphrase, header.salt, &header.cost).ok_or(ArchiveError::Sealed)?;
    let (aad, msg) = sealed.split_at(HEADER_LEN);
    let plain = cipher.decrypt(&header.nonce, Payload { msg, aad });
    plain.map(Zeroizing::new).map_err(|_| ArchiveError::Sealed)
}

/// What stands before the seal.
pub(super) struct Header<'a> {
    cost: Cost,
    salt: &'a [u8],
    nonce: XNonce,
}

impl<'a> Header<'a> {
    /// Fails where the file is no archive of ours, or asks for more than [`HIGHEST_COST`].
    pub(super) fn read(sealed: &'a [u8]) -> Result<Self, ArchiveError> {
        let header = sealed.get(..HEADER_LEN).ok_or(ArchiveError::Foreign)?;
        if header[..MARKER.len()] != MARKER {
            return Err(ArchiveError::Foreign);
        }
        if header[16] != VERSION {
            return Err(ArchiveError::Newer { version: header[16] });
        }
        let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let cost = Cost { memory_kib: number(20), passes: number(24), lanes: number(28) };
        let is_too_much = HIGHEST_COST.memory_kib < cost.memory_kib
            || HIGHEST_COST.passes < cost.passes
            || HIGHEST_COST.lanes < cost.lanes;
        if is_too_much {
            return Err(ArchiveError::Sealed);
        }
        let nonce = XNonce::try_from(&header[NONCE_AT..]).map_err(|_| ArchiveError::Foreign)?;
        Ok(Self { cost, salt: &header[SALT_AT..NONCE_AT], nonce })
    }
}

fn cipher(passphrase: &Secret, salt: &[u8], cost: &Cost) -> Option<XChaCha20Poly1305> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut *key)
        .ok()?;
    Some(XChaCha20Poly1305::new(&(*key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_unseals_with_the_same_passphrase_only() {
        let sealed = seal(b"everything", &Secret::new("correct horse battery")).unwrap();
        assert!(!sealed.windows(10).any(|it| it == b"everything"));
        assert_eq!(unseal(&sealed, &Secret::new("correct horse battery")).unwrap().as_slice(), b"everything");
        assert_eq!(unseal(&sealed, &Secret::new("correct horse batter")).err(), Some(ArchiveError::Sealed));
    }

    #[test]
    fn no_part_of_a_backup_can_be_changed_unseen() {
        let passphrase = Secret::new("correct horse battery");
        let sealed = seal(b"everything", &passphrase).unwrap();
        // Of the cost only what stays cheap to try.
        for at in (0..19).chain([23, 27, 31]).chain([SALT_AT, NONCE_AT, HEADER_LEN, sealed.len() - 1]) {
            let mut changed = sealed.clone();
            changed[at] ^= 2;
            assert!(unseal(&changed, &passphrase).is_err(), "byte {at}");
        }
        assert_eq!(unseal(&sealed[..sealed.len() - 1], &passphrase).err(), Some(ArchiveError::Sealed));
    }

    #[test]
    fn what_is_no_backup_or_a_later_one_is_told_apart_and_costs_nothing() {
        let passphrase = Secret::new("correct horse battery");
        assert_eq!(unseal(b"", &passphrase).err(), Some(ArchiveError::Foreign));
        assert_eq!(unseal(&[7; 200], &passphrase).err(), Some(ArchiveError::Foreign));
        let mut later = Vec::from(MARKER);
        later.extend([2; 100]);
        assert_eq!(unseal(&later, &passphrase).err(), Some(ArchiveError::Newer { version: 2 }));
        let mut dear = Vec::from(MARKER);
        dear.extend([VERSION, 0, 0, 0]);
        dear.extend([0xff; 100]);
        assert_eq!(unseal(&dear, &passphrase).err(), Some(ArchiveError::Sealed));
    }
}
