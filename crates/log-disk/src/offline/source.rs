//! A log directory as it lies there, read segment by segment, past all damage.

use std::path::{Path, PathBuf};

use tidewire_core::{Epoch, Position, RecordRef};

use super::SegmentStat;
use crate::dir::{Dir, Lock, whole};
use crate::error::{Damage, OpenError};
use crate::files::{Files, RealFiles, read_all};
use crate::format::{HEAD_BYTES, HeadError, RECORD_HEAD_BYTES, SegmentHead, VERSION};
use crate::recover::recover;
use crate::segment::{build_index, damage_at, sidecar_path};
use crate::sidecar::{Owner, encode};
use crate::state::{State, Status};
use crate::walk::{Step, Walk};

/// A directory that is being looked into.
pub(super) struct Source {
    pub(super) state: Option<State>,
    /// What is wrong besides the segments.
    pub(super) damage: Vec<Damage>,
    pub(super) bytes_total: u64,
    segments: Vec<(Position, PathBuf)>,
    /// `None` where nothing can be written, and so no hub runs.
    _lock: Option<Lock>,
}

/// One segment's bytes, and what is known of them.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first: Position,
    pub(super) torn_bytes: u64,
    bytes: Vec<u8>,
    head: SegmentHead,
    /// The head is damaged: what follows is judged by its own checksums alone.
    lenient: bool,
    /// Where its records end, if that is certain, and the position after the last.
    end: Option<(usize, Position)>,
    sealed: bool,
    /// Damage that is no part of the walk.
    beside: Vec<Damage>,
}

/// What is found in a segment.
pub(super) enum Part<'a> {
    Record(RecordRef<'a>),
    Damage(Damage),
}

impl Source {
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        let files = RealFiles;
        let dir = Dir::new(root);
        let segments = dir.segment_files(&files)?;
        if segments.is_empty() && files.open(&dir.state, false).is_err() {
            return Err(OpenError::NoLog(root.to_owned()));
        }
        let lock = match dir.lock(&files) {
            Ok(lock) => Some(lock),
            Err(OpenError::ReadOnly { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut damage = Vec::new();
        let state = match State::load(&files, &dir.state) {
            Ok(Some(state)) => Some(state),
            Ok(None) => {
                damage.push(beside(&dir.state, 0, "this file is missing"));
                None
            }
            Err(OpenError::Damaged(found)) => {
                damage.push(found);
                None
            }
            Err(error) => return Err(error),
        };
        let mut bytes_total = 0;
        for (_, path) in &segments {
            let file = files
                .open(path, false)
                .map_err(|error| OpenError::io(path, error))?;
            bytes_total += file.len().map_err(|error| OpenError::io(path, error))?;
        }
        Ok(Self {
            state,
            damage,
            bytes_total,
            segments,
            _lock: lock,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Reads a segment.
    pub(super) fn read(&self, number: usize) -> Result<Segment, OpenError> {
        let (first, path) = &self.segments[number];
        let bytes = read_all(&RealFiles, path).map_err(|error| OpenError::io(path, error))?;
        let mut segment = Segment {
            path: path.clone(),
            first: *first,
            torn_bytes: 0,
            head: SegmentHead {
                epoch: Epoch(0),
                first: *first,
                after_ms: 0,
                promised_bytes: 0,
                nonce: 0,
            },
            lenient: false,
            end: None,
            sealed: false,
            beside: Vec::new(),
            bytes,
        };
        match SegmentHead::decode(&segment.bytes) {
            Ok(head) if head.first == *first => segment.head = head,
            Err(HeadError::Newer(version)) => {
                return Err(OpenError::NewerFormat {
                    file: path.clone(),
                    version,
                    known: VERSION,
                });
            }
            _ => {
                segment.lenient = true;
                segment.beside.push(beside(
                    path,
                    0,
                    "the segment's head is not as it was written",
                ));
                return Ok(segment);
            }
        }
        if number + 1 == self.segments.len() {
            self.judge_last(&mut segment);
        } else {
            segment.judge_sealed();
        }
        Ok(segment)
    }

    fn judge_last(&self, segment: &mut Segment) {
        let clean = match self.state.as_ref().map(|state| state.status) {
            Some(Status::Clean(tail)) => Some(tail),
            _ => None,
        };
        match recover(&segment.bytes, &segment.head, clean) {
            Ok(found) => {
                segment.end = Some((found.end, found.next));
                segment.sealed = found.sealed;
                segment.torn_bytes = found.torn_bytes as u64;
            }
            Err(refused) => {
                let walked = Walk::new(
                    &segment.bytes,
                    segment.head.nonce,
                    HEAD_BYTES,
                    segment.first,
                )
                .any(|step| matches!(step, Step::Bad(_)));
                // What the walk meets it tells itself; a cut at a group's edge it does not meet.
                if !walked {
                    let mut damage = damage_at(&segment.path, 0, &refused.bad);
                    refused.what.clone_into(&mut damage.what);
                    segment.beside.push(damage);
                }
            }
        }
    }

    /// Positions that no segment holds though its neighbours do.
    pub(super) fn missing_between(&self, segments: &[SegmentStat]) -> Vec<Damage> {
        segments
            .windows(2)
            .filter(|pair| pair[0].next < pair[1].first && pair[0].sealed)
            .map(|pair| Damage {
                file: pair[1].file.clone(),
                offset: 0,
                what: "a segment before this one is missing".into(),
                first: Some(pair[0].next),
                next: Some(pair[1].first),
            })
            .collect()
    }
}

fn beside(file: &Path, offset: u64, what: &str) -> Damage {
    Damage {
        file: file.to_owned(),
        offset,
        what: what.to_owned(),
        first: None,
        next: None,
    }
}

impl Segment {
    fn judge_sealed(&mut self) {
        match whole(&self.bytes, &self.head, &self.path) {
            Ok(end) => {
                self.end = Some(end);
                self.sealed = true;
            }
            Err(damage) => {
                let mut walk = Walk::new(&self.bytes, self.head.nonce, HEAD_BYTES, self.first);
                let (mut ended, mut bad) = (false, false);
                for step in &mut walk {
                    ended |= matches!(step, Step::Group { head, .. } if head.is_end);
                    bad |= matches!(step, Step::Bad(_));
                }
                self.sealed = ended;
                if !bad {
                    self.beside.push(damage);
                }
            }
        }
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn data_bytes(&self) -> u64 {
        self.end.map_or(self.file_bytes(), |(end, _)| end as u64)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(super) fn end_position(&self) -> Option<Position> {
        self.end.map(|(_, next)| next)
    }

    /// Its records and its damage, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let bytes = match self.end {
            Some((end, _)) => &self.bytes[..end],
            None => &self.bytes[..],
        };
        let start = HEAD_BYTES.min(bytes.len());
        let walk = if self.lenient {
            Walk::lenient(bytes, start, self.first)
        } else {
            Walk::new(bytes, self.head.nonce, start, self.first)
        };
        let beside = self.beside.iter().cloned().map(Part::Damage);
        let found = walk.filter_map(move |step| match step {
            Step::Group { .. } => None,
            Step::Record {
                at, bytes: length, ..
            } => {
                let record = &bytes[at + RECORD_HEAD_BYTES..][..length];
                Some(Part::Record(RecordRef::checked_before(record)))
            }
            Step::Bad(bad) => Some(Part::Damage(damage_at(&self.path, 0, &bad))),
        });
        beside.chain(found)
    }

    /// Its sidecar, if it should have one and that is missing or not what its records give.
    pub(super) fn damaged_index(&self, source: &Source) -> Option<PathBuf> {
        let (key, (end, _)) = (source.state.as_ref()?.key, self.end?);
        if !self.sealed {
            return None;
        }
        let path = sidecar_path(&self.path);
        let index = build_index(&self.bytes, end, &self.head, key);
        let owner = Owner {
            nonce: self.head.nonce,
            first: self.first,
            key,
        };
        let same = read_all(&RealFiles, &path)
            .is_ok_and(|bytes| bytes == encode(&index, owner, end as u64));
        (!same).then_some(path)
    }
}
