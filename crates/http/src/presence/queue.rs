//! What has yet to be told: changes in their order, and how many of them wait.

use std::collections::BTreeMap;

use tidewire_log::Presence;

use super::registry::Listed;

/// So many changes wait to be told. When more do, because the log takes them slower than subscriptions begin and end, a
/// subscription that ends before its beginning was told is not told of at all: nobody knew of it. What waits then is bounded by
/// the subscriptions there are, and by those that ended after they had been told of.
pub(crate) const WAITING_CHANGES_MAX: usize = 100_000;

/// Something to be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Began(Listed),
    Ended(Listed),
    /// Left open by an earlier life of the hub.
    Left(Box<Presence<'static>>),
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: BTreeMap<u64, Change>,
    next: u64,
    max: usize,
}

/// What became of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    Waits,
    /// Its beginning waited still, and neither is told.
    Unsaid,
}

impl Queue {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            next: 0,
            max,
        }
    }

    /// Adds a change; where it waits.
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        let at = self.next;
        self.next += 1;
        self.waiting.insert(at, change);
        at
    }

    /// Adds the end of a subscription of which the beginning was put there.
    pub(crate) fn push_end(&mut self, listed: Listed, began: u64) -> Queued {
        if self.waiting.len() >= self.max && self.waiting.remove(&began).is_some() {
            return Queued::Unsaid;
        }
        self.push(Change::Ended(listed));
        Queued::Waits
    }

    /// Takes the oldest changes, at most so many.
    pub(crate) fn take(&mut self, max: usize) -> Vec<Change> {
        let oldest = std::iter::from_fn(|| self.waiting.pop_first());
        oldest.take(max).map(|(_, change)| change).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
