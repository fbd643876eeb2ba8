//! The newest blocks of a log in memory, found by position, time, topic and publisher id.
//!
//! The memory log is one ring under a lock; a disk log keeps its hot tail in one. Small blocks are merged into larger
//! ones as they age, so that a long read gathers few pieces. A ring drops nothing by itself and decides nothing about
//! retention: its owner calls [`Ring::drop_before`], [`Ring::pop_oldest`] or [`Ring::evict_to`].

mod gather;
mod held;
mod index;

use std::collections::VecDeque;
use std::sync::Arc;

use tidewire_core::Position;

use crate::{Block, Floors, Slice};
use gather::Gather;
use held::Held;
use index::Index;

/// What a record costs besides its own bytes, as the ring counts: its entry and its place in the index.
pub const RECORD_OVERHEAD_BYTES: u64 = 32;

/// A read for more topics than this is answered with every topic's records: looking each up would cost more.
const TOPICS_LOOKED_UP_MAX: usize = 1024;

/// How a ring arranges its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Neighbouring blocks are merged until they have so many bytes or more.
    pub merge_bytes: usize,
    /// Or so many records.
    pub merge_records: usize,
    /// Makes the order of its hash tables unpredictable to publishers.
    pub seed: u64,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            merge_bytes: 64 * 1024,
            merge_records: 256,
            seed: 0,
        }
    }
}

/// What a ring answers to a read.
#[derive(Debug)]
pub enum RingRead {
    /// It begins later.
    Before,
    /// It holds nothing at that position or after it.
    AtEnd,
    /// These records, and where to read on. No slice: it skipped to its end.
    Found {
        /// The records, in order.
        slices: Vec<Slice>,
        /// Past them, and past what the reader has no use for.
        next: Position,
    },
}

/// The newest blocks of a log.
#[derive(Debug)]
pub struct Ring {
    config: RingConfig,
    /// Merged and indexed blocks, oldest first.
    sealed: VecDeque<Held>,
    /// Blocks at the end that are not merged yet; at most the configured bytes and records.
    open: Vec<Held>,
    open_bytes: usize,
    open_records: usize,
    /// Topic to sealed blocks.
    topics: Index,
    /// Publisher id to sealed blocks.
    ids: Index,
    /// The sealed blocks' numbers go on where those of dropped ones ended.
    first_number: u64,
    /// Nothing at or after this is missing here.
    start: Position,
    /// Index of the first record at or after `start` in the first block.
    start_index: usize,
    end: Position,
    records: u64,
    bytes: u64,
}

/// The oldest record of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Where it stands.
    pub position: Position,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// What it counts in [`Ring::bytes`].
    pub bytes: u64,
}

impl Ring {
    /// An empty ring whose first block will begin at `start` or later.
    #[must_use]
    pub fn new(config: RingConfig, start: Position) -> Self {
        Self {
            config,
            sealed: VecDeque::new(),
            open: Vec::new(),
            open_bytes: 0,
            open_records: 0,
            topics: Index::new(config.seed),
            ids: Index::new(config.seed),
            first_number: 0,
            start,
            start_index: 0,
            end: start,
            records: 0,
            bytes: 0,
        }
    }

    /// The lowest position that it answers for.
    #[must_use]
    pub fn start(&self) -> Position {
        self.start
    }

    /// Past its newest record.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// How many records it holds at its start or after it.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// What they take: their bytes and [`RECORD_OVERHEAD_BYTES`] each.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its oldest record.
    #[must_use]
    pub fn oldest(&self) -> Option<Oldest> {
        let held = self.first_block()?;
        let entry = held.block.entries()[self.start_index];
        Some(Oldest {
            position: entry.position,
            time_ms: held.block.record(self.start_index).time_ms(),
            bytes: cost(entry.bytes),
        })
    }

    /// Adds a block after all others.
    ///
    /// # Panics
    /// If it begins before the ring's end (invariant 1).
    pub fn push(&mut self, block: Arc<Block>) {
        assert!(block.first() >= self.end, "positions increase");
        self.end = block.last().next();
        self.records += block.len() as u64;
        self.bytes += block.entries().iter().map(|e| cost(e.bytes)).sum::<u64>();
        let held = Held::new(block, &self.topics, &self.ids);
        if held.bytes() >= self.config.merge_bytes || held.block.len() >= self.config.merge_records
        {
            self.merge_open();
            self.seal(held);
            return;
        }
        self.open_bytes += held.bytes();
        self.open_records += held.block.len();
        self.open.push(held);
        if self.open_bytes >= self.config.merge_bytes
            || self.open_records >= self.config.merge_records
        {
            self.merge_open();
        }
    }

    /// Reads on from a position: at least one record, then up to these limits. With `topics`, records that have none of
    /// them are left out where the ring can tell cheaply.
    #[must_use]
    pub fn read(
        &self,
        from: Position,
        topics: Option<&[&[u8]]>,
        bytes_max: usize,
        records_max: usize,
    ) -> RingRead {
        if from < self.start {
            return RingRead::Before;
        }
        if from >= self.end {
            return RingRead::AtEnd;
        }
        let mut gather = Gather::new(bytes_max, records_max);
        match topics.filter(|topics| topics.len() <= TOPICS_LOOKED_UP_MAX) {
            None => self.gather_all(from, &mut gather),
            Some(topics) => self.gather_topics(from, topics, &mut gather),
        }
        RingRead::Found {
            next: if gather.full { gather.next } else { self.end },
            slices: gather.slices,
        }
    }

    /// The earliest record with this publisher id.
    #[must_use]
    pub fn find_id(&self, id: &str) -> Option<Position> {
        let hash = self.ids.hash(id.as_bytes());
        let sealed = self
            .ids
            .blocks(hash)
            .filter_map(|number| self.sealed.get(self.slot(number)?));
        sealed
            .chain(&self.open)
            .flat_map(|held| {
                let found = held.ids.find(hash);
                found.map(|index| held.block.record(index))
            })
            .find(|record| record.position() >= self.start && record.publisher_id() == Some(id))
            .map(|record| record.position())
    }

    /// The first record of this time or later.
    #[must_use]
    pub fn find_time(&self, time_ms: u64) -> Option<Position> {
        let number = self.partition_blocks(|held| held.time_last_ms < time_ms);
        let held = self.blocks_from(number).next()?;
        let first = if number == 0 { self.start_index } else { 0 };
        (first..held.block.len())
            .map(|index| held.block.record(index))
            .find(|record| record.time_ms() >= time_ms)
            .map(|record| record.position())
    }

    /// The `count`-th newest record that readers may see and that has one of these topics, or the oldest of them if there
    /// are fewer; and how many were found. `None` if there is none.
    #[must_use]
    pub fn find_last(
        &self,
        count: u64,
        topics: Option<&[&[u8]]>,
        floors: &Floors,
    ) -> Option<(Position, u64)> {
        let mut oldest = None;
        let mut left = count;
        let mut number = self.sealed.len() + self.open.len();
        let asked = topics.map(|topics| self.topics.hashes(topics));
        while left > 0 {
            let Some(before) = self.block_before(number, asked.as_deref()) else {
                break;
            };
            number = before;
            let held = self.held(number);
            let first = if number == 0 { self.start_index } else { 0 };
            let records = (held.block.len() - first) as u64;
            if asked.is_none() && floors.is_empty() && records <= left {
                oldest = Some(held.block.entries()[first].position);
                left -= records;
                continue;
            }
            let wanted = |index: usize| {
                let record = held.block.record(index);
                let routed = topics
                    .is_none_or(|topics| record.topics().any(|topic| topics.contains(&topic)));
                routed && !floors.hides(&record)
            };
            let found = match &asked {
                None => (first..held.block.len()).collect(),
                Some(asked) => held.topics.find_any(asked, first),
            };
            for index in found.into_iter().rev().filter(|index| wanted(*index)) {
                oldest = Some(held.block.entries()[index].position);
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        oldest.map(|position| (position, count - left))
    }

    /// Its blocks, newest first, each with the index of its first record: for a long look without the lock on the ring.
    #[must_use]
    pub fn blocks_back(&self) -> Vec<(Arc<Block>, usize)> {
        let block = |number| {
            let first = if number == 0 { self.start_index } else { 0 };
            (Arc::clone(&self.held(number).block), first)
        };
        let count = self.sealed.len() + self.open.len();
        (0..count).rev().map(block).collect()
    }

    /// Drops its oldest record; the block goes with its last one.
    pub fn pop_oldest(&mut self) {
        let Some(oldest) = self.oldest() else { return };
        self.records -= 1;
        self.bytes -= oldest.bytes;
        self.start = oldest.position.next();
        self.start_index += 1;
        if self.start_index == self.held(0).block.len() {
            self.drop_first_block();
        }
    }

    /// Drops, oldest first, what has a time that is over.
    pub fn drop_while(&mut self, is_over: impl Fn(u64) -> bool) {
        // Times do not fall: a block is over with its newest record.
        while self
            .first_block()
            .is_some_and(|held| is_over(held.time_last_ms))
        {
            self.drop_rest_of_first_block();
        }
        while self.oldest().is_some_and(|oldest| is_over(oldest.time_ms)) {
            self.pop_oldest();
        }
    }

    /// Drops what lies below a position, and begins there: past the end if need be.
    pub fn drop_before(&mut self, position: Position) {
        while self
            .first_block()
            .is_some_and(|held| held.block.last() < position)
        {
            self.drop_rest_of_first_block();
        }
        while self
            .oldest()
            .is_some_and(|oldest| oldest.position < position)
        {
            self.pop_oldest();
        }
        self.start = self.start.max(position);
        self.end = self.end.max(position);
    }

    /// Drops whole blocks, oldest first, until it takes at most so many bytes; the newest block stays.
    pub fn evict_to(&mut self, bytes_max: u64) {
        while self.bytes > bytes_max && self.sealed.len() + self.open.len() > 1 {
            self.drop_rest_of_first_block();
        }
    }

    fn gather_all(&self, from: Position, gather: &mut Gather) {
        let number = self.partition_blocks(|held| held.block.last() < from);
        for held in self.blocks_from(number) {
            gather.range(held, held.block.index_from(from)..held.block.len());
            if gather.full {
                return;
            }
        }
    }

    fn gather_topics(&self, from: Position, topics: &[&[u8]], gather: &mut Gather) {
        let asked = self.topics.hashes(topics);
        let first = self.partition_blocks(|held| held.block.last() < from);
        let mut wanted = self.topics.walk(&asked, self.first_number + first as u64);
        let open_from = first.saturating_sub(self.sealed.len());
        let sealed = std::iter::from_fn(|| wanted.next().and_then(|number| self.slot(number)));
        let open = self.open.iter().skip(open_from);
        for held in sealed.map(|slot| &self.sealed[slot]).chain(open) {
            let found = held.topics.find_any(&asked, held.block.index_from(from));
            for run in found.chunk_by(|a, b| a + 1 == *b) {
                gather.range(held, run[0]..run[run.len() - 1] + 1);
                if gather.full {
                    return;
                }
            }
        }
    }

    /// The blocks by number from 0, sealed ones first.
    fn blocks_from(&self, number: usize) -> impl Iterator<Item = &Held> {
        let sealed = self.sealed.range(number.min(self.sealed.len())..);
        sealed.chain(
            self.open
                .iter()
                .skip(number.saturating_sub(self.sealed.len())),
        )
    }

    fn first_block(&self) -> Option<&Held> {
        self.sealed.front().or(self.open.first())
    }

    fn held(&self, number: usize) -> &Held {
        match number.checked_sub(self.sealed.len()) {
            None => &self.sealed[number],
            Some(open) => &self.open[open],
        }
    }

    fn partition_blocks(&self, before: impl Fn(&Held) -> bool + Copy) -> usize {
        // Most ask for what is newest.
        if self.sealed.back().is_none_or(before) {
            return self.sealed.len() + self.open.partition_point(before);
        }
        self.sealed.partition_point(before)
    }

    /// The last block below `number` that may hold one of the asked topics.
    fn block_before(&self, number: usize, asked: Option<&[u32]>) -> Option<usize> {
        if number == 0 {
            return None;
        }
        match asked {
            Some(asked) if number <= self.sealed.len() => {
                let below = self.first_number + number as u64;
                self.slot(self.topics.last_before(asked, below)?)
            }
            _ => Some(number - 1),
        }
    }

    fn slot(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first_number)?).ok()
    }

    fn merge_open(&mut self) {
        let parts: Vec<_> = self.open.drain(..).collect();
        self.open_bytes = 0;
        self.open_records = 0;
        let held = match <[Held; 1]>::try_from(parts) {
            Ok([held]) => held,
            Err(parts) if parts.is_empty() => return,
            Err(parts) => {
                let blocks: Vec<_> = parts.into_iter().map(|held| held.block).collect();
                Held::new(Arc::new(Block::merge(&blocks)), &self.topics, &self.ids)
            }
        };
        self.seal(held);
    }

    fn seal(&mut self, held: Held) {
        let number = self.first_number + self.sealed.len() as u64;
        self.topics.add(&held.topics, number);
        self.ids.add(&held.ids, number);
        self.sealed.push_back(held);
    }

    fn drop_rest_of_first_block(&mut self) {
        let held = self.held(0);
        let rest = &held.block.entries()[self.start_index..];
        let records = rest.len() as u64;
        let bytes = rest.iter().map(|e| cost(e.bytes)).sum::<u64>();
        self.start = held.block.last().next();
        self.records -= records;
        self.bytes -= bytes;
        self.drop_first_block();
    }

    fn drop_first_block(&mut self) {
        self.start_index = 0;
        if let Some(held) = self.sealed.pop_front() {
            self.topics.remove(&held.topics, self.first_number);
            self.ids.remove(&held.ids, self.first_number);
            self.first_number += 1;
        } else {
            let held = self.open.remove(0);
            self.open_bytes -= held.bytes();
            self.open_records -= held.block.len();
        }
    }
}

fn cost(record_bytes: u32) -> u64 {
    u64::from(record_bytes) + RECORD_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests;
