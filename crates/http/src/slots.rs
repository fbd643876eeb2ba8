//! How many subscribers there may be: each connection of theirs holds a descriptor, and some are kept back for publishing and
//! health. The streams of one HTTP/2 connection share its place. And how many subscribers there are of each kind.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tidewire_core::Form;
use tidewire_engine::EndReason;
use tidewire_engine::driver::{OnEnd, StreamEnd};

use crate::counters::Count;
use crate::peer::Transport;

pub(crate) const FORMS: [Form; 3] = [Form::EventStream, Form::Labelled, Form::Ndjson];

/// As metrics and logs name it.
pub(crate) fn form_name(form: Form) -> &'static str {
    match form {
        Form::EventStream => "event_stream",
        Form::Labelled => "event_stream_labelled",
        Form::Ndjson => "ndjson",
        Form::Legacy => "event_stream",
    }
}

/// The places for subscribers.
#[derive(Debug)]
pub(crate) struct Slots {
    room: Arc<Room>,
    /// By form, then by transport.
    kinds: [[Arc<Kind>; Transport::ALL.len()]; FORMS.len()],
    waiting: Arc<Kind>,
}

#[derive(Debug)]
struct Room {
    taken: AtomicUsize,
    max: usize,
}

/// The streams of one form over one transport.
#[derive(Debug)]
pub(crate) struct Kind {
    room: Arc<Room>,
    /// At the moment.
    pub(crate) open: AtomicU64,
    /// Ever.
    pub(crate) opened: Count,
    ended: [Count; EndReason::ALL.len()],
}

/// A subscriber with a place of its own; free again when it is dropped. One word, for each of a million idle subscribers has
/// one.
#[derive(Debug)]
pub(crate) struct Slot(Option<Arc<Kind>>);

/// A subscriber, whose place its connection has. One word too.
#[derive(Debug)]
pub(crate) struct Seat(Option<Arc<Kind>>);

/// The place that the streams of one HTTP/2 connection share. Taken with the first of them, and kept: the descriptor is.
#[derive(Debug)]
pub(crate) struct SharedPlace {
    slots: Arc<Slots>,
    taken: Mutex<bool>,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let room = Arc::new(Room {
            taken: AtomicUsize::new(0),
            max,
        });
        let kind = || {
            Arc::new(Kind {
                room: Arc::clone(&room),
                open: AtomicU64::new(0),
                opened: Count::default(),
                ended: Default::default(),
            })
        };
        Arc::new(Self {
            kinds: std::array::from_fn(|_| std::array::from_fn(|_| kind())),
            waiting: kind(),
            room,
        })
    }

    /// A place for a stream, if one is free.
    pub(crate) fn take(&self, form: Form, transport: Transport) -> Option<Slot> {
        Kind::take(self.kind(form, transport))
    }

    /// A place for a page that waits for an event.
    pub(crate) fn take_waiting(&self) -> Option<Slot> {
        Kind::take(&self.waiting)
    }

    /// A place for the streams of a connection, to be taken when the first one comes.
    pub(crate) fn shared(self: &Arc<Self>) -> SharedPlace {
        SharedPlace {
            slots: Arc::clone(self),
            taken: Mutex::new(false),
        }
    }

    pub(crate) fn kind(&self, form: Form, transport: Transport) -> &Arc<Kind> {
        // Both dialects of the event stream are one form to whoever counts.
        let form = FORMS
            .iter()
            .position(|known| *known == form.but_for_presence());
        &self.kinds[form.expect("every form is listed")][transport as usize]
    }

    /// Pages that wait.
    pub(crate) fn waiting(&self) -> &Kind {
        &self.waiting
    }

    /// A stream is over whose place was left taken.
    pub(crate) fn end(&self, form: Form, transport: Transport, end: &StreamEnd) {
        self.kind(form, transport).free(end.reason);
    }

    /// How many subscribers there are, pages that wait among them.
    pub(crate) fn subscribers(&self) -> u64 {
        let kinds = self.kinds.iter().flatten().chain([&self.waiting]);
        kinds.map(|kind| kind.open.load(Ordering::Relaxed)).sum()
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.room.taken.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(crate) fn max(&self) -> usize {
        self.room.max
    }
}

impl Room {
    /// Takes a place, if one is free.
    fn take(&self) -> bool {
        let more = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn free(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedPlace {
    /// One more subscriber, if the connection has a place or one is free.
    pub(crate) fn take(&self, form: Form) -> Option<Seat> {
        let mut taken = self.taken.lock().expect("nobody panics with this lock");
        if !*taken {
            *taken = self.slots.room.take();
        }
        let kind = self.slots.kind(form, Transport::Http2);
        taken.then(|| {
            kind.enter();
            Seat(Some(Arc::clone(kind)))
        })
    }
}

impl Drop for SharedPlace {
    fn drop(&mut self) {
        if *self.taken.get_mut().expect("nobody panics with this lock") {
            self.slots.room.free();
        }
    }
}

impl Kind {
    fn take(kind: &Arc<Self>) -> Option<Slot> {
        kind.room.take().then(|| {
            kind.enter();
            Slot(Some(Arc::clone(kind)))
        })
    }

    fn enter(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.one();
    }

    fn leave(&self, reason: EndReason) {
        self.ended[place_of(reason)].one();
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many ended for this reason.
    pub(crate) fn ended(&self, reason: EndReason) -> u64 {
        self.ended[place_of(reason)].now()
    }

    fn free(&self, reason: EndReason) {
        self.leave(reason);
        self.room.free();
    }
}

fn place_of(reason: EndReason) -> usize {
    let place = EndReason::ALL.iter().position(|known| *known == reason);
    place.expect("every reason is listed")
}

impl Slot {
    /// Leaves the place taken until [`Slots::end`] is called for it: a million idle subscribers need not hold one each.
    pub(crate) fn leave_taken(mut self) {
        self.0 = None;
    }

    /// Keeps the place until a stream's end, whoever else waits for that.
    pub(crate) fn until_end(mut self, on_end: Option<OnEnd>) -> OnEnd {
        Box::new(move |end| {
            if let Some(kind) = self.0.take() {
                kind.free(end.reason);
            }
            if let Some(on_end) = on_end {
                on_end(end);
            }
        })
    }
}

/// Also of a stream that never came to run: its client has gone.
impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(kind) = self.0.take() {
            kind.free(EndReason::Closed);
        }
    }
}

impl Seat {
    /// The stream is over.
    pub(crate) fn end(mut self, reason: EndReason) {
        if let Some(kind) = self.0.take() {
            kind.leave(reason);
        }
    }
}

/// Of a stream that never came to run.
impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(kind) = self.0.take() {
            kind.leave(EndReason::Closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(reason: EndReason) -> StreamEnd {
        StreamEnd {
            reason,
            bytes: 0,
            events: 0,
            life_ms: 0,
        }
    }

    #[test]
    fn places_are_given_back() {
        let slots = Slots::new(2);
        let first = slots.take(Form::Ndjson, Transport::Tls).unwrap();
        let _second = slots.take_waiting().unwrap();
        assert!(slots.take(Form::EventStream, Transport::Plain).is_none());
        drop(first);
        assert_eq!(slots.taken(), 1);
        let left = slots.take(Form::Ndjson, Transport::Tls).unwrap();
        left.leave_taken();
        assert!(slots.take(Form::Ndjson, Transport::Tls).is_none());
        slots.end(Form::Ndjson, Transport::Tls, &end(EndReason::Life));
        assert!(slots.take(Form::Ndjson, Transport::Tls).is_some());
    }

    #[test]
    fn each_kind_is_counted_apart() {
        let slots = Slots::new(100);
        let count = |of: fn(&Kind) -> u64| {
            let kinds = FORMS.map(|form| Transport::ALL.map(|over| of(slots.kind(form, over))));
            kinds.concat()
        };
        let mut held = Vec::new();
        for (number, (form, transport)) in FORMS
            .into_iter()
            .flat_map(|form| Transport::ALL.map(|transport| (form, transport)))
            .enumerate()
        {
            held.extend((0..number).map(|_| slots.take(form, transport).unwrap()));
        }
        let wanted: Vec<u64> = (0..12).collect();
        assert_eq!(count(|kind| kind.open.load(Ordering::Relaxed)), wanted);
        assert_eq!(slots.taken(), 66);
        for slot in held {
            slot.until_end(None)(end(EndReason::Stalled));
        }
        assert_eq!(count(|kind| kind.open.load(Ordering::Relaxed)), [0; 12]);
        assert_eq!(count(|kind| kind.opened.now()), wanted);
        assert_eq!(count(|kind| kind.ended(EndReason::Stalled)), wanted);
        assert_eq!(count(|kind| kind.ended(EndReason::Closed)), [0; 12]);
    }

    #[test]
    fn streams_of_a_connection_share_a_place() {
        let slots = Slots::new(2);
        let shared = slots.shared();
        let take = |shared: &SharedPlace| shared.take(Form::EventStream);
        let seats = [take(&shared).unwrap(), take(&shared).unwrap()];
        let single = slots.take(Form::Ndjson, Transport::Plain).unwrap();
        assert_eq!((slots.subscribers(), slots.taken()), (3, 2));
        assert!(slots.take(Form::Ndjson, Transport::Plain).is_none());
        assert!(take(&slots.shared()).is_none());
        drop(single);
        let [first, second] = seats;
        first.end(EndReason::Life);
        drop(second);
        let kind = slots.kind(Form::EventStream, Transport::Http2);
        let ended = [EndReason::Life, EndReason::Closed].map(|reason| kind.ended(reason));
        assert_eq!((ended, kind.opened.now()), ([1, 1], 2));
        assert_eq!(slots.subscribers(), 0);
        let _one = slots.take(Form::Ndjson, Transport::Plain).unwrap();
        assert!(
            slots.take(Form::Ndjson, Transport::Plain).is_none(),
            "the connection keeps its place"
        );
        drop(shared);
        assert!(slots.take(Form::Ndjson, Transport::Plain).is_some());
    }
}
