//! Filters as a shard keeps them: equal ones once, and those of one public topic not at all, for the index says the same.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use tidewire_core::{Filter, Matcher, MatcherSet, TopicRef};

use crate::index::id;

/// Names a filter that is kept, or says that where its subscriber stands in the index is all there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilterId(u32);

impl FilterId {
    /// One thing, or every topic, or nothing; and no private events.
    const PLAIN: Self = Self(u32::MAX);

    /// The slot of a filter that is kept.
    fn kept(self) -> Option<usize> {
        (self != Self::PLAIN).then_some(self.0 as usize)
    }
}

/// The distinct filters of a feed's subscribers in one shard.
pub(crate) struct Filters {
    hasher: FixedState,
    ids: HashTable<u32>,
    kept: Slab<Kept>,
}

struct Kept {
    filter: Filter,
    subscribers: u32,
}

impl Filters {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            ids: HashTable::new(),
            kept: Slab::new(),
        }
    }

    /// Adds a subscriber's filter.
    pub(crate) fn add(&mut self, filter: Filter) -> FilterId {
        if is_plain(&filter) {
            return FilterId::PLAIN;
        }
        let Self { hasher, ids, kept } = self;
        let hash = hasher.hash_one(&filter);
        let same = |known: &u32| kept[*known as usize].filter == filter;
        if let Some(&known) = ids.find(hash, same) {
            kept[known as usize].subscribers += 1;
            return FilterId(known);
        }
        let new = id(kept.insert(Kept {
            filter,
            subscribers: 1,
        }));
        let rehash = |known: &u32| hasher.hash_one(&kept[*known as usize].filter);
        ids.insert_unique(hash, new, rehash);
        FilterId(new)
    }

    /// Takes a subscriber's filter out.
    pub(crate) fn remove(&mut self, filter: FilterId) {
        let Some(slot) = filter.kept() else {
            return;
        };
        self.kept[slot].subscribers -= 1;
        if self.kept[slot].subscribers == 0 {
            let hash = self.hasher.hash_one(&self.kept[slot].filter);
            if let Ok(found) = self.ids.find_entry(hash, |known| *known as usize == slot) {
                found.remove();
            }
            self.kept.remove(slot);
        }
    }

    /// A filter; `only` is what the index says of whose filter is not kept.
    pub(crate) fn wants<'a>(&'a self, filter: FilterId, only: Option<&'a Matcher>) -> Wants<'a> {
        match filter.kept() {
            Some(slot) => Wants::Kept(&self.kept[slot].filter),
            None => Wants::Public(only),
        }
    }
}

fn is_plain(filter: &Filter) -> bool {
    let mut routing = filter.routing.iter();
    filter.private.is_empty() && (routing.next().is_none() || routing.next().is_none())
}

/// How many comparisons with one topic a look at a pattern is worth.
const PATTERN_COST: usize = 16;

/// What a subscriber wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wants<'a> {
    /// Public events that match this; nothing.
    Public(Option<&'a Matcher>),
    /// What this says.
    Kept(&'a Filter),
}

impl<'a> Wants<'a> {
    /// The matchers of its routing.
    pub(crate) fn matchers(self) -> impl Iterator<Item = &'a Matcher> {
        let (only, kept) = match self {
            Self::Public(only) => (only, None),
            Self::Kept(filter) => (None, Some(filter.routing.iter())),
        };
        only.into_iter().chain(kept.into_iter().flatten())
    }

    /// Its routing, as a set.
    pub(crate) fn routing(self) -> MatcherSet {
        self.matchers().cloned().collect()
    }

    /// Whether its routing matches this topic.
    pub(crate) fn routes(self, topic: &[u8]) -> bool {
        let topic = TopicRef::new(topic);
        self.matchers().any(|matcher| matcher.matches(&topic))
    }

    /// Whether a private event with these topics may be read.
    pub(crate) fn may_read(self, mut topics: impl Iterator<Item = &'a [u8]>) -> bool {
        match self {
            Self::Public(_) => false,
            Self::Kept(filter) => topics.any(|topic| filter.private.accepts(topic)),
        }
    }

    /// Whether it has to do with a topic at all: it routes it, or may read its private events.
    pub(crate) fn covers(self, topic: &[u8]) -> bool {
        self.routes(topic) || self.may_read(std::iter::once(topic))
    }

    /// Decides as [`Filter::accepts`] does.
    pub(crate) fn accepts<'b>(
        self,
        mut topics: impl Iterator<Item = &'b [u8]> + Clone,
        private: bool,
    ) -> bool {
        match self {
            Self::Public(_) => !private && topics.any(|topic| self.routes(topic)),
            Self::Kept(filter) => filter.accepts(topics, private),
        }
    }

    /// What a direct look at it costs, in comparisons with one topic.
    pub(crate) fn cost(self) -> usize {
        let cost = |matcher: &Matcher| match matcher {
            Matcher::Pattern(_) => PATTERN_COST,
            _ => 1,
        };
        self.matchers().map(cost).sum::<usize>().max(1)
    }

    /// Adds its topics to a small set of them; `false` once that has become too large, or holds more than single topics.
    pub(crate) fn unite(self, topics: &mut Vec<&'a [u8]>, max: usize) -> bool {
        self.matchers().all(|matcher| match matcher {
            Matcher::Exact(topic) => {
                if !topics.contains(&topic.as_bytes()) {
                    topics.push(topic.as_bytes());
                }
                topics.len() <= max
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use tidewire_core::Topic;

    use super::*;

    fn set(names: &[&str]) -> MatcherSet {
        let matcher = |name: &&str| match *name {
            "*" => Matcher::Any,
            name => Matcher::Exact(Topic::parse(name).unwrap()),
        };
        names.iter().map(matcher).collect()
    }

    #[test]
    fn equal_filters_are_kept_once_and_plain_ones_not_at_all() {
        let mut filters = Filters::new(3);
        #[rustfmt::skip]
        let table: [(&[&str], &[&str], usize); 8] = [
            // routing   private   kept then
            (&[],        &[],      0),
            (&["*"],     &[],      0),
            (&["a"],     &[],      0),
            (&["a"],     &["a"],   1),
            (&["a"],     &["a"],   1),
            (&["a", "b"], &[],     2),
            (&["a", "b"], &["b"],  3),
            (&["b", "a"], &[],     3),
        ];
        let mut added = Vec::new();
        for (routing, private, kept) in table {
            let filter = Filter {
                routing: set(routing),
                private: set(private),
            };
            let only = match filter.routing.iter().collect::<Vec<_>>()[..] {
                [only] => Some(only.clone()),
                _ => None,
            };
            let filter_id = filters.add(filter.clone());
            assert_eq!(filters.kept.len(), kept, "{filter:?}");
            let wants = filters.wants(filter_id, only.as_ref());
            assert_eq!(wants.routing(), filter.routing);
            for topics in [&["a"][..], &["b"], &["c"], &["c", "a"], &["a", "b"]] {
                let topics = || topics.iter().map(|topic| topic.as_bytes());
                for private in [false, true] {
                    let want = filter.accepts(topics(), private);
                    assert_eq!(wants.accepts(topics(), private), want, "{filter:?}");
                }
                let may_read = topics().any(|topic| filter.private.accepts(topic));
                assert_eq!(wants.may_read(topics()), may_read);
            }
            added.push(filter_id);
        }
        added.into_iter().for_each(|filter| filters.remove(filter));
        assert!(filters.kept.is_empty() && filters.ids.is_empty());
    }
}
