//! The index of one segment in memory: where positions lie in the file, and which records hold a topic or an id. Derived
//! from the records, never authoritative.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use tidewire_core::{Position, ProducerKey, RecordRef};

use crate::hash::{HashKey, Kind};

/// A chunk, the unit of cold reads, begins at the first record this far behind the beginning of the last one.
pub(crate) const CHUNK_BYTES: u64 = 16 * 1024;

/// Where a chunk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkStart {
    /// Its first record.
    pub(crate) position: Position,
    /// The file offset of that record's head, or of its group's head if it is the group's first.
    pub(crate) offset: u64,
    /// That record's time, in milliseconds since 1970.
    pub(crate) time_ms: u64,
}

/// A record that has a producer key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) position: Position,
    pub(crate) time_ms: u64,
    pub(crate) producer: ProducerKey,
}

/// The records that hold one term, as distances from the segment's first position, ascending.
#[derive(Clone, Debug)]
pub(crate) enum Postings {
    One([u32; 1]),
    Many(Vec<u32>),
}

impl Postings {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }

    fn push(&mut self, distance: u32) {
        match self {
            Self::One([last]) if *last == distance => {}
            Self::One([last]) => *self = Self::Many(vec![*last, distance]),
            // A record may name a topic twice.
            Self::Many(many) if many.last() == Some(&distance) => {}
            Self::Many(many) => many.push(distance),
        }
    }
}

/// Term hash to records. The hashes are keyed already, so the table's own hasher may be plain.
pub(crate) type Terms = HashMap<u64, Postings, FixedState>;

/// An index that grows with its segment.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) first: Position,
    /// The position after the last record.
    pub(crate) next: Position,
    pub(crate) chunks: Vec<ChunkStart>,
    pub(crate) terms: Terms,
    pub(crate) keyed: Vec<Keyed>,
    /// The time of the last record, or of the one before the segment, in milliseconds since 1970.
    pub(crate) last_ms: u64,
}

impl Index {
    /// Of no record yet; none will be older than `after_ms`.
    pub(crate) fn new(first: Position, after_ms: u64) -> Self {
        Self {
            first,
            next: first,
            chunks: Vec::new(),
            terms: Terms::default(),
            keyed: Vec::new(),
            last_ms: after_ms,
        }
    }

    /// Adds the next record. `offset` is where a chunk that begins with it would begin.
    pub(crate) fn add(&mut self, record: &RecordRef<'_>, offset: u64, key: HashKey) {
        let position = record.position();
        debug_assert!(position >= self.next);
        let due = |last: &ChunkStart| offset >= last.offset + CHUNK_BYTES;
        if self.chunks.last().is_none_or(due) {
            self.begin_chunk(position, offset, record.time_ms());
        }
        let distance =
            u32::try_from(position.0 - self.first.0).expect("a segment holds below 2^32 records");
        let topics = record.topics().map(|topic| key.hash(Kind::Topic, topic));
        let id = record
            .publisher_id()
            .map(|id| key.hash(Kind::PublisherId, id.as_bytes()));
        for term in topics.chain(id) {
            self.terms
                .entry(term)
                .and_modify(|postings| postings.push(distance))
                .or_insert(Postings::One([distance]));
        }
        if let Some(producer) = record.producer() {
            self.keyed.push(Keyed {
                position,
                time_ms: record.time_ms(),
                producer,
            });
        }
        self.last_ms = record.time_ms();
        self.next = position.next();
    }

    fn begin_chunk(&mut self, position: Position, offset: u64, time_ms: u64) {
        self.chunks.push(ChunkStart {
            position,
            offset,
            time_ms,
        });
    }
}
