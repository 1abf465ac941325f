//! What the store reads, each as a function of bytes that come from elsewhere.

use super::{
    Entry, OpenReport, StoreError, archive, backup, codec,
    frame::{self, Name},
    packed::Packed,
    reconcile::{Copies, reconcile},
    scan::scan,
    seal::Sealer,
    unsealed::Unsealed,
};

const KEY: [u8; 32] = [7; 32];

/// A journal, and what else of the store is made of frames.
pub(crate) fn read_journal(bytes: &[u8]) -> Vec<String> {
    let _ = frame::parse_exact(bytes);
    let opened = open(bytes, Some(bytes));
    opened.err().map(|it| format!("{it}. {}", it.mend())).into_iter().collect()
}

/// What is under the seal of an account's record: the bytes are sealed first, as whoever has the key could.
pub(crate) fn read_record(bytes: &[u8]) -> Vec<String> {
    let sealed = match "home".parse().map(|it| Sealer::new(&KEY).seal(&Name::Account(it), 1, bytes)) {
        Ok(Ok(sealed)) => sealed,
        Ok(Err(error)) => return vec![error.to_string()],
        Err(_) => return Vec::new(),
    };
    let entries = open(&sealed.bytes, None).unwrap_or_default();
    let as_packed = entries.into_iter().map(|it| it.record);
    let as_payload = Packed::new(&[], bytes);
    let records = as_packed.chain(as_payload);
    records.filter_map(|it| codec::decode(&it, 1).err()).map(|it| it.to_string()).collect()
}

/// A backup, from its first byte to where the passphrase is needed; and what is under its seal.
pub(crate) fn read_backup(bytes: &[u8]) -> Vec<String> {
    let header = archive::Header::read(bytes).err().map(|it| it.to_string());
    let document = backup::understand(bytes).err().map(|it| it.to_string());
    header.into_iter().chain(document).collect()
}

fn open(journal: &[u8], identity: Option<&[u8]>) -> Result<Vec<Entry>, StoreError> {
    let journal = scan(journal)?;
    let sealer = Sealer::new(&KEY);
    let identity = identity.and_then(frame::parse_exact);
    let copies = Copies {
        journal: Unsealed::of(&journal, &journal.by_name(), &sealer),
        sled: Some(Vec::new()),
        identity: identity.as_ref(),
    };
    Ok(reconcile(copies, &sealer, &mut OpenReport::default()).entries)
}
