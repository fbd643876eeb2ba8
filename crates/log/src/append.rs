//! Appending: what is asked, what is answered, what can go wrong.

use std::fmt;

use tidewire_core::Cursor;

use crate::Event;

/// Takes the answer to an append: one [`Appended`] an event, in order, or why none was stored.
pub type Ack = Box<dyn FnOnce(Result<Vec<Appended>, AppendError>) + Send>;

/// Events to append, all or none.
pub struct Append {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Called once.
    pub ack: Ack,
}

/// Where an event is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The hub's own id for it.
    pub cursor: Cursor,
    /// It had been stored before (same producer key, same digest); this is where.
    pub duplicate: bool,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The log's disk (or its backend) has no room. Trying again helps once there is some.
    Full(String),
    /// More is waiting to be written than the log lets wait. Trying again shortly helps.
    Busy,
    /// The event at this index reuses a producer key for something else. The publisher's fault; trying again does not help.
    KeyReused {
        /// Index in [`Append::events`].
        index: usize,
    },
    /// The event at this index is larger than the log takes. The publisher's fault; trying again does not help.
    TooLarge {
        /// Index in [`Append::events`].
        index: usize,
        /// How large its record is, in bytes.
        bytes: usize,
        /// How large a record may be, in bytes.
        bytes_max: usize,
    },
    /// The log has stopped for good and says why; it must be opened again by an operator.
    Stopped(String),
}

impl AppendError {
    /// Whether the same append may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Busy)
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(why) => write!(f, "the log has no room: {why}"),
            Self::Busy => write!(f, "too much is waiting to be written to the log"),
            Self::KeyReused { index } => {
                write!(
                    f,
                    "event {index} reuses an idempotency key that was used for a different event"
                )
            }
            Self::TooLarge {
                index,
                bytes,
                bytes_max,
            } => {
                write!(
                    f,
                    "event {index} makes a record of {bytes} bytes; the log takes at most {bytes_max}"
                )
            }
            Self::Stopped(why) => write!(f, "the log has stopped: {why}"),
        }
    }
}

impl std::error::Error for AppendError {}
