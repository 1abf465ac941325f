//! What may be remembered of a token that was spent: a short keyed hash, useless to whoever has no key.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Secret;

/// The first eight bytes of HMAC-SHA256 over a secret; shown and stored as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

/// A text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 16 hex digits")]
pub struct FingerprintError;

/// The key under which one installation takes fingerprints. It outlives the key that seals the store.
#[derive(Clone)]
pub struct FingerprintKey(Zeroizing<[u8; 32]>);

impl Fingerprint {
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl FingerprintKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key itself, for the sealed store only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn of(&self, secret: &Secret) -> Fingerprint {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(secret.expose().as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Fingerprint(first)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 16];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| FingerprintError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_head_of_hmac_sha256() {
        // RFC 4231, test case 1 pads the key with zeros exactly as a 20-byte key followed by 12 zeros would be.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let fingerprint = FingerprintKey::from_bytes(key).of(&Secret::new("Hi There"));
        assert_eq!(fingerprint.to_string(), "b0344c61d8db3853");
    }

    #[test]
    fn a_fingerprint_reads_back_from_its_text_and_its_json() {
        let fingerprint = Fingerprint::from_bytes([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!("00010203fcfdfeff".parse(), Ok(fingerprint));
        assert_eq!("00010203".parse::<Fingerprint>(), Err(FingerprintError));
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(json, "\"00010203fcfdfeff\"");
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
    }

    #[test]
    fn fingerprints_differ_by_secret_and_by_key_and_the_key_does_not_show() {
        let (one, other) = (FingerprintKey::from_bytes([1; 32]), FingerprintKey::from_bytes([2; 32]));
        assert_ne!(one.of(&Secret::new("a")), one.of(&Secret::new("b")));
        assert_ne!(one.of(&Secret::new("a")), other.of(&Secret::new("a")));
        assert_eq!(format!("{one:?}"), "FingerprintKey");
    }
}
