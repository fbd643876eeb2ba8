//! SipHash-1-3, for hashes that are written to files: keyed, for topics come from strangers, and the same in every build,
//! which the hashers of the standard library and of other crates do not promise.

/// The key of one log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashKey(pub(crate) [u64; 2]);

impl HashKey {
    /// Hashes the bytes of one kind of thing.
    pub(crate) fn hash(self, kind: Kind, bytes: &[u8]) -> u64 {
        // The kind changes the key, so that a topic and an id with the same name are two things.
        siphash([self.0[0] ^ kind as u64, self.0[1]], bytes)
    }
}

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Topic = 1,
    PublisherId = 2,
}

fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        compress(&mut v, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    compress(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn compress(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    #[test]
    fn is_the_siphash_that_the_standard_library_has() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).collect();
            let mut theirs = std::hash::DefaultHasher::new();
            theirs.write(&bytes);
            assert_eq!(siphash([0, 0], &bytes), theirs.finish(), "{length}");
        }
        let key = HashKey([1, 2]);
        assert_ne!(
            key.hash(Kind::Topic, b"a"),
            key.hash(Kind::PublisherId, b"a")
        );
        assert_ne!(
            key.hash(Kind::Topic, b"a"),
            HashKey([1, 3]).hash(Kind::Topic, b"a")
        );
    }
}
