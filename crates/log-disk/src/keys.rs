//! The file `keys`: producer keys that are known for longer than their records are kept. Written whole before segments go.
//!
//! ```text
//! u32 CRC-32 of the rest, then for each: u64 epoch, u64 position, u64 time, 16 bytes key, 16 bytes digest
//! ```

use std::io;
use std::path::Path;

use tidewire_core::{Cursor, Epoch, Position, ProducerKey};
use tidewire_log::{Produced, ProducerWindow};

use crate::files::{Files, read_all, replace};
use crate::format::{u32_at, u64_at};

const ENTRY_BYTES: usize = 56;

/// Saves the keys of records before `head`, if there are any.
pub(crate) fn save(
    files: &dyn Files,
    path: &Path,
    window: &ProducerWindow,
    head: Position,
) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    // In the order of the log, so those that go are at the front.
    for known in window.iter().take_while(|known| known.cursor.seen() < head) {
        for number in [known.cursor.epoch().0, known.cursor.seen().0, known.time_ms] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&known.producer.key);
        bytes.extend_from_slice(&known.producer.digest);
    }
    if bytes.len() == 4 {
        return Ok(());
    }
    let crc = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    replace(files, path, &bytes)
}

/// The saved keys, oldest first; none if the file is missing or damaged: they only spare a publisher a repetition.
pub(crate) fn load(files: &dyn Files, path: &Path) -> Vec<Produced> {
    let bytes = read_all(files, path).unwrap_or_default();
    let Some((crc, entries)) = bytes.split_at_checked(4) else {
        return Vec::new();
    };
    if u32_at(crc, 0) != crc32fast::hash(entries) {
        return Vec::new();
    }
    entries.chunks_exact(ENTRY_BYTES).map(decode).collect()
}

fn decode(entry: &[u8]) -> Produced {
    Produced {
        cursor: Cursor::new(Epoch(u64_at(entry, 0)), Position(u64_at(entry, 8))),
        time_ms: u64_at(entry, 16),
        producer: ProducerKey {
            key: entry[24..40].try_into().expect("sixteen bytes"),
            digest: entry[40..].try_into().expect("sixteen bytes"),
        },
    }
}
