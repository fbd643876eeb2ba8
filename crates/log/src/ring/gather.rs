//! What a read takes along, within its limits.

use std::ops::Range;

use tidewire_core::Position;

use super::held::Held;
use crate::Slice;

/// Gathers records until a limit is reached; the first one is always taken.
pub(super) struct Gather {
    pub(super) slices: Vec<Slice>,
    bytes_left: usize,
    records_left: usize,
    pub(super) next: Position,
    pub(super) full: bool,
}

impl Gather {
    pub(super) fn new(bytes_max: usize, records_max: usize) -> Self {
        Self {
            slices: Vec::new(),
            bytes_left: bytes_max,
            records_left: records_max.max(1),
            next: Position(0),
            full: false,
        }
    }

    pub(super) fn range(&mut self, held: &Held, range: Range<usize>) {
        let start = range.start;
        let mut end = start;
        for entry in &held.block.entries()[range] {
            let bytes = entry.bytes as usize;
            let first = self.slices.is_empty() && end == start;
            if !first && (bytes > self.bytes_left || self.records_left == 0) {
                self.full = true;
                break;
            }
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.records_left -= 1;
            self.next = entry.position.next();
            end += 1;
        }
        if end > start {
            self.slices.push(Slice {
                block: held.block.clone(),
                range: start..end,
            });
        }
    }
}
