//! A Bloom filter over term hashes: says "not in this segment" without a look at the disk.

/// Bits a term, and the most bytes that one segment's filter may take of memory.
const BITS_PER_TERM: usize = 10;
const BYTES_MAX: usize = 128 * 1024;
const PROBES: u64 = 5;

/// The filter. Its words are what is written to the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bloom(Box<[u64]>);

impl Bloom {
    pub(crate) fn new(terms: impl ExactSizeIterator<Item = u64>) -> Self {
        let words = (terms.len() * BITS_PER_TERM / 64 + 1).min(BYTES_MAX / 8);
        let mut bloom = Self(vec![0; words].into());
        for term in terms {
            for bit in bloom.bits(term) {
                bloom.0[bit / 64] |= 1 << (bit % 64);
            }
        }
        bloom
    }

    pub(crate) fn from_words(words: Vec<u64>) -> Option<Self> {
        (!words.is_empty()).then(|| Self(words.into()))
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }

    /// Whether the term may be there; if not, it is not.
    pub(crate) fn may_hold(&self, term: u64) -> bool {
        self.bits(term)
            .all(|bit| self.0[bit / 64] & (1 << (bit % 64)) != 0)
    }

    fn bits(&self, term: u64) -> impl Iterator<Item = usize> + use<> {
        let bits = self.0.len() as u64 * 64;
        let step = term.rotate_left(32) | 1;
        (0..PROBES).map(move |probe| (term.wrapping_add(probe.wrapping_mul(step)) % bits) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{HashKey, Kind};

    #[test]
    fn never_denies_what_is_there_and_rarely_affirms_what_is_not() {
        let hash = |n: u32| HashKey([3, 4]).hash(Kind::Topic, &n.to_le_bytes());
        for count in [0, 1, 100, 10_000] {
            let terms: Vec<_> = (0..count).map(hash).collect();
            let bloom = Bloom::new(terms.iter().copied());
            assert!(terms.iter().all(|term| bloom.may_hold(*term)));
            let wrong = (count..count + 10_000)
                .filter(|n| bloom.may_hold(hash(*n)))
                .count();
            assert!(wrong < 300, "{wrong} of 10,000 with {count} terms");
        }
    }
}
