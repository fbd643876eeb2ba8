//! Looking into a log directory that no hub has open: [`stat`], [`verify`], [`export`], [`import`].
//!
//! All but [`import`] change nothing in it, and go on where they meet damage: they say what it is instead.

mod export;
mod import;
mod source;

use std::path::{Path, PathBuf};

use tidewire_core::Position;
use tidewire_log::Life;

pub use export::{ExportError, Exported, export};
pub use import::{ImportError, ImportFailure, Imported, import};
use source::{Part, Source};

use crate::error::{Damage, OpenError};
use crate::state::Status;

/// How far a long look has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events so far.
    pub records: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all, if that is known.
    pub bytes_total: Option<u64>,
}

/// How a log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// Closed.
    Closed,
    /// Not closed: its process or its machine failed. The next opening cuts off what was not acknowledged.
    Crashed,
    /// The file that says it is missing or damaged.
    Unknown,
}

/// What a log directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its segments, oldest first.
    pub segments: Vec<SegmentStat>,
    /// The first position kept.
    pub first: Position,
    /// The position after the last event.
    pub next: Position,
    /// How many events it keeps.
    pub records: u64,
    /// How many bytes they take in their files.
    pub bytes: u64,
    /// Its lives, oldest first.
    pub lives: Vec<Life>,
    /// How it was left.
    pub left: Left,
}

/// What one segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStat {
    /// Its file.
    pub file: PathBuf,
    /// Its first position.
    pub first: Position,
    /// The position after its last event.
    pub next: Position,
    /// The time of its first and last event, in milliseconds since 1970; `None`: there is none.
    pub time_ms: Option<(u64, u64)>,
    /// How many events were found in it.
    pub records: u64,
    /// How many bytes they take, with what surrounds them.
    pub bytes: u64,
    /// It is complete, and written to no more.
    pub sealed: bool,
}

/// What was found by reading everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What the log holds.
    pub stat: Stat,
    /// What cannot be read, with file and offset.
    pub damage: Vec<Damage>,
    /// Indexes that are missing or damaged. No event is lost by that: they are built again at the next opening.
    pub indexes: Vec<PathBuf>,
    /// How many bytes of a torn write follow the last event. Nobody had been told of them.
    pub torn_bytes: u64,
}

impl Verified {
    /// Whether everything that was stored can be read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Says what a log directory holds. Reads all of it, for it believes no index.
///
/// # Errors
/// If there is no log, or another process has it open, or it cannot be read at all. Damage is no error here: what can be
/// read is counted.
pub fn stat(dir: impl AsRef<Path>) -> Result<Stat, OpenError> {
    verify(dir, &mut |_| {}).map(|verified| verified.stat)
}

/// Reads everything, checks every checksum and every index, and says what is wrong and where.
///
/// # Errors
/// As [`stat`].
pub fn verify(
    dir: impl AsRef<Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verified, OpenError> {
    let source = Source::open(dir.as_ref())?;
    let mut damage = source.damage.clone();
    let mut segments = Vec::new();
    let mut indexes = Vec::new();
    let mut torn_bytes = 0;
    let mut done = Progress {
        bytes_total: Some(source.bytes_total),
        ..Progress::default()
    };
    for number in 0..source.len() {
        let segment = source.read(number)?;
        let mut time_ms = None;
        let mut records = 0;
        let mut next = segment.first;
        for part in segment.parts() {
            match part {
                Part::Record(record) => {
                    records += 1;
                    next = record.position().next();
                    let first_ms = time_ms.map_or(record.time_ms(), |(first, _)| first);
                    time_ms = Some((first_ms, record.time_ms()));
                }
                Part::Damage(found) => damage.push(found),
            }
        }
        torn_bytes += segment.torn_bytes;
        indexes.extend(segment.damaged_index(&source));
        done.records += records;
        done.bytes += segment.file_bytes();
        progress(done);
        segments.push(SegmentStat {
            file: segment.path.clone(),
            first: segment.first,
            next: segment.end_position().unwrap_or(next),
            time_ms,
            records,
            bytes: segment.data_bytes(),
            sealed: segment.is_sealed(),
        });
    }
    damage.extend(source.missing_between(&segments));
    Ok(Verified {
        stat: Stat {
            first: segments
                .first()
                .map_or(Position::FIRST, |oldest| oldest.first),
            next: segments
                .last()
                .map_or(Position::FIRST, |newest| newest.next),
            records: done.records,
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            lives: source
                .state
                .as_ref()
                .map_or(Vec::new(), |state| state.lives.iter().collect()),
            left: match source.state.as_ref().map(|state| state.status) {
                Some(Status::Clean(_) | Status::New) => Left::Closed,
                Some(Status::Running { .. }) => Left::Crashed,
                None => Left::Unknown,
            },
            segments,
        },
        damage,
        indexes,
        torn_bytes,
    })
}
