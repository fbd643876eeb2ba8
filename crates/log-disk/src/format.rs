//! How a segment file is laid out. Integers are little-endian.
//!
//! ```text
//! segment   head, groups, zeros up to the promised length    while it is written
//!           head, groups, end mark                            once it is sealed
//!
//! head   0  8 bytes  magic
//!        8  u32  version (1)
//!       12  u32  CRC-32 of the head without this field
//!       16  u64  epoch
//!       24  u64  first position
//!       32  u64  no record here is older, in milliseconds since 1970: the time of the record before the first
//!       40  u64  promised length: the file is that long until it is sealed
//!       48  u64  nonce: salts the CRCs of the group heads, so that nothing published can pass for one
//!       56  u64  zero
//!
//! group  0  u32  magic; its highest bit is set, which no record's length has
//!        4  u32  CRC-32 of nonce and bytes 8 to 40
//!        8  u32  kind: 1 records, 2 end mark
//!       12  u32  length of the records with their heads
//!       16  u32  how many records
//!       20  u32  zero
//!       24  u64  position of the first record; end mark: the position after the last
//!       32  u64  the file was durable up to this offset when the group was written
//!       40  records: u32 length, u32 CRC-32 of the record, the record as `tidewire-core` lays it out
//! ```

use tidewire_core::{Epoch, Position};

/// The version that this build writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEAD_BYTES: usize = 64;
pub(crate) const GROUP_HEAD_BYTES: usize = 40;
pub(crate) const RECORD_HEAD_BYTES: usize = 8;

/// Not UTF-8 (0xF7 never is), so no text that somebody publishes holds them.
const MAGIC: [u8; 8] = *b"\xF7TWseg\r\n";
const GROUP_MAGIC: u32 = 0xF7C4_E2F7;
const KIND_RECORDS: u32 = 1;
const KIND_END: u32 = 2;

/// A segment's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) epoch: Epoch,
    pub(crate) first: Position,
    pub(crate) after_ms: u64,
    pub(crate) promised_bytes: u64,
    pub(crate) nonce: u64,
}

/// Why bytes are no segment head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    Newer(u32),
    Damaged,
}

impl SegmentHead {
    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let numbers = [
            self.epoch.0,
            self.first.0,
            self.after_ms,
            self.promised_bytes,
            self.nonce,
        ];
        for (field, number) in bytes[16..].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        let crc = Self::crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let bytes: &[u8; HEAD_BYTES] = bytes
            .get(..HEAD_BYTES)
            .and_then(|head| head.try_into().ok())
            .ok_or(HeadError::Damaged)?;
        if bytes[..8] != MAGIC {
            return Err(HeadError::Damaged);
        }
        let version = u32_at(bytes, 8);
        if u32_at(bytes, 12) != Self::crc(bytes) {
            return Err(HeadError::Damaged);
        }
        // The magic and the CRC's place and reach are the same in every version.
        if version > VERSION {
            return Err(HeadError::Newer(version));
        }
        Ok(Self {
            epoch: Epoch(u64_at(bytes, 16)),
            first: Position(u64_at(bytes, 24)),
            after_ms: u64_at(bytes, 32),
            promised_bytes: u64_at(bytes, 40),
            nonce: u64_at(bytes, 48),
        })
    }

    fn crc(bytes: &[u8; HEAD_BYTES]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..12]);
        hasher.update(&bytes[16..]);
        hasher.finalize()
    }
}

/// The head of a group or of the end mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupHead {
    pub(crate) is_end: bool,
    pub(crate) bytes: u32,
    pub(crate) count: u32,
    pub(crate) first: Position,
    pub(crate) synced: u64,
}

impl GroupHead {
    /// The mark at the end of a sealed segment whose last record is before `next`.
    pub(crate) fn end(next: Position, synced: u64) -> Self {
        Self {
            is_end: true,
            bytes: 0,
            count: 0,
            first: next,
            synced,
        }
    }

    pub(crate) fn encode(&self, nonce: u64) -> [u8; GROUP_HEAD_BYTES] {
        let mut bytes = [0; GROUP_HEAD_BYTES];
        let kind = if self.is_end { KIND_END } else { KIND_RECORDS };
        bytes[..4].copy_from_slice(&GROUP_MAGIC.to_le_bytes());
        for (field, number) in bytes[8..]
            .chunks_exact_mut(4)
            .zip([kind, self.bytes, self.count])
        {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[32..].copy_from_slice(&self.synced.to_le_bytes());
        let crc = Self::crc(&bytes, nonce);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head at the start of these bytes, if it is one.
    pub(crate) fn decode(bytes: &[u8], nonce: u64) -> Option<Self> {
        let head: &[u8; GROUP_HEAD_BYTES] = bytes.get(..GROUP_HEAD_BYTES)?.try_into().ok()?;
        (u32_at(head, 4) == Self::crc(head, nonce))
            .then(|| Self::believe(head))
            .flatten()
    }

    /// What looks like a head at the start of these bytes, its checksum not looked at.
    pub(crate) fn believe(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..GROUP_HEAD_BYTES)?;
        let kind = u32_at(bytes, 8);
        let fits = u32_at(bytes, 0) == GROUP_MAGIC && (kind == KIND_RECORDS || kind == KIND_END);
        fits.then(|| Self {
            is_end: kind == KIND_END,
            bytes: u32_at(bytes, 12),
            count: u32_at(bytes, 16),
            first: Position(u64_at(bytes, 24)),
            synced: u64_at(bytes, 32),
        })
    }

    fn crc(bytes: &[u8; GROUP_HEAD_BYTES], nonce: u64) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&nonce.to_le_bytes());
        hasher.update(&bytes[8..]);
        hasher.finalize()
    }
}

/// The offset of the next bytes that look like the start of a group head, at or after `from`.
pub(crate) fn find_group(bytes: &[u8], from: usize) -> Option<usize> {
    let magic = GROUP_MAGIC.to_le_bytes();
    bytes
        .get(from..)?
        .windows(4)
        .position(|window| window == magic)
        .map(|at| from + at)
}

/// Fills in the head of the record that follows it at the end of `buf`.
pub(crate) fn encode_record_head(buf: &mut [u8], head_at: usize) {
    let record = head_at + RECORD_HEAD_BYTES;
    let length = u32::try_from(buf.len() - record).expect("a record is below 4 GiB");
    let crc = crc32fast::hash(&buf[record..]);
    buf[head_at..head_at + 4].copy_from_slice(&length.to_le_bytes());
    buf[head_at + 4..record].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_written_and_no_flipped_bit_passes() {
        let head = SegmentHead {
            epoch: Epoch(3),
            first: Position(4),
            after_ms: 5,
            promised_bytes: 6,
            nonce: 7,
        };
        let bytes = head.encode();
        assert_eq!(SegmentHead::decode(&bytes), Ok(head));
        for bit in 0..HEAD_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                SegmentHead::decode(&flipped),
                Err(HeadError::Damaged),
                "{bit}"
            );
        }
        let group = GroupHead {
            is_end: false,
            bytes: 1,
            count: 2,
            first: Position(3),
            synced: 4,
        };
        let bytes = group.encode(9);
        assert_eq!(GroupHead::decode(&bytes, 9), Some(group));
        assert_eq!(GroupHead::decode(&bytes, 8), None);
        for bit in 0..GROUP_HEAD_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHead::decode(&flipped, 9), None, "{bit}");
        }
    }

    #[test]
    fn a_newer_version_is_known_as_such() {
        let head = SegmentHead {
            epoch: Epoch(3),
            first: Position(4),
            after_ms: 5,
            promised_bytes: 6,
            nonce: 7,
        };
        let mut bytes = head.encode();
        bytes[8] = 2;
        let crc = SegmentHead::crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHead::decode(&bytes), Err(HeadError::Newer(2)));
    }
}
