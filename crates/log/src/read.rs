//! Reading: the four answers of a read, and where a subscriber starts.

use tidewire_core::{Cursor, Epoch, MatcherSet, Position};

use crate::Batch;

/// What a reader asks for.
#[derive(Clone, Copy, Debug)]
pub struct ReadAsk<'a> {
    /// The first position wanted.
    pub from: Position,
    /// Topics without which a record is of no use to the reader; `None`: any may be. A log may use it to skip ahead, and
    /// may answer with records that have none of them.
    pub topics: Option<&'a [&'a [u8]]>,
    /// Stop after about this many bytes of records; at least one record is answered.
    pub bytes_max: usize,
    /// Stop after this many records; at least one.
    pub records_max: usize,
}

/// The answer to a read; there is no fifth (invariant 6).
#[derive(Debug)]
pub enum Read {
    /// Records, and where to read on. May be empty of records when the log skipped foreign ones: `next` has moved.
    Batch(Batch),
    /// Nothing is stored at `from` or after it, and `from` is not beyond the tail; whoever watches is told when that
    /// changes.
    AtTail,
    /// What is asked for is being fetched; the waker is woken when it is worth asking again.
    Loading,
    /// What is asked for is no longer kept, or never was.
    Gap(Gap),
}

/// Something that a reader wanted is not there. It is always told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Where to read on: the head, but for [`GapReason::Unknown`], the tail, and for a topic's own shorter retention,
    /// where the reader is.
    pub resume: Position,
}

/// Why something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// Retention has passed it.
    Expired,
    /// It lies beyond the tail: it was never stored here, or a crash took it.
    Beyond,
    /// It belongs to an epoch that this log does not know, or lies beyond that epoch's end.
    Epoch,
    /// It is a publisher's id that is not stored (any more).
    Unknown,
}

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Expired, Self::Beyond, Self::Epoch, Self::Unknown];

    /// As it is spelled in the header `Tidewire-Gap` and in `tidewire.gap`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Beyond => "beyond",
            Self::Epoch => "epoch",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a subscriber wants to start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With what is published from now on.
    Tail,
    /// With the oldest event kept.
    Head,
    /// After this cursor.
    After(Cursor),
    /// After the earliest stored event that has this publisher's id; if none has it and it reads as a cursor without
    /// its `#`, after that.
    AfterId(String),
    /// With the first event published at or after this time, in milliseconds since 1970. If that is the oldest one kept
    /// and older ones were dropped, some of those may have been asked for: a gap.
    Since(u64),
    /// With the last so many events: of the routed topics, if they are all exact; else of the whole log.
    Last(u64),
}

/// A question to [`crate::Log::locate`].
pub struct Locate {
    /// Where the subscriber wants to start.
    pub start: Start,
    /// What it routes: decides whether a topic's own shorter retention leaves it a gap, and what [`Start::Last`] counts.
    pub routing: MatcherSet,
    /// Called once, possibly on another thread and possibly before `locate` returns.
    pub done: Box<dyn FnOnce(Located) + Send>,
}

/// Where a subscriber starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The first position to read.
    pub from: Position,
    /// What it misses, if it misses something; then `from` is the gap's `resume`.
    pub gap: Option<Gap>,
}

/// What a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Its present life.
    pub epoch: Epoch,
    /// The lowest position that can be read: past the newest record that was dropped. The oldest record stands here or
    /// later; equal to `tail` in an empty log.
    pub head: Position,
    /// The next position to be written; every committed record is below it.
    pub tail: Position,
    /// How many records are kept.
    pub records: u64,
    /// How many bytes they take, in memory or on disk.
    pub bytes: u64,
}
