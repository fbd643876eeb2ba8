//! What is told about a stream when it is over.

use crate::EndReason;

/// How a stream ended: for the access log, and for whoever counts descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// Why it ended.
    pub reason: EndReason,
    /// How many bytes of the response the socket took, its head included.
    pub bytes: u64,
    /// How many events were delivered, control events not counted.
    pub events: u64,
    /// How long it lasted, in milliseconds.
    pub life_ms: u64,
}

/// Takes the news of a stream's end, where its socket lives: count and log, do nothing slow. Whatever it owns is dropped
/// when the socket is closed, so a permit may ride along.
pub type OnEnd = Box<dyn FnOnce(StreamEnd) + Send>;
