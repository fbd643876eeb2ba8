//! A sealed segment's index as a file beside it. Derived: whoever finds it missing or wrong builds it from the segment.
//!
//! ```text
//! head       96 bytes, see `encode_head`; holds the CRC-32 of itself and of the resident part
//! resident   chunk starts, Bloom filter, directory (where each bucket begins): kept in memory
//! buckets    u32 CRC-32, then terms by hash: u64 hash, u32 how many, u32 where, u32 CRC-32 of its postings
//! postings   u32 each; a term with one record has it in its bucket
//! keyed      u64 position, u64 time, 16 bytes key, 16 bytes digest, each
//! ```

use std::io;
use std::path::{Path, PathBuf};

use tidewire_core::{Position, ProducerKey};

use crate::bloom::Bloom;
use crate::files::{File, Files, Wait, read_exact, read_exact_at};
use crate::format::{u32_at, u64_at};
use crate::hash::{HashKey, Kind};
use crate::index::{ChunkStart, Index, Keyed, Postings};

const MAGIC: [u8; 8] = *b"\xF7TWidx\r\n";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 96;
const TERM_BYTES: usize = 20;
const TERMS_PER_BUCKET: usize = 100;
const CHUNK_START_BYTES: usize = 24;
const KEYED_BYTES: usize = 48;

/// What of a segment's index stays in memory.
#[derive(Debug)]
pub(crate) struct Sidecar {
    path: PathBuf,
    pub(crate) next: Position,
    pub(crate) last_ms: u64,
    pub(crate) data_end: u64,
    pub(crate) chunks: Vec<ChunkStart>,
    bloom: Bloom,
    directory: Vec<u32>,
    keyed_at: u64,
    keyed_count: usize,
    keyed_crc: u32,
}

/// Which segment a sidecar must belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) nonce: u64,
    pub(crate) first: Position,
    pub(crate) key: HashKey,
}

impl Owner {
    /// Tells sidecars apart that were written with another key.
    fn key_mark(&self) -> u64 {
        self.key.hash(Kind::Topic, b"sidecar")
    }
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the index is damaged")
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("an index is below 4 GiB")
}

/// The file's bytes.
pub(crate) fn encode(index: &Index, owner: Owner, data_end: u64) -> Vec<u8> {
    let mut terms: Vec<_> = index
        .terms
        .iter()
        .map(|(hash, list)| (*hash, list))
        .collect();
    terms.sort_unstable_by_key(|(hash, _)| *hash);
    let bloom = Bloom::new(terms.iter().map(|(hash, _)| *hash));
    let buckets = terms.len().div_ceil(TERMS_PER_BUCKET).max(1);
    let resident =
        index.chunks.len() * CHUNK_START_BYTES + bloom.words().len() * 8 + (buckets + 1) * 4;
    let buckets_at = HEAD_BYTES + resident;
    let postings_at = buckets_at + buckets * 4 + terms.len() * TERM_BYTES;

    let (directory, bucket_bytes, postings) =
        encode_terms(&terms, buckets, buckets_at, postings_at);
    let keyed = encode_keyed(&index.keyed);
    let keyed_at = postings_at + postings.len();

    let mut file = Vec::with_capacity(keyed_at + keyed.len());
    file.resize(HEAD_BYTES, 0);
    for chunk in &index.chunks {
        for number in [chunk.position.0, chunk.offset, chunk.time_ms] {
            file.extend_from_slice(&number.to_le_bytes());
        }
    }
    bloom
        .words()
        .iter()
        .for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
    directory
        .iter()
        .for_each(|at| file.extend_from_slice(&at.to_le_bytes()));
    debug_assert_eq!(file.len(), buckets_at);
    file.extend_from_slice(&bucket_bytes);
    file.extend_from_slice(&postings);
    file.extend_from_slice(&keyed);

    let longs = [
        owner.nonce,
        owner.key_mark(),
        owner.first.0,
        index.next.0,
        data_end,
        index.last_ms,
    ];
    let shorts = [
        index.chunks.len(),
        bloom.words().len(),
        buckets,
        index.keyed.len(),
        keyed_at,
    ];
    encode_head(
        &mut file,
        longs,
        shorts,
        crc32fast::hash(&keyed),
        buckets_at,
    );
    file
}

fn encode_head(
    file: &mut [u8],
    longs: [u64; 6],
    shorts: [usize; 5],
    keyed_crc: u32,
    resident_end: usize,
) {
    file[..8].copy_from_slice(&MAGIC);
    file[8..12].copy_from_slice(&VERSION.to_le_bytes());
    for (field, number) in file[16..64].chunks_exact_mut(8).zip(longs) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    let shorts = shorts.map(small).into_iter().chain([keyed_crc]);
    for (field, number) in file[64..88].chunks_exact_mut(4).zip(shorts) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    let length = file.len() as u64;
    file[88..96].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&file[16..resident_end]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
}

fn encode_terms(
    terms: &[(u64, &Postings)],
    buckets: usize,
    buckets_at: usize,
    postings_at: usize,
) -> (Vec<u32>, Vec<u8>, Vec<u8>) {
    let mut directory = Vec::with_capacity(buckets + 1);
    let mut bytes = Vec::with_capacity(postings_at - buckets_at);
    let mut postings = Vec::new();
    let mut rest = terms;
    for bucket in 0..buckets {
        directory.push(small(buckets_at + bytes.len()));
        let count = rest.partition_point(|(hash, _)| bucket_of(*hash, buckets) <= bucket);
        let crc_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        for (hash, list) in &rest[..count] {
            let (at, crc) = match list.as_slice() {
                [one] => (*one, 0),
                many => {
                    let start = postings.len();
                    many.iter()
                        .for_each(|p| postings.extend_from_slice(&p.to_le_bytes()));
                    (
                        small(postings_at + start),
                        crc32fast::hash(&postings[start..]),
                    )
                }
            };
            bytes.extend_from_slice(&hash.to_le_bytes());
            for number in [small(list.as_slice().len()), at, crc] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        let crc = crc32fast::hash(&bytes[crc_at + 4..]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        rest = &rest[count..];
    }
    directory.push(small(buckets_at + bytes.len()));
    (directory, bytes, postings)
}

fn encode_keyed(keyed: &[Keyed]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(keyed.len() * KEYED_BYTES);
    for one in keyed {
        bytes.extend_from_slice(&one.position.0.to_le_bytes());
        bytes.extend_from_slice(&one.time_ms.to_le_bytes());
        bytes.extend_from_slice(&one.producer.key);
        bytes.extend_from_slice(&one.producer.digest);
    }
    bytes
}

/// Hashes are spread evenly, so the bucket is the hash scaled down; order is kept.
fn bucket_of(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}

impl Sidecar {
    /// Reads the resident part. An error means: build it again.
    pub(crate) fn load(files: &dyn Files, path: &Path, owner: Owner) -> io::Result<Self> {
        let file = files.open(path, false)?;
        let mut head = [0; HEAD_BYTES];
        read_exact_at(&*file, &mut head, 0)?;
        let longs: Vec<u64> = (16..64).step_by(8).map(|at| u64_at(&head, at)).collect();
        let whole = head[..8] == MAGIC
            && u32_at(&head, 8) == VERSION
            && longs[..3] == [owner.nonce, owner.key_mark(), owner.first.0]
            && u64_at(&head, 88) == file.len()?;
        if !whole {
            return Err(wrong());
        }
        let [chunks, words, buckets, keyed_count, keyed_at] =
            [64, 68, 72, 76, 80].map(|at| u32_at(&head, at) as usize);
        let resident = chunks * CHUNK_START_BYTES + words * 8 + (buckets + 1) * 4;
        if (HEAD_BYTES + resident) as u64 > file.len()? {
            return Err(wrong());
        }
        let mut bytes = vec![0; resident];
        read_exact_at(&*file, &mut bytes, HEAD_BYTES as u64)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[16..]);
        crc.update(&bytes);
        if crc.finalize() != u32_at(&head, 12) {
            return Err(wrong());
        }
        let (chunk_bytes, rest) = bytes.split_at(chunks * CHUNK_START_BYTES);
        let (word_bytes, directory_bytes) = rest.split_at(words * 8);
        let words = word_bytes
            .chunks_exact(8)
            .map(|word| u64_at(word, 0))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            next: Position(longs[3]),
            data_end: longs[4],
            last_ms: longs[5],
            chunks: chunk_bytes
                .chunks_exact(CHUNK_START_BYTES)
                .map(decode_chunk)
                .collect(),
            bloom: Bloom::from_words(words).ok_or_else(wrong)?,
            directory: directory_bytes
                .chunks_exact(4)
                .map(|at| u32_at(at, 0))
                .collect(),
            keyed_at: keyed_at as u64,
            keyed_count,
            keyed_crc: u32_at(&head, 84),
        })
    }

    /// Whether a record may hold the term; if not, none does.
    pub(crate) fn may_hold(&self, term: u64) -> bool {
        self.bloom.may_hold(term)
    }

    /// The records that hold a term, as distances from the segment's first position. `file` is the sidecar.
    pub(crate) fn postings(&self, file: &dyn File, term: u64, wait: Wait) -> io::Result<Vec<u32>> {
        let bucket = bucket_of(term, self.directory.len() - 1);
        let [at, end] = [self.directory[bucket], self.directory[bucket + 1]];
        let mut bytes = vec![0; end.checked_sub(at).ok_or_else(wrong)? as usize];
        read_exact(file, &mut bytes, u64::from(at), wait)?;
        if bytes.len() < 4 || crc32fast::hash(&bytes[4..]) != u32_at(&bytes, 0) {
            return Err(wrong());
        }
        let mut entries = bytes[4..].chunks_exact(TERM_BYTES);
        let Some(found) = entries.find(|entry| u64_at(entry, 0) == term) else {
            return Ok(Vec::new());
        };
        let [count, at, crc] = [8, 12, 16].map(|field| u32_at(found, field));
        if count == 1 {
            return Ok(vec![at]);
        }
        let mut bytes = vec![0; count as usize * 4];
        read_exact(file, &mut bytes, u64::from(at), wait)?;
        if crc32fast::hash(&bytes) != crc {
            return Err(wrong());
        }
        Ok(bytes
            .chunks_exact(4)
            .map(|posting| u32_at(posting, 0))
            .collect())
    }

    /// The records that have a producer key.
    pub(crate) fn keyed(&self, files: &dyn Files) -> io::Result<Vec<Keyed>> {
        let mut bytes = vec![0; self.keyed_count * KEYED_BYTES];
        read_exact_at(&*files.open(&self.path, false)?, &mut bytes, self.keyed_at)?;
        if crc32fast::hash(&bytes) != self.keyed_crc {
            return Err(wrong());
        }
        Ok(bytes.chunks_exact(KEYED_BYTES).map(decode_keyed).collect())
    }
}

fn decode_chunk(bytes: &[u8]) -> ChunkStart {
    ChunkStart {
        position: Position(u64_at(bytes, 0)),
        offset: u64_at(bytes, 8),
        time_ms: u64_at(bytes, 16),
    }
}

fn decode_keyed(bytes: &[u8]) -> Keyed {
    Keyed {
        position: Position(u64_at(bytes, 0)),
        time_ms: u64_at(bytes, 8),
        producer: ProducerKey {
            key: bytes[16..32].try_into().expect("sixteen bytes"),
            digest: bytes[32..48].try_into().expect("sixteen bytes"),
        },
    }
}
