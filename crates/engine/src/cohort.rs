//! Cohorts of those behind: who wants the same aligned block of a feed's log next. Each is read for once, at its lowest
//! cursor, and its members move on together. (The cohort at the tail is [`crate::feed::Tail`].)

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use foldhash::fast::FixedState;
use slab::Slab;
use tidewire_core::Position;

use crate::index::id;
use crate::interest::ShardWaker;

/// How many positions an aligned block spans, as a power of two. Positions are not contiguous: a block may hold fewer records.
const BLOCK_BITS: u32 = 10;

/// Which block of which feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Block {
    feed: u32,
    number: u64,
}

/// Subscribers that want the same block next; at least one.
#[derive(Debug)]
pub(crate) struct Cohort {
    block: Block,
    serial: u64,
    pub(crate) members: Vec<u32>,
    /// It stands in the line; false while it is served, and while what it wants is `Loading`.
    in_line: bool,
}

impl Cohort {
    pub(crate) fn feed(&self) -> u32 {
        self.block.feed
    }

    /// Whether this position lies in its block.
    pub(crate) fn covers(&self, next: Position) -> bool {
        self.block.number == next.0 >> BLOCK_BITS
    }
}

/// All cohorts of a shard, and the line in which they wait for their turn.
pub(crate) struct Cohorts {
    cohorts: Slab<Cohort>,
    by_block: HashMap<Block, u32, FixedState>,
    /// Cohorts with their serials: one that is gone may still stand here.
    line: VecDeque<(u32, u64)>,
    serial: u64,
    /// By cohort, made when one is first read for.
    wakers: Vec<Waker>,
}

impl Cohorts {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            cohorts: Slab::new(),
            by_block: HashMap::with_hasher(FixedState::with_seed(seed)),
            line: VecDeque::new(),
            serial: 0,
            wakers: Vec::new(),
        }
    }

    /// Adds a subscriber to the cohort of the block that it wants next; the cohort, and its slot in it.
    pub(crate) fn join(&mut self, feed: u32, next: Position, subscriber: u32) -> (u32, u32) {
        let number = next.0 >> BLOCK_BITS;
        let block = Block { feed, number };
        let serial = &mut self.serial;
        let cohort = *self.by_block.entry(block).or_insert_with(|| {
            *serial += 1;
            id(self.cohorts.insert(Cohort {
                block,
                serial: *serial,
                members: Vec::new(),
                in_line: false,
            }))
        });
        let members = &mut self.cohorts[cohort as usize].members;
        members.push(subscriber);
        let slot = id(members.len() - 1);
        // Also one that waits for its records to load: what the newcomer wants may be there.
        self.line_up(cohort);
        (cohort, slot)
    }

    /// Takes a subscriber out; who has its slot now.
    pub(crate) fn leave(&mut self, cohort: u32, slot: u32) -> Option<u32> {
        let Cohort { members, block, .. } = &mut self.cohorts[cohort as usize];
        members.swap_remove(slot as usize);
        let moved = members.get(slot as usize).copied();
        if members.is_empty() {
            self.by_block.remove(block);
            self.cohorts.remove(cohort as usize);
        }
        moved
    }

    /// Puts a cohort at the end of the line, unless it is in it or gone.
    pub(crate) fn line_up(&mut self, cohort: u32) {
        if let Some(known) = self.cohorts.get_mut(cohort as usize)
            && !std::mem::replace(&mut known.in_line, true)
        {
            self.line.push_back((cohort, known.serial));
        }
    }

    /// The cohort whose turn it is, taken out of the line.
    pub(crate) fn take_next(&mut self) -> Option<u32> {
        loop {
            let (cohort, serial) = self.line.pop_front()?;
            if let Some(known) = self.cohorts.get_mut(cohort as usize)
                && known.serial == serial
            {
                known.in_line = false;
                return Some(cohort);
            }
        }
    }

    /// Whether any cohort is in the line; perhaps one that is gone by now.
    pub(crate) fn wait(&self) -> bool {
        !self.line.is_empty()
    }

    /// A cohort, if it is not gone.
    pub(crate) fn find(&self, cohort: u32) -> Option<&Cohort> {
        self.cohorts.get(cohort as usize)
    }

    /// Makes the waker with which a cohort reads. Who has this slot later may be woken in vain.
    pub(crate) fn waker(&mut self, cohort: u32, shard: &Arc<ShardWaker>) -> Waker {
        let count = id(self.wakers.len());
        let missing = (count..=cohort).map(|token| shard.load_waker(token));
        self.wakers.extend(missing);
        self.wakers[cohort as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cohort_a_block_and_one_place_in_the_line() {
        let mut cohorts = Cohorts::new(3);
        let at = |block: u64, offset: u64| Position((block << BLOCK_BITS) + offset);
        let a = cohorts.join(0, at(5, 1), 10);
        let b = cohorts.join(0, at(5, 1023), 11);
        let c = cohorts.join(0, at(6, 0), 12);
        let d = cohorts.join(1, at(5, 1), 13);
        assert_eq!((a.0, a.1, b.1), (b.0, 0, 1));
        assert!(c.0 != a.0 && d.0 != a.0 && d.0 != c.0);
        let cohort = cohorts.find(a.0).unwrap();
        assert!(cohort.covers(at(5, 1000)) && !cohort.covers(at(6, 0)));

        assert_eq!(cohorts.take_next(), Some(a.0));
        cohorts.line_up(a.0);
        cohorts.line_up(a.0);
        assert_eq!(cohorts.leave(c.0, c.1), None);
        let again = cohorts.join(0, at(9, 0), 14); // in the slot of the one that is gone
        assert_eq!(again.0, c.0);
        let order: Vec<_> = std::iter::from_fn(|| cohorts.take_next()).collect();
        assert_eq!(order, [d.0, a.0, c.0]);

        assert_eq!(cohorts.leave(a.0, 0), Some(11));
        assert_eq!(cohorts.find(a.0).unwrap().members, [11]);
        assert_eq!(cohorts.leave(a.0, 0), None);
        assert!(cohorts.find(a.0).is_none());
    }
}
