//! Which events were given before, so that a server that repeats some after a reconnect is not heard twice. Not here: whether.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};

use tidewire_codec::Event;

/// The events with an id of their own that were given last, bounded in number.
///
/// A repeat is an event whose id, type and data came over an *earlier* connection. Not the id alone: a server may give one id to
/// all events of a transaction, and a client that was cut between them still wants the rest. Never within a connection: what comes
/// twice there was sent twice, and from then on is known to be no repeat either.
#[derive(Debug)]
pub(super) struct Memory {
    events_max: usize,
    seed: u64,
    connection: u64,
    seen: BTreeMap<u64, Seen>,
    /// The keys of `seen`, oldest first.
    order: VecDeque<u64>,
}

#[derive(Debug)]
struct Seen {
    /// The connection that it came over last.
    connection: u64,
    /// It came twice over one connection.
    is_common: bool,
}

impl Memory {
    /// `seed` keeps what somebody else could work out from colliding here.
    pub(super) fn new(events_max: usize, seed: u64) -> Self {
        Self {
            events_max,
            seed,
            connection: 0,
            seen: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn handle_connection(&mut self) {
        self.connection += 1;
    }

    /// Takes note of an event that has an id of its own; true when it is a repeat.
    pub(super) fn is_repeat(&mut self, event: &Event) -> bool {
        let key = self.key(event);
        if let Some(seen) = self.seen.get_mut(&key) {
            if seen.connection == self.connection {
                seen.is_common = true;
            }
            seen.connection = self.connection;
            return !seen.is_common;
        }
        if self.order.len() >= self.events_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        if self.events_max > 0 {
            let seen = Seen {
                connection: self.connection,
                is_common: false,
            };
            self.seen.insert(key, seen);
            self.order.push_back(key);
        }
        false
    }

    fn key(&self, event: &Event) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        for text in [&event.last_event_id, &event.event_type, &event.data] {
            hasher.write_usize(text.len());
            hasher.write(text.as_bytes());
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_as_many_as_it_was_told_and_forgets_the_oldest() {
        let event = |id: usize| Event {
            event_type: "message".to_owned(),
            data: String::new(),
            last_event_id: id.to_string(),
        };
        let mut memory = Memory::new(3, 7);
        for id in 0..10 {
            assert!(!memory.is_repeat(&event(id)), "{id}");
            assert_eq!(memory.seen.len(), memory.order.len());
            assert!(memory.order.len() <= 3);
        }
        memory.handle_connection();
        let repeats: Vec<_> = (6..10).map(|id| memory.is_repeat(&event(id))).collect();
        // 6 was forgotten, and took the place of 7, which took that of 8 ...
        assert_eq!(repeats, [false; 4]);
        memory.handle_connection();
        let repeats: Vec<_> = (7..10).map(|id| memory.is_repeat(&event(id))).collect();
        assert_eq!(repeats, [true; 3]);

        let mut none = Memory::new(0, 7);
        none.is_repeat(&event(1));
        none.handle_connection();
        assert!(!none.is_repeat(&event(1)));
    }
}
