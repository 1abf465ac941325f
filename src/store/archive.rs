//! A file that a passphrase seals, in the format of age: whoever has the passphrase can open it without Latchkey, too.
//!
//! ```text
//! age-encryption.org/v1
//! -> scrypt <salt> <log2 of the cost>
//! <the file's key, sealed with a key that scrypt makes of the passphrase>
//! --- <HMAC-SHA256 of all before, under the file's key>
//! <nonce><chunks of 64 KiB, each sealed with ChaCha20-Poly1305>
//! ```
//!
//! The format is the specification `age` of C2SP, version 1, with its recipient `scrypt` alone.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use scrypt::Params;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    cipher::{Cipher, TAG_LEN},
    error::StoreError,
    seal::random,
};
use crate::account::Secret;

const MARKER: &[u8] = b"age-encryption.org/v";
const VERSION: &[u8] = b"1";
const MAC_MARKER: &[u8] = b"---";
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";

const NONCE_LEN: usize = 16;
const CHUNK_LEN: usize = 64 * 1024;
/// Each wrapping key is used once.
const KEY_NONCE: [u8; 12] = [0; 12];

/// 128 MiB, and about a second on a Raspberry Pi.
const LOG_COST: u8 = 17;
/// What somebody else's file may make us spend: 256 MiB, which is what age itself writes.
const HIGHEST_LOG_COST: u8 = 18;

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

type Key = Zeroizing<[u8; 32]>;

/// Fails where the system gives no random numbers.
pub(super) fn seal(plain: &[u8], passphrase: &Secret) -> Result<Vec<u8>, StoreError> {
    seal_at(LOG_COST, plain, passphrase)
}

fn seal_at(log_cost: u8, plain: &[u8], passphrase: &Secret) -> Result<Vec<u8>, StoreError> {
    let file_key = Zeroizing::new(random::<16>()?);
    let (salt, nonce) = (random::<16>()?, random::<NONCE_LEN>()?);
    let mut wrapped = Vec::new();
    Cipher::new(&wrapping_key(passphrase, &salt, log_cost)).seal(KEY_NONCE, b"", &*file_key, &mut wrapped);
    let mut sealed = [MARKER, VERSION, b"\n"].concat();
    let (salt, wrapped) = (BASE64.encode(salt), BASE64.encode(wrapped));
    sealed.extend_from_slice(format!("-> scrypt {salt} {log_cost}\n{wrapped}\n").as_bytes());
    sealed.extend_from_slice(MAC_MARKER);
    let mac = header_mac(&*file_key, &sealed).finalize().into_bytes();
    sealed.extend_from_slice(format!(" {}\n", BASE64.encode(mac)).as_bytes());
    sealed.extend_from_slice(&nonce);
    let payload = Cipher::new(&derived(&*file_key, Some(&nonce), b"payload"));
    // Reserved at once: what grows leaves copies behind, and each chunk is plain there for a moment.
    sealed.reserve_exact(plain.len() + chunks(plain, CHUNK_LEN).count() * TAG_LEN);
    let last = chunks(plain, CHUNK_LEN).count() - 1;
    for (number, chunk) in chunks(plain, CHUNK_LEN).enumerate() {
        payload.seal(chunk_nonce(number, number == last), b"", chunk, &mut sealed);
    }
    Ok(sealed)
}

pub(super) fn unseal(sealed: &[u8], passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, ArchiveError> {
    let header = Header::read(sealed)?;
    let wrapping = Cipher::new(&wrapping_key(passphrase, &header.salt, header.log_cost));
    let file_key = wrapping.open(KEY_NONCE, b"", &header.wrapped).ok_or(ArchiveError::Sealed)?;
    header_mac(&file_key, header.covered).verify_slice(&header.mac).map_err(|_| ArchiveError::Sealed)?;
    let (nonce, body) = header.payload.split_at_checked(NONCE_LEN).ok_or(ArchiveError::Sealed)?;
    let payload = Cipher::new(&derived(&file_key, Some(nonce), b"payload"));
    // Reserved at once: what grows leaves copies behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(body.len()));
    let last = chunks(body, CHUNK_LEN + TAG_LEN).count() - 1;
    for (number, chunk) in chunks(body, CHUNK_LEN + TAG_LEN).enumerate() {
        let chunk = payload.open(chunk_nonce(number, number == last), b"", chunk);
        plain.extend_from_slice(&chunk.ok_or(ArchiveError::Sealed)?);
    }
    Ok(plain)
}

/// What stands before the payload.
pub(super) struct Header<'a> {
    salt: [u8; 16],
    log_cost: u8,
    wrapped: [u8; 16 + TAG_LEN],
    mac: [u8; 32],
    /// What `mac` is of.
    covered: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    /// Fails where the file is not sealed by a passphrase, or asks for more than [`HIGHEST_LOG_COST`].
    pub(super) fn read(sealed: &'a [u8]) -> Result<Self, ArchiveError> {
        let version = sealed.strip_prefix(MARKER).and_then(|it| line(it)).ok_or(ArchiveError::Foreign)?.0;
        if version != VERSION {
            let version = std::str::from_utf8(version).ok().and_then(|it| it.parse().ok());
            return Err(version.map_or(ArchiveError::Foreign, |version| ArchiveError::Newer { version }));
        }
        Self::read_lines(sealed).ok_or(ArchiveError::Foreign)
    }

    fn read_lines(sealed: &'a [u8]) -> Option<Self> {
        let (_, rest) = line(sealed)?;
        let (recipient, rest) = line(rest)?;
        let mut recipient = recipient.strip_prefix(b"-> scrypt ")?.split(|it| *it == b' ');
        let (salt, log_cost) = (decoded(recipient.next()?)?, std::str::from_utf8(recipient.next()?).ok()?);
        let log_cost: u8 = log_cost.parse().ok().filter(|it| (1..=HIGHEST_LOG_COST).contains(it))?;
        let (wrapped, rest) = line(rest)?;
        let wrapped = decoded(wrapped)?;
        let covered = &sealed[..sealed.len() - rest.len() + MAC_MARKER.len().min(rest.len())];
        let (mac, payload) = line(rest.strip_prefix(MAC_MARKER)?)?;
        let mac = decoded(mac.strip_prefix(b" ")?)?;
        recipient.next().is_none().then_some(Self { salt, log_cost, wrapped, mac, covered, payload })
    }
}

/// Up to the first line's end, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|it| *it == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn decoded<const LENGTH: usize>(text: &[u8]) -> Option<[u8; LENGTH]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// At least one, which may be empty.
fn chunks(bytes: &[u8], length: usize) -> impl Iterator<Item = &[u8]> {
    let empty = bytes.is_empty().then_some(bytes);
    bytes.chunks(length).chain(empty)
}

/// Eleven bytes of the chunk's number, and whether it is the last.
fn chunk_nonce(number: usize, is_last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&(number as u64).to_be_bytes());
    nonce[11] = is_last.into();
    nonce
}

fn wrapping_key(passphrase: &Secret, salt: &[u8; 16], log_cost: u8) -> Key {
    let mut key = Key::default();
    let params = Params::new(log_cost, 8, 1).expect("the cost is within what scrypt takes");
    scrypt::scrypt(passphrase.expose().as_bytes(), &[SALT_LABEL, salt].concat(), &params, &mut *key)
        .expect("32 bytes are within what scrypt gives");
    key
}

fn derived(file_key: &[u8], salt: Option<&[u8]>, purpose: &[u8]) -> Key {
    let mut key = Key::default();
    Hkdf::<Sha256>::new(salt, file_key).expand(purpose, &mut *key).expect("32 bytes are within what HKDF gives");
    key
}

fn header_mac(file_key: &[u8], covered: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&*derived(file_key, None, b"header"))
        .expect("HMAC takes a key of any length");
    mac.update(covered);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase() -> Secret {
        Secret::new("correct horse battery")
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        seal_at(4, plain, &passphrase()).unwrap()
    }

    #[test]
    fn what_was_sealed_unseals_with_the_same_passphrase_only() {
        for length in [0, 10, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN] {
            let plain = Vec::from_iter((0..length).map(|it| (it % 251) as u8));
            let sealed = sealed(&plain);
            assert!(length == 0 || !sealed.windows(10).any(|it| it == &plain[..10]));
            assert_eq!(*unseal(&sealed, &passphrase()).unwrap(), plain);
            // A chunk that is missing at the end is missed.
            assert_eq!(unseal(&sealed[..sealed.len() - 1], &passphrase()).err(), Some(ArchiveError::Sealed));
        }
        let sealed = sealed(b"everything");
        assert_eq!(unseal(&sealed, &Secret::new("correct horse batter")).err(), Some(ArchiveError::Sealed));
    }

    #[test]
    fn no_part_of_a_backup_can_be_changed_unseen() {
        let sealed = sealed(&[1; CHUNK_LEN + 1]);
        let payload_at = sealed.len() - Header::read(&sealed).unwrap().payload.len();
        let parts = (0..payload_at).step_by(3).chain([payload_at, payload_at + NONCE_LEN, sealed.len() - 1]);
        for at in parts {
            let mut changed = sealed.clone();
            changed[at] ^= 2;
            assert!(unseal(&changed, &passphrase()).is_err(), "byte {at}");
        }
        let without_last_chunk = sealed.len() - 1 - TAG_LEN;
        assert_eq!(unseal(&sealed[..without_last_chunk], &passphrase()).err(), Some(ArchiveError::Sealed));
    }

    #[test]
    fn what_is_no_backup_or_a_later_one_is_told_apart_and_costs_nothing() {
        let trouble = |bytes: &[u8]| unseal(bytes, &passphrase()).err();
        let sealed = String::from_utf8_lossy(&sealed(b"")).into_owned();
        for foreign in ["", "\n", "latchkey", "age-encryption.org/vX\n", "age-encryption.org/v1\n-> X25519 a\nb\n---"] {
            assert_eq!(trouble(foreign.as_bytes()), Some(ArchiveError::Foreign), "{foreign:?}");
        }
        let dear = sealed.replace(" 4\n", " 30\n");
        assert_eq!(trouble(dear.as_bytes()), Some(ArchiveError::Foreign));
        let later = sealed.replace("/v1\n", "/v2\n");
        assert_eq!(trouble(later.as_bytes()), Some(ArchiveError::Newer { version: 2 }));
    }
}
