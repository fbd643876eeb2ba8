//! The log: its trait, what goes in ([`Event`]) and what comes out ([`Batch`]), the memory log, and the conformance suite
//! that every log must pass.
//!
//! A log is a sequence of records in the order of their [`Position`]s. Whoever reads it holds a cursor; the log knows no
//! reader, keeps nothing for one, and never waits for one. A read has four answers and only four ([`Read`]).
//!
//! There is no I/O and no clock here: times are arguments, files are `tidewire-log-disk`'s.

mod append;
mod batch;
mod block;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod control;
mod encode;
mod event;
mod floors;
mod lives;
pub mod locate;
pub mod memory;
mod presence;
mod producers;
mod read;
mod retention;
pub mod ring;
mod rules;

pub use append::{Ack, Append, AppendError, Appended};
pub use batch::{Batch, BatchRecord, Slice};
pub use block::{Block, Entry};
pub use encode::encode_record;
pub use event::Event;
// An event's own words, for whoever makes events and may not know the codec.
pub use floors::{Floor, Floors};
pub use lives::{Life, Lives};
pub use memory::{MemoryConfig, MemoryLog};
pub use presence::{
    CONTEXT as PRESENCE_CONTEXT, MatchType, Presence, path_segment as presence_path_segment,
};
pub use producers::{Plan, Produced, ProducerLimits, ProducerWindow};
pub use read::{Bounds, Gap, GapReason, Locate, Located, Read, ReadAsk, Start};
pub use retention::Retention;
pub use rules::{Rule, Rules};
pub use tidewire_codec::{EventId, EventType};

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tidewire_core::{Cursor, Position};

/// A log of events. Shared by every publisher and every shard; each method returns at once and never waits for I/O.
pub trait Log: Send + Sync + 'static {
    /// Appends events, all or none, next to each other and in this order, and answers through [`Append::ack`], possibly
    /// on another thread and possibly before this returns. At durability `sync` the answer comes after the fsync, and no
    /// reader sees the events before it (invariant 7).
    fn append(&self, append: Append);

    /// Reads on from a position. On [`Read::Loading`] the waker is woken once when it is worth asking again.
    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read;

    /// Finds where a subscriber starts, and answers through [`Locate::done`]; at once where arithmetic is enough, after
    /// a look into an index where it is not.
    fn locate(&self, locate: Locate);

    /// The cursor of a reader that wants `next` next and has seen what the log held before it.
    fn cursor_at(&self, next: Position) -> Cursor;

    /// What the log holds now.
    fn bounds(&self) -> Bounds;

    /// Registers somebody who is told of every commit, in order, after the tail has moved.
    fn watch(&self, watcher: Arc<dyn Watcher>);

    /// Whether the log takes events and answers reads.
    ///
    /// # Errors
    /// Says why it takes none at the moment.
    fn health(&self) -> Result<(), AppendError>;

    /// What it did since it was opened; `None` from a log that does not count.
    fn counters(&self) -> Option<LogCounters> {
        None
    }

    /// Lets time pass: retention by age and by rule is brought up to `now_ms` (milliseconds since 1970).
    fn maintain(&self, now_ms: u64);
}

/// What a log did since it was opened, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounters {
    /// Groups of events committed.
    pub commits: u64,
    /// Times that data was made durable (fsync).
    pub syncs: u64,
    /// How long that took in all.
    pub sync_time: Duration,
}

/// Is told of commits.
pub trait Watcher: Send + Sync {
    /// These records were committed and can be read. Called on the log's writing thread: wake others, do nothing slow.
    fn committed(&self, batch: &Batch);
}
