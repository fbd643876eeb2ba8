//! Which blocks hold a term (a topic or a publisher id), and where in a block.
//!
//! Terms are known by 32 bits of their hash. Two that share them cost a needless look, never a wrong answer: who looks
//! compares the term itself, or may give more than was asked.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

/// Term to the numbers of the blocks that hold it.
#[derive(Debug)]
pub(super) struct Index {
    state: FixedState,
    blocks: HashMap<u32, Numbers, FixedState>,
}

/// Increasing numbers, at least one. Most terms are in one block only, and there may be millions: hence the box, which
/// keeps an entry of the map at 24 bytes.
#[derive(Debug)]
#[allow(
    clippy::box_collection,
    reason = "the box keeps an entry of the map small"
)]
enum Numbers {
    One(u64),
    Many(Box<VecDeque<u64>>),
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        let state = FixedState::with_seed(seed);
        Self {
            blocks: HashMap::with_hasher(state.clone()),
            state,
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn hash(&self, term: &[u8]) -> u32 {
        self.state.hash_one(term) as u32
    }

    /// The hashes of these terms, sorted and without repetition.
    pub(super) fn hashes(&self, terms: &[&[u8]]) -> Vec<u32> {
        let mut hashes: Vec<_> = terms.iter().map(|term| self.hash(term)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    pub(super) fn add(&mut self, terms: &Terms, number: u64) {
        for hash in terms.distinct() {
            self.blocks
                .entry(hash)
                .and_modify(|numbers| numbers.push(number))
                .or_insert(Numbers::One(number));
        }
    }

    /// Removes the oldest block.
    pub(super) fn remove(&mut self, terms: &Terms, number: u64) {
        for hash in terms.distinct() {
            if self
                .blocks
                .get_mut(&hash)
                .is_some_and(|numbers| numbers.pop(number))
            {
                self.blocks.remove(&hash);
            }
        }
    }

    /// The blocks that may hold a term, oldest first.
    pub(super) fn blocks(&self, hash: u32) -> impl Iterator<Item = u64> {
        let numbers = self.blocks.get(&hash);
        (0..).map_while(move |at| numbers?.get(at))
    }

    /// Walks the blocks from `number` on that may hold one of these terms.
    pub(super) fn walk(&self, hashes: &[u32], number: u64) -> Walk<'_> {
        let lists = hashes.iter().filter_map(|hash| self.blocks.get(hash));
        Walk {
            lists: lists
                .map(|numbers| (numbers, numbers.first_from(number)))
                .collect(),
        }
    }

    /// The last block below `number` that may hold one of these terms.
    pub(super) fn last_before(&self, hashes: &[u32], number: u64) -> Option<u64> {
        hashes
            .iter()
            .filter_map(|hash| self.blocks.get(hash))
            .filter_map(|numbers| numbers.get(numbers.first_from(number).checked_sub(1)?))
            .max()
    }
}

impl Numbers {
    fn get(&self, at: usize) -> Option<u64> {
        match self {
            Self::One(number) => (at == 0).then_some(*number),
            Self::Many(numbers) => numbers.get(at).copied(),
        }
    }

    fn first_from(&self, number: u64) -> usize {
        match self {
            Self::One(one) => usize::from(*one < number),
            Self::Many(numbers) => numbers.partition_point(|n| *n < number),
        }
    }

    fn push(&mut self, number: u64) {
        match self {
            Self::One(one) => *self = Self::Many(Box::new(VecDeque::from([*one, number]))),
            Self::Many(numbers) => numbers.push_back(number),
        }
    }

    /// Drops this number, the oldest. Returns whether none is left.
    fn pop(&mut self, number: u64) -> bool {
        match self {
            Self::One(one) => {
                debug_assert_eq!(*one, number);
                true
            }
            Self::Many(numbers) => {
                debug_assert_eq!(numbers.front(), Some(&number));
                numbers.pop_front();
                numbers.is_empty()
            }
        }
    }
}

/// The blocks that hold one of several terms, in order, each once.
pub(super) struct Walk<'a> {
    lists: Vec<(&'a Numbers, usize)>,
}

impl Iterator for Walk<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let next = self
            .lists
            .iter()
            .filter_map(|(numbers, at)| numbers.get(*at))
            .min()?;
        for (numbers, at) in &mut self.lists {
            if numbers.get(*at) == Some(next) {
                *at += 1;
            }
        }
        Some(next)
    }
}

/// The terms of one block: hash and index of the record, sorted.
#[derive(Debug, Default)]
pub(super) struct Terms(Box<[(u32, u32)]>);

impl Terms {
    pub(super) fn new(mut terms: Vec<(u32, u32)>) -> Self {
        terms.sort_unstable();
        terms.dedup();
        Self(terms.into())
    }

    fn distinct(&self) -> impl Iterator<Item = u32> {
        self.0.chunk_by(|a, b| a.0 == b.0).map(|run| run[0].0)
    }

    /// The indexes of the records that may have a term, in order.
    pub(super) fn find(&self, hash: u32) -> impl Iterator<Item = usize> {
        let from = self.0.partition_point(|term| term.0 < hash);
        self.0[from..]
            .iter()
            .take_while(move |term| term.0 == hash)
            .map(|term| term.1 as usize)
    }

    /// The indexes from `first` on of the records that may have one of these terms, in order, each once.
    pub(super) fn find_any(&self, hashes: &[u32], first: usize) -> Vec<usize> {
        let mut found: Vec<_> = if hashes.len() < self.0.len() {
            hashes.iter().flat_map(|hash| self.find(*hash)).collect()
        } else {
            let asked = |term: &&(u32, u32)| hashes.binary_search(&term.0).is_ok();
            self.0
                .iter()
                .filter(asked)
                .map(|term| term.1 as usize)
                .collect()
        };
        found.retain(|index| *index >= first);
        found.sort_unstable();
        found.dedup();
        found
    }
}
