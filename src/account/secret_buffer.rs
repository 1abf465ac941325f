//! Bytes that hold secrets while they are put together.

use std::{io, ops::Deref};

use zeroize::Zeroizing;

/// A buffer that is wiped from memory when it is dropped, and that leaves no copy behind when it grows.
pub struct SecretBuffer(Zeroizing<Vec<u8>>);

impl SecretBuffer {
    /// With room for so many bytes before it grows.
    pub fn with_capacity(n_bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(n_bytes)))
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if self.0.capacity() < length {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * length));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl Deref for SecretBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl io::Write for SecretBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_stands_in_its_order_however_often_it_grows() {
        let mut buffer = SecretBuffer::with_capacity(2);
        let pieces = [&b"a"[..], b"", b"bc", b"a longer piece", b"d"];
        pieces.iter().for_each(|it| buffer.extend(it));
        assert_eq!(&*buffer, pieces.concat());
        assert_eq!(*buffer.into_bytes(), pieces.concat());
    }
}
