//! How many subscribers there may be: each connection of theirs holds a descriptor, and some are kept back for publishing and
//! health. The streams of one HTTP/2 connection share its place.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tidewire_engine::driver::OnEnd;

/// The places for subscribers.
#[derive(Debug)]
pub(crate) struct Slots {
    taken: AtomicUsize,
    max: usize,
    subscribers: AtomicUsize,
}

/// A subscriber with a place of its own; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Option<Arc<Slots>>);

/// A subscriber, whose place its connection has.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Slots>);

/// The place that the streams of one connection share. Taken with the first of them, and kept: the descriptor is.
#[derive(Debug)]
pub(crate) struct SharedPlace {
    slots: Arc<Slots>,
    taken: Mutex<bool>,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            max,
            subscribers: AtomicUsize::new(0),
        })
    }

    /// A place for one subscriber, if one is free.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        self.take_place().then(|| {
            self.add_subscriber();
            Slot(Some(Arc::clone(self)))
        })
    }

    /// A place for several subscribers, to be taken when the first one comes.
    pub(crate) fn shared(self: &Arc<Self>) -> SharedPlace {
        SharedPlace {
            slots: Arc::clone(self),
            taken: Mutex::new(false),
        }
    }

    /// How many subscribers there are.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    fn take_place(&self) -> bool {
        let room = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
    }

    /// Gives a place back; for one that was left taken.
    pub(crate) fn give_back(&self) {
        self.free_place();
        self.remove_subscriber();
    }

    fn free_place(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    fn add_subscriber(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    fn remove_subscriber(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedPlace {
    /// One more subscriber, if the connection has a place or one is free.
    pub(crate) fn take(&self) -> Option<Seat> {
        let mut taken = self.taken.lock().expect("nobody panics with this lock");
        if !*taken {
            *taken = self.slots.take_place();
        }
        taken.then(|| {
            self.slots.add_subscriber();
            Seat(Arc::clone(&self.slots))
        })
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

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.remove_subscriber();
    }
}

impl Drop for SharedPlace {
    fn drop(&mut self) {
        if *self.taken.get_mut().expect("nobody panics with this lock") {
            self.slots.free_place();
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
        assert_eq!(slots.subscribers(), 1);
        slots.take().unwrap().leave_taken();
        assert!(slots.take().is_none());
        slots.give_back();
        assert!(slots.take().is_some());
    }

    #[test]
    fn streams_of_a_connection_share_a_place() {
        let slots = Slots::new(2);
        let shared = slots.shared();
        let seats = [shared.take().unwrap(), shared.take().unwrap()];
        let single = slots.take().unwrap();
        assert_eq!(slots.subscribers(), 3);
        assert!(slots.take().is_none());
        assert!(slots.shared().take().is_none());
        drop(single);
        drop(seats);
        assert_eq!(slots.subscribers(), 0);
        let _one = slots.take().unwrap();
        assert!(slots.take().is_none(), "the connection keeps its place");
        drop(shared);
        assert!(slots.take().is_some());
    }
}
