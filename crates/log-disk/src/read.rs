//! Reads behind the ring: from segments, through the caches. Never waits: what is not in memory is `Loading`.

use std::sync::Arc;
use std::task::Waker;

use tidewire_core::Position;
use tidewire_log::{Batch, Block, Floors, Gap, GapReason, Read, ReadAsk, Slice};

use crate::hash::Kind;
use crate::segment::{Chunk, Found, Segment};
use crate::shared::{Segments, Shared};

/// A read for more topics than this is answered with every topic's records: looking each up would cost more.
const TOPICS_LOOKED_UP_MAX: usize = 1024;
/// So many segments are passed over in one read at most; the reader comes back for more.
const SEGMENTS_SKIPPED_MAX: usize = 1024;
/// So many chunks are read ahead where the disk must be waited for.
const CHUNKS_AHEAD: usize = 4;
/// So many records of wanted topics are looked up for one read at most.
const WANTED_MAX: usize = 512;

/// One read, with what the log looked like when it began.
pub(crate) struct ColdRead<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) ask: &'a ReadAsk<'a>,
    pub(crate) waker: &'a Waker,
    pub(crate) segments: Segments,
    pub(crate) floors: Arc<Floors>,
    pub(crate) tail: Position,
    /// Where the ring begins: what lies there is read from it.
    pub(crate) ring_start: Position,
}

impl ColdRead<'_> {
    /// Reads.
    pub(crate) fn read(&self) -> Read {
        match self.ask.topics {
            Some(topics) if topics.len() <= TOPICS_LOOKED_UP_MAX => {
                let key = self.shared.key;
                let terms: Vec<_> = topics.iter().map(|t| key.hash(Kind::Topic, t)).collect();
                self.read_terms(&terms)
            }
            _ => self.read_all(),
        }
    }

    fn segments_from(&self, from: Position) -> &[Arc<Segment>] {
        let after = self
            .segments
            .partition_point(|segment| segment.first <= from);
        &self.segments[after.saturating_sub(1)..]
    }

    fn batch(&self, slices: Vec<Slice>, next: Position) -> Read {
        Read::Batch(Batch::new(slices, self.floors.clone(), next))
    }

    /// Something that was stored cannot be read any more.
    fn hole(&self, resume: Position) -> Read {
        Read::Gap(Gap {
            reason: GapReason::Expired,
            resume: resume.min(self.tail),
        })
    }

    /// A chunk; while it is fetched from a disk, those behind it are fetched too, for a reader that goes on.
    fn chunk(&self, segment: &Arc<Segment>, chunk: Chunk) -> Option<Option<Arc<Block>>> {
        let there = self.shared.chunk(segment, chunk, Some(self.waker));
        let mut ahead = chunk;
        for _ in 0..if there.is_none() { CHUNKS_AHEAD } else { 0 } {
            match segment.chunk_of(ahead.next) {
                Some(next)
                    if next.first == ahead.next && !self.shared.has_chunk(segment, &next) =>
                {
                    self.shared.chunk(segment, next, None);
                    ahead = next;
                }
                _ => break,
            }
        }
        there
    }

    /// The records of the chunk that holds `from`.
    fn read_all(&self) -> Read {
        let from = self.ask.from;
        let Some((segment, chunk)) = self.segments_from(from).first().and_then(|segment| {
            let chunk = segment.chunk_of(from)?;
            Some((segment, chunk))
        }) else {
            return self.hole(self.ring_start);
        };
        let Some(loaded) = self.chunk(segment, chunk) else {
            return Read::Loading;
        };
        let Some(block) = loaded else {
            return self.hole(chunk.next);
        };
        let index = block.index_from(from);
        match block.entries().get(index) {
            None => return self.hole(chunk.next),
            Some(entry) if entry.position != from => return self.hole(entry.position),
            Some(_) => {}
        }
        let mut end = index;
        let (mut next, mut bytes) = (from, 0);
        for entry in &block.entries()[index..] {
            let full = bytes >= self.ask.bytes_max || end - index >= self.ask.records_max;
            // A jump means damage between; the next read tells it.
            if entry.position != next || entry.position >= self.tail || (full && end > index) {
                break;
            }
            end += 1;
            bytes += entry.bytes as usize;
            next = entry.position.next();
        }
        let range = index..end;
        self.batch(vec![Slice { block, range }], next)
    }

    /// Records that hold one of the terms; segments without any are passed over.
    fn read_terms(&self, terms: &[u64]) -> Read {
        let mut from = self.ask.from;
        for segment in self.segments_from(from).iter().take(SEGMENTS_SKIPPED_MAX) {
            if from >= self.ring_start {
                break;
            }
            let end = segment.next().min(self.ring_start);
            if end <= from {
                continue;
            }
            let Some(wanted) = self.wanted(segment, terms, from, end) else {
                return if from == self.ask.from {
                    Read::Loading
                } else {
                    self.batch(Vec::new(), from)
                };
            };
            if !wanted.positions.is_empty() {
                return self.gather(segment, &wanted, from);
            }
            from = end;
        }
        self.batch(Vec::new(), from)
    }

    /// The first records in a segment that hold one of the terms; `None` while that is looked up.
    fn wanted(
        &self,
        segment: &Arc<Segment>,
        terms: &[u64],
        from: Position,
        end: Position,
    ) -> Option<Wanted> {
        let most = self.ask.records_max.clamp(1, WANTED_MAX);
        let mut positions = Vec::new();
        let mut missing = false;
        for &term in terms {
            match segment.find(term, from, most) {
                Found::Absent => {}
                Found::Here(found) => positions.extend(found),
                Found::Stored => match self.shared.postings(segment, term, self.waker) {
                    Some(postings) => positions.extend(segment.positions(&postings, from, most)),
                    // The others are asked for too, so that they are fetched together.
                    None => missing = true,
                },
            }
        }
        if missing {
            return None;
        }
        positions.sort_unstable();
        positions.dedup();
        let all_known = positions.len() <= most;
        positions.truncate(most);
        let known_to = match positions.last() {
            Some(last) if !all_known || positions.len() == most => last.next().min(end),
            _ => end,
        };
        positions.retain(|position| *position < end);
        Some(Wanted {
            positions,
            known_to,
        })
    }

    /// Reads the wanted records, as far as they are in memory and the reader takes them.
    fn gather(&self, segment: &Arc<Segment>, wanted: &Wanted, from: Position) -> Read {
        let mut slices: Vec<Slice> = Vec::new();
        let mut current: Option<(Chunk, Arc<Block>)> = None;
        let (mut bytes, mut records) = (0, 0);
        let mut next = from;
        for &position in &wanted.positions {
            if records > 0 && (bytes >= self.ask.bytes_max || records >= self.ask.records_max) {
                return self.batch(slices, next);
            }
            if current
                .as_ref()
                .is_none_or(|(chunk, _)| chunk.next <= position)
            {
                let chunk = segment
                    .chunk_of(position)
                    .expect("a segment with postings has chunks");
                match self.shared.chunk(segment, chunk, Some(self.waker)) {
                    Some(Some(block)) => current = Some((chunk, block)),
                    Some(None) if slices.is_empty() => return self.hole(chunk.next),
                    None if slices.is_empty() && next == self.ask.from => return Read::Loading,
                    // Nothing wanted lies between; the next read tells the gap, or waits.
                    _ => return self.batch(slices, position),
                }
            }
            let Some((_, block)) = &current else { break };
            let index = block.index_from(position);
            match block.entries().get(index) {
                Some(entry) if entry.position == position => bytes += entry.bytes as usize,
                _ if slices.is_empty() => return self.hole(position.next()),
                _ => return self.batch(slices, position),
            }
            records += 1;
            next = position.next();
            match slices.last_mut() {
                Some(slice) if Arc::ptr_eq(&slice.block, block) && slice.range.end == index => {
                    slice.range.end = index + 1;
                }
                _ => slices.push(Slice {
                    block: block.clone(),
                    range: index..index + 1,
                }),
            }
        }
        self.batch(slices, wanted.known_to)
    }
}

/// Records that a reader wants, ascending.
struct Wanted {
    positions: Vec<Position>,
    /// Nothing else below this is wanted.
    known_to: Position,
}
