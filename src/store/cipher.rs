//! ChaCha20-Poly1305, and with a nonce that is long enough to be random XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03 §2).

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// What a sealed text is longer than the plain one, in bytes.
pub(super) const TAG_LEN: usize = 16;

/// A key at work with one nonce or, where each is used once, with several.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes are such a key")))
    }

    /// XChaCha20-Poly1305: a key of its own for this nonce, and what is left of it.
    pub(super) fn extended(key: &[u8; 32], nonce: &[u8; 24]) -> (Self, [u8; 12]) {
        let mut of_key = [0; 16];
        let mut left = [0; 12];
        of_key.copy_from_slice(&nonce[..16]);
        left[4..].copy_from_slice(&nonce[16..]);
        let derived = Zeroizing::new(hchacha::<R20>(key.into(), (&of_key).into()).0);
        (Self::new(&derived), left)
    }

    /// Appends the sealed content to `to`. It lies there plain for a moment, and nowhere else.
    pub(super) fn seal(&self, nonce: [u8; 12], associated: &[u8], content: &[u8], to: &mut Vec<u8>) {
        to.reserve_exact(content.len() + TAG_LEN);
        let start = to.len();
        to.extend_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), &mut to[start..]);
        to.extend_from_slice(tag.expect("the content is far below the cipher's limit").as_ref());
    }

    /// The content, or nothing where it is not what was sealed with this key, nonce and associated data.
    pub(super) fn open(&self, nonce: [u8; 12], associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut content = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = self.0.open_in_place(nonce, Aad::from(associated), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn a_sealed_text_is_that_of_the_specification() {
        let key: [u8; 32] = std::array::from_fn(|it| 0x80 + it as u8);
        let nonce: [u8; 24] = std::array::from_fn(|it| 0x40 + it as u8);
        let associated = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let content: &[u8] =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                               sunscreen would be it.";
        let (cipher, left) = Cipher::extended(&key, &nonce);
        let mut sealed = Vec::new();
        cipher.seal(left, &associated, content, &mut sealed);
        let expected = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c670\
                        8c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da97688\
                        12f615c68b13b52ec0875924c1c7987947deafd8780acf49";
        assert_eq!(hex::encode(&sealed), expected);
        assert_eq!(cipher.open(left, &associated, &sealed).unwrap().as_slice(), content);
        assert!(cipher.open(left, b"", &sealed).is_none() && cipher.open([0; 12], &associated, &sealed).is_none());
        assert!(cipher.open(left, &associated, &sealed[..TAG_LEN - 1]).is_none());
    }
}
