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
