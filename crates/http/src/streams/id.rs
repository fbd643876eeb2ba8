//! Ids of streams: where a stream is, sealed. Nothing is kept for it, however many streams there are, and nobody guesses one.
//!
//! An id is one block of AES-128 under a key that this process alone has: the stream's shard, which of those that had the
//! shard's number it is, and the subscriber's key in it. A block cipher is a permutation: any other block, chosen or forged,
//! opens to 128 bits that look random, and names one of a million streams by a chance of one in 2^108. An id is as hard to
//! guess as 128 random bits, for that is what they look like.

use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use tidewire_engine::SubscriberKey;

use crate::front::random;

/// Where a shard is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) slot: u32,
    /// Tells those apart that had the slot one after another.
    pub(super) serial: u32,
}

/// Makes ids, and reads them.
pub(super) struct Ids {
    seal: EncryptingKey,
    open: DecryptingKey,
}

const BLOCK_BYTES: usize = 16;

impl Ids {
    /// # Panics
    /// If there is no AES: ids that can be guessed must not be given out.
    pub(super) fn new() -> Self {
        let bytes: [u8; BLOCK_BYTES] = random();
        let key = || UnboundCipherKey::new(&AES_128, &bytes).expect("a key of AES-128");
        Self {
            seal: EncryptingKey::ecb(key()).expect("AES-128 by blocks"),
            open: DecryptingKey::ecb(key()).expect("AES-128 by blocks"),
        }
    }

    pub(super) fn name(&self, at: Address, key: SubscriberKey) -> String {
        let mut block = [0; BLOCK_BYTES];
        block[..4].copy_from_slice(&at.slot.to_le_bytes());
        block[4..8].copy_from_slice(&at.serial.to_le_bytes());
        block[8..].copy_from_slice(&u64::from(key).to_le_bytes());
        self.seal.encrypt(&mut block).expect("one whole block");
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        block
            .into_iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }

    /// Where a stream is, or would be; `None` if it is no id at all.
    pub(super) fn read(&self, id: &str) -> Option<(Address, SubscriberKey)> {
        let mut block = [0; BLOCK_BYTES];
        let (pairs, []) = id.as_bytes().as_chunks::<2>() else {
            return None;
        };
        if pairs.len() != BLOCK_BYTES {
            return None;
        }
        for (byte, [high, low]) in block.iter_mut().zip(pairs) {
            *byte = half(*high)? << 4 | half(*low)?;
        }
        let open = self.open.decrypt(&mut block, DecryptionContext::None);
        open.expect("one whole block");
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| block[at + byte]));
        let address = Address {
            slot: number(0),
            serial: number(4),
        };
        let key = u64::from(number(12)) << 32 | u64::from(number(8));
        Some((address, SubscriberKey::from(key)))
    }
}

/// Half a byte; in lower case alone, so that an id is spelled in one way.
fn half(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_where_a_stream_is_to_their_maker_alone() {
        let (ours, theirs) = (Ids::new(), Ids::new());
        let mut seen = std::collections::HashSet::new();
        for number in 0..1000_u32 {
            let at = Address {
                slot: number,
                serial: number / 7,
            };
            let key = SubscriberKey::from(u64::from(number) << 32 | 5);
            let id = ours.name(at, key);
            assert_eq!(id.len(), 32);
            assert_eq!(ours.read(&id), Some((at, key)));
            assert_ne!(theirs.read(&id), Some((at, key)));
            // Half an id says nothing of the other half.
            let other = ours.name(Address { slot: 0, ..at }, key);
            assert!(number == 0 || id[..16] != other[..16] && id[16..] != other[16..]);
            assert!(seen.insert(id));
        }
        let id = seen.into_iter().next().unwrap();
        for wrong in [
            "",
            "x",
            &id[..30],
            &format!("{id}00"),
            &id.to_uppercase().replace(|c: char| c.is_ascii_digit(), "F"),
            &format!("{}é", &id[..30]),
        ] {
            assert_eq!(ours.read(wrong), None, "{wrong}");
        }
    }
}
