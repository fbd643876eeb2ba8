//! Streams open at once, by address and by subject: a table that has no more entries than there are streams.
//!
//! A stream counts where it began, for as long as it runs. One that began as nobody's counts for a subject from when a token of that
//! subject's renews it: else whoever may have ten streams would have as many as they like, begun without a token.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use foldhash::fast::FixedState;

use super::{PARTS, lock, part_of};
use crate::counters::Reason;
use crate::front::random_u64;
use crate::limits::Limits;

#[derive(Debug)]
pub(super) struct Streams {
    per_address_max: Option<usize>,
    per_subject_max: Option<usize>,
    parts: [Mutex<Table>; PARTS],
    /// By the names of those that were nobody's: whose they have become.
    claimed: Mutex<Table>,
    /// Makes names.
    names: AtomicU64,
}

type Table = HashMap<u64, u64, FixedState>;

/// As many are open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(super) reason: Reason,
    pub(super) max: usize,
}

/// A stream that counts somewhere; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    streams: Arc<Streams>,
    address: Option<u64>,
    subject: Option<u64>,
    /// What its shard calls it, if it may become somebody's; zero: it cannot.
    name: u64,
}

/// A place among the streams of a subject, for one that is nobody's yet. `None`: they are not counted.
#[derive(Debug)]
pub(crate) struct Claim(Option<Held>);

impl Streams {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let table = || Mutex::new(HashMap::with_hasher(FixedState::with_seed(random_u64())));
        Arc::new(Self {
            per_address_max: limits.streams_per_address_max,
            per_subject_max: limits.streams_per_subject_max,
            parts: std::array::from_fn(|_| table()),
            claimed: table(),
            names: AtomicU64::new(1),
        })
    }

    pub(super) fn are_counted(&self) -> bool {
        self.per_address_max.is_some() || self.per_subject_max.is_some()
    }

    pub(super) fn hold(
        self: &Arc<Self>,
        address: Option<u64>,
        subject: Option<u64>,
    ) -> Result<Held, Full> {
        let mut held = Held {
            streams: Arc::clone(self),
            address: None,
            subject: None,
            name: 0,
        };
        // What is held already is given back if the next is not to be had.
        if let Some((max, key)) = self.per_address_max.zip(address) {
            self.take(key, max, Reason::StreamsAddress)?;
            held.address = Some(key);
        }
        if let Some((max, key)) = self.per_subject_max.zip(subject) {
            self.take(key, max, Reason::StreamsSubject)?;
            held.subject = Some(key);
        }
        Ok(held)
    }

    pub(super) fn claim(self: &Arc<Self>, subject: Option<u64>) -> Result<Claim, Full> {
        match (self.per_subject_max, subject) {
            (Some(_), Some(_)) => self.hold(None, subject).map(Some).map(Claim),
            _ => Ok(Claim(None)),
        }
    }

    fn take(&self, key: u64, max: usize, reason: Reason) -> Result<(), Full> {
        let mut part = lock(&self.parts[part_of(key)]);
        let count = part.entry(key).or_default();
        let may = *count < max as u64;
        if may {
            *count += 1;
        } else if *count == 0 {
            part.remove(&key);
        }
        match may {
            true => Ok(()),
            false => Err(Full { reason, max }),
        }
    }

    fn give_back(&self, key: u64) {
        let mut part = lock(&self.parts[part_of(key)]);
        if let Some(count) = part.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                part.remove(&key);
                if part.capacity() > 64 && part.len() < part.capacity() / 8 {
                    part.shrink_to_fit();
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let parts = self.parts.iter().map(|part| lock(part).len());
        parts.sum::<usize>() + lock(&self.claimed).len()
    }
}

impl Held {
    /// What its shard is to call the stream, so that it is found again when it becomes somebody's: as it is called already, if it is.
    pub(crate) fn name(&mut self, called: u64) -> u64 {
        if self.subject.is_some() || self.streams.per_subject_max.is_none() {
            return called;
        }
        self.name = match called {
            0 => self.streams.names.fetch_add(1, Ordering::Relaxed),
            called => called,
        };
        self.name
    }
}

impl Claim {
    /// The stream of this name is the subject's from now on, and counts until it ends.
    pub(crate) fn keep(self, name: u64) {
        let Self(Some(mut place)) = self else {
            return;
        };
        if let Some(key) = place.subject.take() {
            let before = lock(&place.streams.claimed).insert(name, key);
            debug_assert!(before.is_none(), "a stream is claimed once");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let claimed = match self.name {
            0 => None,
            name => lock(&self.streams.claimed).remove(&name),
        };
        for key in [self.address, self.subject, claimed].into_iter().flatten() {
            self.streams.give_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_becomes_somebodys_counts_for_them() {
        let limits = Limits {
            streams_per_subject_max: Some(2),
            ..Limits::default()
        };
        let streams = Streams::new(&limits);
        let ada = || streams.claim(Some(1));
        let mut nobodys = [0; 3].map(|_| streams.hold(None, None).unwrap());
        let [first, second, third] = nobodys.each_mut().map(|held| held.name(0));
        assert!(first != 0 && first != second && second != third);
        ada().unwrap().keep(first);
        // One that comes to nothing takes nothing.
        drop(ada().unwrap());
        let own = streams.hold(None, Some(1)).unwrap();
        let full = Full {
            reason: Reason::StreamsSubject,
            max: 2,
        };
        assert_eq!(ada().unwrap_err(), full);
        assert!(streams.claim(Some(2)).is_ok(), "others are not concerned");
        assert!(streams.claim(None).is_ok(), "nor is nobody");
        drop(own);
        ada().unwrap().keep(second);
        assert_eq!(ada().unwrap_err(), full);
        drop(nobodys);
        assert_eq!(streams.remembered(), 0);
    }
}
