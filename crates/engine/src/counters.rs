//! Counters: what a shard did, for metrics and for tests that must know that something happened at all.
//!
//! A shard counts in plain numbers of its own. Whoever drives it makes them known, once a step: a driver of few shards leaves
//! a copy, drivers of shards that come and go with their streams add what is new to a [`Tally`].

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tidewire_log::{GapReason, Read};

use crate::{EndReason, Shard};

/// What one shard did since it was made. All but [`Counters::subscribers`] only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Subscribers at the moment.
    pub subscribers: u64,
    /// Subscribers that ever joined.
    pub joined: u64,
    /// Steps taken.
    pub steps: u64,
    /// Events' frames that sinks took.
    pub deliveries: u64,
    /// Bytes of all frames that sinks took, chunk heads included.
    pub bytes: u64,
    /// Calls of [`crate::Sink::offer`].
    pub offers: u64,
    /// Offers answered [`crate::Offer::Full`].
    pub offers_full: u64,
    /// Reads answered `Batch`.
    pub reads_batch: u64,
    /// Reads answered `AtTail`.
    pub reads_at_tail: u64,
    /// Reads answered `Loading`.
    pub reads_loading: u64,
    /// Reads answered `Gap`.
    pub reads_gap: u64,
    /// Heartbeats sent as a comment.
    pub heartbeats: u64,
    /// Checkpoints sent, at openings, with heartbeats and after gaps.
    pub checkpoints: u64,
    /// Subscribers taken out by [`crate::Shard::leave`].
    pub left: u64,
    gaps: [u64; GapReason::ALL.len()],
    ended: [u64; EndReason::ALL.len()],
}

impl Counters {
    /// Gaps told, for one reason.
    #[must_use]
    pub fn gaps(&self, reason: GapReason) -> u64 {
        slot(&GapReason::ALL, &reason).map_or(0, |slot| self.gaps[slot])
    }

    /// Subscribers ended, for one reason.
    #[must_use]
    pub fn ended(&self, reason: EndReason) -> u64 {
        slot(&EndReason::ALL, &reason).map_or(0, |slot| self.ended[slot])
    }

    pub(crate) fn count_read(&mut self, read: &Read) {
        *match read {
            Read::Batch(_) => &mut self.reads_batch,
            Read::AtTail => &mut self.reads_at_tail,
            Read::Loading => &mut self.reads_loading,
            Read::Gap(_) => &mut self.reads_gap,
        } += 1;
    }

    pub(crate) fn count_gap(&mut self, reason: GapReason) {
        if let Some(slot) = slot(&GapReason::ALL, &reason) {
            self.gaps[slot] += 1;
        }
    }

    pub(crate) fn count_ended(&mut self, reason: EndReason) {
        if let Some(slot) = slot(&EndReason::ALL, &reason) {
            self.ended[slot] += 1;
        }
    }

    /// Adds another shard's counters.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.fields_mut().into_iter().zip(other.fields()) {
            *mine += theirs;
        }
    }

    /// Subscribers that came and have not gone, by what only grows.
    fn present(&self) -> u64 {
        let gone = self.left + self.ended.iter().sum::<u64>();
        self.joined.saturating_sub(gone)
    }

    fn fields(&self) -> [u64; FIELDS] {
        let mut copy = *self;
        copy.fields_mut().map(|field| *field)
    }

    fn fields_mut(&mut self) -> [&mut u64; FIELDS] {
        let [expired, beyond, epoch, unknown] = &mut self.gaps;
        let [closed, stalled, life, grant, revoked, drain] = &mut self.ended;
        [
            &mut self.subscribers,
            &mut self.joined,
            &mut self.steps,
            &mut self.deliveries,
            &mut self.bytes,
            &mut self.offers,
            &mut self.offers_full,
            &mut self.reads_batch,
            &mut self.reads_at_tail,
            &mut self.reads_loading,
            &mut self.reads_gap,
            &mut self.heartbeats,
            &mut self.checkpoints,
            &mut self.left,
            expired,
            beyond,
            epoch,
            unknown,
            closed,
            stalled,
            life,
            grant,
            revoked,
            drain,
        ]
    }
}

/// How many numbers [`Counters`] are.
const FIELDS: usize = 14 + GapReason::ALL.len() + EndReason::ALL.len();

/// A shard's counters, and where they are added up if they are.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    counters: Counters,
    share: Option<Share>,
}

impl Counting {
    /// Adds what is new, if somebody adds it up.
    pub(crate) fn tell(&mut self) {
        if let Some(share) = &self.share {
            let told = Counters {
                subscribers: self.counters.subscribers,
                ..Counters::default()
            };
            share.add(&std::mem::replace(&mut self.counters, told));
        }
    }
}

impl Deref for Counting {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.counters
    }
}

impl DerefMut for Counting {
    fn deref_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }
}

/// A shard that goes takes its subscribers along.
impl Drop for Counting {
    fn drop(&mut self) {
        self.left += std::mem::take(&mut self.subscribers);
        self.tell();
    }
}

impl<S> Shard<S> {
    /// Adds what it does to a sum, with every step and at its end. [`Shard::counters`] then tells what is not added yet.
    pub fn count_into(&mut self, share: Share) {
        self.counters.share = Some(share);
        self.counters.tell();
    }
}

/// Sums the counters of shards that come and go with their streams, while they run: each adds what is new after a step.
///
/// That is a few uncontended additions a step and nothing a delivery: the sums stand in several places of a cache line each,
/// and a stream adds to one of them for life.
#[derive(Debug)]
pub struct Tally {
    places: Box<[Place]>,
    /// Which place the next stream gets.
    next: AtomicUsize,
}

/// Aligned to what neighbouring cores fetch together.
#[derive(Debug)]
#[repr(align(128))]
struct Place([AtomicU64; FIELDS]);

/// One shard's place in a [`Tally`]: see [`Shard::count_into`].
#[derive(Clone, Debug)]
pub struct Share {
    tally: Arc<Tally>,
    place: usize,
}

impl Tally {
    /// An empty sum with room for so many writers at the same time; at least one.
    #[must_use]
    pub fn new(places: usize) -> Arc<Self> {
        let place = || Place(std::array::from_fn(|_| AtomicU64::new(0)));
        Arc::new(Self {
            places: std::iter::repeat_with(place).take(places.max(1)).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// A place for a shard that begins.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            tally: Arc::clone(self),
            place: self.next.fetch_add(1, Ordering::Relaxed) % self.places.len(),
        }
    }

    /// The sum.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for place in &self.places {
            for (field, more) in sum.fields_mut().into_iter().zip(&place.0) {
                *field += more.load(Ordering::Relaxed);
            }
        }
        sum.subscribers = sum.present();
        sum
    }
}

impl Share {
    fn add(&self, new: &Counters) {
        let sums = &self.tally.places[self.place].0;
        // What is present is worked out from what only grows.
        let new = Counters {
            subscribers: 0,
            ..*new
        };
        for (sum, more) in sums.iter().zip(new.fields()) {
            if more > 0 {
                sum.fetch_add(more, Ordering::Relaxed);
            }
        }
    }
}

fn slot<T: PartialEq>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|each| each == one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_summed_in_its_place() {
        let mut counted = Counters::default();
        for (value, field) in (1..).zip(counted.fields_mut()) {
            *field = value;
        }
        let mut twice = counted;
        twice.add(&counted);
        assert_eq!(
            twice.fields(),
            counted.fields().map(|value| 2 * value),
            "{twice:?}"
        );
        assert_eq!(counted.left, 14);
        let gaps = GapReason::ALL.map(|reason| counted.gaps(reason));
        let ended = EndReason::ALL.map(|reason| counted.ended(reason));
        assert_eq!((gaps, ended), ([15, 16, 17, 18], [19, 20, 21, 22, 23, 24]));
    }

    #[test]
    fn a_tally_knows_who_is_there() {
        let tally = Tally::new(2);
        let shares = [tally.share(), tally.share(), tally.share()];
        assert_eq!(shares.each_ref().map(|share| share.place), [0, 1, 0]);
        for (share, joined, left) in [(0, 3, 0), (1, 2, 0), (2, 1, 1), (0, 0, 2)] {
            let mut new = Counters {
                joined,
                left,
                // What is present is never added up.
                subscribers: 77,
                deliveries: 10,
                ..Counters::default()
            };
            new.count_ended(EndReason::Life);
            shares[share].add(&new);
        }
        let sum = tally.counters();
        assert_eq!((sum.joined, sum.left, sum.deliveries), (6, 3, 40));
        assert_eq!(sum.ended(EndReason::Life), 4);
        assert_eq!(sum.subscribers, 0, "six came, seven went: never below none");
        let joined = Counters {
            joined: 5,
            ..Counters::default()
        };
        shares[1].add(&joined);
        assert_eq!(tally.counters().subscribers, 4);
    }
}
