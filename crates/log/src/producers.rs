//! The idempotency window: which publications were stored lately, and where, so that one tried again is not stored twice.
//!
//! It is derived: the keys lie in the records, and a log that restarts fills the window from them.

use std::collections::{HashMap, VecDeque};

use tidewire_core::{Cursor, ProducerKey};

use crate::retention::ended;
use crate::{AppendError, Event};

/// How long producer keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerLimits {
    /// For so many milliseconds after the event's time.
    pub window_ms: u64,
    /// But the newest so many at most.
    pub keys_max: usize,
}

impl Default for ProducerLimits {
    fn default() -> Self {
        Self {
            window_ms: 24 * 60 * 60 * 1000,
            keys_max: 1_000_000,
        }
    }
}

/// One publication that is still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Its key and digest.
    pub producer: ProducerKey,
    /// Where it was stored.
    pub cursor: Cursor,
    /// Its record's time, in milliseconds since 1970.
    pub time_ms: u64,
}

/// What is to be done with one event of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is new: store it.
    Store,
    /// It was stored before, here.
    Stored(Cursor),
    /// It repeats the event at this lower index of the same append.
    SameAs(usize),
}

/// The publications that are still known, oldest first. About 120 bytes each.
#[derive(Debug)]
pub struct ProducerWindow {
    limits: ProducerLimits,
    /// In the order of their times.
    known: VecDeque<Produced>,
    /// Key to ordinal: index in `known` plus `dropped`.
    by_key: HashMap<[u8; 16], u64, foldhash::fast::FixedState>,
    /// How many have left `known` at its front.
    dropped: u64,
}

impl ProducerWindow {
    /// An empty window. The seed makes its hash table's order unpredictable to publishers.
    #[must_use]
    pub fn new(limits: ProducerLimits, seed: u64) -> Self {
        Self {
            limits,
            known: VecDeque::new(),
            by_key: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed)),
            dropped: 0,
        }
    }

    /// Decides for each event of an append whether it is to be stored, before anything is. `now_ms` is the log's present
    /// time: that of its newest record, or later.
    ///
    /// # Errors
    /// [`AppendError::KeyReused`] for the first event whose key was used for something else.
    pub fn plan(&self, events: &[Event], now_ms: u64) -> Result<Vec<Plan>, AppendError> {
        let mut here: HashMap<[u8; 16], (usize, [u8; 16]), _> =
            HashMap::with_hasher(self.by_key.hasher().clone());
        let mut plans = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let Some(producer) = event.producer else {
                plans.push(Plan::Store);
                continue;
            };
            // What this append itself holds goes first: its events may span the end of the window.
            let (digest, plan) = match here.get(&producer.key) {
                Some(&(earlier, digest)) => (digest, Plan::SameAs(earlier)),
                None => match self.find(&producer.key, now_ms.max(event.time_ms)) {
                    Some(known) => (known.producer.digest, Plan::Stored(known.cursor)),
                    None => (producer.digest, Plan::Store),
                },
            };
            here.entry(producer.key).or_insert((index, producer.digest));
            if digest != producer.digest {
                return Err(AppendError::KeyReused { index });
            }
            plans.push(plan);
        }
        Ok(plans)
    }

    /// The publication with this key, if it is still known at `now_ms`.
    #[must_use]
    pub fn find(&self, key: &[u8; 16], now_ms: u64) -> Option<&Produced> {
        let ordinal = *self.by_key.get(key)?;
        let known = &self.known[usize::try_from(ordinal - self.dropped).ok()?];
        (!ended(known.time_ms, self.limits.window_ms, now_ms)).then_some(known)
    }

    /// Adds a publication that was stored just now, or is read from the log on a restart: in order of their times.
    pub fn insert(&mut self, produced: Produced) {
        if self.limits.keys_max == 0 {
            return;
        }
        let ordinal = self.dropped + self.known.len() as u64;
        self.by_key.insert(produced.producer.key, ordinal);
        self.known.push_back(produced);
        if self.known.len() > self.limits.keys_max {
            self.drop_oldest();
        }
    }

    /// Takes back the newest so many, whose records could not be written after all.
    pub fn take_back(&mut self, count: usize) {
        for _ in 0..count {
            let Some(newest) = self.known.pop_back() else {
                return;
            };
            let ordinal = self.dropped + self.known.len() as u64;
            self.forget(&newest.producer.key, ordinal);
        }
    }

    /// Forgets what lies outside of the window at `now_ms`.
    pub fn expire(&mut self, now_ms: u64) {
        while let Some(oldest) = self.known.front()
            && ended(oldest.time_ms, self.limits.window_ms, now_ms)
        {
            self.drop_oldest();
        }
    }

    /// The known publications, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Produced> {
        self.known.iter()
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.known.pop_front() {
            self.forget(&oldest.producer.key, self.dropped);
            self.dropped += 1;
        }
    }

    /// A key that was used again after its time belongs to the later use.
    fn forget(&mut self, key: &[u8; 16], ordinal: u64) {
        if self.by_key.get(key) == Some(&ordinal) {
            self.by_key.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewire_core::{Epoch, Position, Topic};

    use super::*;

    fn event(key: u8, digest: u8, time_ms: u64) -> Event {
        let mut event = Event::new(Topic::parse("t").unwrap(), "", time_ms);
        event.producer = Some(ProducerKey {
            key: [key; 16],
            digest: [digest; 16],
        });
        event
    }

    fn window(keys_max: usize, stored: &[(u8, u64)]) -> ProducerWindow {
        let limits = ProducerLimits {
            window_ms: 10,
            keys_max,
        };
        let mut window = ProducerWindow::new(limits, 7);
        for (position, &(key, time_ms)) in (1..).zip(stored) {
            window.insert(Produced {
                producer: event(key, key, 0).producer.unwrap(),
                cursor: at(position),
                time_ms,
            });
        }
        window
    }

    fn at(position: u64) -> Cursor {
        Cursor::new(Epoch(1), Position(position))
    }

    #[test]
    fn what_is_planned() {
        let stored = |position| Plan::Stored(at(position));
        let reused = |index| Err(AppendError::KeyReused { index });
        #[rustfmt::skip]
        let table = [
            // keys_max, stored (key, time), asked (key, digest, time), plan
            (9, &[(1, 0)][..], vec![(1, 1, 9)], Ok(vec![stored(1)])),
            (9, &[(1, 0)], vec![(1, 1, 10)], Ok(vec![Plan::Store])),
            (9, &[(1, 0)], vec![(1, 2, 9)], reused(0)),
            (9, &[(1, 0)], vec![(1, 2, 10)], Ok(vec![Plan::Store])),
            (1, &[(1, 0), (2, 0)], vec![(2, 2, 0), (1, 1, 0)], Ok(vec![stored(2), Plan::Store])),
            (0, &[(1, 0)], vec![(1, 1, 0)], Ok(vec![Plan::Store])),
            (9, &[], vec![(1, 1, 0), (2, 2, 0), (1, 1, 0)], Ok(vec![Plan::Store, Plan::Store, Plan::SameAs(0)])),
            (9, &[], vec![(1, 1, 0), (1, 2, 0)], reused(1)),
            (9, &[(1, 0)], vec![(1, 1, 9), (1, 1, 10)], Ok(vec![stored(1), Plan::SameAs(0)])),
            (9, &[(1, 0), (1, 10)], vec![(1, 1, 15)], Ok(vec![stored(2)])),
        ];
        for (keys_max, before, asked, want) in table {
            let events: Vec<_> = asked.iter().map(|&(k, d, t)| event(k, d, t)).collect();
            let got = window(keys_max, before).plan(&events, 0);
            assert_eq!(got, want, "{keys_max} {before:?} {asked:?}");
        }
    }

    #[test]
    fn the_window_forgets() {
        let mut known = window(9, &[(1, 0), (2, 5), (1, 12)]);
        known.expire(10);
        assert_eq!(known.len(), 2);
        assert_eq!(known.find(&[1; 16], 12).map(|p| p.cursor), Some(at(3)));
        known.take_back(1);
        assert_eq!(known.find(&[1; 16], 12), None);
        assert_eq!(known.find(&[2; 16], 12).map(|p| p.cursor), Some(at(2)));
        known.take_back(5);
        assert!(known.is_empty() && known.by_key.is_empty());
    }
}
