//! How many subscribers there may be: each holds a descriptor, and some are kept back for publishing and health.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidewire_engine::driver::OnEnd;

/// The places for subscribers.
#[derive(Debug)]
pub(crate) struct Slots {
    taken: AtomicUsize,
    max: usize,
}

/// A subscriber's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Option<Arc<Slots>>);

impl Slots {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            max,
        })
    }

    /// A place, if one is free.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let room = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
            .then(|| Slot(Some(Arc::clone(self))))
    }

    /// Gives a place back; for one that was left taken.
    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Slot {
    /// Leaves the place taken until [`Slots::give_back`] is called for it: a million idle subscribers need not hold one each.
    pub(crate) fn leave_taken(mut self) {
        self.0 = None;
    }

    /// Keeps the place until a stream's end, whoever else waits for that.
    pub(crate) fn until_end(self, on_end: Option<OnEnd>) -> OnEnd {
        Box::new(move |end| {
            drop(self);
            if let Some(on_end) = on_end {
                on_end(end);
            }
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = &self.0 {
            slots.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!(slots.taken(), 1);
        slots.take().unwrap().leave_taken();
        assert!(slots.take().is_none());
        slots.give_back();
        assert!(slots.take().is_some());
    }
}
