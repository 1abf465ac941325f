//! One frame: how a sealed record lies in the journal, in sled and in the identity file.
//!
//! ```text
//! marker 4 | version 1 | kind 1 | name length 1 | zero 1 | key id 8 | revision 8 | body length 4 | crc32 of all before and the name 4
//! name     | body: nonce 24, ciphertext, tag 16          | crc32 of the body 4
//! ```
//!
//! Numbers are big-endian. The first line and its checksum stay as they are in every later version, so that an older
//! Latchkey recognises a newer one's frames and keeps its hands off. The checksums find accidents, the seal finds the rest.

use crate::account::AccountId;

/// The newest version this build reads, and the one it writes.
pub(super) const FORMAT_VERSION: u8 = 1;

/// A body longer than this is no body of ours.
pub(super) const MAX_BODY: usize = 16 * 1024 * 1024;

const MARKER: [u8; 4] = [0xd7, b'L', b'K', b'J'];
const HEADER_LEN: usize = 32;
const CRC_LEN: usize = 4;

/// What a frame holds; each has one newest frame.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    Account(AccountId),
    Note(Box<str>),
    FingerprintKey,
    /// Everything before it in the journal is in sled, and sled is on the disk.
    Checkpoint,
}

/// The readable part of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u8,
    pub(super) name: Name,
    pub(super) key_id: [u8; 8],
    pub(super) revision: u64,
}

/// A whole frame whose checksums hold. It may still fail to unseal.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) header: Header,
    pub(super) body: &'a [u8],
    pub(super) bytes: &'a [u8],
}

/// What lies at one place of a file.
pub(super) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// The header holds, so the length can be trusted; the body does not.
    DamagedBody {
        header: Option<Header>,
        len: usize,
    },
    /// The header holds and the file ends before the frame does.
    Incomplete,
    /// A frame of a later version.
    Newer(u8),
    NoFrame,
}

impl Name {
    fn kind(&self) -> u8 {
        match self {
            Name::Account(_) => 1,
            Name::Note(_) => 2,
            Name::FingerprintKey => 3,
            Name::Checkpoint => 4,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Name::Account(account) => account.as_str(),
            Name::Note(name) => name,
            Name::FingerprintKey | Name::Checkpoint => "",
        }
    }

    fn from_parts(kind: u8, text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match kind {
            1 => text.parse().ok().map(Name::Account),
            2 if !text.is_empty() => Some(Name::Note(text.into())),
            3 if text.is_empty() => Some(Name::FingerprintKey),
            4 if text.is_empty() => Some(Name::Checkpoint),
            _ => None,
        }
    }

    /// The key of this frame in sled.
    pub(super) fn database_key(&self) -> Vec<u8> {
        let mut key = vec![self.kind()];
        key.extend_from_slice(self.text().as_bytes());
        key
    }
}

impl Header {
    /// What the seal covers besides the content: a frame moved to another place, name or version does not unseal.
    pub(super) fn associated_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(64);
        data.extend(b"latchkey");
        data.extend([self.version, self.name.kind()]);
        data.extend(self.key_id);
        data.extend(self.revision.to_be_bytes());
        data.extend(self.name.text().as_bytes());
        data
    }
}

/// A frame of `header` around a sealed body.
pub(super) fn encode(header: &Header, body: &[u8]) -> Vec<u8> {
    let name = header.name.text().as_bytes();
    let name_len = u8::try_from(name.len()).expect("names are checked to be short");
    let body_len = u32::try_from(body.len()).expect("bodies are checked to be below 16 MiB");
    let mut bytes = Vec::with_capacity(HEADER_LEN + name.len() + body.len() + CRC_LEN);
    bytes.extend(MARKER);
    bytes.extend([header.version, header.name.kind(), name_len, 0]);
    bytes.extend(header.key_id);
    bytes.extend(header.revision.to_be_bytes());
    bytes.extend(body_len.to_be_bytes());
    bytes.extend(header_crc(&bytes, name).to_be_bytes());
    bytes.extend(name);
    bytes.extend(body);
    bytes.extend(crc32fast::hash(body).to_be_bytes());
    bytes
}

/// What lies at the start of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    if bytes.len() < HEADER_LEN || bytes[..4] != MARKER {
        return Parsed::NoFrame;
    }
    let name_end = HEADER_LEN + usize::from(bytes[6]);
    let Some(name) = bytes.get(HEADER_LEN..name_end) else { return Parsed::NoFrame };
    if number::<4>(bytes, 28) != header_crc(&bytes[..28], name).to_be_bytes() {
        return Parsed::NoFrame;
    }
    let version = bytes[4];
    if version != FORMAT_VERSION {
        return Parsed::Newer(version);
    }
    let body_len = usize::try_from(u32::from_be_bytes(number(bytes, 24))).unwrap_or(usize::MAX);
    if body_len > MAX_BODY {
        return Parsed::NoFrame;
    }
    let header = Name::from_parts(bytes[5], name).map(|name| Header {
        version,
        name,
        key_id: number(bytes, 8),
        revision: u64::from_be_bytes(number(bytes, 16)),
    });
    let len = name_end + body_len + CRC_LEN;
    if bytes.len() < len {
        return Parsed::Incomplete;
    }
    let body = &bytes[name_end..name_end + body_len];
    match header {
        Some(header) if number::<4>(bytes, len - CRC_LEN) == crc32fast::hash(body).to_be_bytes() => {
            Parsed::Frame(Frame { header, body, bytes: &bytes[..len] })
        }
        header => Parsed::DamagedBody { header, len },
    }
}

/// The one frame that `bytes` are, if they are exactly that.
pub(super) fn parse_exact(bytes: &[u8]) -> Option<Frame<'_>> {
    match parse(bytes) {
        Parsed::Frame(frame) if frame.bytes.len() == bytes.len() => Some(frame),
        _ => None,
    }
}

/// Where the next frame might start, looking from the second byte of `bytes` on.
pub(super) fn next_marker(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.get(1..)?;
    rest.windows(MARKER.len()).position(|it| it == MARKER).map(|at| at + 1)
}

fn header_crc(header: &[u8], name: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(name);
    hasher.finalize()
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut number = [0; N];
    number.copy_from_slice(&bytes[at..at + N]);
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let name = Name::Account("home".parse().unwrap());
        Header { version: FORMAT_VERSION, name, key_id: [7; 8], revision: 300 }
    }

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let bytes = encode(&header(), b"sealed");
        let frame = parse_exact(&bytes).unwrap();
        assert_eq!(frame.header, header());
        assert_eq!(frame.body, b"sealed");
    }

    #[test]
    fn no_single_flipped_bit_passes_for_a_whole_frame() {
        let bytes = encode(&header(), b"sealed");
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(!matches!(parse(&damaged), Parsed::Frame(_) | Parsed::Newer(_)), "bit {at}");
        }
    }

    #[test]
    fn a_damaged_body_keeps_its_name_and_its_length() {
        let mut bytes = encode(&header(), b"sealed");
        let len = bytes.len();
        bytes[40] ^= 1;
        let Parsed::DamagedBody { header: found, len: found_len } = parse(&bytes) else {
            panic!("not seen as damaged")
        };
        assert_eq!((found, found_len), (Some(header()), len));
    }

    #[test]
    fn a_frame_of_a_later_version_is_known_as_such() {
        let bytes = encode(&Header { version: 9, ..header() }, b"sealed");
        assert!(matches!(parse(&bytes), Parsed::Newer(9)));
    }

    #[test]
    fn the_next_marker_is_never_the_one_underfoot() {
        let mut bytes = encode(&header(), b"sealed");
        let len = bytes.len();
        bytes.extend(encode(&header(), b"other"));
        assert_eq!(next_marker(&bytes), Some(len));
        assert_eq!(next_marker(&bytes[len..]), None);
        assert_eq!(next_marker(&[]), None);
    }
}
