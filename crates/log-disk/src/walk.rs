//! Walking over a segment's bytes, group by group and record by record, past what is damaged. Every reader of segment
//! files goes through here: recovery, cold reads, verify, export.

use tidewire_core::{Position, RecordError, RecordRef};

use crate::format::{GROUP_HEAD_BYTES, GroupHead, RECORD_HEAD_BYTES, find_group, u32_at};

/// What was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A group's head, or the end mark.
    Group { at: usize, head: GroupHead },
    /// A whole record. `at` is where its head begins.
    Record {
        at: usize,
        bytes: usize,
        position: Position,
    },
    /// Bytes that are neither, or positions that are missing here; the walk goes on at `to`.
    Bad(Bad),
}

/// A bad spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) at: usize,
    pub(crate) to: usize,
    pub(crate) why: Why,
    /// The position that was expected here.
    pub(crate) first: Position,
    /// The next position that can be read; `None`: nothing more is found.
    pub(crate) next: Option<Position>,
}

/// What is wrong with a spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its checksum does not fit, or it ends too early.
    Checksum,
    /// Whole, but not what is expected at this place.
    Positions,
    /// A record of a version that this build does not know.
    Newer(u8),
}

/// The walk.
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    /// With which the group heads were salted; `None`: it is lost, and they are believed as they are.
    nonce: Option<u64>,
    at: usize,
    next: Position,
}

impl<'a> Walk<'a> {
    /// Over bytes that begin with the head of the group or record of position `next`.
    pub(crate) fn new(bytes: &'a [u8], nonce: u64, at: usize, next: Position) -> Self {
        Self {
            bytes,
            nonce: Some(nonce),
            at,
            next,
        }
    }

    /// Over bytes whose segment's head is lost. Records still have their own checksums.
    pub(crate) fn lenient(bytes: &'a [u8], at: usize, next: Position) -> Self {
        Self {
            bytes,
            nonce: None,
            at,
            next,
        }
    }

    /// Where it is.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The position that it expects next.
    pub(crate) fn next_position(&self) -> Position {
        self.next
    }

    fn group_at(&self, at: usize) -> Option<GroupHead> {
        let bytes = self.bytes.get(at..)?;
        match self.nonce {
            Some(nonce) => GroupHead::decode(bytes, nonce),
            None => GroupHead::believe(bytes),
        }
    }

    /// The length of the record whose head is at `at`, as the head says, if it fits.
    fn record_bytes_at(&self, at: usize) -> Option<usize> {
        let head = self.bytes.get(at..at.checked_add(RECORD_HEAD_BYTES)?)?;
        let bytes = u32_at(head, 0) as usize;
        let end = at + RECORD_HEAD_BYTES + bytes;
        (bytes > 0 && end <= self.bytes.len()).then_some(bytes)
    }

    fn record_at(&self, at: usize) -> Result<(usize, Position), Why> {
        let bytes = self.record_bytes_at(at).ok_or(Why::Checksum)?;
        let record = &self.bytes[at + RECORD_HEAD_BYTES..][..bytes];
        if crc32fast::hash(record) != u32_at(self.bytes, at + 4) {
            return Err(Why::Checksum);
        }
        match RecordRef::parse(record) {
            Ok(record) => Ok((bytes, record.position())),
            Err(RecordError::Version(version)) => Err(Why::Newer(version)),
            Err(_) => Err(Why::Checksum),
        }
    }

    /// The position of what begins at `at`, if something whole does.
    fn position_at(&self, at: usize) -> Option<Position> {
        match self.group_at(at) {
            Some(head) => Some(head.first),
            None => self.record_at(at).ok().map(|(_, position)| position),
        }
    }

    /// Something whole is at `at`, but it is not what was expected.
    fn misplaced(&mut self, at: usize, found: Position) -> Step {
        let first = self.next;
        if found > first {
            self.next = found;
            return Step::Bad(Bad {
                at,
                to: at,
                why: Why::Positions,
                first,
                next: Some(found),
            });
        }
        self.skip(at, Why::Positions)
    }

    /// Finds where to go on after a bad spot: behind the record if its length can be trusted, else at the next group.
    fn skip(&mut self, at: usize, why: Why) -> Step {
        let first = self.next;
        let (to, next) = self
            .behind_record(at)
            .or_else(|| self.next_group(at))
            .map_or((self.bytes.len(), None), |(to, next)| (to, Some(next)));
        self.at = to;
        self.next = next.unwrap_or(first);
        Step::Bad(Bad {
            at,
            to,
            why,
            first,
            next,
        })
    }

    fn behind_record(&self, at: usize) -> Option<(usize, Position)> {
        let to = at + RECORD_HEAD_BYTES + self.record_bytes_at(at)?;
        if to == self.bytes.len() {
            return Some((to, self.next.next()));
        }
        let next = self.position_at(to)?;
        (next > self.next).then_some((to, next))
    }

    fn next_group(&self, at: usize) -> Option<(usize, Position)> {
        let mut from = at + 1;
        while let Some(found) = find_group(self.bytes, from) {
            match self.group_at(found) {
                Some(head) if head.first >= self.next => return Some((found, head.first)),
                _ => from = found + 1,
            }
        }
        None
    }
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let at = self.at;
        let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
        if let Some(head) = self.group_at(at) {
            if head.first != self.next {
                return Some(self.misplaced(at, head.first));
            }
            self.at += GROUP_HEAD_BYTES;
            return Some(Step::Group { at, head });
        }
        match self.record_at(at) {
            Ok((bytes, position)) if position == self.next => {
                self.at += RECORD_HEAD_BYTES + bytes;
                self.next = position.next();
                Some(Step::Record {
                    at,
                    bytes,
                    position,
                })
            }
            Ok((_, position)) => Some(self.misplaced(at, position)),
            Err(_) if rest.iter().all(|byte| *byte == 0) => None,
            Err(why) => Some(self.skip(at, why)),
        }
    }
}
