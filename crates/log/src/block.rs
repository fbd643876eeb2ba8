//! Blocks: a run of neighbouring records in memory, shared by everyone who reads them.

use std::sync::{Arc, OnceLock};

use tidewire_core::{Form, Frame, Position, RecordRef};

use crate::encode;

/// Where one record lies in a block's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub position: Position,
    /// Offset of its first byte.
    pub at: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// A run of records, at least one. Never changes (invariant 2); the other forms of its frames are encoded when the first
/// reader wants them and shared by all.
#[derive(Debug)]
pub struct Block {
    bytes: Box<[u8]>,
    entries: Box<[Entry]>,
    /// Boxed: few blocks are read in another form, and a block may hold a single record.
    derived: [OnceLock<Box<Derived>>; Form::DERIVED.len()],
}

/// All frames of a block in one derived form.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) bytes: Box<[u8]>,
    /// For each entry: where its frame ends, and the length of its chunk head.
    pub(crate) ends: Box<[(u32, u8)]>,
}

impl Block {
    /// A block of these bytes, which may hold more than records (a segment file's heads, say).
    ///
    /// # Panics
    /// If there is no entry, or positions do not increase (invariant 1). Debug builds also parse every record.
    #[must_use]
    pub fn new(bytes: Vec<u8>, entries: Vec<Entry>) -> Self {
        assert!(!entries.is_empty(), "a block holds a record");
        assert!(
            entries
                .windows(2)
                .all(|pair| pair[0].position < pair[1].position),
            "positions increase"
        );
        let block = Self {
            bytes: bytes.into(),
            entries: entries.into(),
            derived: std::array::from_fn(|_| OnceLock::new()),
        };
        debug_assert!((0..block.len()).all(|index| {
            RecordRef::parse(block.record_bytes(index))
                .is_ok_and(|r| r.position() == block.entries[index].position)
        }));
        block
    }

    /// One block of the records of several, which follow each other. A form that one of them has been encoded in is
    /// encoded in the others now, and none twice.
    ///
    /// # Panics
    /// As [`Block::new`].
    #[must_use]
    pub fn merge(parts: &[Arc<Self>]) -> Self {
        let mut bytes =
            Vec::with_capacity(parts.iter().map(|part| part.record_bytes_total()).sum());
        let mut entries = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            for (index, entry) in part.entries.iter().enumerate() {
                entries.push(Entry {
                    at: u32::try_from(bytes.len()).expect("a block is below 4 GiB"),
                    ..*entry
                });
                bytes.extend_from_slice(part.record_bytes(index));
            }
        }
        let merged = Self::new(bytes, entries);
        for (slot, form) in Form::DERIVED.into_iter().enumerate() {
            if parts.iter().any(|part| part.derived[slot].get().is_some()) {
                let derived = parts.iter().map(|part| part.derived(slot, form));
                let _ = merged.derived[slot].set(Box::new(Derived::concatenate(derived)));
            }
        }
        merged
    }

    /// What its records take, in bytes.
    #[must_use]
    pub fn record_bytes_total(&self) -> usize {
        self.entries.iter().map(|entry| entry.bytes as usize).sum()
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never: a block holds a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What it takes of memory, in bytes, without derived forms.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.entries) + size_of::<Self>()
    }

    /// The position of its first record.
    #[must_use]
    pub fn first(&self) -> Position {
        self.entries[0].position
    }

    /// The position of its last record.
    #[must_use]
    pub fn last(&self) -> Position {
        self.entries[self.entries.len() - 1].position
    }

    /// Where the records lie.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The index of the first record at or after a position; `len` if there is none.
    #[must_use]
    pub fn index_from(&self, position: Position) -> usize {
        self.entries
            .partition_point(|entry| entry.position < position)
    }

    /// A record.
    #[must_use]
    pub fn record(&self, index: usize) -> RecordRef<'_> {
        RecordRef::checked_before(self.record_bytes(index))
    }

    fn record_bytes(&self, index: usize) -> &[u8] {
        let entry = self.entries[index];
        &self.bytes[entry.at as usize..(entry.at + entry.bytes) as usize]
    }

    /// A record's frame in a form. Streams of both dialects share the bytes of every frame that is not presence.
    #[must_use]
    pub fn frame(&self, index: usize, form: Form) -> Frame<'_> {
        let slot = match form {
            Form::EventStream => return self.record(index).frame(),
            Form::Legacy => {
                let record = self.record(index);
                if !record.presence() {
                    return record.frame();
                }
                2
            }
            Form::Labelled => 0,
            Form::Ndjson => 1,
        };
        debug_assert_eq!(Form::DERIVED[slot], form);
        let derived = self.derived(slot, form);
        let start = index
            .checked_sub(1)
            .map_or(0, |before| derived.ends[before].0 as usize);
        let (end, head_bytes) = derived.ends[index];
        Frame::from_chunk(&derived.bytes[start..end as usize], head_bytes)
    }

    fn derived(&self, slot: usize, form: Form) -> &Derived {
        self.derived[slot].get_or_init(|| Box::new(encode::derive(self, form)))
    }
}

impl Derived {
    fn concatenate<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for part in parts {
            let before = u32::try_from(bytes.len()).expect("a block is below 4 GiB");
            bytes.extend_from_slice(&part.bytes);
            ends.extend(part.ends.iter().map(|(end, head)| (before + end, *head)));
        }
        Self {
            bytes: bytes.into(),
            ends: ends.into(),
        }
    }
}
