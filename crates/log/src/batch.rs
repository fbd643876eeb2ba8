//! Batches: what a read gives.

use std::ops::Range;
use std::sync::Arc;

use tidewire_core::{Form, Frame, Position, RecordRef};

use crate::{Block, Floors};

/// Some records of one block.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The block.
    pub block: Arc<Block>,
    /// Indexes of the records in it.
    pub range: Range<usize>,
}

/// Records in order of position, and where to read on.
#[derive(Clone, Debug)]
pub struct Batch {
    slices: Vec<Slice>,
    floors: Arc<Floors>,
    next: Position,
}

impl Batch {
    /// Of these slices, neighbours in order. `next` is where to read on: past every record here, and past any that the
    /// log skipped because the reader has no use for them.
    #[must_use]
    pub fn new(slices: Vec<Slice>, floors: Arc<Floors>, next: Position) -> Self {
        debug_assert!(
            slices
                .iter()
                .all(|slice| slice.block.last() < next || slice.range.end < slice.block.len())
        );
        Self {
            slices,
            floors,
            next,
        }
    }

    /// Where to read on.
    #[must_use]
    pub fn next(&self) -> Position {
        self.next
    }

    /// The floors when it was read: what to tell a reader that was behind one of them.
    #[must_use]
    pub fn floors(&self) -> &Floors {
        &self.floors
    }

    /// Every record, in order, also those that a floor hides from readers: whoever waits for one of them is told a gap.
    pub fn all_records(&self) -> impl Iterator<Item = BatchRecord<'_>> {
        self.slices.iter().flat_map(|slice| {
            slice.range.clone().map(|index| BatchRecord {
                block: &slice.block,
                index,
            })
        })
    }

    /// The records that readers may see, in order.
    pub fn records(&self) -> impl Iterator<Item = BatchRecord<'_>> {
        self.all_records()
            .filter(|item| self.floors.is_empty() || !self.floors.hides(&item.record()))
    }
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchRecord<'a> {
    block: &'a Block,
    index: usize,
}

impl<'a> BatchRecord<'a> {
    /// The record.
    #[must_use]
    pub fn record(&self) -> RecordRef<'a> {
        self.block.record(self.index)
    }

    /// Its position.
    #[must_use]
    pub fn position(&self) -> Position {
        self.block.entries()[self.index].position
    }

    /// Its frame in a form.
    #[must_use]
    pub fn frame(&self, form: Form) -> Frame<'a> {
        self.block.frame(self.index, form)
    }
}
