//! What a cut of the power leaves of a file, and of a folder of sled's.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use fastrand::Rng;

/// What the disk writes at once, or not at all.
const SECTOR: usize = 512;

/// The files of a folder, by their paths below it.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What was done to a file and not synced.
#[derive(Clone)]
pub(super) enum Change {
    Write { bytes: Vec<u8>, at: usize },
    Cut(usize),
}

impl Change {
    pub(super) fn apply(self, to: &mut Vec<u8>) {
        match self {
            Self::Cut(len) => to.resize(len, 0),
            Self::Write { bytes, at } => {
                to.resize(to.len().max(at + bytes.len()), 0);
                to[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
}

/// What is left of a file: each change that was not synced is there, is not, ends somewhere, or has holes or rubbish in it.
pub(super) fn after_a_cut(synced: &[u8], unsynced: &[Change], random: &mut Rng) -> Vec<u8> {
    let mut left = synced.to_vec();
    let way = random.u8(0..5);
    for change in unsynced {
        match (way, change.clone()) {
            (0, _) => {}
            (1, change) => change.apply(&mut left),
            (_, change) if random.u8(0..4) == 0 => change.apply(&mut left),
            (2, Change::Write { mut bytes, at }) => {
                bytes.truncate(random.usize(0..=bytes.len()));
                Change::Write { bytes, at }.apply(&mut left);
            }
            (_, Change::Write { bytes, at }) => {
                // The length is there, and of the sectors some.
                left.resize(left.len().max(at + bytes.len()), 0);
                let mut from = 0;
                while from < bytes.len() {
                    let to = bytes.len().min((at + from) / SECTOR * SECTOR + SECTOR - at);
                    let place = &mut left[at + from..at + to];
                    match random.u8(0..if way == 3 { 2 } else { 3 }) {
                        0 => {}
                        1 => place.copy_from_slice(&bytes[from..to]),
                        _ => random.fill(place),
                    }
                    from = to;
                }
            }
            (_, Change::Cut(_)) => {}
        }
    }
    left
}

/// A folder of sled's is as it was last, or as it was once, or a mixture, or damaged, or not there.
pub(super) fn mix(found: &[Files], into: &Path, random: &mut Rng) {
    let way = random.u8(0..20);
    if way == 0 {
        return;
    }
    make_folder(into);
    let one = random.usize(0..found.len());
    let names: Vec<&PathBuf> = match way {
        1..=8 => found[found.len() - 1].keys().collect(),
        9..=11 => found[one].keys().collect(),
        _ => found.iter().flat_map(BTreeMap::keys).collect(),
    };
    for name in names {
        let version = match way {
            1..=8 => found.len() - 1,
            9..=11 => one,
            _ => random.usize(0..found.len()),
        };
        let Some(bytes) = found[version].get(name) else { continue };
        let mut bytes = bytes.clone();
        if 15 <= way && !bytes.is_empty() {
            let at = random.usize(0..bytes.len());
            match random.u8(0..4) {
                0 => bytes.truncate(at),
                1 => {
                    let to = bytes.len().min(at + random.usize(0..20_000));
                    bytes[at..to].fill(0);
                }
                2 => bytes[at] ^= 1 << random.u8(0..8),
                _ => {}
            }
        }
        let path = into.join(name);
        make_folder(path.parent().unwrap());
        write(&path, &bytes);
    }
}

pub(super) fn make_folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

pub(super) fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
