//! Where a subscriber starts, looked up in the segments' indexes, on a thread that may wait for the disk.

use std::sync::Arc;

use tidewire_core::{MatcherSet, Position};
use tidewire_log::locate::{CountBack, FoundBy, Lookup};
use tidewire_log::{Block, Floors, Lives};

use crate::hash::Kind;
use crate::segment::{Chunk, Found, Segment};
use crate::shared::{Segments, Shared};

/// What the log looked like when somebody asked.
pub(crate) struct Snapshot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) segments: Segments,
    pub(crate) head: Position,
    pub(crate) tail: Position,
    pub(crate) lives: Lives,
    pub(crate) floors: Arc<Floors>,
}

impl Snapshot {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        let view = shared.view();
        Self {
            segments: view.segments.clone(),
            head: view.head,
            tail: view.tail,
            lives: view.lives.clone(),
            floors: view.floors().clone(),
            shared: shared.clone(),
        }
    }

    fn kept(&self) -> std::ops::Range<Position> {
        self.head..self.tail
    }

    fn block_of(&self, segment: &Segment, position: Position) -> Option<(Chunk, Arc<Block>)> {
        let chunk = segment.chunk_of(position)?;
        let block = self.shared.chunk_now(segment, &chunk)?;
        Some((chunk, block))
    }

    fn postings(&self, segment: &Arc<Segment>, term: u64) -> Vec<Position> {
        let from = self.head;
        let found = match segment.find(term, from, usize::MAX) {
            Found::Absent => Vec::new(),
            Found::Here(positions) => positions,
            Found::Stored => {
                let postings = self.shared.postings_now(segment, term);
                segment.positions(&postings, from, usize::MAX)
            }
        };
        found
            .into_iter()
            .filter(|position| *position < self.tail)
            .collect()
    }

    /// Counts back among the records of these topics.
    fn find_last_of(&self, count: u64, topics: &[&[u8]]) -> Option<Position> {
        let key = self.shared.key;
        let terms: Vec<_> = topics.iter().map(|t| key.hash(Kind::Topic, t)).collect();
        let mut left = count;
        let mut found = None;
        for segment in self.segments.iter().rev() {
            if left == 0 || segment.next() <= self.head {
                break;
            }
            let mut wanted: Vec<_> = terms
                .iter()
                .flat_map(|term| self.postings(segment, *term))
                .collect();
            wanted.sort_unstable();
            wanted.dedup();
            found = self.count_positions(segment, &wanted, &mut left).or(found);
        }
        found
    }

    /// Counts back by a look at every record.
    fn look_back(&self, count: u64, routing: &MatcherSet) -> Option<Position> {
        let mut counted = CountBack::new(count, routing, &self.floors);
        for segment in self.segments.iter().rev() {
            if !counted.goes_on() || segment.next() <= self.head {
                break;
            }
            self.look_through(segment, &mut counted);
        }
        counted.found()
    }

    fn count_positions(
        &self,
        segment: &Segment,
        wanted: &[Position],
        left: &mut u64,
    ) -> Option<Position> {
        let mut found = None;
        let mut current: Option<(Chunk, Arc<Block>)> = None;
        for &position in wanted.iter().rev() {
            if *left == 0 {
                break;
            }
            if !self.floors.is_empty() {
                if current
                    .as_ref()
                    .is_none_or(|(chunk, _)| position < chunk.first)
                {
                    current = self.block_of(segment, position);
                }
                let Some((_, block)) = &current else { continue };
                let index = block.index_from(position);
                let there = block
                    .entries()
                    .get(index)
                    .is_some_and(|e| e.position == position);
                if !there || self.floors.hides(&block.record(index)) {
                    continue;
                }
            }
            found = Some(position);
            *left -= 1;
        }
        found
    }

    fn look_through(&self, segment: &Segment, counted: &mut CountBack<'_>) {
        let mut end = segment.next().min(self.tail);
        while counted.goes_on() && end > segment.first.max(self.head) {
            let Some(chunk) = segment.chunk_of(end.before()) else {
                return;
            };
            if let Some(block) = self.shared.chunk_now(segment, &chunk) {
                for index in (0..block.index_from(end)).rev() {
                    let record = block.record(index);
                    if !counted.goes_on() || record.position() < self.head {
                        return;
                    }
                    counted.look(&record);
                }
            }
            end = chunk.first;
        }
    }
}

impl Lookup for Snapshot {
    fn head(&self) -> Position {
        self.head
    }

    fn tail(&self) -> Position {
        self.tail
    }

    fn lives(&self) -> &Lives {
        &self.lives
    }

    fn floors(&self) -> &Floors {
        &self.floors
    }

    fn find_id(&self, id: &str) -> Option<Position> {
        let term = self.shared.key.hash(Kind::PublisherId, id.as_bytes());
        self.segments.iter().find_map(|segment| {
            // Two ids may have one hash: the record decides.
            self.postings(segment, term).into_iter().find(|position| {
                self.block_of(segment, *position).is_some_and(|(_, block)| {
                    let index = block.index_from(*position);
                    index < block.len() && {
                        let record = block.record(index);
                        record.position() == *position && record.publisher_id() == Some(id)
                    }
                })
            })
        })
    }

    fn find_time(&self, time_ms: u64) -> Option<Position> {
        let after = self
            .segments
            .partition_point(|segment| segment.last_ms() < time_ms);
        for segment in &self.segments[after..] {
            let mut chunk = segment.chunk_at_time(time_ms);
            while let Some(here) = chunk {
                let block = self.shared.chunk_now(segment, &here);
                let found = block.and_then(|block| {
                    (block.index_from(self.head)..block.len())
                        .map(|index| block.record(index))
                        .find(|record| record.time_ms() >= time_ms)
                        .map(|record| record.position())
                });
                if let Some(position) = found {
                    return Some(position).filter(|position| self.kept().contains(position));
                }
                chunk = Some(here.next)
                    .filter(|next| *next < segment.next())
                    .and_then(|next| segment.chunk_of(next));
            }
        }
        None
    }

    fn find_last(&self, count: u64, routing: &MatcherSet) -> Option<Position> {
        if count == 0 || self.head == self.tail {
            return None;
        }
        match FoundBy::of(routing) {
            FoundBy::Topics(topics) => self.find_last_of(count, &topics),
            // In this log positions are contiguous.
            FoundBy::Every if self.floors.is_empty() => {
                Some(Position(self.tail.0.saturating_sub(count)).max(self.head))
            }
            FoundBy::Every | FoundBy::Look => self.look_back(count, routing),
        }
    }
}
