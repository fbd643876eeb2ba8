//! Steps: what a shard does when it is driven.

use crate::Ended;

/// What a step came to.
#[derive(Debug)]
#[must_use]
pub struct Step<S> {
    /// There is more to do at once: the budget was spent. Look after the sockets, then take another step.
    pub again: bool,
    /// When the next deadline is, in the shard's clock: take a step then, if nothing wakes it before.
    pub wake_at_ms: Option<u64>,
    /// Who ended since the step before.
    pub ended: Vec<Ended<S>>,
}
