//! One segment as readers see it: where its records lie, which of them hold a term, and how a chunk of it is read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidewire_core::{Epoch, Position};
use tidewire_log::{Block, Entry};

use crate::error::Damage;
use crate::files::{File, Files, Wait, read_all, read_exact};
use crate::format::{GROUP_HEAD_BYTES, RECORD_HEAD_BYTES, SegmentHead};
use crate::hash::HashKey;
use crate::index::{ChunkStart, Index, Keyed};
use crate::sidecar::{Owner, Sidecar};
use crate::walk::{Bad, Step, Walk, Why};

/// A segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) first: Position,
    pub(crate) nonce: u64,
    /// Written by the writing thread while the segment grows, and once when its index moves to the disk; read by all.
    indexed: RwLock<Indexed>,
}

/// Where a segment's index is.
#[derive(Debug)]
pub(crate) enum Indexed {
    /// In memory: it grows, or its sidecar is not written yet.
    Memory { index: Index, data_end: u64 },
    /// In the sidecar, but for what stays in memory.
    Stored(Sidecar),
}

/// A part of a segment, as large as one cold read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    /// Of the last chunk of a growing segment: its end for now.
    pub(crate) end: u64,
    pub(crate) first: Position,
    pub(crate) next: Position,
}

/// Where the records are that hold a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nowhere in this segment.
    Absent,
    /// At these positions, at most as many as asked.
    Here(Vec<Position>),
    /// The sidecar has to be asked.
    Stored,
}

/// A chunk that was read.
#[derive(Debug)]
pub(crate) struct LoadedChunk {
    /// Its readable records, if there are any.
    pub(crate) block: Option<Arc<Block>>,
    /// What of it cannot be read.
    pub(crate) damage: Vec<Damage>,
}

impl Indexed {
    fn chunks(&self) -> &[ChunkStart] {
        match self {
            Self::Memory { index, .. } => &index.chunks,
            Self::Stored(sidecar) => &sidecar.chunks,
        }
    }

    fn next(&self) -> Position {
        match self {
            Self::Memory { index, .. } => index.next,
            Self::Stored(sidecar) => sidecar.next,
        }
    }

    fn last_ms(&self) -> u64 {
        match self {
            Self::Memory { index, .. } => index.last_ms,
            Self::Stored(sidecar) => sidecar.last_ms,
        }
    }

    fn data_end(&self) -> u64 {
        match self {
            Self::Memory { data_end, .. } => *data_end,
            Self::Stored(sidecar) => sidecar.data_end,
        }
    }

    fn chunk(&self, number: usize) -> Option<Chunk> {
        let chunks = self.chunks();
        let start = chunks.get(number)?;
        let after = chunks.get(number + 1);
        Some(Chunk {
            start: start.offset,
            end: after.map_or(self.data_end(), |after| after.offset),
            first: start.position,
            next: after.map_or(self.next(), |after| after.position),
        })
    }
}

impl Segment {
    pub(crate) fn new(path: PathBuf, first: Position, nonce: u64, indexed: Indexed) -> Self {
        Self {
            path,
            first,
            nonce,
            indexed: RwLock::new(indexed),
        }
    }

    /// Where its sidecar is.
    pub(crate) fn sidecar_path(&self) -> PathBuf {
        sidecar_path(&self.path)
    }

    // A poisoned lock means that a thread of ours panicked; what it guards is replaced whole or grows record by record,
    // so readers go on with what is there.

    fn indexed(&self) -> RwLockReadGuard<'_, Indexed> {
        self.indexed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn indexed_mut(&self) -> RwLockWriteGuard<'_, Indexed> {
        self.indexed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position after its last record.
    pub(crate) fn next(&self) -> Position {
        self.indexed().next()
    }

    /// Whether it holds no record: only the last one may.
    pub(crate) fn is_empty(&self) -> bool {
        self.next() == self.first
    }

    /// Whether all of its records are older.
    pub(crate) fn ends_before(&self, time_ms: u64) -> bool {
        !self.is_empty() && self.last_ms() < time_ms
    }

    /// The time of its last record, in milliseconds since 1970.
    pub(crate) fn last_ms(&self) -> u64 {
        self.indexed().last_ms()
    }

    /// The time of its first record, in milliseconds since 1970.
    pub(crate) fn first_ms(&self) -> Option<u64> {
        self.indexed().chunks().first().map(|chunk| chunk.time_ms)
    }

    /// How many bytes of the file are in use.
    pub(crate) fn data_end(&self) -> u64 {
        self.indexed().data_end()
    }

    /// Adds a group of records to a growing segment: they lie at these places of `block`, whose first byte is the file's
    /// at `base`.
    pub(crate) fn grow(&self, block: &Block, base: u64, data_end: u64, key: HashKey) {
        let mut indexed = self.indexed_mut();
        let Indexed::Memory {
            index,
            data_end: end,
        } = &mut *indexed
        else {
            unreachable!("a segment whose index is stored grows no more");
        };
        for (number, entry) in block.entries().iter().enumerate() {
            let head = match number {
                0 => base,
                _ => base + u64::from(entry.at) - RECORD_HEAD_BYTES as u64,
            };
            index.add(&block.record(number), head, key);
        }
        *end = data_end;
    }

    /// The sidecar's bytes, as long as the index is in memory.
    pub(crate) fn encode_sidecar(&self, key: HashKey) -> Option<Vec<u8>> {
        match &*self.indexed() {
            Indexed::Memory { index, data_end } => {
                Some(crate::sidecar::encode(index, self.owner(key), *data_end))
            }
            Indexed::Stored(_) => None,
        }
    }

    /// Replaces the index.
    pub(crate) fn set_indexed(&self, indexed: Indexed) {
        *self.indexed_mut() = indexed;
    }

    /// What its sidecar must say to be its own.
    pub(crate) fn owner(&self, key: HashKey) -> Owner {
        Owner {
            nonce: self.nonce,
            first: self.first,
            key,
        }
    }

    /// The chunk that holds a position, or would.
    pub(crate) fn chunk_of(&self, position: Position) -> Option<Chunk> {
        let indexed = self.indexed();
        let after = indexed
            .chunks()
            .partition_point(|chunk| chunk.position <= position);
        indexed.chunk(after.saturating_sub(1))
    }

    /// The chunk in which the first record of this time or later is, or the one before.
    pub(crate) fn chunk_at_time(&self, time_ms: u64) -> Option<Chunk> {
        let indexed = self.indexed();
        let after = indexed
            .chunks()
            .partition_point(|chunk| chunk.time_ms < time_ms);
        indexed.chunk(after.saturating_sub(1))
    }

    /// The first `most` records at or after a position that hold a term.
    pub(crate) fn find(&self, term: u64, from: Position, most: usize) -> Found {
        match &*self.indexed() {
            Indexed::Memory { index, .. } => match index.terms.get(&term) {
                None => Found::Absent,
                Some(postings) => Found::Here(self.positions(postings.as_slice(), from, most)),
            },
            Indexed::Stored(sidecar) if sidecar.may_hold(term) => Found::Stored,
            Indexed::Stored(_) => Found::Absent,
        }
    }

    /// Postings from a position on, as positions.
    pub(crate) fn positions(&self, postings: &[u32], from: Position, most: usize) -> Vec<Position> {
        let at = |distance: &u32| Position(self.first.0 + u64::from(*distance));
        let start = postings.partition_point(|distance| at(distance) < from);
        postings[start..].iter().take(most).map(at).collect()
    }

    /// Asks the sidecar, or the memory where it is still there. `file` opens the sidecar. An error means that the sidecar is
    /// damaged or gone, or that this would have to wait.
    pub(crate) fn postings(
        &self,
        file: impl FnOnce() -> io::Result<Arc<dyn File>>,
        term: u64,
        wait: Wait,
    ) -> io::Result<Vec<u32>> {
        match &*self.indexed() {
            Indexed::Memory { index, .. } => Ok(index
                .terms
                .get(&term)
                .map(|postings| postings.as_slice().to_vec())
                .unwrap_or_default()),
            Indexed::Stored(sidecar) => sidecar.postings(&*file()?, term, wait),
        }
    }

    /// Its records that have a producer key.
    pub(crate) fn keyed(&self, files: &dyn Files) -> io::Result<Vec<Keyed>> {
        match &*self.indexed() {
            Indexed::Memory { index, .. } => Ok(index.keyed.clone()),
            Indexed::Stored(sidecar) => sidecar.keyed(files),
        }
    }

    /// Builds the index again from the records, as far as they can be read, and stores it.
    pub(crate) fn rebuild_index(
        self: &Arc<Self>,
        files: &dyn Files,
        key: HashKey,
    ) -> io::Result<()> {
        let bytes = read_all(files, &self.path)?;
        let (data_end, next, last_ms) = (self.data_end(), self.next(), self.last_ms());
        let end = bytes
            .len()
            .min(usize::try_from(data_end).map_err(io::Error::other)?);
        // The rest of the head is known from before: no doubt about it is left here.
        let head = SegmentHead {
            epoch: Epoch(0),
            first: self.first,
            after_ms: last_ms,
            promised_bytes: 0,
            nonce: self.nonce,
        };
        let mut index = build_index(&bytes, end, &head, key);
        // What cannot be read at the end is a gap to readers, not the end of the segment.
        index.next = next;
        index.last_ms = last_ms;
        self.set_indexed(Indexed::Memory { index, data_end });
        // If it cannot be stored it stays in memory, which is as good until the next opening.
        let _ = crate::dir::store_sidecar(files, self, key);
        Ok(())
    }

    /// Reads a chunk. An error is the system's, or that it would have to wait; damage is told in the answer.
    pub(crate) fn load(
        &self,
        file: &dyn File,
        chunk: &Chunk,
        wait: Wait,
    ) -> io::Result<LoadedChunk> {
        let length = usize::try_from(chunk.end - chunk.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        read_exact(file, &mut bytes, chunk.start, wait)?;
        Ok(self.parse(bytes, chunk))
    }

    fn parse(&self, bytes: Vec<u8>, chunk: &Chunk) -> LoadedChunk {
        let length = bytes.len();
        let mut entries = Vec::new();
        let mut damage = Vec::new();
        let mut walk = Walk::new(&bytes, self.nonce, 0, chunk.first);
        for step in &mut walk {
            match step {
                Step::Group { .. } => {}
                Step::Record {
                    at,
                    bytes,
                    position,
                } => entries.push(entry(at, bytes, position)),
                Step::Bad(bad) => damage.push(damage_at(&self.path, chunk.start, &bad)),
            }
        }
        let (at, next) = (walk.at(), walk.next_position());
        if next < chunk.next {
            let zeros = Bad {
                at,
                to: length,
                why: Why::Checksum,
                first: next,
                next: Some(chunk.next),
            };
            damage.push(damage_at(&self.path, chunk.start, &zeros));
        }
        LoadedChunk {
            block: (!entries.is_empty()).then(|| Arc::new(Block::new(bytes, entries))),
            damage,
        }
    }
}

/// The sidecar of a segment file.
pub(crate) fn sidecar_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

fn entry(head_at: usize, bytes: usize, position: Position) -> Entry {
    let small = |number: usize| u32::try_from(number).expect("a chunk is below 4 GiB");
    Entry {
        position,
        at: small(head_at + RECORD_HEAD_BYTES),
        bytes: small(bytes),
    }
}

/// A bad spot, for people. `base` is the file offset of the walk's first byte.
pub(crate) fn damage_at(file: &Path, base: u64, bad: &Bad) -> Damage {
    let what = match bad.why {
        Why::Checksum => "the bytes are not as they were written (checksum)".to_owned(),
        Why::Positions => "events are missing here".to_owned(),
        Why::Newer(version) => {
            format!("an event of version {version} was written by a newer tidewire")
        }
    };
    Damage {
        file: file.to_owned(),
        offset: base + bad.at as u64,
        what,
        first: Some(bad.first),
        next: bad.next,
    }
}

/// Builds a segment's index from its bytes up to `end`, which were found whole.
pub(crate) fn build_index(bytes: &[u8], end: usize, head: &SegmentHead, key: HashKey) -> Index {
    let mut index = Index::new(head.first, head.after_ms);
    let mut group_at = None;
    let start = crate::format::HEAD_BYTES;
    for step in Walk::new(&bytes[..end], head.nonce, start, head.first) {
        match step {
            Step::Group { at, .. } => group_at = Some(at),
            Step::Record {
                at, bytes: length, ..
            } => {
                let record = tidewire_core::RecordRef::checked_before(
                    &bytes[at + RECORD_HEAD_BYTES..][..length],
                );
                // The first record of a group begins a chunk with the group's head.
                let is_first = group_at.is_some_and(|group| group + GROUP_HEAD_BYTES == at);
                let offset = if is_first { at - GROUP_HEAD_BYTES } else { at };
                index.add(&record, offset as u64, key);
            }
            Step::Bad(_) => {}
        }
    }
    index
}
